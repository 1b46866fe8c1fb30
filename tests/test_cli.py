"""The commands as a user types them: one tiny study to its report, an interruption, and bad input."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.arch.scaling import named
from scalesearch.cost.price import price
from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import StudyFolder, read_rows
from scalesearch.records.row import Row
from tests.conftest import Command

DETECTOR = "space: {backbone: efficientnet-w0.25-d0.3, size: 64, width: 16, repeats: 1, head_depth: 1}"

PLAN = """
name: tiny
data: {{source: {folder}, select: 0.3}}
space:
  backbone: test_byobnet
  topology: [fpn, bifpn]
  size: 64
  aspect: 0.75
  width: [8, 16, 24]
  repeats: [1, 2]
  head_depth: 1
  min_level: 3
  max_level: 5
band: {{macs: {{min: 4M, max: 4.3M}}}}
sampler: {{name: tpe, startup: 2}}
trials: 4
recipe: {{epochs: 2, batch: 4}}
winners: {{top: 1, seeds: [0, 1], recipe: {{epochs: 3}}}}
baselines: {{plain: {{topology: fpn, size: 96, width: 16, repeats: 1}}}}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run where their files are."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan over the tiny COCO folder, with a cache of its own and one thread."""
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    file = tmp_path / "tiny.yaml"
    file.write_text(PLAN.format(folder=coco))
    return file


def timeless(rows: tuple[Row, ...]) -> list[Row]:
    """The rows without what a second run may measure otherwise."""
    return [replace(row, seconds=0.0, peak_memory=0, images_per_second=0.0) for row in rows]


def test_a_study_runs_to_its_report_and_an_interrupted_one_to_the_same_rows(
    plan: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("search", "tiny.yaml")
    assert done.status == 0, done.err
    folder = tmp_path / "results" / "tiny"
    rows = read_rows(folder)
    assert [row.kind for row in rows] == ["search"] * 4 + ["winner"] * 2 + ["baseline"] * 2
    assert all(4e6 <= row.cost["macs"] <= 4.3e6 for row in rows if row.kind == "search")
    assert all(row.state == "complete" and row.final["ap"] is not None for row in rows)
    lines = (folder / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["spec_id"] for line in lines] == [row.spec_id for row in rows]
    for name in ("plan.yaml", "front.csv", "trials.csv", "front.png", "report.md", "report.html", "optuna.journal"):
        assert (folder / name).stat().st_size > 0
    assert "boxes that an anchor matches at IoU 0.5, over the frames: red " in done.out
    assert (
        done.out.count("% of the time of training") == 2
    )  # of the first training of the search, and of the first full training
    *_, front, winners, report = done.out.splitlines()
    assert front.startswith("front: ") and front.endswith(": results/tiny/front.csv")
    assert winners.startswith("winners: 1, the best AP ") and winners.endswith(" on val: results/tiny/weights")
    assert report == "report: results/tiny/report.md, and as a page report.html"

    arguments = ("search", "tiny.yaml", "--out", "cut")
    with monkeypatch.context() as patch:
        patch.setattr(StudyFolder, "write", interrupted(StudyFolder.write))
        stopped = command(*arguments)
    assert stopped.status == 130
    assert stopped.err.strip() == "scalesearch: stopped; the same command continues from here"
    assert len(list((tmp_path / "cut" / "rows").glob("*.json"))) == 1
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, timeout=600, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "cut" / "rows").glob("*.json"))) == 2
    again = command(*arguments)
    assert again.status == 0, again.err
    assert timeless(read_rows(tmp_path / "cut")) == timeless(rows)
    assert "continuing the study in cut, which has 2 trainings; another --out begins one anew\n" in again.out
    ended = command(*arguments)
    assert "continuing the study in cut, which has 8 trainings" in ended.out
    assert "nothing was left to train\n" in ended.out and "nothing was left" not in done.out + again.out


def interrupted(write: Callable[[StudyFolder, Row], None]) -> Callable[[StudyFolder, Row], None]:
    """`write`, with Ctrl-C when the row is written: at that moment, whatever the machine's speed."""

    def written(self: StudyFolder, row: Row) -> None:
        write(self, row)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.signal(signal.SIGINT, before)

    return written


