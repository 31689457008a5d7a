"""Callbacks with which long-running work reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

OnProgress = Callable[[int, int], None]
"""Called with the number of items done and the total."""
Progress = Callable[[str], AbstractContextManager[OnProgress]]
"""Opens a progress display; the argument names the work."""


def no_progress(done: int, total: int) -> None:
    """Ignore the progress of one piece of work."""


@contextmanager
def silent_progress(_: str) -> Iterator[OnProgress]:
    """Show nothing."""
    yield no_progress
