"""Runs from the command line that are killed and resumed end with the same results as an uninterrupted run."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from support import warm_process
from support.small_training import logged, metrics, weights

from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.runs.resume_state import TRAINING_WEIGHTS

pytestmark = pytest.mark.long

EXPERIMENT = Path(__file__).parents[1] / "support" / "killed_experiment.py"
STEPS = 40

Moment = Callable[[Path, int], bool]
"""Whether it is time to kill the process of that number, which trains in a folder."""


def pretraining(dataset: Path, folder: Path, *settings: str) -> warm_process.Running:
    """`rxclip pretrain --resume`, started in a folder; what it prints is in the folder's `printed.txt`."""
    folder.mkdir(exist_ok=True)
    printed = folder / "printed.txt"
    options = ["--resume", *(part for one in (f"data.root={dataset}", *settings) for part in ("--set", one))]
    return warm_process.start(["pretrain", str(EXPERIMENT), *options], cwd=folder, out=printed, err=printed)


def finish(dataset: Path, folder: Path, *settings: str) -> Path:
    """Wait for the end of a run, and return its folder."""
    assert pretraining(dataset, folder, *settings).wait() == 0, (folder / "printed.txt").read_text()
    return folder / "runs/latest"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects of the demo, with two clips each."""
    root = tmp_path_factory.mktemp("demo") / "dataset"
    synthesize(root, subjects=2, clips=2, seed=0)
    return root


@pytest.fixture(scope="module")
def untouched(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    return finish(dataset, tmp_path_factory.mktemp("untouched"))


def steps_logged(folder: Path) -> int:
    """Return the last step in the metrics of the newest run."""
    path = folder / "runs/latest/metrics.csv"
    return len(logged(path.parent, "train/loss_step")) if path.is_file() else 0


def kill_and_resume(dataset: Path, folder: Path, moments: list[Moment], *settings: str) -> Path:
    """Kill a run once at each of the moments, then let it end; the run folder."""
    for moment in moments:
        process = pretraining(dataset, folder, *settings)
        while process.poll() is None and not moment(folder, process.pid):
            time.sleep(0.004)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, (folder / "printed.txt").read_text()
    return finish(dataset, folder, *settings)


def after(step: int, seconds: float) -> Moment:
    """Wait some seconds after a step was logged."""

    def passed(folder: Path, process: int) -> bool:
        if steps_logged(folder) < step:
            return False
        time.sleep(seconds)
        return True

    return passed


def half_written_after(step: int) -> Moment:
    """Wait until the first checkpoint after a step is being written."""

    def found(folder: Path, process: int) -> bool:
        with suppress(FileNotFoundError):
            half = folder / f"runs/latest/checkpoints/.{process}-last.ckpt"
            return half.stat().st_size > 0 and steps_logged(folder) >= step
        return False

    return found


def assert_same(run: Path, untouched: Path) -> None:
    names = {path.name for path in (untouched / "checkpoints").iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} - {"last.corrupt"} == names
    for name in names - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert metrics(run) == metrics(untouched)


def test_killed_at_ten_random_moments(dataset: Path, untouched: Path, tmp_path: Path) -> None:
    rng = random.Random()
    chosen = [
        (step, rng.uniform(0, 0.2)) for step in sorted(rng.sample(range(2, STEPS - 10), 10))
    ]  # from the first checkpoint on
    print("killed after step and seconds", chosen)

    run = kill_and_resume(dataset, tmp_path, [after(*moment) for moment in chosen])
    assert len(list(run.resolve().parent.iterdir())) == 1
    assert_same(run, untouched)


def test_killed_while_it_writes_a_checkpoint(dataset: Path, untouched: Path, tmp_path: Path) -> None:
    run = kill_and_resume(dataset, tmp_path, [half_written_after(step) for step in (6, 17, 28)])
    assert len(list(run.resolve().parent.iterdir())) == 1
    assert_same(run, untouched)


def test_averages_of_weights_are_not_lost_with_it(dataset: Path, tmp_path: Path) -> None:
    averaged = "trainer.average=0.9"
    untouched = finish(dataset, tmp_path / "untouched", averaged)
    run = kill_and_resume(dataset, tmp_path / "killed", [after(7, 0.1), half_written_after(19)], averaged)
    assert_same(run, untouched)
    states = [torch.load(each / "checkpoints/last.ckpt", weights_only=True) for each in (run, untouched)]
    trained, expected = (state[TRAINING_WEIGHTS] for state in states)
    assert all(torch.equal(value, trained[name]) for name, value in expected.items())
    assert any(not torch.equal(value, states[0]["state_dict"][name]) for name, value in expected.items())
