from __future__ import annotations

import json
from contextlib import chdir
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from support.small_process import EXPERIMENT, Finished, succeed
from support.small_run import train
from support.small_training import DESCENT, logged, small, weights
from torch import Tensor

from revalexo_clip.cli import app as cli
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.options import RunOptions

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


STEPS = 12
SLOWLY = ("data.windows_per_clip=40", "optim.lr=0.1")


def in_processes(count: int, root: Path, folder: Path) -> tuple[Path, Finished]:
    """A run of 12 steps of 40 windows, 7 of which each process encodes at a time, and its output."""
    overrides = (f"data.root={root}", "data.workers=1", *SLOWLY, "micro_batch=7", "loss.block_rows=11")
    sets = [argument for override in overrides for argument in ("--set", override)]
    finished = succeed("pretrain", DESCENT, "--devices", f"{count}", *sets, cwd=folder)
    return folder / "runs/latest", finished


@pytest.fixture(scope="module")
def in_two(written: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    return in_processes(2, written, tmp_path_factory.mktemp("in_two"))


@pytest.fixture(scope="module")
def in_three(written: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """Of the 40 windows, two processes have 13 and one has 14."""
    return in_processes(3, written, tmp_path_factory.mktemp("in_three"))


@pytest.fixture(scope="module")
def alone(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in one process, with all windows and the whole loss at once."""
    return train(small(written, *SLOWLY, file=DESCENT), tmp_path_factory.mktemp("alone"))


def moved(run: Path) -> list[dict[str, Tensor]]:
    """Return the sum of all gradients, including the temperature's, for each epoch after the first."""
    epochs = sorted((run / "checkpoints").glob("epoch=*.ckpt"))
    assert len(epochs) == 3
    states = [weights(path) for path in epochs]
    learned = [name for name, value in states[0].items() if not torch.equal(value, states[1][name])]
    assert {"loss.log_scale", "model.imu.0.projection.bias", "model.video_head.output.weight"} <= set(learned)
    return [{name: before[name] - after[name] for name in learned} for before, after in pairwise(states)]


@pytest.mark.long
@pytest.mark.parametrize("together", ["in_two", pytest.param("in_three", marks=pytest.mark.long)])
def test_several_processes_move_every_parameter_as_one_does(
    together: str, alone: Path, request: pytest.FixtureRequest
) -> None:
    run, _ = request.getfixturevalue(together)
    for shared, whole in zip(moved(run), moved(alone), strict=True):
        assert set(shared) == set(whole)
        for name, expected in whole.items():
            scale = expected.abs().max().item()
            torch.testing.assert_close(shared[name], expected, rtol=1e-3, atol=1e-3 * scale, msg=name)


@pytest.mark.parametrize("together", ["in_two", pytest.param("in_three", marks=pytest.mark.long)])
def test_several_processes_learn_the_same_and_log_the_same_as_one(
    together: str, alone: Path, request: pytest.FixtureRequest
) -> None:
    run, _ = request.getfixturevalue(together)
    torch.testing.assert_close(
        weights(run / "checkpoints/last.ckpt"), weights(alone / "checkpoints/last.ckpt"), rtol=1e-4, atol=1e-5
    )
    for metric in ("train/loss_step", "train/gradient_norm", "train/temperature", "val/loss"):
        assert len(logged(alone, metric)) == (3 if metric == "val/loss" else STEPS)
        assert logged(run, metric) == pytest.approx(logged(alone, metric), rel=1e-4)


def test_the_processes_of_a_run_write_and_speak_as_one(in_two: tuple[Path, Finished]) -> None:
    run, finished = in_two
    assert len(list(run.resolve().parent.iterdir())) == 1
    assert [line.partition(" ")[0] for line in finished.stderr.splitlines()] == [
        *("train", "val", "model", "run"),
        *["epoch"] * 3,
        *("done", ""),
    ]
    assert finished.stdout == ""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_folder_holds_what_the_run_was_and_what_came_of_it(in_two: tuple[Path, Finished]) -> None:
    run, finished = in_two
    assert names(run) == {
        *("experiment.json", "experiment.py", "environment.json", "state.json"),
        *("metrics.csv", "tensorboard", "log.txt", "checkpoints"),
    }
    assert {"best.ckpt", "last.ckpt"} <= names(run / "checkpoints")
    assert (run / "experiment.py").read_text() == DESCENT.read_text()
    experiment = PretrainExperiment.from_json((run / "experiment.json").read_text())
    assert (experiment.name, experiment.micro_batch, experiment.trainer.devices) == ("small_descent", 7, 2)
    log = (run / "log.txt").read_text()
    for line in finished.stderr.splitlines()[:7]:
        assert line in log


def test_the_environment_of_a_run_has_fingerprints_of_its_data(alone: Path, written: Path) -> None:
    environment = json.loads((alone / "environment.json").read_text())
    data = small(written).data
    assert environment["data_fingerprint"] == {
        "train": data.build("train", seed=0).fingerprint(),
        "val": data.build("val", seed=1).fingerprint(),
    }
    assert environment["packages"]["torch"] == torch.__version__


@pytest.mark.long
def test_a_run_is_repeated_exactly_and_workers_change_nothing_but_a_seed_does(written: Path, tmp_path: Path) -> None:
    def final(*overrides: str) -> dict[str, Tensor]:
        return weights(train(small(written, "trainer.max_epochs=2", *overrides), tmp_path) / "checkpoints/last.ckpt")

    first = final()
    assert all(torch.equal(value, first[name]) for name, value in final().items())
    assert all(torch.equal(value, first[name]) for name, value in final("data.workers=2").items())
    assert not all(torch.equal(value, first[name]) for name, value in final("seed=7").items())


def test_a_dry_run_takes_one_step_and_writes_nothing(written: Path, tmp_path: Path) -> None:
    with chdir(tmp_path):
        summary = dry_run_pretraining(small(written, "micro_batch=3"), RunOptions())
    assert list(tmp_path.iterdir()) == []
    assert summary.shapes == {"imu": (8, 120, 6), "video": (8, 4, 36, 36, 3)}
    assert summary.parameters["imu encoder"] == 9 * 6 * 16 + 16 + 9 * 16 * 16 + 16 + 17 * 16
    assert summary.parameters["projection heads"] == 4 * 17 * 16
    assert summary.parameters["loss"] == 1
    assert (summary.steps_per_epoch, summary.epochs) == (5, 1)
    assert (summary.peak_memory or 0) > 2**20


@pytest.mark.long
def test_the_command_prints_what_the_dry_run_found(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["rxclip", "pretrain", str(EXPERIMENT), "--set", f"data.root={written}", "--dry-run"]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capfd.readouterr().out
    assert ended.value.code == 0
    assert list(tmp_path.iterdir()) == []
    for text in ("imu encoder, parameters", "8 x 120 x 6", "8 x 4 x 36 x 36 x 3", "40 windows of 4 clips", "GiB"):
        assert text in printed


def test_what_cannot_run_is_an_error_before_anything_is_written(written: Path, tmp_path: Path) -> None:
    few = small(written, "trainer.devices=4", "data.eval_stride=10")
    with pytest.raises(ConfigError, match="2 validation windows cannot be shared by 4 devices"):
        train(few, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_a_run_that_failed_does_not_keep_its_folder_from_the_next(root: Path, tmp_path: Path) -> None:
    recording = root / "imu/Subject01/0000.csv"
    content = recording.read_text()
    recording.write_text(content.replace("10.000", "nan", 1))
    with pytest.raises(DataError, match="'nan' is not a finite number"):
        train(small(root), tmp_path)
    recording.write_text(content)
    run = train(small(root), tmp_path)
    assert (run / "checkpoints/last.ckpt").is_file()
    assert len(names(tmp_path / "runs/small")) == 2
    assert (tmp_path / "runs/latest").samefile(run)
