"""Reading the tables of a file: CSV and other text, Parquet, and sheets of an xlsx file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.devices.base import Floats
from revalexo_clip.devices.tables_base import Cells, Table
from revalexo_clip.devices.tables_binary import read_parquet, read_xlsx
from revalexo_clip.devices.tables_form import COMMENTS, MISSING, Form, form_of

TEXT = frozenset({".csv", ".tsv", ".txt", ".tab", ".dat", ".log"})
PARQUET = frozenset({".parquet", ".pq"})
SUFFIXES = TEXT | PARQUET | {".xlsx"}
"""Suffixes of files with tables."""
_LOOKED_AT = 200
"""Lines from which the form of a file is found."""
_LONGEST = 100_000
"""Characters of a line that are looked at."""
_CHUNK = 50_000
"""Rows that are converted to numbers at a time, to limit memory."""
_FEW_DAMAGED = 0.05
"""Largest share of rows with another number of cells; more, and the form is wrong."""


def read_tables(path: Path) -> list[Table]:
    """Read the tables of a file: one, or one per sheet of an xlsx file that has numbers. Raises `DataError`."""
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"{path}: {'is not a file' if path.exists() else 'there is no such file'}")
    if suffix in PARQUET:
        return [read_parquet(path)]
    if suffix == ".xlsx":
        about = path.stat()
        return list(_sheets(path, about.st_mtime_ns, about.st_size))
    if suffix in {".xls", ".ods"}:
        raise DataError(f"{path}: {suffix} files cannot be read; save it as .xlsx or .csv")
    if suffix == ".zip":
        raise DataError(f"{path}: is an archive; unpack it, and give the folder")
    return [read_text(path)]


@lru_cache(maxsize=1)
def _sheets(path: Path, changed: int, size: int) -> tuple[Table, ...]:
    """Read an xlsx file once, though formats look into it before it is read: large ones take minutes."""
    del changed, size  # another file by the same name is read again
    return tuple(read_xlsx(path))


def read_text(path: Path) -> Table:
    """Read a table from a text file. Raises `DataError` if no table is found in it."""
    try:
        with path.open("rb") as file:
            encoding = _encoding_of(path, file.read(_LONGEST))
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            lines = [line.rstrip("\r\n")[:_LONGEST] for line in islice(file, _LOOKED_AT)]
            form = form_of(lines)
            if form is None:
                raise DataError(f"{path}: {_no_table(lines)}")
            file.seek(0)
            return _read_rows(path, form, file, tuple(lines[: form.data]))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise DataError(f"{path}: is not a text file with a table: {error}") from error


def _no_table(lines: Sequence[str]) -> str:
    if not any(line.strip() for line in lines):
        return "is empty"
    shown = next(line.strip() for line in lines if line.strip())[:60]
    return (
        f"no rows with two or more columns of numbers were found; its first line is '{shown}'. Cells may be separated "
        "by ',', ';', tabs, '|' or spaces"
    )


def _encoding_of(path: Path, start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in start:
        raise DataError(f"{path}: is not a text file; tables are in CSV, TSV, Parquet or xlsx files")
    try:
        start.rpartition(b"\n")[0].decode("utf-8-sig")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _cells_of(form: Form, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line of data and its cells."""
    wanted = ((place + 1, line) for place, line in enumerate(lines) if place >= form.data)
    wanted = ((place, line) for place, line in wanted if line.strip() and not line.lstrip().startswith(COMMENTS))
    if form.delimiter == " ":
        yield from ((place, line.split()) for place, line in wanted)
        return
    places: list[int] = []

    def remembered() -> Iterator[str]:
        for place, line in wanted:
            places.append(place)
            yield line.rstrip("\r\n")

    for row in csv.reader(remembered(), delimiter=form.delimiter, skipinitialspace=True):
        yield places[-1], row
        places.clear()


def _read_rows(path: Path, form: Form, lines: Iterator[str], preamble: tuple[str, ...]) -> Table:
    columns = len(form.columns)
    parts: list[list[Cells]] = [[] for _ in form.columns]
    places: list[int] = []
    damaged: list[int] = []
    rows = _cells_of(form, lines)
    while chunk := list(islice(rows, _CHUNK)):
        whole = []
        for place, row in chunk:
            if len(row) < columns or any(cell.strip() for cell in row[columns:]):
                damaged.append(place)
            else:
                places.append(place)
                whole.append(row[:columns])
        for part, cells in zip(parts, zip(*whole, strict=True), strict=False):
            part.append(_converted(cells, form.decimal))
    if not places or len(damaged) > max(3, _FEW_DAMAGED * len(places)):
        raise DataError(
            f"{path}: {counted(len(damaged), 'line')} (the first is line {damaged[0]}) have not the {columns} cells "
            f"of the header ({form.describe()})"
        )
    notes: tuple[str, ...] = ()
    if damaged:
        what = counted(len(damaged), "line")
        notes = (f"{path.name}: {what} with too few or too many cells left out, the first is line {damaged[0]}",)
    cells = tuple(_joined(part) for part in parts)
    return Table(path, form.columns, cells, form.describe(), preamble=preamble, notes=notes, lines=tuple(places))


def _converted(cells: Sequence[str], decimal: str) -> Cells:
    """Return a column as numbers, NaN where there is none; as text if a cell is neither."""
    texts = [cell.strip() for cell in cells]
    if decimal == ",":
        texts = [text.replace(",", ".") for text in texts]
    try:
        values_n = np.array(texts, dtype=np.str_).astype(np.float64)
    except ValueError:
        filled = ["nan" if text.lower() in MISSING else text for text in texts]
        try:
            values_n = np.array(filled, dtype=np.str_).astype(np.float64)
        except ValueError:
            return texts
    values_n[~np.isfinite(values_n)] = np.nan
    return values_n


def _joined(parts: Sequence[Cells]) -> Cells:
    if any(isinstance(part, list) for part in parts):
        return [text for part in parts for text in (part if isinstance(part, list) else _texts(part))]
    return np.concatenate([part for part in parts if not isinstance(part, list)])


def _texts(values_n: Floats) -> list[str]:
    return ["" if np.isnan(value) else repr(value) for value in values_n.tolist()]
