"""Runs of the small experiment that are interrupted and resumed, compared with one that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from support.small_process import EXPERIMENT
from support.small_training import metrics, weights

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")

Go = Callable[..., Path]
"""Trains, see the fixture `go`, and returns the run folder."""


def kept(run: Path) -> set[str]:
    return {path.name for path in (run / "checkpoints").iterdir()}


def assert_same(run: Path, untouched: Path) -> None:
    """Every checkpoint bit for bit, but for the second to last, and every row of the metrics."""
    assert kept(run) - {"last.corrupt"} == kept(untouched)
    for name in kept(untouched) - {"previous.ckpt"}:
        expected, found = (weights(folder / "checkpoints" / name) for folder in (untouched, run))
        assert all(torch.equal(value, found[key]) for key, value in expected.items()), name
    assert (run / "checkpoints/best.ckpt").stat().st_nlink == 2
    assert metrics(run) == metrics(untouched)
