"""After a search: `search --finish` and `train --from`, end to end, continued, and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import StudyFolder, read_rows
from scalesearch.webpage.detections import source_of, tiles
from tests.app.conftest import Command
from tests.conftest import write_coco

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of onnx_ir and onnxscript

PLAN = """
name: tiny
data: {source: coco, select: 0.3}
space:
  backbone: efficientnet-lite-w0.25-d0.25
  topology: [fpn, bifpn]
  size: 64
  width: [8, 16]
  repeats: 1
  head_depth: 1
  min_level: 3
  max_level: 4
band: {macs: {max: 100M}}
sampler: {name: random}
trials: 3
recipe: {epochs: 1, batch: 4}
winners: {top: 1, seeds: [0, 1], recipe: {epochs: 2}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plan and its data, to work in."""
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for split, count, seed in (("train", 10, 0), ("val", 4, 1)):
        write_coco(tmp_path / "coco", split, count=count, seed=seed)
    (tmp_path / "tiny.yaml").write_text(PLAN)
    (tmp_path / "full.yaml").write_text("epochs: 3\nbatch: 4\n")
    return tmp_path


def test_a_study_is_finished_and_its_front_trained_fully(home: Path, command: Command) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    done = command("search", "tiny.yaml", "--finish")
    assert done.status == 0, done.err
    study = home / "results" / "tiny"
    winner = next(row for row in read_rows(study) if row.kind == "winner")
    weights = study / "weights" / f"{winner.spec_id}-{winner.recipe_id}-s0"
    scored = json.loads((weights / "evaluation.json").read_text())
    assert scored["numbers"] == winner.final and scored["split"] == "val"
    session = runtime.InferenceSession(weights / "detector.onnx", providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["spec_id"] == winner.spec_id
    assert not list((study / "weights").glob("*-s1/detector.onnx"))  # of each winner the lowest seed

    seen = source_of(study / "detections.png")
    assert seen and seen[:3] == (winner.spec_id, winner.recipe_id, "0")
    assert len(tiles(study / "detections.png")) == 3  # images of val with objects
    assert (study / "report.html").read_text().count('<img src="data:image/webp') == 3

    made = (weights / "detector.onnx").stat().st_mtime_ns
    again = command("search", "tiny.yaml", "--finish")
    assert "scored and exported before, to " in again.out
    assert (weights / "detector.onnx").stat().st_mtime_ns == made

    plan, before = (study / "plan.yaml").read_bytes(), read_rows(study)
    (home / "coco").rename(home / "moved")
    arguments = ("train", "--from", study, "--top", 2, "--recipe", "full.yaml", "--seeds", "0,3", "--data", "moved")
    done = command(*arguments)
    assert done.status == 0, done.err
    rows = read_rows(study)
    added = [row for row in rows if row not in before]
    assert (study / "plan.yaml").read_bytes() == plan
    assert {(row.kind, row.name, row.seed, row.epochs_done) for row in added} == {
        ("winner", "full", seed, 3) for seed in (0, 3)
    }
    assert all(row.splits == {"train": "train", "evaluated": "val"} and row.final["ap"] is not None for row in added)
    assert "the recipe full" in (study / "report.md").read_text()

    file = study / "rows" / added[0].file_name
    file.unlink()
    again = command(*arguments)
    assert again.status == 0 and again.out.count("winner 1, seed") == 1  # only what has no row
    assert len(read_rows(study)) == len(rows)

    with StudyFolder.open(study, read_plan(study / "plan.yaml"), data=rows[0].data):
        locked = command(*arguments)
    assert locked.status == 2 and "only one process may write a study" in locked.err


def test_finish_needs_the_extra_before_the_search(
    home: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = command("search", "tiny.yaml", "--finish")
    assert done.status == 2 and "onnxruntime is not installed" in done.err
    assert not (home / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "coco"], "a study's folder has a plan.yaml, but this one has none"),
        (["--from", "study"], "a front has complete trials, but this study has none; search first"),
        (["--from", "study", "--seeds", "0,0"], "must be different whole numbers"),
        (["--from", "study", "--seeds", "a"], "must be different whole numbers"),
        (["--from", "study", "--top", "0"], "0 is not in the range 1<=x<=1000"),
        (["--from", "study", "--seed", "0"], "--seed does not go with --from"),
        (["--from", "study", "--recipe", "none.yaml"], "none.yaml"),
        (["--from", "study", "--set", "epoch=3"], "did you mean 'epochs'?"),
        (["d0", "--from", "study"], "DESIGN does not go with --from"),
        (["d0", "--top", "2"], "--top does not go with DESIGN"),
        ([], "train needs a DESIGN, or --from a study's folder"),
    ],
)
def test_bad_input_is_one_line(home: Path, command: Command, arguments: list[str], message: str) -> None:
    (home / "study").mkdir()
    (home / "study" / "plan.yaml").write_text(read_plan(home / "tiny.yaml").to_yaml())
    done = command("train", *arguments)
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1


def test_other_data_is_refused(home: Path, command: Command) -> None:
    assert command("search", "tiny.yaml", "--trials", "1", "--set", "winners.top=0").status == 0
    write_coco(home / "other", "train", count=9, seed=5)
    write_coco(home / "other", "val", count=4, seed=1)
    done = command("train", "--from", home / "results" / "tiny", "--data", "other")
    assert done.status == 2 and "a study has one data set" in done.err
