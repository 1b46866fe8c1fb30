"""Plain tables: what is read from their file, what is refused at which line, and what they answer."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path

import pytest

from scalesearch.rehearsal.limits import read_limit, within_limits
from scalesearch.rehearsal.plain_table import PlainTable
from scalesearch.rehearsal.table_file import TableError, read_table_file

SMALL = """op,width,latency,params,seed,epoch,ap
conv,8,0.010,1000,0,1,0.10
conv,8,0.010,1000,0,3,0.30
conv,8,0.010,1000,1,1,0.20
conv,8,0.010,1000,1,3,0.50
pool,8,0.005,10,0,1,0.05
pool,8,0.005,10,0,3,0.15
pool,16,0.020,20,0,3,0.25
pool,16,0.020,20,0,1,0.12
"""


def table(folder: Path, text: str) -> PlainTable:
    file = folder / "t.csv"
    file.write_text(text)
    return PlainTable(read_table_file(file))


def test_points_costs_and_scores(tmp_path: Path) -> None:
    found = table(tmp_path, SMALL)
    assert [one.point for one in found.candidates] == [
        {"op": "conv", "width": 8},
        {"op": "pool", "width": 8},
        {"op": "pool", "width": 16},
    ]
    assert found.costs == ("latency", "params") and found.candidates[0].costs == ({"latency": 0.01, "params": 1000},)
    assert (found.epochs, found.first_epoch) == (3, 1)
    conv, _, wide = (one.members[0] for one in found.candidates)
    assert found.truth(conv) == pytest.approx(0.4) and found.truth(wide) == 0.25
    assert {found.ap(conv, seed, 3) for seed in range(20)} == {0.3, 0.5}
    assert found.ap(wide, 7, 2) == pytest.approx(0.185)  # between two recorded epochs
    curves = {tuple(found.ap(conv, seed, epoch) for epoch in (1, 3)) for seed in range(20)}
    assert curves == {(0.1, 0.3), (0.2, 0.5)}  # a study's seed has one curve


def test_neither_the_order_of_lines_nor_of_columns_counts(tmp_path: Path) -> None:
    names, *lines = [line.split(",") for line in SMALL.split()]
    order = (6, 0, 3, 2, 5, 1, 4)
    other = [[line[i] for i in order] for line in (names, *reversed(lines))]
    one, two = table(tmp_path, SMALL), table(tmp_path, "\n".join(map(",".join, other)))
    assert one.fingerprint == two.fingerprint
    assert {c.key for c in one.candidates} == {c.key for c in two.candidates}
    assert two.costs == ("params", "latency")
    changed = table(tmp_path, SMALL.replace("0.25", "0.26"))
    assert changed.fingerprint != one.fingerprint


def test_seed_and_epoch_may_be_left_out(tmp_path: Path) -> None:
    found = table(tmp_path, "﻿x,macs,score\r\n1,2,-3\r\n\r\n1.5,4,5e-1\r\n")
    assert [one.point for one in found.candidates] == [{"x": 1}, {"x": 1.5}]
    assert [found.truth(one.members[0]) for one in found.candidates] == [-3.0, 0.5] and found.epochs == 1


HEAD = "op,macs,seed,epoch,ap\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv:1: the header names every column"),
        ("op;macs;ap\na;1;2\n", "t.csv:1: columns are separated by commas"),
        ("op,op,macs,ap\na,b,1,2\n", "t.csv:1: a column's name is given once, but 'op' is given twice"),
        (HEAD, "t.csv: a table has a line for each point, seed and epoch, but this one has none"),
        (HEAD + "a,1,0,1\n", "t.csv:2: a line has a cell for each of the 5 columns, but got 4"),
        ('op,macs,ap\n"a,1,2\n', "t.csv:2: not CSV: unexpected end of data"),
        (HEAD + "a,1,0,1,\nb,1,0,1,1\n", "t.csv:2: column 'ap': must be a number, but got nothing"),
        (HEAD + "a,1,0,1,1\nb,1,0,1,nan\n", "t.csv:3: column 'ap': numbers are finite, but got nan"),
        (HEAD + "a,1,0,1,1\nb,1,0,1,1e999\n", "t.csv:3: column 'ap': numbers are finite, but got"),
        (HEAD + "a,1,0,1,1\nb,1,0,1,good\n", "t.csv:3: column 'ap': must be a number, but got 'good'"),
        (HEAD + "a,1,0,1,1\nb,0,0,1,1\n", "t.csv:3: column 'macs': must be a number above 0, but got 0"),
        (
            HEAD + "a,1,0,1,1\nb,3,0,1,1\na,2,1,1,1\n",
            "t.csv:4: column 'macs': a point has the same cost in all of its lines, but here 2 and in line 2 1",
        ),
        (HEAD + "a,1,0,1,1\nb,3,0,1,1\na,1,0,1,2\n", "t.csv:4: a line is of another point, seed or epoch"),
        (HEAD + "a,1,0,1,1\n7,3,0,1,1\n", "t.csv:3: column 'op': an axis has names or numbers, but here is 7"),
        (HEAD + "a,1,0,1,1\n,3,0,1,1\n", "t.csv:3: column 'op': a point has a value, but got nothing"),
        (
            HEAD + "a,1,0.5,1,1\nb,3,0,1,1\n",
            "t.csv:2: column 'seed': must be a whole number of at least 0, but got 0.5",
        ),
        (HEAD + "a,1,0,0,1\nb,3,0,1,1\n", "t.csv:2: column 'epoch': must be a whole number of at least 1, but got 0"),
        (HEAD + "a,1,0,9,1\nb,3,0,1,1\n", "t.csv:3: every training goes on to the table's last epoch 9"),
        (HEAD + "a,1,0,1,1\n", "t.csv: a table has at least two points, but all its 1 lines are of one"),
        ("op,flops,ap\na,1,1\nb,2,1\n", "t.csv:1: column 'flops' is not a name here: write macs, the multiply-adds"),
        ("op,accuracy,macs\na,1,1\nb,2,1\n", "t.csv:1: column 'accuracy' is not a name here: write ap"),
        ("op,macs,AP\na,1,1\nb,2,1\n", "t.csv:1: column 'AP' is not a name here: write ap"),
        ("op,width,ap\na,1,1\nb,2,1\n", "t.csv:1: a table has a cost, one of macs, params,"),
        ("op,macs\na,1\nb,2\n", "t.csv:1: a table has one column ap or score"),
        ("op,macs,ap,score\na,1,1,1\nb,2,1,1\n", "the higher the better, but got ap and score"),
        ("macs,ap\n1,1\n2,1\n", "t.csv:1: a table has columns that tell its points apart"),
    ],
)
def test_what_is_no_table_is_refused_at_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError) as caught:
        table(tmp_path, text)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="reading it failed"):
        read_table_file(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(b"op,macs,ap\n\xe9,1,2\n")
    with pytest.raises(TableError, match="a table is UTF-8 text, but byte 11 is not"):
        read_table_file(tmp_path / "latin.csv")
    (tmp_path / "wide.csv").write_text(",".join(f"c{i}" for i in range(300)) + "\n")
    with pytest.raises(TableError, match="a table has at most 256 columns"):
        read_table_file(tmp_path / "wide.csv")


def test_a_large_table_is_read_in_seconds(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    with file.open("w") as out:
        write = csv.writer(out)
        write.writerow(["a", "b", "c", "latency", "params", "seed", "ap"])
        for i in range(50_000):
            point = i // 2
            write.writerow([point // 500, f"w{point % 500}", point % 7, 0.1 + point, 1 + point, i % 2, i / 50_000])
    started = time.process_time()
    assert len(PlainTable(read_table_file(file)).candidates) == 25_000
    assert time.process_time() - started < 10  # half a second where nothing else runs


def test_parquet_is_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import csv as arrow_csv
    from pyarrow.parquet import write_table

    text = tmp_path / "t.csv"
    text.write_text(SMALL)
    file = tmp_path / "t.parquet"
    write_table(arrow_csv.read_csv(text), file)
    assert PlainTable(read_table_file(file)).fingerprint == table(tmp_path, SMALL).fingerprint
    file.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(TableError, match="not Parquet"):
        read_table_file(file)


def test_parquet_of_dates_lists_and_durations_is_refused_by_its_column(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    file = tmp_path / "t.parquet"
    columns = {
        "duration[s]": arrow.array([2**62], arrow.duration("s")),  # more days than Python's timedelta holds
        "timestamp[us]": arrow.array([-(2**63) + 1], arrow.timestamp("us")),
        "list<": arrow.array([[1, 2]]),
        "struct<": arrow.array([{"a": 1}]),
        "binary": arrow.array([b"x"]),
        "decimal128": arrow.array([None], arrow.decimal128(38, 2)),
    }
    for kind, column in columns.items():
        write_table(arrow.table({"ap": [0.5], "strange": column}), file)
        with pytest.raises(
            TableError, match=rf"'strange': cells are names or numbers, but its type is '{re.escape(kind)}"
        ):
            read_table_file(file)
    numbers = {"a": arrow.array([1.5], arrow.float16()), "b": arrow.array([True]), "c": arrow.array([None])}
    numbers |= {"d": arrow.array(["x"]).dictionary_encode(), "e": arrow.array(["2.5"], arrow.large_string())}
    write_table(arrow.table(numbers), file)
    assert read_table_file(file).columns == {"a": [1.5], "b": ["True"], "c": [None], "d": ["x"], "e": [2.5]}


@pytest.mark.parametrize(
    ("text", "widths"),
    [
        ("latency=0%..50%", [(8, "conv"), (8, "pool")]),
        ("latency=50%..", [(8, "conv"), (16, "pool")]),
        ("latency=8ms..100%", [(8, "conv"), (16, "pool")]),
        ("params=..0.02k", [(8, "pool"), (16, "pool")]),
    ],
)
def test_a_band_of_values_or_quantiles(tmp_path: Path, text: str, widths: list[tuple[int, str]]) -> None:
    found, _ = within_limits(table(tmp_path, SMALL).candidates, [read_limit(text)])
    assert [(one.point["width"], one.point["op"]) for one in found] == widths


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["latency"], "--band is NAME=LOW..HIGH, as latency=20%..40% or params=1M..2M, but got 'latency'"),
        (["latency=.."], "--band is NAME=LOW..HIGH"),
        (["flops=1..2"], "'flops' is not a name here: write macs"),
        (["speed=1..2"], "a band bounds macs, params,"),
        (["latency=1..2"], "a time is a positive number with s, ms or us after it, but got '1'"),
        (["latency=20%..140%"], "a percentage is at most 100, but got 140%"),
        (["params=40%..20%"], "the lower end is at most the upper, but got 18 and 14"),
        (["macs=1..2"], "the table has latency, params, but no macs"),
        (["params=1..2", "params=2..3"], "a cost has one band, but params has two"),
        (["params=1M..2M"], "a band must hold a point, but none of 3 is inside"),
    ],
)
def test_a_wrong_band_is_refused(tmp_path: Path, texts: list[str], said: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is looked at
        within_limits(table(tmp_path, SMALL).candidates, [read_limit(text) for text in texts])
    assert said in str(caught.value)
