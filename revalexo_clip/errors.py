"""Errors that a user can act on.

Their message is all that the command line prints, so it says what is wrong, where, and what to do. Anything else
that is raised is a defect of this package and keeps its traceback.
"""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right."""

    exit_code = 1


class ConfigError(UserError):
    """The command or the experiment is wrong: nothing was started."""

    exit_code = 2


class DataError(UserError):
    """A dataset, a weight file or a checkpoint is not what it should be. The message names the file."""
