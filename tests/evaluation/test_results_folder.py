"""Where the results of an evaluation are written, from Python and from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue
from support.small_finetuning import finetuning, train_classifier
from support.small_process import call
from support.small_run import link_run

import revalexo_clip
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.evaluation.classifier import ClassifierEvaluation
from revalexo_clip.evaluation.folder import results_folder

FILES = {"metrics.json", "embeddings.h5", "report.html"}


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> JsonObject:
    """Return the content of a JSON file without the paths in it."""
    found = cast("JsonObject", json.loads(path.read_text()))
    return {name: value for name, value in found.items() if name != "checkpoint"}


@pytest.mark.long
def test_evaluate_writes_the_same_from_python_and_from_the_command_line(run: Path, tmp_path: Path) -> None:
    python = revalexo_clip.evaluate(str(run), out=str(tmp_path / "python"))
    finished = call("evaluate", "--ckpt", run, "--out", tmp_path / "command", "--json", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert set(files_in(tmp_path / "python")) == set(files_in(tmp_path / "command")) == FILES
    assert read(tmp_path / "python" / "metrics.json") == read(tmp_path / "command" / "metrics.json")
    assert json.loads(finished.stdout) == python.metrics
    assert not (run / "evaluation").exists()


@pytest.mark.long
def test_a_classifier_is_evaluated_the_same_from_python_and_from_the_command_line(
    distinct: Path, trained_run: Path, tmp_path: Path
) -> None:
    run = train_classifier(finetuning(distinct, trained_run), tmp_path)
    trained = read(run / "evaluation" / "metrics.json")
    found = revalexo_clip.evaluate(str(run), out=tmp_path / "python")
    assert isinstance(found, ClassifierEvaluation)
    assert call("evaluate", "--ckpt", run, "--out", tmp_path / "command", cwd=tmp_path).returncode == 0
    expected = {"metrics.json", "predictions.h5", "report.html"}
    assert set(files_in(tmp_path / "python")) == set(files_in(tmp_path / "command")) == expected
    assert read(tmp_path / "python" / "metrics.json") == read(tmp_path / "command" / "metrics.json") == trained
    before = files_in(run / "evaluation")
    part = revalexo_clip.evaluate(run, overrides=["data.test_subjects=05"])
    assert part.path == run / "evaluation" / "subjects-05" / "metrics.json"
    assert part.report.is_file()
    assert files_in(run / "evaluation").items() >= before.items()


@pytest.mark.long
def test_compare_writes_the_same_from_python_and_from_the_command_line(run: Path, tmp_path: Path) -> None:
    other = link_run(run, tmp_path / "other")
    revalexo_clip.compare([str(run), str(other)], probe=False, out=str(tmp_path / "python"))
    chosen = ("--ckpt", run, "--ckpt", other, "--no-probe", "--out", tmp_path / "command")
    assert call("evaluate", *chosen, cwd=tmp_path).returncode == 0
    assert set(files_in(tmp_path / "python")) == {"comparison.json", "report.html"}
    assert files_in(tmp_path / "python") == files_in(tmp_path / "command")


@pytest.mark.long
def test_only_a_full_evaluation_replaces_the_full_results(run: Path, distinct: Path, tmp_path: Path) -> None:
    revalexo_clip.evaluate(run)
    full = files_in(run / "evaluation")
    assert set(full) == FILES
    for settings, name in (
        ({"probe": False}, "no-probe"),
        ({"probe": False, "tolerance": 0.5}, "tolerance-0.5_no-probe"),
        ({"probe": False, "overrides": ["data.test_subjects=05"]}, "subjects-05_no-probe"),
        ({"probe": False, "overrides": ["data.eval_stride=1"]}, "eval_stride-1.0_no-probe"),
    ):
        found = revalexo_clip.evaluate(run, **settings)
        assert found.path.parent == run / "evaluation" / name
        assert found.report.is_file()
    assert files_in(run / "evaluation").items() >= full.items()
    moved = Path(shutil.copytree(distinct, tmp_path / "moved"))
    again = revalexo_clip.evaluate(run, data_root=moved, overrides=["data.test_subjects=09,05", "batch_size=3"])
    assert again.path.parent == run / "evaluation"


@pytest.mark.long
def test_other_recordings_have_their_own_results(run: Path, distinct: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(distinct, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("*.h5")))
    path = root / "data_pairs" / "Subject08.json"
    path.write_text(path.read_text() + "\n")
    found = revalexo_clip.evaluate(run, data_root=root, probe=False)
    assert found.path.parents[1] == run / "evaluation"
    assert found.path.parent.name.startswith("data-elsewhere_no-probe-")


@pytest.mark.long
def test_a_comparison_of_other_subjects_does_not_replace_the_one_of_their_own(run: Path, tmp_path: Path) -> None:
    pair = [run, link_run(run, tmp_path / "other")]
    assert revalexo_clip.compare(pair).path.parent == run / "evaluation" / "comparison"
    found = revalexo_clip.compare(pair, probe=False, overrides=["data.test_subjects=05"])
    assert found.path.parent == run / "evaluation" / "comparison" / "subjects-05_no-probe"
    assert found.report.is_file()


def test_different_settings_never_share_a_folder() -> None:
    many: list[JsonValue] = [f"Subject{number:02}" for number in range(40)]
    settings: list[JsonObject] = [
        {},
        {"test_subjects": []},
        {"test_subjects": ["a"]},
        {"test_subjects": ["a/b"]},
        {"test_subjects": ["a b"]},
        {"test_subjects": many},
        {"test_subjects": many[:-1]},
        {"root": "/one/dataset"},
        {"root": "/other/dataset"},
    ]
    folders = [
        results_folder(Path("run/checkpoints/best.ckpt"), changed, probe=probe, tolerance=tolerance)
        for changed in settings
        for probe in (True, False)
        for tolerance in (0.0, 0.1, 0.25)
    ]
    assert len(set(folders)) == len(folders)
    assert all(folder.is_relative_to("run/evaluation") and len(folder.name) < 100 for folder in folders)
    assert folders[0] == Path("run/evaluation")


@pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf")])
def test_a_tolerance_is_a_duration(run: Path, tolerance: float) -> None:
    with pytest.raises(ConfigError, match=r"tolerance: .* s; it must be 0 s or more"):
        revalexo_clip.evaluate(run, tolerance=tolerance)
    with pytest.raises(ConfigError, match=r"tolerance: .* s; it must be 0 s or more"):
        revalexo_clip.compare([run, run], tolerance=tolerance)


def test_a_file_is_refused_as_output_folder_before_anything_is_evaluated(run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="taken is a file; --out must name a folder"):
        revalexo_clip.evaluate(run, out=tmp_path / "taken")
    with pytest.raises(ConfigError, match="taken is a file; --out must name a folder"):
        revalexo_clip.compare([run, run], out=tmp_path / "taken")
