"""Errors that a user can act on.

Their message is all that the command line prints, so it says what is wrong, where, and what to do. Anything else
that is raised is a defect of this package and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right."""

    exit_code = 1
    kind = "error"
    """How the command line introduces the message."""


class ConfigError(UserError):
    """The command or the experiment is wrong: nothing was started."""

    exit_code = 2


class DataError(UserError):
    """A dataset, a weight file or a checkpoint is not what it should be. The message names the file."""


class Interrupted(UserError):  # noqa: N818 (nothing went wrong)
    """A signal ended a run in good order; exits as a shell expects of a process that the signal ended."""

    kind = "stopped"

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + number
