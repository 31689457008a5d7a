"""."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from revalexo_clip.runs.folder import log


@contextmanager
def kept_log() -> Iterator[list[logging.LogRecord]]:
    """What is logged before there is a run folder to log to."""
    keeper = _Keeper()
    log.addHandler(keeper)
    try:
        yield keeper.said
    finally:
        log.removeHandler(keeper)


class _Keeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record)


def start_log(folder: Path, said: Iterable[logging.LogRecord]) -> None:
    """Log to `log.txt` in a run folder from now on, after what was said before."""
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for record in said:
        handler.handle(record)
    log.addHandler(handler)
    if not log.isEnabledFor(logging.INFO):  # the command line enables it; a program that calls `pretrain` need not
        log.setLevel(logging.INFO)


def note(text: str) -> None:
    """Say something in `log.txt` alone."""
    record = log.makeRecord(log.name, logging.INFO, "", 0, text, (), None)
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def end_log() -> None:
    """Close the file that `start_log` opened."""
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
