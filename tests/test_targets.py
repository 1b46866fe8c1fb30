"""Every verb that writes looks at its target before its work: one line, nothing of the user's touched, no torch."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scalesearch.cli.options import printing
from scalesearch.plan.plan import read_plan
from tests.conftest import write_coco
from tests.test_cli import PLAN

RUNNER = """\
import contextlib, io, json, sys
sys.modules["torch"] = None  # whoever imports it fails
from scalesearch.cli import main
for words in json.load(open(sys.argv[1])):
    sys.argv = ["scalesearch", *words]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]))
"""

FOREIGN = {
    "notes.json": '{"mine": true}',
    "notes.svg": "<svg/>",
    "notes.png": "\x89PNG",
    "notes.onnx": "mine",
    "notes.safetensors": "mine",
    "notes.txt": "mine",
    "photos/detections.json": "mine",
    "project/plan.yaml": "name: mine  # a comment\n",
    "project/report.md": "mine",
    "results_only/results.jsonl": '{"mine": 1}\n',
    "rows_only/rows/mine.json": "{}",
    "lock_only/.lock": "mine",
    "yolo/best.pt": "mine",
    "lightning/checkpoint.pt": "mine",
    "logged/log.csv": "epoch,loss\n1,2\n",
    "told/result.json": '{"mine": 1}',
    "runs/runs.jsonl": '{"mine": 1}',
    "more_runs/runs.jsonl": '{"mine": 1}\n{"mine": 2}\n',
    "tables/table.csv": "mine",
    "weights.pt": "mine",
    "journal.txt": "mine, without an end",
}

VERBS: dict[str, list[tuple[list[str], str]]] = {
    "calibrate": [
        (["-o", "/proc/x.json"], "/proc/x.json: a table of timings must be written"),
        (["-o", "."], "is a directory|this is a folder"),
        (["-o", "notes.json"], "notes.json: a table of timings may replace only a file of the same kind"),
        (["-o", "/dev/full"], "this is a device"),
        (["-o", "pipe"], "this is a pipe"),
        (["-o", "notes.txt/x.json"], "notes.txt is a file; name another place"),
    ],
    "init": [
        (["coco", "-o", "/proc/x.yaml"], "/proc/x.yaml: a plan must be written"),
        (["coco", "-o", "folder.onnx"], "is a directory|this is a folder"),
        (["coco", "-o", "notes.txt"], "notes.txt: a plan is a new file, but this one exists"),
        (["coco", "-o", "tiny.yaml"], "tiny.yaml: a plan is a new file, but this one exists"),
        (["coco", "-o", "/dev/full"], "this is a device"),
        (["coco", "-o", "pipe"], "this is a pipe"),
    ],
    "export": [
        (["weights.pt", "-o", "/proc/x.onnx"], "/proc/x.onnx: an export must be written"),
        (["weights.pt", "-o", "/proc/x.safetensors"], "/proc/x.safetensors: an export must be written"),
        (["weights.pt", "-o", "notes.onnx"], "notes.onnx: an export may replace only a file of the same kind"),
        (["weights.pt", "-o", "notes.safetensors"], "notes.safetensors: an export may replace only"),
        (["notes.safetensors", "-o", "notes.safetensors"], "an export must not replace its own weights"),
        (["weights.pt", "-o", "folder.onnx"], "is a directory|this is a folder"),
    ],
    "draw": [
        (["bifpn", "-o", "/proc/x.svg"], "/proc/x.svg: a picture must be written"),
        (["bifpn", "-o", "notes.svg"], "notes.svg: a picture may replace only a file of the same kind"),
        (["bifpn", "-o", "folder.svg"], "this is a folder"),
    ],
    "cost": [
        (["d0", "d1", "--plot", "notes.png"], "notes.png: a picture may replace only a file of the same kind"),
        (["d0", "d1", "--plot", "/proc/x.png"], "/proc/x.png: a picture must be written"),
    ],
    "train": [
        (["d0", "--out", "/proc/x"], "/proc/x: a training must be written"),
        (["d0", "--out", "notes.txt"], "is a file|but this is a file"),
        (["d0", "--out", "yolo"], "yolo: a training has a folder of its own, but best.pt there is something else"),
        (["d0", "--out", "lightning"], "but checkpoint.pt there is something else"),
        (["d0", "--out", "logged"], "but log.csv there is something else"),
        (["d0", "--out", "told"], "but result.json there is something else"),
        (["--from", "project"], "project: a study writes its resolved plan to plan.yaml"),
    ],
    "search": [
        (["tiny.yaml", "--out", "/proc/x"], "/proc/x: a study must be written"),
        (["tiny.yaml", "--out", "project"], "the one there was written by hand and would be lost"),
        (["tiny.yaml", "--out", "results_only"], "but this one has results.jsonl and no plan.yaml"),
        (["tiny.yaml", "--out", "rows_only"], "but this one has rows and no plan.yaml"),
        (["tiny.yaml", "--out", "lock_only"], "but this one has .lock and no plan.yaml"),
        (
            ["tiny.yaml", "--out", "new", "--storage", "studies.db"],
            "studies.db is an SQLite database; write sqlite:///",
        ),
        (["tiny.yaml", "--out", "new", "--storage", "journal.txt"], "journal.txt is something else"),
        (["tiny.yaml", "--out", "new", "--storage", "pipe"], "pipe is a pipe"),
        (["tiny.yaml", "--out", "new", "--storage", "sqlite:///customers.db"], "has tables of something else"),
    ],
    "report": [
        (["project"], "project: a study writes its resolved plan to plan.yaml, but this one was written by hand")
    ],
    "rehearse": [
        (["tiny.yaml", "-o", "/proc/x"], "/proc/x: a folder of rehearsals must be written"),
        (["tiny.yaml", "-o", "runs"], "each line is a rehearsal, but"),
        (["tiny.yaml", "-o", "more_runs"], "each line is a rehearsal, but"),
        (["tiny.yaml", "-o", "tables"], "but this one has table.csv and no runs.jsonl"),
    ],
    "predict": [
        (["weights.pt", "photos", "-o", "/proc/x"], "/proc/x: a folder of drawn pictures must be written"),
        (["weights.pt", "photos", "-o", "notes.txt"], "is a file|but this is a file"),
    ],
}


def state(folder: Path) -> dict[str, object]:
    """Everything below the folder: kinds, contents, links."""
    found: dict[str, object] = {}
    for item in sorted(folder.rglob("*")):
        content = hashlib.sha256(item.read_bytes()).hexdigest() if item.is_file() and not item.is_symlink() else ""
        found[str(item.relative_to(folder))] = (item.lstat().st_mode, content)
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with files of their own wherever a verb could write."""
    home = tmp_path_factory.mktemp("home")
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(home / "coco", split, count=3, seed=seed)
    (home / "tiny.yaml").write_text(PLAN.format(folder=home / "coco"))
    for name, content in FOREIGN.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(content.encode("latin-1"))
    for name in ("folder.onnx", "folder.svg"):
        (home / name).mkdir()
    os.mkfifo(home / "pipe")
    for name in ("studies.db", "customers.db"):
        with sqlite3.connect(home / name) as opened:
            opened.execute("create table customers (name text)")
        opened.close()
    return home


