"""Errors that a user can act on.

The command line prints only their message, so it says what is wrong, where, and what to do. Any other exception is a
defect of this package and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can correct."""

    exit_code = 1
    kind = "error"
    """The word before the message on the command line."""


class ConfigError(UserError):
    """The command or the experiment is wrong: nothing was started."""

    exit_code = 2


class DataError(UserError):
    """A dataset, a weight file or a checkpoint is missing or malformed. The message names the file."""


class Interrupted(UserError):  # noqa: N818 (nothing went wrong)
    """A signal stopped a run. The exit code is 128 + the number of the signal, as shells expect."""

    kind = "stopped"

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number
