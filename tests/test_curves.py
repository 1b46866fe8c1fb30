"""The verb `curves`: a study's rows as a table that says the same as the study."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from scalesearch.app.audit_rows import read_kinds
from scalesearch.app.curves_table import points
from scalesearch.app.scaling_rows import read_scaling_rows
from scalesearch.arch.networks import TOPOLOGIES, bifpn, published_name
from scalesearch.arch.spec import Anchors
from scalesearch.cli import cli
from scalesearch.records.comparable import comparable_rows
from scalesearch.records.folder import read_rows
from tests.app.test_audit_rows import studied
from tests.detectors import TINY

RESULTS = Path(__file__).parents[1] / "results"


def curves(study: Path, out: Path) -> pd.DataFrame:
    """What the verb writes."""
    done = CliRunner().invoke(cli, ["curves", str(study), "-o", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    return pd.read_csv(out)


def test_a_table_says_what_its_study_says(tmp_path: Path) -> None:
    folder = studied(tmp_path / "one", "repeats=0.25")
    table = curves(folder, tmp_path / "curves.csv")
    rows = comparable_rows(read_rows(folder)).rows
    assert len(table) == 4 * len(rows) == 4 * 16 and table.epoch.tolist()[:4] == [1, 2, 3, 4]
    of_study, of_table = read_kinds(folder)[0], read_kinds(tmp_path / "curves.csv")[0]
    assert len(of_study.candidates) == len(of_table.candidates) == 12
    by_macs = {one.free["macs"]: one for one in of_table.candidates.values()}
    for one in of_study.candidates.values():
        other = by_macs[one.free["macs"]]
        assert one.whole == pytest.approx(other.whole, abs=1e-5)
        for run, again in zip(one.runs, other.runs, strict=True):
            assert again.aps == pytest.approx(run.aps, abs=1e-5) and again.loss_sums == pytest.approx(run.loss_sums)
    (members,) = read_scaling_rows(folder, None).families.values()
    (others,) = read_scaling_rows(tmp_path / "curves.csv", None).families.values()
    assert sorted((one.macs, len(one.aps)) for one in members) == sorted((one.macs, len(one.aps)) for one in others)


def test_graphs_and_fields_that_differ_have_columns(tmp_path: Path) -> None:
    table = curves(RESULTS / "free_graphs", tmp_path / "graphs.csv")
    assert table.topology.str.startswith("graph ").any() and "loss" not in table
    assert len(table.drop(columns=["macs", "params", "activations", "seed", "epoch", "ap"]).drop_duplicates()) == 24
    wide = dataclasses.replace(TINY, head_width=2 * TINY.width, anchors=Anchors(scale=2.0))
    one, other = points([TINY, wide], {TINY.topology: "mine"})
    assert {name for name in one if one[name] != other[name]} == {"head_width", "anchors"}
    assert {name: one[name] for name in ("size", "width")} == {"size": max(TINY.size), "width": TINY.width}


def test_another_recipe_is_left_out_and_said(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["curves", str(RESULTS / "topology"), "-o", str(tmp_path / "t.csv")])
    assert len(pd.read_csv(tmp_path / "t.csv")) == 6
    assert "6 trainings of 6 detectors, 6 lines" in done.output
    assert "6 trainings left out: another recipe, other data or another split" in done.output


@pytest.mark.parametrize(
    ("study", "out", "rule"),
    [("topology", "t.txt", "a .csv file"), (".", "t.csv", "has none"), ("topology", "mine.csv", "this one exists")],
)
def test_what_is_no_study_or_no_new_file_is_refused(tmp_path: Path, study: str, out: str, rule: str) -> None:
    (tmp_path / "mine.csv").write_text("mine")
    with pytest.raises(ValueError, match=rule):
        CliRunner().invoke(cli, ["curves", str(RESULTS / study), "-o", str(tmp_path / out)], catch_exceptions=False)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


def test_published_networks_know_their_names() -> None:
    for name, network in TOPOLOGIES.items():
        assert published_name(network(3, 7)) == (name, None)
    assert published_name(bifpn(2, 5).fused("softmax")) == ("bifpn", "softmax")
