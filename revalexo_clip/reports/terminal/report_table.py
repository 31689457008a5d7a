"""A table that keeps its numbers at every terminal width.

If the columns do not fit side by side, long labels and headings are folded first. If that is not enough, the columns
are split into blocks below each other, and each block repeats the labels. Numbers are never cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

_GAPS = (2, 1)
"""Spaces between columns; the first number is used if the table fits."""
_LABEL = 20
"""Least width of folded labels and texts [characters]; less in narrow terminals."""


@dataclass(frozen=True)
class Column:
    """A column beside the labels."""

    title: str = ""
    text: bool = False
    """Whether it holds text, which is left-aligned and may be folded, instead of numbers."""
    group: int = 0
    """Columns of the same group, next to each other, stay in one block if they fit."""
    style: str = ""


@dataclass(frozen=True)
class _Row:
    label: Text
    cells: Sequence[str | Text]
    """Empty: the row is a heading."""
    style: str
    new_section: bool


@dataclass
class ReportTable:
    """A title, and below it labels and columns. The first column holds the labels."""

    title: str
    columns: Sequence[Column]
    label_title: str = ""
    _rows: list[_Row] = field(default_factory=list, init=False)

    def add_heading(self, title: str) -> None:
        """Begin a section with a bold heading."""
        self._rows.append(_Row(Text(title, "bold"), (), "", new_section=True))

    def add_row(self, label: str, *cells: str | Text, style: str = "", new_section: bool = False) -> None:
        """Add a row with a cell for each column; missing cells at the end are empty."""
        filled = (*cells, *[""] * (len(self.columns) - len(cells))) if cells else ()
        self._rows.append(_Row(Text(label), filled, style, new_section))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Render for the width of the terminal."""
        if self.title:
            yield Text(self.title, "bold")
        natural, least = self._widths(options.max_width)
        everything = list(range(len(self.columns)))
        for gap in _GAPS:
            if _total(least, gap) <= options.max_width:
                blocks = [everything]
                break
        else:
            least[0] = min(natural[0], _limit(options.max_width))
            blocks = self._blocks(least, options.max_width, gap)
        for block in blocks:
            of_block = [0, *(1 + place for place in block)]
            widths = _widened([least[k] for k in of_block], [natural[k] for k in of_block], options.max_width, gap)
            yield self._block(block, widths, gap)
            yield Text("")

    def _widths(self, width: int) -> tuple[list[int], list[int]]:
        """Return the widths of all columns, labels first: without folding, and the least that cut no number."""
        limit = _limit(width)
        labels = [self.label_title, *(row.label.plain for row in self._rows)]
        natural, least = [max(map(cell_len, labels))], [min(max(map(_longest_word, labels)), limit)]
        for place, column in enumerate(self.columns):
            cells = [str(row.cells[place]) for row in self._rows if row.cells]
            natural.append(max(map(cell_len, [column.title, *cells])))
            if column.text:
                least.append(min(natural[-1], limit))
            else:
                least.append(max(_longest_word(column.title), *map(cell_len, cells), 0))
        return natural, least

    def _blocks(self, least: Sequence[int], width: int, gap: int) -> list[list[int]]:
        """Return the columns of each block, by place."""
        blocks: list[list[int]] = [[]]
        for _, members in groupby(range(len(self.columns)), key=lambda place: self.columns[place].group):
            group = list(members)
            whole = self.columns[group[0]].group and _total([least[0], *_of(least, group)], gap) <= width
            for part in [group] if whole else [[place] for place in group]:
                if blocks[-1] and _total([least[0], *_of(least, [*blocks[-1], *part])], gap) > width:
                    blocks.append([])
                blocks[-1] += part
        return blocks

    def _block(self, block: Sequence[int], widths: Sequence[int], gap: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
        table.add_column(Text(self.label_title), width=widths[0], overflow="fold")
        for place, width in zip(block, widths[1:], strict=True):
            column = self.columns[place]
            justify: Literal["left", "right"] = "left" if column.text else "right"
            table.add_column(Text(column.title), width=width, justify=justify, overflow="fold", style=column.style)
        for row in self._rows:
            if row.new_section:
                table.add_section()
            cells = [row.cells[place] for place in block] if row.cells else []
            if any(map(str, cells)) or not row.cells:
                table.add_row(
                    row.label, *(Text(cell) if isinstance(cell, str) else cell for cell in cells), style=row.style
                )
        return table


def _limit(width: int) -> int:
    return min(_LABEL, 2 * width // 5)


def _of(least: Sequence[int], places: Sequence[int]) -> Iterator[int]:
    return (least[1 + place] for place in places)


def _total(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _widened(least: Sequence[int], natural: Sequence[int], width: int, gap: int) -> list[int]:
    """Widen columns to their natural width, from the left, as long as there is room."""
    spare = max(width - _total(least, gap), 0)
    widths = []
    for small, large in zip(least, natural, strict=True):
        more = min(spare, max(large - small, 0))
        widths.append(small + more)
        spare -= more
    return widths


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
