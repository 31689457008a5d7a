"""The comparison of several checkpoints: the results of each, and their differences."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import pytest
from support.made_evaluation import made_comparison
from support.small_process import call, succeed
from support.small_run import built_in_experiment, link_run, train

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.evaluation.comparison import compare
from revalexo_clip.evaluation.protocol import evaluate

BOTH = ("data.test_subjects=05,09",)
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def listed(found: JsonObject, name: str) -> list[JsonObject]:
    return cast("list[JsonObject]", found[name])


def names_in(value: object) -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {name for item in value.values() for name in names_in(item)}


@pytest.fixture(scope="module")
def other_trained(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with other sizes and frames, with fewer training subjects and one test subject."""
    first = built_in_experiment(distinct)
    data = first.data.model_dump(mode="json") | {"frames": 3, "train_subjects": ["01"], "test_subjects": ["05"]}
    return train(built_in_experiment(distinct, name="other", embed_dim=8, data=data), tmp_path_factory.mktemp("other"))


@pytest.fixture
def pair(trained_run: Path, other_trained: Path, tmp_path: Path) -> list[Path]:
    """Copies of both runs, which a test may write to."""
    return [
        link_run(trained_run, tmp_path / "runs" / "first" / "20250101-000000"),
        link_run(other_trained, tmp_path / "runs" / "second" / "20250101-000000"),
    ]


@pytest.mark.long
def test_figures_of_each_are_those_of_its_own_evaluation(pair: list[Path]) -> None:
    alone = [evaluate(run, overrides=BOTH) for run in pair]
    own_files = [one.path.read_text() for one in alone]
    for one in alone:
        one.path.unlink()
    compared = compare(pair, overrides=BOTH)
    assert [one.path.read_text() for one in compared.evaluations] == own_files
    assert compared.evaluations[1].path.parent == pair[1] / "evaluation" / "subjects-05+09"  # its own is only 05
    assert compared.path == pair[0] / "evaluation" / "comparison" / "comparison.json"
    assert json.loads(compared.path.read_text()) == compared.metrics
    first, second = listed(compared.metrics, "checkpoints")
    assert [first["name"], second["name"]] == ["first/20250101-000000", "second/20250101-000000"]
    for one, found in zip(alone, (first, second), strict=True):
        for name in ("retrieval", "retrieval_within_clip", "subjects", "activities", "sha256", "seen"):
            assert found[name] == one.metrics[name]
        own = cast("JsonObject", one.metrics["probe"])
        probe = cast("JsonObject", found["probe"])
        assert probe["trained_on"] == own["trained_on"]
        for kind in ("linear", "knn"):
            features = cast("JsonObject", own[kind])
            assert probe[kind] == {name: features[name] for name in ("imu", "video", "both")}


@pytest.mark.long
def test_differences_are_to_the_first_and_settings_say_where_they_may_come_from(
    pair: list[Path], tmp_path: Path
) -> None:
    compared = compare(pair, overrides=BOTH, probe=False, out=tmp_path / "elsewhere")
    assert compared.path == tmp_path / "elsewhere" / "comparison.json"
    (difference,) = listed(compared.metrics, "differences")
    assert [difference["name"], difference["baseline"]] == ["second/20250101-000000", "first/20250101-000000"]
    mrr = [
        cast("JsonObject", cast("JsonObject", found["retrieval"])["video_to_imu"])["mrr"]
        for found in (difference, *listed(compared.metrics, "checkpoints"))
    ]
    assert mrr[0] == pytest.approx(cast("float", mrr[2]) - cast("float", mrr[1]))
    assert difference["settings"] == {
        "data.train_subjects": [["01", "02"], ["01"]],
        "data.test_subjects": [["05", "09"], ["05"]],
        "data.frames": [4, 3],
        "embed_dim": [16, 8],
    }
    assert difference["probe"] is None
    assert [found["probe_reason"] for found in listed(compared.metrics, "checkpoints")] == ["not asked for"] * 2


@pytest.mark.long
def test_every_name_in_a_comparison_is_documented() -> None:
    found = made_comparison({"a": 1.0, "b": 0.5}, subjects=1)
    own = {"Subject[0]", "[standing]", "walking", "optim.lr"}
    missing = [name for name in names_in(found) - own if not re.search(rf"`([\w.]+\.)?{name}(\.\w+)*`", DOCUMENTED)]
    assert missing == []


