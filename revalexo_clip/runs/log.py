"""`log.txt`, the log file of a run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from revalexo_clip.runs.folder import log


@contextmanager
def kept_log() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged before the run folder exists."""
    keeper = _RecordKeeper()
    log.addHandler(keeper)
    try:
        yield keeper.records
    finally:
        log.removeHandler(keeper)


class _RecordKeeper(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def start_log(folder: Path, records: Iterable[logging.LogRecord]) -> None:
    """Log to `log.txt` in a run folder from now on, starting with earlier records."""
    handler = logging.FileHandler(folder / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for record in records:
        handler.handle(record)
    log.addHandler(handler)
    if not log.isEnabledFor(logging.INFO):  # the command line enables it, a program that calls `pretrain` may not
        log.setLevel(logging.INFO)


def note(text: str) -> None:
    """Write a line to `log.txt` only."""
    record = log.makeRecord(log.name, logging.INFO, "", 0, text, (), None)
    for handler in log.handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def end_log() -> None:
    """Close the file that `start_log` opened."""
    for handler in [handler for handler in log.handlers if isinstance(handler, logging.FileHandler)]:
        log.removeHandler(handler)
        handler.close()
