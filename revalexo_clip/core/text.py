"""Text formatting."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import shorten


def counted(number: int, unit: str, plural: str | None = None) -> str:
    """Format a number with its unit: `1 epoch`, `2 epochs`. The default `plural` is the unit with an `s`."""
    return f"{number} {unit}" if number == 1 else f"{number} {plural or unit + 's'}"


def one_line(error: object, length: int = 300) -> str:
    """Return the text of an error in one line, shortened; its type if it has no text."""
    return shorten(str(error), length, placeholder=" ...") or type(error).__name__


def spelled_twice(names: Iterable[str]) -> str:
    """Return what is wrong if two names differ only in case, spaces, hyphens and underscores; otherwise "".

    Such names are one activity spelled in two ways, which would be trained and scored as two.
    """
    known: dict[str, str] = {}
    for name in names:
        other = known.setdefault(re.sub(r"[\s_-]+", " ", name).strip().casefold(), name)
        if other != name:
            return (
                f"the activities {other!r} and {name!r} differ only in case, spaces, hyphens or underscores; "
                "use one spelling for both"
            )
    return ""
