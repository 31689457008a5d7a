"""Tables in Parquet files and in the sheets of xlsx files. They need the extra `devices` (pyarrow, openpyxl)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.tables_base import Cells, Table
from revalexo_clip.devices.tables_form import MISSING, form_of, number

_LOOKED_AT = 60
"""Rows of a sheet from which its form is found."""


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; columns of lists become one column for each place, `state[0]`.

    Dates and times become seconds since 1970. Raises `DataError` if the file is damaged or pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 (an optional extra)
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise DataError(f"{path}: reading Parquet needs pyarrow: pip install 'revalexo-clip[devices]'") from error
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {str(error).splitlines()[0]}") from error
    names: list[str] = []
    cells: list[Cells] = []
    for name in table.column_names:
        kind = table.schema.field(name).type
        values = table.column(name)
        if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
            places = _places([row for row in values.to_pylist() if row is not None])
            rows = values.to_pylist()
            names += [f"{name}[{place}]" for place in range(places)] if places else [name]
            cells += [_column([row[place] if row else None for row in rows]) for place in range(places)]
            cells += [] if places else [[str(row[0]) if row else "" for row in rows]]
        elif pa.types.is_timestamp(kind):
            names.append(name)
            whole = values.cast(pa.timestamp("ns"), safe=False).cast(pa.int64()).to_pylist()
            cells.append(_column([None if value is None else value / 1e9 for value in whole]))
        elif not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
            names.append(name)
            cells.append(_column(values.to_pylist()))
    if not names or not table.num_rows:
        raise DataError(f"{path}: has no rows of numbers")
    return Table(path, tuple(names), tuple(cells), "Parquet")


def _places(rows: Sequence[Sequence[object]]) -> int:
    """Return the length of the lists of a column; 0 if they differ, or are not of numbers."""
    lengths = {len(row) for row in rows}
    numbers = all(isinstance(value, int | float) for row in rows[:1] for value in row)
    return lengths.pop() if len(lengths) == 1 and numbers else 0


def read_xlsx(path: Path) -> list[Table]:
    """Read the sheets of an xlsx file that have two or more columns of numbers.

    Raises `DataError` if there is none, if the file is damaged, or if openpyxl is not installed.
    """
    try:
        import openpyxl  # noqa: PLC0415 (an optional extra)
        from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415
    except ImportError as error:
        raise DataError(f"{path}: reading xlsx needs openpyxl: pip install 'revalexo-clip[devices]'") from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in book.worksheets}
        book.close()
    except (InvalidFileException, BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as xlsx: {error}") from error
    tables = [_sheet(path, title, rows, alone=len(sheets) == 1) for title, rows in sheets.items()]
    found = [table for table in tables if table is not None]
    if not found:
        raise DataError(f"{path}: none of its sheets ({', '.join(sheets)}) has two or more columns of numbers")
    return found


def _sheet(path: Path, title: str, rows: Sequence[Sequence[object]], *, alone: bool) -> Table | None:
    """Return the table of a sheet; the form is found as in a text file, whose cells are separated by tabs."""
    lines = ["\t".join(_text(cell) for cell in row) for row in rows[:_LOOKED_AT]]
    form = form_of(["sep=\t", *lines]) if any(line.strip() for line in lines) else None
    if form is None:
        return None
    columns, first = len(form.columns), form.data - 1
    places = [place for place, row in enumerate(rows) if place >= first and any(cell is not None for cell in row)]
    whole = [[*rows[place], *[None] * columns][:columns] for place in places]
    cells = tuple(_column([_seconds(cell) for cell in column]) for column in zip(*whole, strict=True))
    header = f"header in row {form.header}" if form.header is not None else "no header"
    preamble = tuple(lines[:first])
    return Table(
        path, form.columns, cells, f"xlsx, {header}", "" if alone else title, preamble, (), tuple(p + 1 for p in places)
    )


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime | date | time | timedelta):
        return str(_seconds(cell))
    return str(cell).replace("\t", " ").replace("\n", " ")


def _seconds(cell: object) -> object:
    """Return seconds since 1970 for a date and time, since midnight for a time of day, and other cells unchanged."""
    if isinstance(cell, datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=UTC)).timestamp()
    if isinstance(cell, time):
        return cell.hour * 3600 + cell.minute * 60 + cell.second + cell.microsecond / 1e6
    return cell.total_seconds() if isinstance(cell, timedelta) else cell


def _column(values: Sequence[object]) -> Cells:
    """Return a column as numbers, NaN where there is none; as text if a cell is neither."""
    found: list[float] = []
    for value in values:
        if isinstance(value, int | float):
            found.append(float(value))
        elif value is None or str(value).strip().lower() in MISSING:
            found.append(np.nan)
        elif (read := number(str(value).strip(), ".")) is not None:
            found.append(read)
        else:
            return ["" if value is None else str(value) for value in values]
    values_n = np.array(found, dtype=np.float64)
    values_n[~np.isfinite(values_n)] = np.nan
    return values_n
