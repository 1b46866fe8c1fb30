"""Rows: exact round trips, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scalesearch.records.row import Row, RowError, TrainingKey, from_dict, from_json

MakeRow = Callable[..., Row]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ap": None},
        {"kind": "winner", "seed": 2, "member": 1},
        {"kind": "baseline", "name": "paper", "state": "failed", "reason": "loss is not finite at step 3"},
        {"curve": (), "final": {}, "per_class": {}, "epochs_done": 0},
        {"losses": ((1, 1.25, 1, 0.005), (2, 0.1 + 0.2, 0.2, 1e-17))},
        {"told": ()},
        {"told": ("0-41,43", "7")},
        {"kind": "repeat", "told": ("0-4", ""), "turn": 0},
    ],
)
def test_a_row_comes_back_exactly(make_row: MakeRow, fields: dict[str, Any]) -> None:
    row = make_row(**fields)
    text = row.to_json()
    assert "\n" not in text
    back = from_json(text)
    assert back == row
    assert back.to_json() == text
    assert back.spec.id == row.spec_id
    # == does not tell 1 from 1.0: the types must be the same too.
    assert repr(back.to_dict()) == repr(row.to_dict())


def test_floats_keep_every_digit(make_row: MakeRow) -> None:
    values = {"a": 0.1 + 0.2, "b": 1 / 3, "c": 5e-324, "d": 1.7976931348623157e308, "e": -0.0}
    back = from_json(make_row(final=values).to_json()).final
    assert {name: repr(value) for name, value in back.items()} == {name: repr(v) for name, v in values.items()}


def test_two_rows_of_one_training_differ_in_times_only(make_row: MakeRow) -> None:
    first, second = make_row(), make_row(seconds=99.0, images_per_second=1.5)
    times = {"seconds", "images_per_second", "peak_memory"}
    assert first.to_json() != second.to_json()
    assert [n for n, v in first.to_dict().items() if v != second.to_dict()[n]] == ["seconds", "images_per_second"]
    assert {n: v for n, v in first.to_dict().items() if n not in times} == {
        n: v for n, v in second.to_dict().items() if n not in times
    }
    assert first.key == second.key
    assert first.file_name == second.file_name


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"final": {"ap": math.nan}}, "final.ap is nan"),
        ({"seconds": math.inf}, "seconds is inf"),
        ({"curve": ((1, {"ap": math.nan}),)}, "curve[0][1].ap is nan"),
        ({"cost": {"macs": np.int64(3)}}, "cost.macs is a int64"),
        ({"machine": {"path": {1, 2}}}, "machine.path is a set"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_name(make_row: MakeRow, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError) as caught:
        make_row(**fields).to_json()
    assert str(caught.value) == f"a row holds finite numbers, text, lists and mappings, but {said}"


def _changed(row: Row, **changes: Any) -> str:
    data = {**row.to_dict(), **changes}
    return json.dumps({name: value for name, value in data.items() if value != "DROP"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": 2}, "rows of schema 1 are read here, but got schema 2; use the version of"),
        ({"schema": "DROP"}, "rows of schema 1 are read here, but got schema None"),
        ({"colour": 1}, "a row has no field 'colour'"),
        ({"seed": "DROP"}, "a row needs the field 'seed'"),
        ({"seed": "0"}, "seed must be int, but got '0'"),
        ({"seed": True}, "seed must be int, but got True"),
        ({"member": 1.5}, "member must be int | null, but got 1.5"),
        ({"final": None}, "final must be object, but got None"),
        ({"kind": "try"}, "kind: Invalid enum value 'try'"),
        ({"state": "done"}, "state: Invalid enum value 'done'"),
        ({"spec": {"size": [64, 64]}}, "a detector needs the field 'classes'"),
        ({"curve": [[1]]}, "curve[0]: Expected 'array' of length 2, got 1"),
        ({"losses": [[1, 0.5]]}, "losses[0]: Expected 'array' of length 4, got 2"),
        ({"losses": [[1, 0.5, 0.4, None]]}, "losses[0][3] must be int | float, but got None"),
        ({"curve": [[1, {"ap": "high"}]]}, "curve[0][1]['ap'] must be int | float | null, but got 'high'"),
        ({"per_class": {"cat": [1]}}, "per_class['cat'] must be int | float | null, but got [1]"),
        ({"cost": {"macs": None}}, "cost['macs'] must be int | float, but got None"),
        ({"splits": {"train": 3}}, "splits['train'] must be str, but got 3"),
        ({"point": {"size": [1]}}, "point['size'] must be"),
        ({"told": ["0-"]}, "told: ordinals are written as 0-41,43, but got '0-'"),
        ({"told": ["3,0-2"]}, "told: ordinals are written in ascending order"),
        ({"spec": [1]}, "a detector is a mapping of its fields, but got [1]"),
    ],
)
def test_what_is_no_row_is_refused(make_row: MakeRow, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(RowError) as caught:
        from_json(_changed(make_row(), **changes))
    assert str(caught.value).startswith(said)


def test_torn_text_and_nan_are_refused(make_row: MakeRow) -> None:
    text = make_row().to_json()
    for cut in (0, 1, len(text) // 2, len(text) - 1):
        with pytest.raises(RowError, match="not JSON .*probably torn"):
            from_json(text[:cut])
    with pytest.raises(RowError, match="a row is a JSON object, but got list"):
        from_json("[]")
    with pytest.raises(RowError, match="numbers are finite, but got NaN"):
        from_json(text.replace("12.345678901234567", "NaN"))


def test_an_equal_training_has_an_equal_key(make_row: MakeRow) -> None:
    row = make_row()
    splits = (("evaluated", "20 % of train (seed 0)"), ("train", "train minus 20 % (seed 0)"))
    assert row.key == TrainingKey(row.spec_id, row.recipe_id, "0123456789ab", 0, 3, splits)
    assert make_row(kind="winner", ordinal=5, proposed_by="tpe", seconds=1.0).key == row.key
    others: list[dict[str, Any]] = [
        {"width": 24},
        {"recipe_id": "x"},
        {"data": "x"},
        {"seed": 1},
        {"epochs_planned": 4},
        {"splits": {**row.splits, "evaluated": "val"}},
    ]
    assert len({make_row(**fields).key for fields in others} | {row.key}) == len(others) + 1


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"ordinal": 3}, "search-000003.json"),
        ({"ordinal": 3, "member": 1}, "search-000003-m1.json"),
        ({"kind": "winner", "spec_id": "abc", "seed": 1}, "winner-abc-s1.json"),
        ({"kind": "repeat", "ordinal": 3, "seed": 7}, "repeat-000003-s7.json"),
        ({"kind": "baseline", "name": "paper"}, "baseline-paper-s0.json"),
        ({"kind": "baseline", "name": "paper", "member": 2}, "baseline-paper-m2-s0.json"),
    ],
)
def test_a_row_has_its_file(make_row: MakeRow, fields: dict[str, Any], name: str) -> None:
    assert make_row(**fields).file_name == name


def test_every_field_is_in_the_json(make_row: MakeRow) -> None:
    row = make_row(kind="repeat", losses=((1, 0.5, 0.4, 0.002),), steps=9, told=("0-4", ""), turn=0)
    assert list(row.to_dict()) == [item.name for item in dataclasses.fields(Row)]
    assert from_dict(row.to_dict()) == row


def test_a_row_from_before_losses_and_told_were_kept_stays_as_it_is(make_row: MakeRow) -> None:
    row = make_row()
    assert not {"losses", "told", "turn"} & set(row.to_dict())
    assert from_json(row.to_json()).losses == ()
