"""Text formatting."""

from __future__ import annotations


def counted(number: int, unit: str, plural: str | None = None) -> str:
    """Format a number with its unit: `1 epoch`, `2 epochs`. The default `plural` is the unit with an `s`."""
    return f"{number} {unit}" if number == 1 else f"{number} {plural or unit + 's'}"
