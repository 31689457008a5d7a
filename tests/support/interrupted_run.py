"""Runs of the small experiment that are interrupted and resumed, compared with an uninterrupted one.

Test modules get the fixtures by `pytest_plugins = ("support.interrupted_run",)`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
import torch

from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.resume import NEWEST
from support.small_process import EXPERIMENT
from support.small_training import metrics, small, weights

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")

Go = Callable[..., Path]
"""Trains, see the fixture `go`, and returns the run folder."""


@pytest.fixture
def go(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Train for 3 epochs of 5 steps, from where the newest run stands; `signal_at` interrupts it, as `step:signal`."""

    def run(*overrides: str, signal_at: str = "0:0", resume: Path | None = NEWEST) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        experiment = small(written, *overrides, file=INTERRUPTED)
        with chdir(tmp_path):
            return tmp_path / pretrain(experiment, INTERRUPTED, resume=resume, overrides=overrides)

    return run


@pytest.fixture(scope="session")
def untouched(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The uninterrupted run."""
    folder = tmp_path_factory.mktemp("untouched")
    with chdir(folder):
        return folder / pretrain(small(written, file=INTERRUPTED), INTERRUPTED)


def kept(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def assert_same(run: Path, untouched: Path) -> None:
    """Assert that all checkpoints, except the second to last, and all metrics are equal, bit for bit."""
    assert kept(run) - {"last.corrupt"} == kept(untouched)
    for name in kept(untouched) - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert (run / "checkpoints/best.ckpt").stat().st_nlink == 2
    assert metrics(run) == metrics(untouched)
