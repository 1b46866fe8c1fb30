"""What `fit` reads: each wrong cell is one line with its file, line and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.app.scaling_rows import read_scaling_rows

ROWS = "name,macs,ap\na,2.54G,34.3\nb,6.1e9,40.2\nc,11000000000,43.5\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "rows.csv"
    file.write_text(text)
    return file


def test_costs_with_and_without_units(tmp_path: Path) -> None:
    found = read_scaling_rows(written(tmp_path, ROWS), None)
    assert [member.macs for member in found.families["rows"]] == [2.54e9, 6.1e9, 11e9]
    assert found.unit == 1.0 and [member.ap for member in found.families["rows"]] == [34.3, 40.2, 43.5]


@pytest.mark.parametrize(("are", "share"), [("multiply-adds", 1.0), ("twice", 0.5)])
def test_flops_are_what_the_user_says(tmp_path: Path, are: str, share: float) -> None:
    found = read_scaling_rows(written(tmp_path, ROWS.replace("macs", "flops")), are)
    assert found.families["rows"][0].macs == pytest.approx(2.54e9 * share)


def test_families_seeds_epochs_sizes_and_fractions(tmp_path: Path) -> None:
    text = """\
family,name,macs,size,seed,epoch,ap
x,a,1G,512x128,0,10,0.1
x,a,1G,512x128,0,20,0.2
x,a,1G,512x128,1,20,0.3
x,a,1G,512x128,2,10,0.9
y,a,2G,640,0,20,0.4
"""
    found = read_scaling_rows(written(tmp_path, text), None)
    (x,), (y,) = found.families["x"], found.families["y"]
    assert found.unit == 100.0 and x.aps == (20.0, 30.0) and x.size == 256.0 and y.size == 640.0
    assert "1 trainings left out that end before the last epoch 20" in found.facts


def test_without_names_the_other_columns_tell_detectors_apart(tmp_path: Path) -> None:
    text = "width,depth,macs,seed,ap\n1,1,1G,0,30\n1,1,1G,1,31\n2,1,2G,0,33\n"
    found = read_scaling_rows(written(tmp_path, text), None)
    assert [member.aps for member in found.families["rows"]] == [(30.0, 31.0), (33.0,)]


@pytest.mark.parametrize(
    ("text", "are", "message"),
    [
        (ROWS.replace("macs", "flops"), None, "rows.csv:1: column 'flops': papers on detectors print multiply-adds"),
        (ROWS, "twice", "--flops-are is for a column flops, but "),
        (ROWS.replace("macs", "gflops"), None, "rows.csv:1: column 'gflops': write flops, with G after each number"),
        (ROWS.replace("macs", "MACs"), None, "rows.csv:1: column 'MACs' is not a name here: write macs"),
        (ROWS.replace("macs", "cost"), None, "rows.csv:1: a table has a column ap and one of macs and flops"),
        (ROWS.replace("2.54G", "2.54"), None, "rows.csv:2: column 'macs': must be at least 100,000 (2.54 G is 2.54G"),
        (ROWS.replace("2.54G", "cheap"), None, "rows.csv:2: column 'macs': must be a number above 0"),
        (
            ROWS.replace("2.54G", ""),
            None,
            "rows.csv:2: column 'macs': must be a number above 0, as 2.54e9 or 2.54G, but",
        ),
        (
            ROWS.replace("40.2", "140.2"),
            None,
            "rows.csv:3: column 'ap': must be a number from 0 to 1, or to 100, but got",
        ),
        (
            ROWS.replace("40.2", "0.402"),
            None,
            "rows.csv:3: column 'ap': must be from 0 to 1 in all lines, or from 1 to",
        ),
        (ROWS.replace("40.2", "nan"), None, "rows.csv:3: column 'ap': numbers are finite"),
        (ROWS.replace("c,", "a,"), None, "rows.csv:4: a detector has one cost and size, but 'a' has others in line 2"),
        (
            ROWS + "a,2.54G,34.9\n",
            None,
            "rows.csv:5: a line is of another detector, seed or epoch than the others, but",
        ),
        (ROWS.replace("c,", ","), None, "rows.csv:4: column 'name': must be a name, but got nothing"),
        ("name,macs,size,ap\na,1G,big,3\n", None, "rows.csv:2: column 'size': must be the input's pixels"),
        ("name,macs,seed,ap\na,1G,0.5,3\n", None, "rows.csv:2: column 'seed': must be a whole number of at least 0"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path: Path, text: str, are: str | None, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the message is looked at
        read_scaling_rows(written(tmp_path, text), are)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_no_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a study's folder or a .csv or .parquet file"):
        read_scaling_rows(tmp_path / "rows.yaml", None)
    with pytest.raises(ValueError, match="reading it failed"):
        read_scaling_rows(tmp_path / "none.csv", None)


def test_costs_and_losses_tell_no_detectors_apart(tmp_path: Path) -> None:
    file = tmp_path / "curves.csv"
    lines = [
        f"bifpn,{size},{size}e6,{size}e3,{seed},{epoch},{3 / epoch + seed},{0.2 + 0.1 * epoch}"
        for size in (64, 96)
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    file.write_text("\n".join(["topology,size,macs,activations,seed,epoch,loss,ap", *lines]))
    (found,) = read_scaling_rows(file, None).families.values()
    assert [one.aps for one in found] == [pytest.approx((40.0, 40.0))] * 2
