"""Text formatting."""

from __future__ import annotations


def counted(number: int, unit: str) -> str:
    """Format a number with its unit: `1 epoch`, `2 epochs`."""
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
