"""Tables on narrow terminals: lines are wrapped, but no text and no number is cut off."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.damage import IMU, cell
from support.small_process import succeed
from support.sound_dataset import write_sound_dataset

from revalexo_clip.config.finetuning import COMPONENT_KINDS

TREE = str.maketrans("", "", "│├└─")


def printed(*arguments: str, width: int, cwd: Path) -> str:
    """Return what `rxclip` prints to a pipe, wrapped to this width."""
    return succeed(*arguments, cwd=cwd, COLUMNS=str(width)).stdout


def on_a_terminal(*arguments: str, width: int, cwd: Path) -> str:
    """Return what `rxclip` prints on a terminal of this width."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm"}
    command = [sys.executable, "-m", "revalexo_clip", *arguments]
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=theirs, stderr=subprocess.DEVNULL):
        os.close(theirs)
        text = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    return re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # on Linux: the other end was closed
        return b""


def assert_fits(text: str, width: int) -> None:
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def joined(text: str) -> str:
    return "".join(text.split())


@pytest.mark.long
@pytest.mark.parametrize("width", [40])
def test_check_data_keeps_files_places_and_values(width: int, tmp_path: Path) -> None:
    write_sound_dataset(tmp_path / "dataset")
    cell("-1234567.8901nan")(tmp_path / "dataset")
    channels = ("--channels", "acc_*", "--channels", "gyro_Pelvis_*")
    text = on_a_terminal("check-data", "dataset", *channels, "--jobs", "1", width=width, cwd=tmp_path)
    *table, summary = text.strip("\n").splitlines()
    assert_fits("\n".join(table), width)
    assert "6 clips" in summary
    middle = next(found.end() for line in table if (found := re.match(r" *file +", line)))
    files, problems = (joined("".join(line[place] for line in table)) for place in (slice(middle), slice(middle, None)))
    assert f"dataset/{IMU}" in files
    assert "line43(row42)" in problems
    assert "'-1234567.8901nan'" in problems


@pytest.mark.long
@pytest.mark.usefixtures("only_built_in")
@pytest.mark.parametrize("width", [40])
def test_components_keep_fields_and_defaults(width: int, tmp_path: Path) -> None:
    text = printed("components", width=width, cwd=tmp_path)
    assert_fits(text, width)
    kinds = [kind for base in COMPONENT_KINDS for kind in base.known().values()]
    assert [kind.__name__ for kind in kinds if kind.__name__ not in text] == []
    assert "1024" in text


@pytest.mark.long
@pytest.mark.parametrize("width", [40])
def test_show_keeps_every_value(width: int, tmp_path: Path) -> None:
    experiment = str(Path(__file__).parents[2] / "experiments/mvit_base.py")
    wide, narrow = (printed("show", experiment, width=each, cwd=tmp_path) for each in (1000, width))
    assert_fits(narrow, width)
    assert joined(narrow.translate(TREE)) == joined(wide.translate(TREE))
