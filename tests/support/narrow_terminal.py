"""A report rendered at several widths, and its numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType

WIDTHS = (120, 80, 60, 40)


def rendered(parts: Iterable[RenderableType], width: int) -> str:
    """Render a report for a terminal of `width` columns."""
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()


def numbers(text: str) -> Counter[str]:
    """Count each number in a text."""
    return Counter(re.findall(r"\d+(?:[.,]\d+)*", text))


def assert_numbers_fit(report: Callable[[], Iterable[RenderableType]]) -> None:
    """Assert that no text is cut off at any width, and that all renderings have the same numbers as the widest."""
    expected = numbers(rendered(report(), WIDTHS[0]))
    assert expected
    for width in WIDTHS:
        text = rendered(report(), width)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        assert not expected - numbers(text), width