@pytest.mark.long
def test_checkpoints_of_other_subjects_are_refused_before_anything_is_measured(pair: list[Path]) -> None:
    with pytest.raises(
        ConfigError, match=r"second/.* as first/.*: subjects: Subject09 only for first/.*test_subjects="
    ):
        compare(pair)
    assert not list(pair[0].parents[1].rglob("evaluation"))


@pytest.mark.long
def test_each_checkpoint_is_guarded_from_those_it_has_seen(pair: list[Path]) -> None:
    overrides = ["data.train_subjects=01", "data.test_subjects=02"]
    first, other = pair
    with pytest.raises(ConfigError, match=r"first/.*best\.ckpt: Test subjects Subject02 were used in training"):
        compare([other, first], overrides=overrides)
    found = compare([other, first], overrides=overrides, allow_seen_subjects=True, probe=False).metrics
    assert [one["seen"] for one in listed(found, "checkpoints")] == [
        {"train": [], "val": []},
        {"train": ["Subject02"], "val": []},
    ]


@pytest.mark.parametrize("count", [0, 1, 27])
def test_there_are_two_or_as_many_as_there_are_letters(run: Path, count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} checkpoints: a comparison needs 2 to 26"):
        compare([run] * count)


@pytest.mark.long
def test_a_checkpoint_that_is_named_twice_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"checkpoints/best\.ckpt is named twice"):
        compare([run, run / "checkpoints" / ".." / "checkpoints" / "best.ckpt"])


@pytest.mark.long
def test_names_are_as_long_as_it_takes_to_tell_them_apart(run: Path, tmp_path: Path) -> None:
    copies = [
        link_run(run, tmp_path / root / "made" / "20250101-000000") for root in ("a", "b", "elsewhere/of/its/own")
    ]
    (copies[0] / "checkpoints" / "best.ckpt").rename(copies[0] / "checkpoints" / "last.ckpt")
    named = [run, *copies]
    found = compare(named, overrides=BOTH, probe=False).metrics
    assert [one["name"] for one in listed(found, "checkpoints")] == [
        f"{run.parent.name}/run",
        "made/20250101-000000/last",
        *(str((copy / "checkpoints" / "best.ckpt").resolve()) for copy in copies[1:]),
    ]
    for difference in listed(found, "differences"):  # they are copies of one checkpoint
        retrieval = cast("JsonObject", cast("JsonObject", difference["retrieval"])["imu_to_video"])
        assert set(cast("JsonObject", retrieval["significant"]).values()) == {"same"}


@pytest.mark.long
def test_the_command_compares_shows_and_writes(pair: list[Path]) -> None:
    chosen = [word for run in pair for word in ("--ckpt", str(run))]
    finished = succeed("evaluate", *chosen, "--set", BOTH[0], cwd=pair[0], COLUMNS="80")
    *shown, written, report = finished.stdout.splitlines()
    assert finished.stderr == ""
    assert [" ".join(line.split()) for line in shown[:2]] == [
        "A first/20250101-000000 epoch 1",
        "B second/20250101-000000 epoch 1",
    ]
    assert all(len(line) <= 80 for line in shown)
    folder = pair[0] / "evaluation" / "comparison"
    assert written == f"written to {folder}/comparison.json"
    assert report.strip() == f"{folder}/report.html"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "first/20250101-000000" in page
    assert "second/20250101-000000" in page
    for results in (pair[0] / "evaluation", pair[1] / "evaluation" / "subjects-05+09"):
        assert {path.name for path in results.iterdir()} >= {
            "metrics.json",
            "embeddings.h5",
            "report.html",
        }


@pytest.mark.long
def test_json_is_what_was_written(pair: list[Path], tmp_path: Path) -> None:
    chosen = [word for run in pair for word in ("--ckpt", str(run))]
    arguments = ("--no-probe", "--out", str(tmp_path / "out"), "--json", "--set", BOTH[0])
    finished = call("evaluate", *chosen, *arguments, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == json.loads((tmp_path / "out" / "comparison.json").read_text())


def test_several_experiment_files_for_one_checkpoint_are_refused(run: Path) -> None:
    finished = call("evaluate", "--ckpt", run, "--experiment", "a.py", "--experiment", "b.py", cwd=run)
    assert finished.returncode == 2
    assert "--experiment: 2 files for one checkpoint" in finished.stderr
