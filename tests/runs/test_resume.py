"""A run that was interrupted and resumed is equal to an uninterrupted run."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from rich.console import Console
from support.interrupted_run import INTERRUPTED, Go, assert_same, kept
from support.small_process import rxclip
from support.small_run import train
from support.small_training import metrics, small

from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.core.files import WriteError
from revalexo_clip.pretraining.run import Pretraining, pretrain
from revalexo_clip.runs.resume_state import TRAINING_WEIGHTS

pytest_plugins = ("support.interrupted_run",)
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_stopped_by_signals_ends_as_one_that_was_left_alone(go: Go, untouched: Path, workers: int) -> None:
    setting = f"data.workers={workers}"
    for number, at, step in (
        (signal.SIGTERM, 3, 3),
        (signal.SIGINT, 2, 5),
        (signal.SIGTERM, 1, 6),
        (signal.SIGINT, 5, 11),
    ):
        with pytest.raises(Interrupted, match=f"after step {step}; saved as .*last.ckpt") as stopped:
            go(setting, signal_at=f"{at}:{number}")
        assert stopped.value.exit_code == 128 + number
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run = go(setting)
    assert_same(run, untouched)
    assert len(list(run.parent.iterdir())) == 1
    steps = [entry["step"] for entry in json.loads((run / "environment.json").read_text())["resumed"]]
    assert steps == [3, 5, 6, 11]
    log = (run / "log.txt").read_text()
    assert log.count(" INFO resumes from ") == 4
    assert "stopped: SIGTERM, after step 3; saved as" in log
    assert log.count(" INFO epoch ") == 3


@pytest.mark.long
def test_a_run_stopped_between_two_rows_of_its_log_logs_the_same_means(go: Go, written: Path, tmp_path: Path) -> None:
    setting = "trainer.log_every=3"
    (tmp_path / "whole").mkdir()
    with chdir(tmp_path / "whole"):
        whole = tmp_path / "whole" / pretrain(small(written, setting, file=INTERRUPTED), INTERRUPTED)
    with pytest.raises(Interrupted, match="after step 7"):
        go(setting, signal_at=f"7:{signal.SIGTERM}")
    run = go(setting)
    assert_same(run, whole)
    steps = [int(row["step"]) + 1 for row in metrics(run) if row["train/loss_step"]]
    assert steps == [3, 5, 6, 9, 10, 12, 15], "every third, and the last of each epoch of 5"


@pytest.mark.long
def test_a_run_that_is_stopped_again_before_it_took_a_step_loses_nothing(
    go: Go, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    monkeypatch.setenv("SIGNAL_WHEN_LOADED", str(int(signal.SIGTERM)))
    with pytest.raises(Interrupted, match="after step 3; saved as"):
        go()
    monkeypatch.delenv("SIGNAL_WHEN_LOADED")
    assert_same(go(), untouched)


@pytest.mark.long
def test_averages_of_weights_are_resumed_within_an_epoch(go: Go, written: Path, tmp_path: Path) -> None:
    average = "trainer.average=0.8"
    whole = train(small(written, average, file=INTERRUPTED), tmp_path)
    shutil.move(tmp_path / "runs", tmp_path / "whole")
    whole = tmp_path / "whole" / whole.relative_to(tmp_path / "runs")
    for at, step in ((3, 3), (4, 7)):  # an epoch has 5 steps
        with pytest.raises(Interrupted, match=f"after step {step}; saved as"):
            go(average, signal_at=f"{at}:{signal.SIGTERM}")
    run = go(average)
    assert_same(run, whole)
    one, other = (torch.load(each / "checkpoints/last.ckpt", weights_only=True) for each in (run, whole))
    assert all(torch.equal(value, one[TRAINING_WEIGHTS][name]) for name, value in other[TRAINING_WEIGHTS].items())
    assert any(not torch.equal(value, one["state_dict"][name]) for name, value in other[TRAINING_WEIGHTS].items())


def test_a_second_ctrl_c_ends_at_once(go: Go, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIGNAL_WHEN_LOADED", str(int(signal.SIGINT)))  # with every window of the first batch
    with pytest.raises(KeyboardInterrupt):
        go()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert kept(tmp_path / "runs/latest") == set()


@pytest.mark.long
@pytest.mark.parametrize("minutes", ["0", pytest.param("none", marks=pytest.mark.long)])
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(
    go: Go, written: Path, untouched: Path, tmp_path: Path, minutes: str
) -> None:
    """It repeats the steps after the last checkpoint; none if there is a checkpoint after every step."""
    setting = f"trainer.checkpoint_minutes={minutes}"
    killed = rxclip(
        *("pretrain", INTERRUPTED, "--set", f"data.root={written}", "--set", setting),
        cwd=tmp_path,
        SIGNAL_AT=f"8:{signal.SIGKILL}",
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert_same(go(), untouched)
    (entry,) = json.loads((tmp_path / "runs/latest/environment.json").read_text())["resumed"]
    assert entry["step"] == (7 if minutes == "0" else 5)


class Killed(BaseException):
    """Simulates SIGKILL: no handler catches it."""


class KillAfterCheckpoints(Checkpoint):
    """Ends the process when the checkpoints of an epoch are written, and its row in `metrics.csv` is not."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            raise Killed


