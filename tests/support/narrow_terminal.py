"""A report rendered at several widths, and its numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType

WIDTHS = (120, 80, 60, 40)


def rendered(parts: Iterable[RenderableType], width: int) -> str:
    """The report in a terminal of that many columns."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()


def numbers(text: str) -> Counter[str]:
    """Every number, as often as it occurs."""
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


def assert_numbers_fit(report: Callable[[], Iterable[RenderableType]]) -> None:
    """Nothing is cut at any width, and every number of the widest rendering is in all others."""
    expected = numbers(rendered(report(), WIDTHS[0]))
    assert expected
    for width in WIDTHS:
        text = rendered(report(), width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        assert not expected - numbers(text), width
