"""Why a CSV file cannot be read as it is: other separators, comment lines, decimal commas, empty cells.

Files are read in one form: one header row, "," between cells, "." in numbers. What has another form is refused, and
these functions say why; they are called only for messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_LINES = 60
_LONGEST = 10_000
"""Characters of a line that are looked at."""
SEPARATORS = ";\t|"
"""Characters that separate cells in some files, and that no name of a channel has."""
_COMMENTS = ("#", "//", "%")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")


def why_no_column(path: Path) -> str:
    """Return a remark in brackets if a file lacks columns because of its form; else ""."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            lines = [file.readline(_LONGEST).strip("\r\n") for _ in range(_LINES)]
    except OSError:
        return ""
    causes = _causes([line for line in lines if line.strip()])
    if not causes:
        return ""
    return f" ({'; '.join(causes)}: write one header row, with ',' between cells and '.' in numbers)"


def _causes(lines: Sequence[str]) -> list[str]:
    causes, head = [], lines[0].strip() if lines else ""
    if re.match(r"sep=", head, re.IGNORECASE):
        causes.append(f"its first line, '{head[:20]}', is no header")
        lines = lines[1:]
    elif head.startswith(_COMMENTS):
        causes.append(f"its first line is a comment, '{head[:30]}'")
        lines = [line for line in lines if not line.strip().startswith(_COMMENTS)]
    if not lines:
        return causes
    mark = max(SEPARATORS, key=lambda mark: sum(line.count(mark) for line in lines))
    cells = [line.count(mark) for line in lines]
    if not any(cells) or max(line.count(",") for line in lines[:1]) > max(cells):
        mark, cells = ",", [line.count(",") for line in lines]
    if max(cells) > cells[0] and not causes:
        number = cells.index(max(cells))
        more = f"line {number + 1} has {cells[number] + 1} cells and the first line {cells[0] + 1}"
        causes.append(f"{more}: is that the header?")
    if mark != ",":
        causes.append(f"its columns are separated by {mark!r} instead of ','")
        if any(_DECIMAL_COMMA.fullmatch(cell) for line in lines for cell in line.split(mark)):
            causes.append("its numbers have decimal commas")
    return causes


def why_uneven(row: Sequence[str], columns: int) -> str:
    """Return a remark in brackets about a row that is not as long as the header of a number of columns; else ""."""
    if row and row[0].strip().startswith(_COMMENTS):
        return " (a comment line?)"
    return " (decimal commas?)" if columns < len(row) <= 2 * columns and len(row) > columns + 1 else ""


def why_no_number(cell: str, column: Sequence[str]) -> str:
    """Return a remark in brackets about a cell that is no number, of a column with these cells; else ""."""
    if _DECIMAL_COMMA.fullmatch(cell):
        return " (a decimal comma: write '.')"
    if cell.strip():
        return ""
    empty = sum(not cell.strip() for cell in column)
    if empty == 1:
        return " (the cell is empty)"
    return (
        f" (the cell is empty, like {empty} of {len(column)} in this column: a sensor that is slower than the others? "
        "Interpolate it beforehand, or leave the column out)"
    )
