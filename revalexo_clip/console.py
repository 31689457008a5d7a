"""What commands print to: results to one stream, all else to the other. Imports nothing heavy."""

from __future__ import annotations

import logging
import os
import warnings

from rich.console import Console

out = Console(soft_wrap=False)
err = Console(stderr=True)


def say(text: str) -> None:
    """Print text as it is: a path is not broken into lines, and brackets in it are no markup."""
    out.print(text, highlight=False, markup=False, soft_wrap=True)


def is_main_process() -> bool:
    """Whether this is the process that the user started, not one that Lightning started beside it."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


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
