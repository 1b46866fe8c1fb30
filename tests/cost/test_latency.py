"""A table of timings: its charges, its way through a file, its refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from scalesearch.arch.operator import Operator
from scalesearch.arch.scaling import named
from scalesearch.cost.latency import (
    FAR,
    NEAR,
    UNITS,
    HeldOut,
    LatencySetting,
    LatencyTable,
    amounts,
    from_dict,
    predict_latency,
    to_dict,
)
from scalesearch.cost.operators import operators
from scalesearch.plan.latency_table import read_table, write_table

KINDS = ("pointwise", "depthwise", "strided depthwise", "convolution", "product", "elementwise")


SETTING: dict[str, Any] = {"device": "a device", "backend": "eager", "precision": "fp32", "threads": 1, "batch": 1}
SETTING |= {"versions": {"torch": "2"}}


def table(batch: int = 1, **prices: Any) -> LatencyTable:
    """A nanosecond for each multiply-add of a convolution and each element written, a microsecond for a call."""
    known = {kind: {"calls": 1e-6, "macs": 1e-10, "written": 1e-9} for kind in KINDS} | prices
    setting = LatencySetting(**SETTING | {"batch": batch})
    return LatencyTable(
        setting=setting,
        reference=0.003,
        prices=known,
        error=HeldOut(candidates=10, mean=0.05, worst=0.1),
        made_from={"0123": (10, 0.5)},
    )


def test_one_convolution_by_hand() -> None:
    row = Operator("neck", "conv", 8, 16, (4, 5), (4, 5), after="silu")
    found = amounts((row, row._replace(live=False)))
    assert found == {
        "pointwise": dict(zip(UNITS, (1, 8 * 16 * 20, 8 * 20, 16 * 20, 8 * 16), strict=True)),
        "after silu": dict(zip(UNITS, (1, 0, 0, 16 * 20, 0), strict=True)),
    }


@pytest.mark.parametrize(
    ("channels", "groups", "charged"),
    [
        ((48, 96), 3, 3 * 16 * 32),  # whole sixteens: the multiply-adds that there are
        ((24, 48), 3, 3 * 16 * 16),  # 8 -> 16 channels in each group
        ((128, 128), 32, 32 * 16 * 16),  # ResNeXt's groups of 4: sixteen times their multiply-adds
        ((96, 96), 4, 4 * 32 * 32),  # 24 is two times 16
    ],
)
def test_groups_are_charged_as_filled_up(channels: tuple[int, int], groups: int, charged: int) -> None:
    row = Operator("backbone", "conv", *channels, (4, 5), (4, 5), (3, 3), groups=groups)
    (found,) = amounts((row,)).values()
    assert found["macs"] == charged * 9 * 20 >= row.macs
    assert amounts((row,), batch=3)["grouped"]["macs"] == 3 * found["macs"]


def test_a_prediction_is_the_sum_over_the_operators() -> None:
    spec, costs = named("d0"), table()
    calls = sum(row.live for row in operators(spec)) + sum(
        bool(row.after) for row in operators(spec) if row.name == "conv"
    )
    only_calls = table(**{kind: {"calls": 1e-6} for kind in KINDS})
    assert predict_latency(spec, only_calls) == pytest.approx(calls * 1e-6)
    assert predict_latency(spec, costs) > predict_latency(spec, only_calls)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("size", [(128, 128), (256, 256), (256, 512)]),
        ("width", [32, 48, 88]),
        ("repeats", [1, 2, 5]),
        ("head_depth", [0, 1, 4]),
    ],
)
def test_more_takes_longer(field: str, values: list[Any]) -> None:
    seconds = [predict_latency(dataclasses.replace(named("d0"), **{field: value}), table()) for value in values]
    assert seconds == sorted(seconds) and len(set(seconds)) == len(seconds)


def test_a_batch_takes_its_work_more_often_but_is_called_once() -> None:
    small = named("d0", size=(32, 32))  # Its maps fit into the cache at either batch.
    one, four = (predict_latency(small, table(batch)) for batch in (1, 4))
    calls = predict_latency(small, table(**{kind: {"calls": 1e-6} for kind in KINDS}))
    assert four - calls == pytest.approx(4 * (one - calls))


def test_what_no_near_cache_holds_is_charged_apart() -> None:
    row = Operator("backbone", "add", 8, 8, (256, 256), (256, 256), inputs=2)
    assert FAR not in amounts((row._replace(source=(64, 64), target=(64, 64)),))
    assert amounts((row,))[FAR]["written"] == 3 * 8 * 256 * 256 - NEAR
    assert amounts((row,), batch=2)[FAR]["written"] == 2 * 3 * 8 * 256 * 256 - NEAR


def test_a_file_brings_a_table_back(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "t.json")
    assert read_table(tmp_path / "t.json") == table()
    assert [file.name for file in tmp_path.iterdir()] == ["t.json"]


def test_a_table_says_what_it_is_and_two_that_differ_say_otherwise() -> None:
    assert table().description == table().description != dataclasses.replace(table(), reference=0.004).description
    assert table().description.startswith(
        "predicted for a device, eager, fp32, 1 thread, batch 1; error of a prediction: 5.0%"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 1}, "has schema 2, but this has 1"),
        ({"prices": {}}, "with a kind elementwise"),
        ({"prices": {"elementwise": {"macs": -1.0}}}, "but elementwise, macs is not"),
        ({"prices": {"elementwise": {"macs": float("nan")}}}, "numbers are finite, but got NaN"),
        ({"prices": {"elementwise": {"macs": "1"}}}, "prices['elementwise']['macs'] must be float, but got '1'"),
        ({"error": {"candidates": 3, "mean": -0.1, "worst": 1}}, "mean of an error must be a number of at least 0"),
        ({"made_from": {"x": [1]}}, "made_from['x']: Expected 'array' of length 2, got 1"),
        ({"reference": 0}, "the seconds of the reference operation must be positive and finite, but got 0.0"),
        (
            {"setting": SETTING | {"threads": "x"}},
            "setting.threads must be int, but got 'x'",
        ),
        ({"setting": SETTING | {"batch": 0}}, "batch of a setting must be a whole number of at least 1, but got 0"),
        ({"more": 1}, "a table of timings has no field 'more'"),
        ({"setting": {"device": "x"}}, "its setting needs the field 'backend'"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    (tmp_path / "t.json").write_text(json.dumps(to_dict(table()) | change))
    with pytest.raises(ValueError, match=r"t\.json: .*make it again with `scalesearch calibrate") as caught:
        read_table(tmp_path / "t.json")
    assert message in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scalesearch calibrate -o"):
        read_table(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ValueError, match=r"is an object, but got \[\]"):
        read_table(tmp_path / "list.json")
    (tmp_path / "text.json").write_text("what")
    with pytest.raises(ValueError, match="a table of timings is a JSON file, but .*; make it again with `scalesearch"):
        read_table(tmp_path / "text.json")
    assert from_dict(to_dict(table())) == table()
