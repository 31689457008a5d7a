"""What commands print to: results to one stream, all else to the other. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from revalexo_clip.core.progress import OnProgress

out = Console(soft_wrap=False)
err = Console(stderr=True)


def say(text: str) -> None:
    """Print text as it is: a path is not broken into lines, and brackets in it are no markup."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def counting(what: str, console: Console = err) -> Iterator[OnProgress]:
    """A bar for long work, with an estimate, on terminals only; gives what to call with (done, total)."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def is_main_process() -> bool:
    """Whether this is the first of the training processes, whoever started them: Lightning, torchrun or SLURM."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "RANK", "SLURM_PROCID"))


def quiet_libraries() -> None:
    """Show what this package says, and of its libraries what a user can act on."""
    import lightning.pytorch  # sets up loggers of its own on import, which are then turned down

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
    """Writes log lines through the console, above a live progress bar."""

    def write(self, text: str) -> None:
        if text.strip():
            err.print(text.rstrip("\n"), highlight=False, markup=False, soft_wrap=True)

    def flush(self) -> None:
        """The console does not buffer."""
