"""The streams that commands print to: results to standard output, all else to standard error. Imports nothing heavy."""

from __future__ import annotations

import codecs
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from revalexo_clip.core.progress import OnProgress, no_progress

out = Console(soft_wrap=False)
err = Console(stderr=True)


_SPELLINGS = {"→": "->", "±": "+-", "…": "...", "≈": "~", "✓": "+", "✗": "x", "○": "o", "▲": "^", "▼": "v"}
"""ASCII for the characters that reports use."""


def accept_any_encoding() -> None:
    """Make standard output and error replace the characters that their encoding lacks.

    A pipe or a file may be cp1252 or ASCII. Without this, a command would do its work and then fail to print it.
    """
    codecs.register_error("rxclip", _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="rxclip")


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    r"""Return ASCII for what cannot be encoded, and where to continue. Other characters become \uXXXX, as in JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_SPELLINGS.get(character) or json.dumps(character)[1:-1] for character in text), error.end


def say(text: str) -> None:
    """Print text unchanged: lines are not wrapped, so that paths stay whole, and brackets are not markup."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def counting(what: str, console: Console = err) -> Iterator[OnProgress]:
    """Show a progress bar with an estimate of the time left, on terminals only.

    Yields a function to call with (done, total).
    """
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    if not console.is_terminal:  # before 15, rich ends even a disabled bar with an empty line
        yield no_progress
        return
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def is_main_process() -> bool:
    """Return whether this is the first of the training processes, started by Lightning, torchrun or SLURM."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID"))


def quiet_libraries() -> None:
    """Show the log lines of this package, and of its libraries only what a user can act on."""
    import lightning.pytorch  # its import sets up loggers, whose level is raised below

    assert lightning.pytorch
    handler = logging.StreamHandler(_ConsoleStream())
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("revalexo_clip")
    log.handlers = [handler]
    log.setLevel(logging.INFO if is_main_process() else logging.ERROR)
    log.propagate = False
    for name in ("lightning.pytorch", "lightning.fabric", "lightning_fabric", "pytorch_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning(\.|_)")


class _ConsoleStream:
    """A stream for log lines that go through the console, above a live progress bar."""

    def write(self, text: str) -> None:
        if text.strip():
            err.print(text.rstrip("\n"), highlight=False, markup=False, soft_wrap=True)

    def flush(self) -> None:
        """Do nothing: the console does not buffer."""
