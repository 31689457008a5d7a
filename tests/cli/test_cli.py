"""The commands, one after another, as users call them."""

from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
import torch
from support.small_process import EXPERIMENT, call, succeed
from support.tiny_dataset import revalexo

from revalexo_clip import load_encoder
from revalexo_clip.cli import app as cli
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.core.errors import DataError
from revalexo_clip.runs.checkpoint import load_checkpoint

BOMB = "from pathlib import Path\nPath(__file__).with_name('executed').touch()\n"
"""Code that leaves a trace where it is run."""


@pytest.fixture(scope="module")
def home(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one run in it, of components that its experiment file defines."""
    home = tmp_path_factory.mktemp("home")
    shutil.copyfile(EXPERIMENT, home / "mine.py")
    pretrained = succeed("pretrain", "mine.py", "--set", f"data.root={distinct}", "--set", "data.workers=0", cwd=home)
    run = (home / "runs" / "latest").resolve()
    assert pretrained.stdout == ""
    assert f"rxclip evaluate --ckpt {run.relative_to(home.resolve())} --experiment mine.py\n" in pretrained.stderr
    assert (run / "experiment.py").read_text() == EXPERIMENT.read_text()
    (run / "experiment.py").write_text(BOMB)
    return home


@pytest.mark.long
@pytest.mark.usefixtures("only_built_in")
def test_a_component_of_the_user_s_own_works_in_every_command(home: Path) -> None:
    evaluated = succeed("evaluate", "--experiment", "mine.py", "--allow-seen-subjects", "--json", cwd=home)
    run = home / "runs" / "latest"
    assert json.loads(evaluated.stdout) == json.loads((run / "evaluation" / "metrics.json").read_text())
    out = home / "exported [1]"
    arguments = ("export-encoder", "--modality", "imu", "--experiment", "mine.py", "--out", out)
    exported = succeed(*arguments, cwd=home, COLUMNS="40")
    first, *files = exported.stdout.splitlines()
    assert first == "TCN, 4,016 parameters, 16 features"
    assert sorted(line.rsplit("  ", 1)[0].strip() for line in files) == sorted(map(str, out.iterdir()))
    (out / "experiment.py").write_text(BOMB)
    with pytest.raises(
        DataError, match=r"(?s)config\.json: encoder: unknown ImuEncoder 'TCN'.*load_encoder\(folder, '"
    ):
        load_encoder(out)
    encoder = load_encoder(out, experiment_file=home / "mine.py")
    model = load_checkpoint(run / "checkpoints" / "best.ckpt", home / "mine.py").build_model()
    imu_BLC = torch.randn(2, 120, 6)
    assert torch.equal(encoder(imu_BLC), model.imu_features(imu_BLC))
    assert list(home.rglob("executed")) == []


@pytest.mark.usefixtures("only_built_in")
@pytest.mark.parametrize("command", [("evaluate",), ("export-encoder", "--modality", "video")])
def test_without_its_file_a_component_of_the_user_s_own_is_asked_for(home: Path, command: tuple[str, ...]) -> None:
    finished = call(*command, cwd=home)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert "unknown ImuEncoder 'TCN'" in finished.stderr
    assert "that file: --experiment FILE.py" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(home.rglob("executed")) == []


@pytest.mark.long
def test_built_in_components_need_no_experiment_file_and_nothing_of_the_run_but_the_checkpoint(
    run: Path, distinct: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "a folder of its own" / "data"
    shutil.copytree(distinct, moved)
    finished = succeed("evaluate", "--ckpt", run, "--data", moved, cwd=tmp_path, COLUMNS="80")
    *table, written, report = finished.stdout.splitlines()
    assert table[0].strip() == "Macro F1 of a linear probe: few labels, transitions"
    assert "Retrieval: 10 windows of 2 clips (test: 2 subjects)" in [line.strip() for line in table]
    assert all(len(line) <= 80 for line in table)
    assert written == f"written to {run}/evaluation/metrics.json"
    assert report.strip() == f"{run}/evaluation/report.html"
    page = (run / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count("data:image/jpeg;base64,") == 7 * 6  # a query's own video and the five that it found
    assert "there are no validation losses in metrics.csv" in page
    assert finished.stderr == ""


@pytest.mark.usefixtures("only_built_in")
def test_seen_subjects_are_refused_unless_they_are_allowed(home: Path) -> None:
    refused = call("evaluate", "--experiment", "mine.py", "--set", "data.test_subjects=02", cwd=home)
    assert refused.returncode == 2
    assert "Test subjects Subject02 were used in training, so" in refused.stderr
    others = ("--set", "data.train_subjects=", "--set", "data.val_subjects=", "--set", "data.test_subjects=02,08")
    refused = call("evaluate", "--experiment", "mine.py", *others, cwd=home)
    assert refused.returncode == 2
    assert (
        "Test subjects Subject02 were used in training and Subject08 were used for model selection, so"
        in refused.stderr
    )
    assert "--allow-seen-subjects" in refused.stderr
    allowed = call("evaluate", "--experiment", "mine.py", "--allow-seen-subjects", "--no-probe", cwd=home)
    assert allowed.returncode == 0, allowed.stderr
    assert allowed.stdout.startswith("Test subject Subject08 was used in model selection, so these results do not")


@pytest.mark.parametrize("option", [("--reference", "elsewhere"), ("--robustness",)])
def test_a_comparison_takes_no_option_of_a_single_checkpoint(option: tuple[str, ...], tmp_path: Path) -> None:
    refused = call("evaluate", "--ckpt", "one", "--ckpt", "other", *option, cwd=tmp_path)
    assert refused.returncode == 2
    assert f"{option[0]} applies to a single checkpoint; evaluate each --ckpt on its own" in refused.stderr


@pytest.mark.usefixtures("only_built_in")
def test_show_prints_the_resolved_experiment(tmp_path: Path) -> None:
    arguments = ("show", EXPERIMENT, "--set", "imu.kernel=5")
    tree = call(*arguments, cwd=tmp_path).stdout
    assert "├── imu TCN\n│   ├── frozen 0\n│   ├── kernel 5\n│   └── dilations 1, 2\n" in tree
    shown = succeed(*arguments, "--json", cwd=tmp_path).stdout
    assert shown == load_experiment(str(EXPERIMENT), ["imu.kernel=5"]).to_json() + "\n"


def test_components_prints_every_component_with_its_fields(tmp_path: Path) -> None:
    lines = call("components", cwd=tmp_path).stdout.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ") and line[2].isupper()} >= {
        *("RevalExo", "DeepConvLSTM", "X3D", "MViT", "InfoNCE", "AdamW")
    }
    assert any(line.split()[:2] == ["hidden", "1024"] for line in lines)


@pytest.mark.long
def test_synthesize_writes_a_dataset_that_can_be_read(tmp_path: Path) -> None:
    finished = succeed("synthesize", "demo", "--subjects", "1", "--clips", "1", "--seed", "3", cwd=tmp_path)
    assert finished.stdout == "demo: 1 subject with 1 clip each\n"
    names = sorted(path.stem for path in (tmp_path / "demo" / "data_pairs").iterdir())
    dataset = revalexo(tmp_path / "demo", train_subjects=(), val_subjects=(names[0],), channels=("acc_*",)).build(
        "val", seed=0
    )
    assert dataset.clip_subjects == (names[0],)
    assert len(dataset.imu_spec.channels) == 21
    assert dataset[0, 0].imu_LC.isfinite().all()


def test_rxclip_and_python_m_are_the_same_command() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="rxclip")
    assert script.load() is cli.main