def run_all(commands: list[list[str]], home: Path, cache: Path) -> dict[tuple[str, ...], tuple[int, str, str]]:
    """What each command came to, in one process without torch."""
    asked = home.parent / "commands.json"
    asked.write_text(json.dumps(commands))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, str(asked)],
        cwd=home,
        env={**os.environ, "SCALESEARCH_CACHE": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return {
        tuple(words): tuple(json.loads(line)) for words, line in zip(commands, done.stdout.splitlines(), strict=True)
    }


@pytest.fixture(scope="module")
def ended(home: Path) -> dict[tuple[str, ...], tuple[int, str, str]]:
    """What each command of VERBS came to, in one process without torch; and that nothing below `home` changed."""
    commands = [[verb, *words] for verb, cases in VERBS.items() for words, _ in cases]
    before = state(home)
    found = run_all(commands, home, home.parent / "cache")
    assert state(home) == before
    return found


@pytest.mark.parametrize(("verb", "words", "message"), [(v, w, t) for v, cases in VERBS.items() for w, t in cases])
def test_a_target_that_cannot_be_had_is_one_line_before_the_work(
    ended: dict[tuple[str, ...], tuple[int, str, str]], verb: str, words: list[str], message: str
) -> None:
    status, out, err = ended[verb, *words]
    assert (status, out) == (2, ""), err
    assert err.startswith("scalesearch: ") and err.count("\n") == 1
    assert any(part in err for part in message.split("|")), err


def test_a_cache_that_cannot_be_written_is_one_line_before_the_work(home: Path) -> None:
    commands = [["search", "tiny.yaml", "--out", "new"], ["train", "d0", "--out", "new"], ["calibrate"]]
    for status, out, err in run_all(commands, home, Path("/proc/x")).values():
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("scalesearch: /proc/x") and "must be written" in err
    assert not (home / "new").exists()


def test_the_users_plan_may_lie_where_the_command_runs(home: Path) -> None:
    assert read_plan(home / "tiny.yaml").name == "tiny"


def test_what_a_full_disk_does_not_take_from_standard_output_goes_to_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full:
        monkeypatch.setattr("sys.stdout", full)
        with (
            pytest.raises(OSError, match=r"^standard output cannot be written \(No space left on device\)"),
            printing(lambda: "dear"),
        ):
            print("dear")
        monkeypatch.undo()
        with pytest.raises(OSError):  # noqa: PT011  of the buffer, which is still full
            full.close()
    assert capsys.readouterr().err == "dear\n"


def test_a_reader_that_leaves_and_a_full_disk_end_a_command_in_one_line_or_none(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'from scalesearch.cli import main; main()' cost d0 --json"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert (full.returncode, full.stderr.count("\n")) == (2, 1) and "No space left on device" in full.stderr
    left = subprocess.run(f"{command} | true", shell=True, capture_output=True, text=True, check=False)
    assert left.stderr == ""
