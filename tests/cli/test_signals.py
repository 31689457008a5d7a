"""Signals that were ignored when `rxclip` started, as after `nohup rxclip ... &`, do not stop it; SIGTERM does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_process import EXPERIMENT, Finished

from revalexo_clip.jobs import Task, run_here

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")


def in_background(root: Path, folder: Path, signal_at: str) -> Finished:
    """Run `rxclip pretrain` as a shell without job control does in the background: it ignores Ctrl-C."""
    command = [sys.executable, "-m", "revalexo_clip", "pretrain", str(INTERRUPTED), "--set", f"data.root={root}"]
    return subprocess.run(
        ["/bin/sh", "-c", 'trap "" INT HUP; exec "$@"', "sh", *command, "--set", "trainer.max_epochs=1"],
        env={**os.environ, "SIGNAL_AT": signal_at},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_run_in_the_background_continues_after_ctrl_c_and_after_the_terminal_is_closed(
    number: signal.Signals, written: Path, tmp_path: Path
) -> None:
    finished = in_background(written, tmp_path, f"2:{int(number)}")
    assert finished.returncode == 0, finished.stderr
    assert "done   runs/small_interrupted/" in finished.stderr


@pytest.mark.long
def test_a_run_in_the_background_stops_at_sigterm(written: Path, tmp_path: Path) -> None:
    finished = in_background(written, tmp_path, f"2:{int(signal.SIGTERM)}")
    assert finished.returncode == 128 + signal.SIGTERM
    assert "stopped: SIGTERM, after step 2" in finished.stderr


def test_jobs_in_the_background_go_on_after_ctrl_c(tmp_path: Path) -> None:
    program = f"import os, signal; os.kill(os.getppid(), {int(signal.SIGINT)}); print('done')"
    lines: list[str] = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        task = Task("a", ((sys.executable, "-c", program),), tmp_path / "a.txt")
        assert run_here([task], 1, lambda name, line: lines.append(line)) == {}
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert lines == ["done"]


def test_tests_heed_ctrl_c_however_they_were_started() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
