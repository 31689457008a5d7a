"""A table: columns of numbers or texts, and where they were read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.base import Floats
from revalexo_clip.devices.tables_form import MISSING, number

Cells: TypeAlias = "Floats | list[str]"
"""A column: [n] float64, NaN where a cell is empty; or its cells, if some of them are text."""


@dataclass(frozen=True)
class Table:
    """The columns of a file, or of a sheet of it."""

    path: Path
    columns: tuple[str, ...]
    cells: tuple[Cells, ...] = field(repr=False)
    """The cells of each column, all of one length."""
    form: str
    """How the file is written, for the plan."""
    sheet: str = ""
    """Name of the sheet; empty if the file is the table."""
    preamble: tuple[str, ...] = ()
    """Lines before the header, comments among them."""
    notes: tuple[str, ...] = ()
    """Sentences on faults, for the plan."""
    lines: tuple[int, ...] = field(default=(), repr=False)
    """Line of each row in the file; empty if rows have no lines."""

    @property
    def name(self) -> str:
        """Name of the file, and of the sheet."""
        return f"{self.path.name}[{self.sheet}]" if self.sheet else self.path.name

    @property
    def where(self) -> str:
        """Path of the file, and its sheet, for errors."""
        return f"{self.path}[{self.sheet}]" if self.sheet else str(self.path)

    def __len__(self) -> int:
        return len(self.cells[0]) if self.cells else 0

    def column(self, name: str) -> Cells:
        """Return the cells of a column. Raises `DataError` that lists the columns if there is no such column."""
        if name not in self.columns:
            raise DataError(f"{self.where}: has no column '{name}'; its columns are {self.listed()}")
        return self.cells[self.columns.index(name)]

    def numbers(self, name: str) -> Floats:
        """Return a column of numbers, [n] float64. Raises `DataError` if some of its cells are no numbers."""
        cells = self.column(name)
        if not isinstance(cells, list):
            return cells
        wrong = [row for row, cell in enumerate(cells) if cell.lower() not in MISSING and number(cell, ".") is None]
        line = f"line {self.lines[wrong[0]]}" if self.lines else f"row {wrong[0] + 1}"
        raise DataError(
            f"{self.where}: {line}, column '{name}': '{cells[wrong[0]][:40]}' is not a number "
            f"({counted(len(wrong), 'such cell')})"
        )

    def listed(self) -> str:
        """Return the names of the columns, for errors."""
        return ", ".join(f"'{name}'" for name in self.columns)
