"""Errors that the user can fix.

The command line prints only their message, so it says what is wrong, where, and what to do. Any other exception is a
bug in this package and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix."""

    exit_code = 1
    kind = "error"
    """Word that the command line prints before the message."""


class ConfigError(UserError):
    """An invalid command or experiment. Raised before anything is started."""

    exit_code = 2


class DataError(UserError):
    """An invalid dataset, weight file or checkpoint. The message names the file."""


class Interrupted(UserError):  # noqa: N818 (not an error)
    """A run stopped cleanly after a signal. Its exit code is 128 + the signal's number, as shells expect."""

    kind = "stopped"

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number
