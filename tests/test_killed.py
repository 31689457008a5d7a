"""Real processes of the real command line, killed without warning and resumed, end as one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_training import weights

from revalexo_clip.data.synthetic import synthesize

pytestmark = pytest.mark.long

EXPERIMENT = Path(__file__).with_name("killed_experiment.py")
STEPS = 40

Moment = Callable[[Path], None]
"""Waits, once a run in a folder has begun to train, for the moment to kill it."""


def pretraining(dataset: Path, folder: Path) -> subprocess.Popen[bytes]:
    """`rxclip pretrain --resume`, started in a folder."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "revalexo_clip", "pretrain", str(EXPERIMENT)),
            *("--set", f"data.root={dataset}", "--resume"),
        ],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people of the demo, with a clip each."""
    root = tmp_path_factory.mktemp("demo") / "dataset"
    synthesize(root, subjects=2, clips=2, seed=0)
    return root


@pytest.fixture(scope="module")
def untouched(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody kills."""
    folder = tmp_path_factory.mktemp("untouched")
    assert pretraining(dataset, folder).wait() == 0
    return folder / "runs/latest"


def steps_done(folder: Path) -> int:
    """Rows of steps in the metrics of the newest run, as it stands on disk."""
    path = folder / "runs/latest/metrics.csv"
    return path.read_text().count("\n") if path.is_file() else 0


def kill_and_resume(dataset: Path, folder: Path, moments: list[Moment]) -> Path:
    """Kill a run once at each of the moments, then let it end; the run folder."""
    for moment in moments:
        before = steps_done(folder)
        process = pretraining(dataset, folder)
        while process.poll() is None and steps_done(folder) == before:
            time.sleep(0.005)
        moment(folder)
        assert process.poll() is None, "it ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert pretraining(dataset, folder).wait() == 0
    return folder / "runs/latest"


def assert_same(run: Path, untouched: Path) -> None:
    names = {path.name for path in (untouched / "checkpoints").iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} - {"last.damaged"} == names
    for name in names - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert (run / "metrics.csv").read_text() == (untouched / "metrics.csv").read_text()


def test_killed_at_ten_random_moments(dataset: Path, untouched: Path, tmp_path: Path) -> None:
    rng = random.Random()
    seconds = [rng.uniform(0, 0.6) for _ in range(10)]
    print("killed after", seconds)
    run = kill_and_resume(dataset, tmp_path, [lambda _, wait=wait: time.sleep(wait) for wait in seconds])
    assert len(list(run.resolve().parent.iterdir())) == 1
    assert_same(run, untouched)


def test_killed_while_it_writes_a_checkpoint(dataset: Path, untouched: Path, tmp_path: Path) -> None:
    def half_written(folder: Path) -> None:
        while not list((folder / "runs/latest/checkpoints").glob(".*-last.ckpt")):
            pass

    run = kill_and_resume(dataset, tmp_path, [half_written] * 3)
    assert_same(run, untouched)
