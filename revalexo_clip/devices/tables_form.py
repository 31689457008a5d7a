"""How a table in a text file is written: delimiter, decimal commas, comment lines, header. Arithmetic on lines.

The form is that in which most cells of the first lines are numbers. It is shown in the plan of an import, so that a
wrong one is seen.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from revalexo_clip.devices.tables_columns import known_unit

MISSING = frozenset({"", "nan", "na", "n/a", "<na>", "null", "none", "-", "inf", "-inf", "+inf", "infinity"})
"""Cells, in lower case, that say that there is no value."""
COMMENTS = ("#", "//", "%")
DELIMITERS = {",": "','", ";": "';'", "\t": "tabs", "|": "'|'", " ": "spaces"}
"""What may separate cells, and its name."""
_TIME = re.compile(r"\d{4}[-/.]\d\d?[-/.]\d\d?([ T].*)?|\d\d?:\d\d(:\d\d([.,]\d+)?)?.*")
_TIME_UNITS = frozenset({"s", "sec", "ms", "us", "µs", "ns"})


class Form(NamedTuple):
    """How a text file is written."""

    delimiter: str
    decimal: str
    header: int | None
    """Index of the line with the names of the columns; None if there is none."""
    unit_line: bool
    """Whether the line after the header has the units of the columns."""
    data: int
    """Index of the first line of data."""
    columns: tuple[str, ...]

    def describe(self) -> str:
        """Describe the form in words."""
        comma = ", decimal commas" if self.decimal == "," else ""
        lines = f"header in line {self.header + 1}" if self.header is not None else "no header"
        units = ", units in the line after it" if self.unit_line else ""
        return f"{DELIMITERS[self.delimiter]} between cells{comma}, {lines}{units}"


def split(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line, without spaces around them."""
    if delimiter == " ":
        return line.split()
    if '"' in line:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    return [cell.strip() for cell in line.split(delimiter)]


def is_comment(line: str) -> bool:
    """Return whether a line is a comment, or empty."""
    return not line.strip() or line.lstrip().startswith(COMMENTS)


def number(cell: str, decimal: str) -> float | None:
    """Return the value of a cell; None if it is no number."""
    if decimal == "," and "." in cell:
        return None
    try:
        return None if "_" in cell else float(cell.replace(",", ".") if decimal == "," else cell)
    except ValueError:
        return None


def form_of(lines: Sequence[str]) -> Form | None:
    """Find the form of a file from its first lines; None if no form gives two or more columns with numbers."""
    declared = re.fullmatch(r"\W*sep=(.)\W*", lines[0] if lines else "", re.IGNORECASE)
    delimiters = declared[1] if declared and declared[1] in DELIMITERS else "".join(DELIMITERS)
    best: tuple[tuple[float, int], Form] | None = None
    for delimiter in delimiters:
        for decimal in (".",) if delimiter == "," and '"' not in "".join(lines) else (".", ","):
            found = _fitting(lines, delimiter, decimal)
            if found is not None and (best is None or found[0] > best[0]):
                best = found
    return best[1] if best else None


def _fitting(lines: Sequence[str], delimiter: str, decimal: str) -> tuple[tuple[float, int], Form] | None:
    """Return how well lines fit a form, and the form: the share of cells that are values, and the number of numbers."""
    rows = [[] if is_comment(line) else split(line, delimiter) for line in lines]
    lengths = Counter(len(row) for row in rows if _is_data(row, decimal))
    if not lengths:
        return None
    usual = max(lengths, key=lambda length: (lengths[length], length))
    data = next(place for place, row in enumerate(rows) if len(row) == usual and _is_data(row, decimal))
    header, unit_line, names = _header(rows[:data], usual)
    while len(names) > 1 and not names[-1] and not any(row[len(names) - 1 :] != [""] for row in rows[data:] if row):
        names = names[:-1]  # a delimiter at the end of each line
    columns = _distinct([name or f"column {place + 1}" for place, name in enumerate(names)])
    if len(columns) < 2:
        return None
    cells = [cell for row in rows[data:] for cell in row]
    numbers = sum(number(cell, decimal) is not None for cell in cells)
    values = sum(_is_value(cell, decimal) for cell in cells)
    fitting = sum(len(row) >= len(columns) for row in rows[data:] if row) / sum(bool(row) for row in rows[data:])
    return (round(fitting * values / len(cells), 3), numbers), Form(
        delimiter, decimal, header, unit_line, data, columns
    )


def _is_value(cell: str, decimal: str) -> bool:
    return cell.lower() in MISSING or number(cell, decimal) is not None or _TIME.fullmatch(cell) is not None


def _is_data(row: Sequence[str], decimal: str) -> bool:
    """Return whether a row has at least two cells, one of them a number, and at most half of them text."""
    numbers = sum(number(cell, decimal) is not None for cell in row)
    return len(row) > 1 and numbers > 0 and 2 * sum(_is_value(cell, decimal) for cell in row) >= len(row)


def _header(before: Sequence[Sequence[str]], usual: int) -> tuple[int | None, bool, list[str]]:
    """Find the header among the rows before the data: its index, whether units follow it, and the names."""
    filled = [place for place, row in enumerate(before) if any(row)]
    near = [place for place in filled[-2:] if len(before[place]) > 1 and len(before[place]) + 1 >= usual]
    if not near or near[-1] != filled[-1]:
        return None, False, [""] * usual
    last = [*before[near[-1]], *[""] * usual][: max(usual, len(before[near[-1]]))]
    if len(near) == 2 and near[1] == near[0] + 1 and _are_units(last):
        names = [*before[near[0]], *[""] * len(last)][: len(last)]
        units = [cell.strip("[]()") for cell in last]
        return near[0], True, [f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True)]
    return near[-1], False, last


def _are_units(cells: Sequence[str]) -> bool:
    """Return whether at least half of the cells that are filled are units."""
    filled = [cell.strip("[]()") for cell in cells if cell]
    units = [cell for cell in filled if cell.lower() in _TIME_UNITS or known_unit(cell) is not None]
    return 0 < len(filled) <= 2 * len(units)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Return names, those that occur more than once with a number."""
    seen: Counter[str] = Counter()
    distinct = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(distinct)