@dataclass(frozen=True)
class KilledPretraining(Pretraining):
    epoch: int = 0

    def callbacks(self) -> list[Callback]:
        return [*super().callbacks(), KillAfterCheckpoints(self.epoch)]


@pytest.mark.long
@pytest.mark.parametrize("epoch", [2, 3])
def test_the_row_of_an_epoch_is_not_lost_between_its_checkpoint_and_the_file(
    go: Go, written: Path, untouched: Path, tmp_path: Path, epoch: int
) -> None:
    """This includes the last epoch, after which nothing is left to train."""
    killed = KilledPretraining(small(written, file=INTERRUPTED), INTERRUPTED, Console(quiet=True), epoch=epoch)
    with chdir(tmp_path), pytest.raises(Killed):
        killed.run()
    whole = metrics(untouched)
    rows = metrics(tmp_path / "runs/latest")
    assert len(rows) == epoch * len(whole) // 3 - 1
    for _ in range(2):  # the second time there is nothing to add
        run = go()
        assert_same(run, untouched)


@pytest.mark.long
def test_of_a_run_that_took_no_step_there_is_nothing_to_resume(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    (tmp_path / "runs/latest/checkpoints/last.ckpt").unlink()
    assert_same(go(), untouched)
    assert len(list((tmp_path / "runs/small_interrupted").iterdir())) == 2
    with pytest.raises(ConfigError, match=r"nowhere: no such run folder"):
        go(resume=Path("nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: this run has no checkpoint to resume from"):
        go(resume=Path("empty"))


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def changed_in_one_bit(path: Path) -> None:
    """Change one bit in the middle of the largest tensor."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.long
@pytest.mark.parametrize("corrupt", [truncated, changed_in_one_bit])
def test_a_corrupt_checkpoint_is_noticed_and_the_one_before_is_used(
    go: Go, untouched: Path, corrupt: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        go("trainer.checkpoint_minutes=0", signal_at=f"8:{signal.SIGTERM}")
    run = (tmp_path / "runs/latest").resolve()
    corrupt(run / "checkpoints/last.ckpt")
    assert_same(go(), untouched)
    assert "last.ckpt is corrupt; resuming from previous.ckpt instead" in (run / "log.txt").read_text()
    assert (run / "checkpoints/last.corrupt").is_file()


def test_if_all_checkpoints_are_corrupt_the_error_names_them(go: Go, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    truncated(tmp_path / "runs/latest/checkpoints/last.ckpt")
    with pytest.raises(DataError, match=r"runs/small_interrupted/\S+: all of its checkpoints are corrupt: last\.ckpt"):
        go()


@pytest.mark.long
def test_a_disk_that_is_full_costs_no_checkpoint(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"8:{signal.SIGTERM}")
    last = (tmp_path / "runs/latest/checkpoints/last.ckpt").resolve()
    content = last.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limit[1]))
        with pytest.raises(WriteError, match=r"loss=\S+\.ckpt: cannot be written: File too large"):
            go()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert last.read_bytes() == content
    assert_same(go(), untouched)


def test_a_run_is_resumed_in_a_folder_that_was_moved(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"8:{signal.SIGTERM}")
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    moved = (tmp_path / "elsewhere/latest").resolve()
    assert go(resume=moved) == moved
    assert_same(moved, untouched)


@pytest.mark.long
def test_a_job_that_slurm_has_requeued_resumes_its_own_run(
    go: Go, untouched: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    with pytest.raises(Interrupted, match="SIGUSR1, after step 3"):
        go(signal_at=f"3:{signal.SIGUSR1}", resume=None)
    monkeypatch.setenv("SLURM_JOB_ID", "4712")
    with pytest.raises(Interrupted):
        go(signal_at=f"4:{signal.SIGTERM}", resume=None)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    run = go(resume=None)
    assert run == min((tmp_path / "runs/small_interrupted").iterdir())
    assert_same(run, untouched)
    assert go("seed=3", resume=None) not in {run}  # another run of the same script
    assert len(list((tmp_path / "runs/small_interrupted").iterdir())) == 3
