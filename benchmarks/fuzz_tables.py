"""Seeded mutations of tables, CSV and Parquet, for check_fuzz.py."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_mutations import mutate_bytes, mutate_text

CELLS = [
    *(
        "NaN",
        "-inf",
        "1e999",
        "-1e999",
        "9" * 400,
        "9" * 5000,
        str(2**53),
        str(2**64),
        "-1",
        "0",
        "0.5",
        "1e-300",
        "1e308",
    ),
    *(
        "",
        " ",
        "x",
        "true",
        "None",
        "1_000",
        "0x10",
        "1,5",
        "1.5.2",
        "\u0661\u0662",
        "\u00bd",
        "1e5e5",
        "+-1",
        "1G",
        "1 G",
    ),
    *(
        "=1+1",
        "\x1b[31m",
        "<b>x</b>",
        "a" * 20_000,
        "64x",
        "0x0",
        "99999x99999",
        "2",
        "640",
        "512x640",
        "1e9",
        "a\nb",
        'a"b',
    ),
]
NAMES = [
    *(
        "",
        " ",
        "ap",
        "AP",
        "score",
        "macs",
        "MACs",
        "flops",
        "gflops",
        "latency",
        "params",
        "memory",
        "seed",
        "epoch",
        "loss",
    ),
    *(
        "name",
        "family",
        "size",
        "width",
        "repeats",
        "head_depth",
        "x",
        "a" * 20_000,
        "\x1b[31m",
        "1",
        "nan",
        "__class__",
    ),
]
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1252", "utf-7", "cp037")


def mutate_csv(file: Path, rng: random.Random) -> None:
    """Cells, columns, lines, delimiters and encodings; or mutated text or bytes."""
    kind = rng.randrange(12)
    if kind == 0:
        rng.choice([mutate_text, mutate_bytes])(file, rng)
        return
    rows = list(csv.reader(io.StringIO(file.read_text())))
    if kind in (1, 2):
        _write(file, rows, rng.choice([";", "\t", "|", " ", ",,"]) if kind == 1 else ",", rng.choice(_ENCODINGS))
        return
    for _ in range(rng.choice((1, 1, 2, 3))):
        _mutate_rows(rows, rng)
    _write(file, rows, ",", "utf-8")


def _mutate_rows(rows: list[list[str]], rng: random.Random) -> None:
    width = len(rows[0]) if rows else 0
    row, column = rng.randrange(len(rows) or 1), rng.randrange(width or 1)
    match rng.randrange(9):
        case 0 if width > 1:  # a column less
            for line in rows:
                del line[column : column + 1]
        case 1 if width:  # a column of another name, or one of its own
            rows[0][column] = rng.choice(NAMES)
        case 2 if width:
            rows[0].append(rng.choice(NAMES))
            cell = rng.choice(CELLS)
            for line in rows[1:]:
                line.append(cell)
        case 3 if rows:  # a column of one cell
            cell = rng.choice(CELLS)
            for line in rows[1:]:
                line[column : column + 1] = [cell]
        case 4 if rows:  # lines removed, doubled, of other lengths
            rows.insert(row, rng.choice([[], rows[row], rows[row] * 3, rows[row][:1], rows[0], ["", ""], ["x"] * 300]))
        case 5 if rows:
            del rows[row : row + rng.choice([1, 3, 100])]
        case 6 if len(rows) > 2:
            rng.shuffle(rows if rng.random() < 0.3 else rows[1:])
        case _ if rows:
            rows[row][column : column + 1] = [rng.choice(CELLS)]


def _write(file: Path, rows: list[list[str]], delimiter: str, encoding: str) -> None:
    ends = "\r" if len(rows) % 3 == 0 else "\n"
    if len(delimiter) == 1:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator=ends).writerows(rows)
        file.write_text(text.getvalue(), encoding=encoding, errors="replace", newline="")
    else:
        file.write_text(ends.join(delimiter.join(row) for row in rows), encoding=encoding, errors="replace", newline="")


def mutate_parquet(file: Path, rng: random.Random) -> None:
    """Columns of other types, names and values, tables without lines, or broken bytes."""
    try:
        import pyarrow
        from pyarrow.parquet import read_table, write_table
    except ImportError:  # an extra; the whole run asks for it
        mutate_bytes(file, rng)
        return
    if rng.random() < 0.25:
        mutate_bytes(file, rng)
        return
    table = read_table(file)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(table.num_columns)
        name, column = table.column_names[at], table.column(at)
        match rng.randrange(8):
            case 0:
                table = table.remove_column(at)
                if not table.num_columns:
                    break
            case 1:
                table = table.rename_columns([rng.choice(NAMES) if n == name else n for n in table.column_names])
            case 2:
                table = table.append_column(rng.choice([name, *NAMES]), column)
            case 3:
                table = table.slice(0, rng.choice([0, 1, 2]))
            case 4:
                table = pyarrow.concat_tables([table, table])
            case _:
                table = table.set_column(at, name, _arrow_column(len(column), rng))
    write_table(table, file, compression=rng.choice(["none", "snappy", "zstd"]), row_group_size=rng.choice([1, 1000]))


def _arrow_column(lines: int, rng: random.Random) -> Any:
    """A column of any of Arrow's types, nested and null ones among them."""
    import datetime
    import decimal

    import pyarrow

    cells: list[tuple[Any, Any]] = [
        (None, None),
        (True, None),
        (float("nan"), None),
        (float("inf"), None),
        (-1.5, pyarrow.float16()),
        (1e308, None),
        (2**63, pyarrow.uint64()),
        (-(2**63), None),
        (2**53 + 1, None),
        ("x" * 20_000, None),
        ("\x1b[31m<b>", None),
        ("1e999", None),
        ("", None),
        (b"\xff\x00", None),
        ([1, 2], None),
        ([[[[1]]]], None),
        ({"a": {"b": 1}}, None),
        ([("a", 1)], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
        (datetime.date(1, 1, 1), None),
        (datetime.datetime(9999, 12, 31), pyarrow.timestamp("us", tz="Europe/Berlin")),
        (2**50, pyarrow.timestamp("s")),
        (2**62, pyarrow.timestamp("ns")),
        (-(2**63) + 1, pyarrow.timestamp("us")),
        (2**62, pyarrow.duration("s")),
        (86_399_999_999_999, pyarrow.time64("ns")),
        (2**31 - 1, pyarrow.date32()),
        (-(2**31), pyarrow.date32()),
        (2**62, pyarrow.date64()),
        (decimal.Decimal("1e20"), pyarrow.decimal128(38, 2)),
        (decimal.Decimal("9" * 70), pyarrow.decimal256(76, 0)),
    ]
    cell, type_ = rng.choice(cells)
    column = pyarrow.array([cell if rng.random() < 0.9 else None for _ in range(lines)], type_)
    return column.dictionary_encode() if type_ is None and isinstance(cell, str) and rng.random() < 0.5 else column


TABLES: dict[str, Callable[[Path, random.Random], None]] = {".csv": mutate_csv, ".parquet": mutate_parquet}
