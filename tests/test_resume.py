"""A run that was interrupted and resumed is the run that was not."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from small_process import EXPERIMENT, call, rxclip
from small_training import logged, small, weights

from revalexo_clip.cli import _spelled_out
from revalexo_clip.errors import ConfigError, DataError, Interrupted
from revalexo_clip.pretrain import pretrain
from revalexo_clip.resume import NEWEST, differences

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")

Go = Callable[..., Path]


@pytest.fixture
def go(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Train for 3 epochs of 5 steps, from where the newest run stands; `signal_at` interrupts it, as `step:signal`."""

    def run(*overrides: str, signal_at: str = "0:0", resume: Path | None = NEWEST) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        experiment = small(written, *overrides, file=INTERRUPTED)
        with chdir(tmp_path):
            return tmp_path / pretrain(experiment, INTERRUPTED, resume=resume, overrides=overrides)

    return run


@pytest.fixture(scope="module")
def untouched(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("untouched")
    with chdir(folder):
        return folder / pretrain(small(written, file=INTERRUPTED), INTERRUPTED)


def kept(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def assert_same(run: Path, untouched: Path) -> None:
    """Every checkpoint bit for bit, but for the second to last, and every row of the metrics."""
    assert kept(run) - {"last.damaged"} == kept(untouched)
    for name in kept(untouched) - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert (run / "checkpoints/best.ckpt").stat().st_nlink == 2
    assert (run / "metrics.csv").read_text() == (untouched / "metrics.csv").read_text()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_stopped_by_signals_ends_as_one_that_was_left_alone(go: Go, untouched: Path, workers: int) -> None:
    setting = f"data.workers={workers}"
    for number, at, step in ((signal.SIGTERM, 3, 3), (signal.SIGINT, 2, 5), (signal.SIGTERM, 1, 6), (signal.SIGINT, 5, 11)):
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
    assert log.count(" INFO from ") == 4
    assert "stopped: SIGTERM, after step 3; saved as" in log
    assert log.count(" INFO epoch ") == 3


@pytest.mark.slow
@pytest.mark.parametrize("minutes", ["0", "none"])
def test_a_run_that_was_killed_ends_as_one_that_was_left_alone(
    go: Go, written: Path, untouched: Path, tmp_path: Path, minutes: str
) -> None:
    """It repeats what came after the last checkpoint: nothing where one is written after every step."""
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


def test_of_a_run_that_took_no_step_there_is_nothing_to_resume(go: Go, untouched: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        go(signal_at=f"3:{signal.SIGTERM}")
    (tmp_path / "runs/latest/checkpoints/last.ckpt").unlink()
    assert_same(go(), untouched)
    assert len(list((tmp_path / "runs/small_interrupted").iterdir())) == 2
    with pytest.raises(ConfigError, match=r"nowhere: no such run folder"):
        go(resume=Path("nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty: this run has no checkpoint to go on from"):
        go(resume=Path("empty"))


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def changed_in_one_bit(path: Path) -> None:
    """In the middle of the largest tensor."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncated, changed_in_one_bit])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(
    go: Go, untouched: Path, damage: Callable[[Path], None]
) -> None:
    with pytest.raises(Interrupted):
        go("trainer.checkpoint_minutes=0", signal_at=f"8:{signal.SIGTERM}")
    (last,) = Path("/").glob(str(Path.cwd()).lstrip("/")) if False else [None]
    run = newest(go)
    damage(run / "checkpoints/last.ckpt")
    assert_same(go(), untouched)
    log = (run / "log.txt").read_text()
    assert "last.ckpt is damaged; going on from previous.ckpt instead" in log
    assert (run / "checkpoints/last.damaged").is_file()
