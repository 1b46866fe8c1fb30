"""The verb `audit` as a user types it: on committed studies, on a table, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import scalesearch as ss
from scalesearch.cli import cli

RESULTS = Path(__file__).parents[1] / "results"


def audit(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["audit", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Twelve points with two seeds each; the score after one epoch of three shows the final order."""
    rng = np.random.default_rng(0)
    lines = ["width,macs,seed,epoch,ap"]
    for i in range(12):
        for seed in range(2):
            for epoch, share in ((1, 0.5), (3, 1.0)):
                lines.append(f"{i},{1e9 + 1e8 * i},{seed},{epoch},{share * (0.2 + 0.03 * i) + 0.005 * rng.normal()}")
    file = tmp_path / "curves.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_table(table: Path) -> None:
    text = audit(table)
    for words in (
        "curves.csv (3 epochs): 12 candidates",
        "The proxy can be trusted here from 1 of 3 epochs on",
        "12 degrees of freedom",
        "found 4 times in 5 from",
        "one more full training",
    ):
        assert words in text


def test_json_has_every_number_and_is_the_same_each_time(table: Path) -> None:
    text = audit(table, "--json")
    found = json.loads(text)
    (one,) = found["audits"]
    assert (one["trust"], one["trusted_from_epochs"], one["other_seeds"]) == ("trusted", 1, True)
    assert one["noise"]["interval_95"][0] < one["noise"]["sd"] < one["noise"]["interval_95"][1]
    names = [(other["name"], other["epochs"]) for other in one["predictors"]]
    assert names == [("AP", 1), ("macs", 0), ("width", 0)]
    assert set(one["predictors"][0]["over"]) == {"all", "better half", "beyond cost"}
    assert audit(table, "--json") == text
    assert ss.audit(table) == found


def test_a_table_against_itself_ranks_perfectly_at_its_end(table: Path) -> None:
    (one,) = ss.audit(table, against=table)["audits"]
    assert not one["within"] and one["candidates"] == 12
    last = one["predictors"][1]
    assert (last["name"], last["epochs"]) == ("AP", 3)
    assert last["over"]["all"]["kendall"]["value"] > 0.8


@pytest.mark.parametrize("study", ["topology", "free_graphs", "width_grid", "quickstart"])
def test_a_committed_study(study: str) -> None:
    one, *_ = json.loads(audit(RESULTS / study, "--json"))["audits"]
    assert one["noise"]["sd"] > 0 and one["trust"] == "unknown"
    assert {"params", "macs"} <= {other["name"] for other in one["predictors"]}


def test_what_cannot_be_audited_is_one_line(tmp_path: Path, table: Path) -> None:
    for arguments, words in (
        ([tmp_path / "none.txt"], "an audit is of a study's folder"),
        ([tmp_path], "a study's folder has a plan.yaml"),
        ([table, "--against", RESULTS / "topology"], "share no candidate"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            CliRunner().invoke(cli, ["audit", *map(str, arguments)], catch_exceptions=False)
        assert "\n" not in str(caught.value)
