from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from rich.console import Console
from support.small_training import small
from support.tiny_dataset import steady, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.pretraining.run import pretrain

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    log, handler = logging.getLogger("revalexo_clip"), Lines()
    log.addHandler(handler)
    yield handler.lines
    log.removeHandler(handler)


def shown(root: Path, folder: Path, *overrides: str, terminal: bool) -> str:
    """What a run writes to its console."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)
    with chdir(folder):
        pretrain(small(root, *overrides), console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.long
def test_a_terminal_shows_a_live_bar(written: Path, tmp_path: Path) -> None:
    text = shown(written, tmp_path, "trainer.max_epochs=2", terminal=True)
    assert "epoch 1/2" in text
    assert "epoch 2/2" in text
    assert re.search(r"5/5 loss \d\.\d{3}  lr \d\.\de-\d\d  temperature 0\.1\d\d  \d+ samples/s  \d:\d\d left", text)


@pytest.mark.long
def test_without_a_terminal_there_is_one_line_an_epoch(written: Path, tmp_path: Path, lines: list[str]) -> None:
    assert shown(written, tmp_path, "trainer.max_epochs=2", terminal=False) == ""
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 2
    assert re.fullmatch(
        r"epoch 2/2  loss \d\.\d{3}  val \d\.\d{3} \(chance \d\.\d{3}\)  "
        r"R@1 +\d+\.\d% imu->video +\d+\.\d% video->imu  "
        r"temperature 0\.1\d\d  lr \d\.\de-\d\d +\d+ samples/s  0:00 left",
        epochs[1],
    )


@pytest.mark.long
def test_the_terminal_is_given_back_before_an_error(root: Path, tmp_path: Path) -> None:
    write_video(root / "videos/Subject08/0001.mp4", [time for time in steady() if not 1.0 < time < 3.0])
    console = Console(file=io.StringIO(), force_terminal=True, width=160, color_system=None)
    with pytest.raises(DataError), chdir(tmp_path):
        pretrain(small(root), console=console)
    assert isinstance(console.file, io.StringIO)
    hidden, visible = "\x1b[?25l", "\x1b[?25h"
    assert hidden in console.file.getvalue()
    assert visible in console.file.getvalue().rpartition(hidden)[2]
