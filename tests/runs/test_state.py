"""The state of a run, also of one whose process was killed, and of one that another process works on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from revalexo_clip.core import platform
from revalexo_clip.core.errors import ConfigError, DataError, Interrupted
from revalexo_clip.runs import state
from revalexo_clip.runs.state import RunState, recording_state, state_of

WAITS = """
import sys, time
from pathlib import Path
from revalexo_clip.runs.state import recording_state
with recording_state(Path(sys.argv[1])):
    print("running", flush=True)
    time.sleep(600)
"""


def test_how_a_run_ends_is_recorded(tmp_path: Path) -> None:
    assert state_of(tmp_path) == RunState("unknown")
    with recording_state(tmp_path):
        assert state_of(tmp_path).state == "running"
    assert state_of(tmp_path) == RunState("finished")
    for error, expected in (
        (DataError("a.csv: bad"), RunState("failed", "a.csv: bad")),
        (KeyError("a"), RunState("failed", "KeyError: 'a'")),
        (Interrupted("SIGTERM, after step 3", 15), RunState("stopped", "SIGTERM, after step 3")),
        (KeyboardInterrupt(), RunState("stopped", "KeyboardInterrupt: ")),
    ):
        with pytest.raises(type(error)), recording_state(tmp_path):
            raise error
        assert state_of(tmp_path) == expected
    with recording_state(tmp_path) as outcome:
        outcome.error = "2 trials failed"
    assert state_of(tmp_path) == RunState("failed", "2 trials failed")


def test_a_killed_run_is_neither_running_nor_finished(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        assert state_of(tmp_path).state == "running"
        with pytest.raises(ConfigError, match="another process is working on it"), recording_state(tmp_path):
            pass
        assert state_of(tmp_path).state == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert state_of(tmp_path).state == "killed"
    with recording_state(tmp_path):
        pass
    assert state_of(tmp_path).state == "finished"


def test_a_forked_process_does_not_keep_the_lock_of_a_run_that_has_ended(tmp_path: Path) -> None:
    read, write = os.pipe()
    with recording_state(tmp_path):
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)  # until the parent closes its end
            os._exit(0)
    try:
        begun = time.monotonic()
        with recording_state(tmp_path):
            assert time.monotonic() - begun < 1
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


@pytest.mark.parametrize("why", ["another machine", "no locks"])
def test_without_a_lock_that_tells_a_run_is_killed_after_a_day(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording_state(tmp_path):
        written = json.loads((tmp_path / state.STATE).read_text())
    if why == "no locks":
        monkeypatch.setattr(platform, "_FCNTL", None)
    else:
        written["host"] = "another"
    (tmp_path / state.STATE).write_text(json.dumps(written))
    assert state_of(tmp_path).state == "running"
    for path in (tmp_path / state.STATE, tmp_path / "log.txt", tmp_path):
        os.utime(path, (0, time.time() - 25 * 3600))
    assert state_of(tmp_path).state == "killed"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"state": "dancing"}', "\x00"])
def test_a_damaged_state_is_unknown(text: str, tmp_path: Path) -> None:
    (tmp_path / state.STATE).write_text(text)
    assert state_of(tmp_path) == RunState("unknown")