KILLED = """
import os, signal
from scalesearch.records.folder import StudyFolder

written = StudyFolder.write

def write(self, row):
    written(self, row)
    os.kill(os.getpid(), signal.SIGKILL)

StudyFolder.write = write
from scalesearch.cli import main; main()
"""
"""The command, which is killed when it has written a row."""


def test_cost_prints_json_of_the_price(tmp_path: Path, command: Command) -> None:
    one = command("cost", "d0", "--json")
    assert one.status == 0, one.err
    data = json.loads(one.out)
    which = ["design", "spec_id", "size", "classes"]
    assert list(data) == [*which, "total", "backbone", "neck", "class_head", "box_head", "memory", "spec"]
    assert data["total"] == price(named("d0"))._asdict()
    (tmp_path / "mine.yaml").write_text(
        "space: {backbone: efficientnet_b0, size: 512, width: 64, repeats: 3, head_depth: 3}"
    )
    several = command("cost", "d0", "mine.yaml", "--classes", "7", "--size", "96x128", "--json")
    first, second = json.loads(several.out)
    assert (first.pop("design"), second.pop("design")) == ("d0", "mine.yaml")
    assert first == second and first["size"] == [96, 128]
    assert first["total"] == price(named("d0", classes=7, size=(96, 128)))._asdict()


def test_anchors_that_data_decide_are_said_to_be_assumed(coco: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "mine.yaml").write_text(DETECTOR + "\nanchors: auto\n")
    (tmp_path / "fixed.yaml").write_text(DETECTOR + "\nanchors: {scale: 4}\n")
    line = "mine.yaml: anchors: auto is not fitted here; 9 anchors at a position are assumed, a training may fit 12"
    done = command("cost", "mine.yaml", "fixed.yaml", "--json")
    assert done.err.splitlines() == [line] and len(json.loads(done.out)) == 2
    done = command("anchors", "mine.yaml", "--data", coco, "--json")
    assert "mine.yaml has anchors: auto: its own, below, are the published ones" in done.err
    assert "anchors: auto" not in command("anchors", "fixed.yaml", "--data", coco, "--json").err


