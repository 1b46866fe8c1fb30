"""The verb as a user types it, on a small plan and on a recorded study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from scalesearch.app.rehearse import setup_of
from scalesearch.cli import cli
from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import PLAN as PLAN_FILE
from scalesearch.rehearsal.landscape import LANDSCAPES, Landscape

PLAN = """
name: small
space:
  backbone: efficientnet-w0.25-d0.3
  topology: [fpn, panet, bifpn]
  size: {low: 64, high: 160, step: 32}
  width: {low: 16, high: 64, step: 8}
  repeats: [1, 2, 3]
  head_depth: [1, 2]
band: {macs: {min: 8M, max: 16M}}
sampler: {startup: 4}
ladder: {rungs: [0.2, 0.5]}
trials: 8
recipe: {epochs: 10}
"""
QUICKSTART = Path(__file__).parents[1] / "results" / "quickstart"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(PLAN)
    return file


def rehearse(*arguments: object) -> str:
    done = CliRunner().invoke(cli, ["rehearse", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def refused(*arguments: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the caller looks at the message
        CliRunner().invoke(cli, ["rehearse", *map(str, arguments)], catch_exceptions=False)
    return str(caught.value)


def test_two_samplers_with_and_without_the_ladder(plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = rehearse(plan, "--samplers", "random,tpe", "--seeds", 2, "-o", out)
    for line in (
        "random",
        "random, ladder",
        "tpe",
        "tpe, ladder",
        "2 x 8",
        "100.0%",
        "pairs whose order after 2 epochs",
    ):
        assert line in text
    assert {file.name for file in out.iterdir()} == {
        "runs.jsonl",
        "table.csv",
        "curves.csv",
        "rehearsal.png",
        "rehearsal.md",
    }
    kept = (out / "runs.jsonl").read_text()
    assert len(kept.splitlines()) == 8
    rehearse(plan, "--samplers", "random", "--seeds", 2, "--no-ladder", "--set", "seed=1", "-o", out)
    added = (out / "runs.jsonl").read_text().removeprefix(kept)
    assert [json.loads(line)["seed"] for line in added.splitlines()] == [2]  # from the plan's seed on; 1 is there
    (out / "runs.jsonl").write_text(kept)
    assert rehearse(plan, "--samplers", "random,tpe", "--seeds", 2, "-o", out) == text

    # Nothing is rehearsed again; what an interruption tore is.
    files = {file.name: file.read_bytes() for file in out.iterdir() if file.suffix != ".png"}
    (out / "runs.jsonl").write_text(kept[:-40])
    assert rehearse(plan, "--samplers", "random,tpe", "--seeds", 2, "-o", out) == text
    assert {file.name: file.read_bytes() for file in out.iterdir() if file.suffix != ".png"} == files

    printed = json.loads(rehearse(plan, "--samplers", "random", "--seeds", 2, "--no-ladder", "--json"))
    assert [(line["sampler"], line["ladder"], line["epochs_share"]) for line in printed] == [("random", False, 1.0)]
    assert printed == json.loads(
        rehearse(plan, "--samplers", "random,random", "--seeds", 2, "--no-ladder", "--json")  # once is enough
    )
    assert printed[0]["volume_low"] <= printed[0]["volume"] <= printed[0]["volume_high"]

    assert "are of another plan, table or landscape" in refused(plan, "--seeds", 1, "--landscape", "noisy", "-o", out)


def test_a_recorded_study_is_replayed(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    printed = json.loads(rehearse(QUICKSTART, "--samplers", "random,tpe", "--seeds", 3, "--json"))
    assert [(line["sampler"], line["trials"]) for line in printed] == [("random", 4), ("tpe", 4)]
    whole = json.loads(rehearse(QUICKSTART, "--samplers", "random", "--seeds", 1, "--set", "trials=99", "--json"))
    assert whole[0]["trials"] == 4
    folder = tmp_path / "study"
    shutil.copytree(QUICKSTART, folder)
    ladder = "\nladder: {rungs: [0.4]}\n"
    (folder / PLAN_FILE).write_text((folder / PLAN_FILE).read_text() + ladder)
    assert "the rung is after 1 epochs and the first AP of all after" in refused(folder)
    assert "random" in rehearse(folder, "--no-ladder", "--seeds", 1, "--samplers", "random")
    assert "has no ladder to rehearse; add one" in refused(QUICKSTART, "--ladder")
    assert "--landscape is for a PLAN, but" in refused(QUICKSTART, "--landscape", "noisy")
    assert "but memory is not; leave it out" in refused(QUICKSTART, "--set", "objectives=[ap, memory]")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--samplers", "tpe,rnadom"), "--samplers must name some of grid, random,"),
        (("--landscape", "flat"), "a landscape is one of plain, crossing, noisy, but got 'flat'"),
        (("--set", "band={params: {max: 1M}}"), "the band does not bound them; add macs"),
        (("--set", "band={macs: {max: 1k}}"), "the band must hold a candidate, but none of"),
        (
            ("--samplers", "random,grid", "--set", "space.topology={genes: {nodes: 6, inputs: 2, fusions: [sum]}}"),
            "the grid sampler enumerates at most 50000 points",
        ),
        (
            ("--set", "ladder.rungs=[{epochs: 0.2, images: 0.5}]", "--samplers", "gp", "--trials", "9999"),
            "this ladder has rungs of fewer or smaller images",  # before any of the searches, which would take hours
        ),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(plan: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(plan, *arguments)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A plain table of 40 points, two seeds each, recorded after 2, 5 and 10 epochs."""
    lines = ["op,width,latency,params,seed,epoch,ap"]
    for i, op in enumerate(("conv", "pool")):
        for width in range(20):
            for seed in range(2):
                for epoch in (2, 5, 10):
                    ap = round(0.1 + 0.01 * width * (i + 1) + 0.02 * epoch + 0.01 * ((width + seed) % 3), 4)
                    lines.append(
                        f"{op},{width},{0.01 + 0.001 * width + 0.0001 * i:.4f},{100 + width},{seed},{epoch},{ap}"
                    )
    file = tmp_path / "cells.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_a_plain_table_is_searched_like_a_study(cells: Path, tmp_path: Path) -> None:
    options = ("--seeds", 2, "--band", "latency=10%..90%", "--set", "sampler={startup: 3, population: 4}")
    samplers = "random,qmc,tpe,nsga2,evolution,ehvi"
    told = json.loads(rehearse(cells, *options, "--samplers", samplers, "--json"))
    assert [line["sampler"] for line in told] == samplers.split(",")
    assert all(line["trials"] == 16 and line["epochs_share"] == 1 for line in told)  # half of the 32 inside
    ladder = ("--set", "ladder={rungs: [0.2, 0.5]}", "--trials", 12)
    text = rehearse(cells, *options, *ladder, "--samplers", "random,tpe", "-o", tmp_path / "out")
    assert "table cells.csv: 40 points with latency, params" in text
    assert "band: 32 of them, latency=10%..90%" in text and "tpe, ladder" in text
    assert "cells.csv --set 'sampler={startup: 3" in (tmp_path / "out" / "rehearsal.md").read_text()
    assert "of another plan, table or landscape" in refused(cells, "--seeds", 1, "-o", tmp_path / "out")
    alone = json.loads(rehearse(cells, "--samplers", "random", "--seeds", 1, "--json", "--set", "objectives=[ap]"))
    assert alone[0]["trials"] == 20
    again = json.loads(rehearse(cells, "--samplers", "random", "--seeds", 1, "--json", "--set", "repeats=0.2"))
    assert again[0]["volume"] > 0 and again[0]["epochs_share"] == 1


