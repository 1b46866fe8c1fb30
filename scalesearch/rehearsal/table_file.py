"""Reader of the file of a plain table: CSV or Parquet to columns of names and numbers, each cell with its line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from scalesearch.inputs.files import read_start
from scalesearch.inputs.quoting import quoted
from scalesearch.io.target import kind_of

SUFFIXES = (".csv", ".parquet")
MOST_BYTES = 2**28
"""The largest table: 256 MiB, of a Parquet file as decoded."""
MOST_LINES = 1_000_000
MOST_COLUMNS = 256
_BATCH = 1024
"""Rows of a Parquet file that are decoded at a time: a few bytes can stand for a million long names."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TYPES = re.compile(
    r"(dictionary<values=)?((large_)?string(_view)?|u?int\d+|halffloat|float|double|bool|null)(, indices.*)?"
)
"""Arrow's types of names, numbers and truth values."""
_NO_NUMBER = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_EXACT = 2**53
"""Whole numbers below this are equal as integers and as floats."""

CellValue = str | int | float | None
"""A name, a finite number, or None where the file has nothing."""


class TableError(ValueError):
    """A file is no table, in one line: `file:line: rule, value, mend`."""


@dataclass(frozen=True)
class TableFile:
    """The columns of a table by name, without empty lines."""

    path: Path
    columns: Mapping[str, Sequence[CellValue]]
    lines: Sequence[int]
    """The line of each row, for messages; the header of a CSV file is line 1."""

    def error(self, row: int, rule: str) -> TableError:
        """Return the error at this row, for the caller to raise."""
        return TableError(f"{self.path}:{self.lines[row]}: {rule}")


def read_table_file(path: Path) -> TableFile:
    """Read a CSV file (UTF-8, commas, a header) or a Parquet file. Numbers are finite; a NaN is an error.

    Raises TableError for anything else, and where the file is beyond the bounds.
    """
    try:
        found = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise TableError(f"{path}: a table is a file, but reading it failed ({reason}); check the path") from None
    if not found.lines:
        raise TableError(f"{path}: a table has a line for each point, seed and epoch, but this one has none")
    return found


def _csv(path: Path) -> TableFile:
    raw = read_start(path, MOST_BYTES + 1)
    _bounded(path, len(raw), 0, 0)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: a table is UTF-8 text, but byte {error.start} is not; save it as UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines, rows = [], []
    try:
        names = [name.strip() for name in next(reader, [])]
        for row in islice(reader, MOST_LINES + 1):
            if len(row) not in (0, len(names)):
                raise TableError(
                    f"{path}:{reader.line_num}: a line has a cell for each of the {len(names)} columns, but got {len(row)}"
                )
            if row:
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: not CSV: {error}") from None
    _check_names(path, names)
    _bounded(path, 0, len(rows), len(names))
    columns = zip(*rows, strict=True) if rows else ([] for _ in names)
    return TableFile(path, _converted(path, names, columns, lines), lines)


def _parquet(path: Path) -> TableFile:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise TableError(
            f"{path}: a Parquet file is read by pyarrow, which is not installed; pip install pyarrow, or save it as CSV"
        ) from None
    if kind := kind_of(path):
        raise TableError(f"{path}: a Parquet table is a file, but this is {kind}; check the path")
    try:
        with ParquetFile(path) as file:
            about = file.metadata
            names = list(file.schema_arrow.names)
            _check_names(path, names)
            _check_types(path, file.schema_arrow)
            _bounded(path, 0, about.num_rows, len(names))
            columns: list[list[Any]] = [[] for _ in names]
            size = 0
            for batch in file.iter_batches(_BATCH):
                _bounded(path, size := size + batch.nbytes, 0, 0)
                for column, part in zip(columns, batch.columns, strict=True):
                    column += part.to_pylist()
    except (ArrowException, UnicodeDecodeError) as error:
        raise TableError(f"{path}: not Parquet: {quoted(' '.join(str(error).split()))}") from None
    lines = range(1, about.num_rows + 1)
    return TableFile(path, _converted(path, names, columns, lines), lines)


def _check_types(path: Path, schema: Any) -> None:
    """Raise TableError for a column of dates, lists, bytes or the like, some of whose values Python cannot hold."""
    for field in schema:
        if not _TYPES.fullmatch(str(field.type)):
            raise TableError(
                f"{path}: column {quoted(field.name)}: cells are names or numbers, but its type is "
                f"{quoted(str(field.type))}; write it as text, or leave it out"
            )


def _bounded(path: Path, size: int, rows: int, columns: int) -> None:
    for value, most, what in (
        (size / 2**20, MOST_BYTES // 2**20, "MiB"),
        (rows, MOST_LINES, "lines"),
        (columns, MOST_COLUMNS, "columns"),
    ):
        if value > most:
            raise TableError(f"{path}: a table has at most {most:,} {what}, but this one has more; take a part of it")


def _check_names(path: Path, names: Sequence[str]) -> None:
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        raise TableError(f"{path}:1: columns are separated by commas, but the header is {quoted(names[0])}")
    if not names or not all(names):
        raise TableError(f"{path}:1: the header names every column, but got {quoted(list(names))}")
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise TableError(f"{path}:1: a column's name is given once, but {quoted(twice)} is given twice")


def _converted(
    path: Path, names: Sequence[str], columns: Iterable[Sequence[Any]], lines: Sequence[int]
) -> dict[str, list[CellValue]]:
    found = {}
    for name, column in zip(names, columns, strict=True):
        known: dict[tuple[type, Any], CellValue] = {}  # a column has few distinct values
        cells = []
        for row, given in enumerate(column):
            key = (type(given), given)
            try:
                if key not in known:
                    known[key] = _cell(given)
            except ValueError as error:
                raise TableError(f"{path}:{lines[row]}: column {quoted(name)}: {error}") from None
            cells.append(known[key])
        found[name] = cells
    return found


def _cell(given: Any) -> CellValue:
    """Return the name or number of a text, a number (of NumPy's too) or a truth value; ValueError for NaN and infinity."""
    if isinstance(given, str):
        given = given.strip()
        if _NO_NUMBER.fullmatch(given):
            raise ValueError(f"numbers are finite, but got {given}")
        if not _NUMBER.fullmatch(given):
            return given or None
        given = float(given)
    if given is None:
        return None
    if isinstance(given, bool):
        return str(given)
    value = float(given) if abs(given) < 1e308 else math.inf * given if given else 0.0
    if not math.isfinite(value):
        raise ValueError(f"numbers are finite, but got {quoted(given)}")
    return int(value) if value.is_integer() and abs(value) < _EXACT else value
