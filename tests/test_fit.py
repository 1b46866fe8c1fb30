"""The verb `fit` as a user types it, on a small CSV file and on a committed study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from scalesearch.app.family_plan import member_name
from scalesearch.cli import cli
from scalesearch.cost.price import price
from scalesearch.plan.plan import read_plan
from scalesearch.profile.resolve import resolve_spec

CSV = "name,flops,ap,size,params\nn,8.7G,37.3,640,3.2M\ns,28.6G,44.9,640,11.2M\nm,78.9G,50.2,640,25.9M\nl,165.2G,52.9,640,43.7M\n"
TABLE = Path(__file__).parents[1] / "results" / "table_bccd"
OTHER_KINDS = 12
"""Nine networks besides bifpn, and three spans of levels besides 2 to 5."""
STUDY = Path(__file__).parents[1] / "results" / "width_grid"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    file = tmp_path / "yolov8.csv"
    file.write_text(CSV)
    return file


def fit(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["fit", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def refused(*arguments: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the caller looks at the message
        CliRunner().invoke(cli, ["fit", *map(str, arguments)], catch_exceptions=False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_with_budgets(table: Path) -> None:
    text = fit(table, "--flops-are", "twice", "--budgets", "129G,258G")
    for words in (
        "yolov8: AP = A - B F^-c",
        "the column flops is halved to multiply-adds",
        "without those of YOLOv8",
        "4 detectors are fewer than 8",
        "1.6 x",
        "3.1 x",
        "known from 4.35 G to 82.6 G multiply-adds",
    ):
        assert words in text


def test_json_has_every_number(table: Path) -> None:
    found = json.loads(fit(table, "--flops-are", "twice", "--budgets", "129G", "--json"))
    (family,), (prediction,) = found["families"], found["families"][0]["predictions"]
    assert found["ap_unit"] == "points" and set(family["parameters"]) == {"A", "B", "c"}
    assert family["prior"] == {"families": 18, "groups": 10, "without": "YOLOv8"}
    low, high = prediction["ap"]["interval_80"]
    assert low < prediction["ap"]["value"] < high and low < 53.9 < high  # YOLOv8-x
    assert prediction["ap"]["interval_95"][0] < low
    assert fit(table, "--flops-are", "twice", "--budgets", "129G", "--json") == json.dumps(found, indent=2) + "\n"


def test_a_study(tmp_path: Path) -> None:
    found = json.loads(fit(STUDY, "--budgets", "160M", "--json"))
    (family,) = found["families"]
    assert found["ap_unit"] == "fraction" and family["detectors"] >= 8
    assert 0.2 < family["predictions"][0]["ap"]["value"] < 0.8
    assert "--flops-are is for a column flops" in refused(STUDY, "--flops-are", "twice")


def test_the_family_of_oblong_inputs_is_priced_as_its_plan_builds_it(tmp_path: Path) -> None:
    out = tmp_path / "family.yaml"
    found = json.loads(fit(TABLE, "--budgets", "25M,100M", "-o", out, "--json"))
    (family,) = found["families"]
    assert family["scaled"]["aspect"] == 0.75 and family["scaled"]["kinds"] == 1 + OTHER_KINDS
    plan = read_plan(out)
    space = plan.space(classes=3, anchors=plan.anchors if plan.anchors != "auto" else None)
    built = {name: price(resolve_spec(space.spec(point))).macs for name, point in plan.baselines.items()}
    assert built == {member_name(one["budget"]): one["macs"] for one in family["scaled"]["members"]}
    assert "anchors: auto may fit another number" not in out.read_text()  # the study's anchors are given


def test_what_cannot_be_fitted_is_one_line(table: Path) -> None:
    assert "say which with --flops-are multiply-adds or --flops-are twice" in refused(table)
    assert "--budgets are multiply-adds separated by commas" in refused(table, "--budgets", "3G,,6G")
    table.write_text("\n".join(CSV.splitlines()[:3]) + "\n")
    assert "yolov8: a law needs detectors of at least 3 different costs, but got 2" in refused(
        table, "--flops-are", "twice"
    )