def test_measure_times_a_detector_and_says_of_what(tmp_path: Path, command: Command) -> None:
    few = DETECTOR.replace("efficientnet-w0.25-d0.3", "efficientnet-lite-w0.25-d0.25")
    (tmp_path / "tiny.yaml").write_text(few.replace("space: {", "space: {topology: fpn, max_level: 4, "))
    done = command("measure", "tiny.yaml", "--threads", "1", "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["size"] == [64, 64] and found["setting"]["threads"] == 1 and found["seconds"] > 0
    refused = command("measure", "tiny.yaml", "--backend", "onnxruntime", "--precision", "bf16")
    assert refused.status == 2 and "onnxruntime is timed in fp32" in refused.err


def test_cost_compares_with_a_trace(tmp_path: Path, command: Command) -> None:
    (tmp_path / "tiny.yaml").write_text(DETECTOR)
    done = command("cost", "tiny.yaml", "--check", "--csv")
    assert done.status == 0, done.err
    assert done.out.startswith("design,spec_id,") and "backbone.conv_stem" in done.err


def test_a_training_starts_from_a_file_of_weights_and_its_result_names_it(
    plan: Path, coco: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "mine.yaml").write_text(DETECTOR)
    common = ("train", "mine.yaml", "--data", str(coco), "--set", "epochs=1", "--set", "batch=4")
    first = command(*common, "--out", "first")
    assert first.status == 0, first.err
    second = command(*common, "--weights", "first/last.pt")
    assert second.status == 0, second.err
    digest = hashlib.sha256((tmp_path / "first" / "last.pt").read_bytes()).hexdigest()[:12]
    (folder,) = (tmp_path / "results").iterdir()
    assert folder.name.startswith("train-") and folder.name.endswith(f"-s0-w{digest}")
    results = [json.loads((at / "result.json").read_text()) for at in (tmp_path / "first", folder)]
    assert [result["weights"] for result in results] == [
        None,
        {"file": "last.pt", "source": "last.pt", "sha256": digest},
    ]
    missing = command(*common, "--weights", "none.pth")
    assert missing.status == 2 and missing.err.count("\n") == 1
    assert "but 'none.pth' is none of them; check the path" in missing.err


def test_a_space_is_looked_at_without_images(plan: Path, tmp_path: Path, command: Command) -> None:
    done = command("space", "tiny.yaml", "--json", "--set", "band.memory={max: 2MB}")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["points"] == 12 and found["exact"] and 0 < found["held"] < 12
    assert len(found["candidates"]) == 5
    for candidate in found["candidates"]:
        (member,) = candidate["members"]
        assert 4e6 <= member["macs"] <= 4.3e6 and member["memory"] <= 2e6
    none = command("space", "tiny.yaml", "--set", "band.macs={max: 1k}")
    assert none.status == 0, none.err
    assert "0 of 12 points inside" in none.out and "the nearest misses: macs " in none.out


@pytest.mark.parametrize(
    "verb", [["search", "tiny.yaml"], ["train", "d0"], ["train", "--from", "study"], ["eval", "run"], ["anchors", "d0"]]
)
def test_a_wrong_folder_is_refused_before_torch_is_imported(plan: Path, tmp_path: Path, verb: list[str]) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "plan.yaml").write_text(read_plan(plan).to_yaml())
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1")
    (plan.parent / "coco").rename(tmp_path.parent / f"{tmp_path.name}-away")
    code = "import sys\nfrom scalesearch.cli import main\ntry:\n main()\nfinally:\n print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *verb, "--data", "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stdout == "False\n", done.stderr
    assert done.stderr.count("\n") == 1 and "is of YOLO's format: pip install globox" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "none.yaml"], "none.yaml: a plan is a"),
        (["search", "tiny.yaml", "--set", "recipe.epoch=3"], "unknown key 'recipe.epoch'; did you mean 'epochs'?"),
        (["search", "tiny.yaml", "--set", "band.macs.max=1k", "--set", "band.macs.min=1"], "the nearest misses: macs "),
        (["search", "tiny.yaml", "--data", "nowhere"], "the data folder must exist, but nowhere is no folder"),
        (["search", "tiny.yaml", "--trials", "x"], "Invalid value for '--trials': 'x' is not a valid integer range."),
        (["cost", "d9"], "a design is one of d0, "),
        (["train", "d0", "--device", "tpu"], "must be cpu, cuda or cuda:0 (or another number), but got 'tpu'"),
        (["train", "d0", "--lr", "1000"], "learning_rate must satisfy 0 <= learning_rate <= 100, but got 1000"),
        (["cost", "tiny.yaml", "--size", "64x64"], "--size is for one detector, but tiny.yaml is a plan"),
        (["cost", "d0", "--json", "--csv"], "both --json and --csv were given"),
        (["cost", "d0", "--size", "512"], "a size is HEIGHTxWIDTH in pixels, as 384x640, but got '512'"),
        (
            ["search", "tiny.yaml", "--out", "tiny.yaml/below"],
            "tiny.yaml/below: a study must be in a folder, but ",
        ),
        (
            ["measure", "d0", "--size", "16000x16000", "--batch", "64"],
            "a detector must fit into memory, but at 16000x16000",
        ),
        (["measure", "d0", "--batch", "100000000"], "100000000 is not in the range 1<=x<=65536"),
        (["measure", "d0", "--threads", "100000"], "threads must be at most the "),
        (["space", "tiny.yaml", "--count", "1000000000"], "1000000000 is not in the range 0<=x<=1000"),
        (["cost", "d0", "--size", "\u0663\u0662x32"], "a size is HEIGHTxWIDTH in pixels"),
        (["report", "."], "a study's folder has a plan.yaml"),
        (["find"], "No such command 'find'."),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    plan: Path, tmp_path: Path, arguments: list[str], message: str, command: Command
) -> None:
    done = command(*arguments)
    assert done.status == 2
    assert done.err.startswith("scalesearch: ") and done.err.count("\n") == 1
    assert message in done.err