def test_committed_rehearsals_are_of_todays_setup() -> None:
    """A field that a detector gets later does not make another setup of a plan that does not name it."""
    root = Path(__file__).parents[1]
    read = read_plan(root / "search_spaces" / "landscape.yaml")
    (budget,) = read.bands
    assert budget.macs
    for folder, landscape in (("rehearsal", "plain"), ("rehearsal/crossing", "crossing"), ("rehearsal/noisy", "noisy")):
        surrogate = Landscape(macs=budget.macs.middle, epochs=read.recipe.epochs, **LANDSCAPES[landscape])
        with (root / "results" / folder / "runs.jsonl").open() as file:
            kept = {json.loads(line)["setup"] for line in file}
        assert kept == {setup_of(read, landscape, repr(surrogate))}


def test_what_is_said_of_a_plan_is_refused_of_a_plain_table(cells: Path, plan: Path) -> None:
    assert "--landscape is for a PLAN, but" in refused(cells, "--landscape", "noisy")
    assert "--band is for a TABLE in a CSV or Parquet file, but" in refused(plan, "--band", "macs=20%..40%")
    assert "--band is for a TABLE in a CSV or Parquet file, but" in refused(QUICKSTART, "--band", "macs=20%..40%")
    assert "are ap and costs of the table (latency, params), but got macs" in refused(
        cells, "--set", "objectives=[ap, macs]"
    )
    assert "the lowest rung is after 1 epochs, but the earliest score" in refused(
        cells, "--set", "ladder={rungs: [0.1]}"
    )
    assert "space" in refused(cells, "--set", "space.width=[1, 2]")
