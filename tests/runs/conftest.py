"""Runs that tests interrupt and resume."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

import pytest
from support.interrupted_run import INTERRUPTED, Go
from support.small_training import small

from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.runs.resume import NEWEST


@pytest.fixture
def go(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Go:
    """Train for 3 epochs of 5 steps, from where the newest run stands; `signal_at` interrupts it, as `step:signal`."""

    def run(*overrides: str, signal_at: str = "0:0", resume: Path | None = NEWEST) -> Path:
        monkeypatch.setenv("SIGNAL_AT", signal_at)
        experiment = small(written, *overrides, file=INTERRUPTED)
        with chdir(tmp_path):
            return tmp_path / pretrain(experiment, INTERRUPTED, resume=resume, overrides=overrides)

    return run


@pytest.fixture(scope="package")
def untouched(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("untouched")
    with chdir(folder):
        return folder / pretrain(small(written, file=INTERRUPTED), INTERRUPTED)
