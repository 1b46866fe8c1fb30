"""Study folders: one writer, whole rows, one plan, one data set."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.records.folder import StudyError, StudyFolder, read_rows
from scalesearch.records.row import Row, RowError

MakeRow = Callable[..., Row]
DATA = "0123456789ab"
PLAN = """\
name: small
space: {backbone: efficientnet-w0.5-d0.5, size: 64, width: [16, 24], repeats: 1, head_depth: 1}
band: {macs: {max: 1G}}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return _plan(tmp_path)


def _plan(tmp_path: Path, *overrides: str) -> Plan:
    file = tmp_path / "asked.yaml"
    file.write_text(PLAN)
    return read_plan(file, overrides)


def test_a_study_is_written_and_gone_on_with(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    rows = [
        make_row(ordinal=2),
        make_row(ordinal=0, member=1),
        make_row(kind="winner", seed=1),
        make_row(ordinal=0, member=0),
        make_row(kind="baseline", name="b"),
        make_row(kind="winner", seed=0),
        make_row(kind="baseline", name="a"),
    ]
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        assert study.rows() == ()
        for row in rows:
            study.write(row)
        ordered = study.rows()
    names = [row.file_name for row in ordered]
    assert names[:3] == ["search-000000-m0.json", "search-000000-m1.json", "search-000002.json"]
    assert [row.kind for row in ordered[3:]] == ["winner", "winner", "baseline", "baseline"]
    assert [row.seed for row in ordered[3:5]] == [0, 1]
    assert [row.name for row in ordered[5:]] == ["a", "b"]
    assert read_rows(tmp_path / "s") == ordered
    whole = "".join((tmp_path / "s" / "rows" / name).read_text() for name in names)
    assert (tmp_path / "s" / "results.jsonl").read_text() == whole
    assert read_plan(tmp_path / "s" / "plan.yaml") == plan
    (tmp_path / "s" / "results.jsonl").unlink()
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        assert study.rows() == ordered
        assert (study.path / "results.jsonl").read_text() == whole


def test_a_row_is_there_or_known(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    row = make_row(ordinal=1)
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        assert not study.find(row) and study.known(row.key) is None
        study.write(row)
        assert study.find(row) and study.known(row.key) == row
        # The same training asked for as a winner is known, though its row is not there.
        assert not study.find(make_row(kind="winner")) and study.known(make_row(kind="winner").key) == row
        # A file of this name that came of another recipe is not this row.
        assert not study.find(make_row(ordinal=1, recipe_id="other"))
        assert study.known(make_row(seed=1).key) is None
        study.write(make_row(ordinal=1, state="failed"))
        assert len(study.rows()) == 1 and study.known(row.key) is None


def test_a_row_written_twice_is_one_row(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        first = study.write(make_row()).read_bytes()
        second = study.write(make_row(seconds=1.0)).read_bytes()
        assert study.write(make_row()).read_bytes() == first != second
        assert len(study.rows()) == 1
    assert [file.name for file in (tmp_path / "s" / "rows").iterdir()] == ["search-000000.json"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed=1", "seed (0 -> 1)"),
        ("winners.recipe.epochs=7", f"winners.recipe.epochs ({Recipe().epochs} -> 7)"),
        ("trials=3", "trials (12 -> 3)"),
        ("space.width=[16]", "space.width ([16, 24] -> 16)"),
        ("band.macs.min=1M", "band.macs.min (absent -> 1000000.0)"),
    ],
)
def test_another_plan_is_refused_by_its_keys(
    tmp_path: Path, plan: Plan, make_row: MakeRow, override: str, said: str
) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
    before = (tmp_path / "s" / "plan.yaml").read_text()
    with pytest.raises(StudyError) as caught:
        StudyFolder.open(tmp_path / "s", _plan(tmp_path, override), data=DATA)
    assert str(caught.value) == (
        f"{tmp_path / 's'}: a study goes on with the plan that it was begun with, but these differ: {said}; "
        "put them back (trials, winners.top, winners.seeds and baselines may only grow, with fitted anchors in the same sizes), or begin a new study with --out"
    )
    assert (tmp_path / "s" / "plan.yaml").read_text() == before
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()  # the refusal let the lock go


def test_trials_may_grow_and_the_data_may_move(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
    more = _plan(tmp_path, "trials=20", "data.source=elsewhere")
    StudyFolder.open(tmp_path / "s", more, data=DATA).close()
    assert read_plan(tmp_path / "s" / "plan.yaml") == more


def test_the_same_plan_keeps_the_text_that_another_version_wrote(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
    file = tmp_path / "s" / "plan.yaml"
    text = file.read_text()
    older = re.sub(r"^ *flip_vertical: false\n", "", text, flags=re.MULTILINE)
    assert older != text
    file.write_text(older)  # of a version that did not know this key
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()
    assert file.read_text() == older


def test_other_data_is_refused(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
    with pytest.raises(StudyError, match=f"rows are of the data {DATA} and digits is ffffffffffff now"):
        StudyFolder.open(tmp_path / "s", plan, data="f" * 12)


def test_a_folder_of_something_else_is_refused(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "thesis.tex").write_text("")
    with pytest.raises(StudyError, match="begins in an empty folder, but this one has thesis.tex and no plan.yaml"):
        StudyFolder.open(tmp_path / "s", plan, data=DATA)
    with pytest.raises(StudyError, match="a study is a folder, but this is a file"):
        StudyFolder.open(tmp_path / "s" / "thesis.tex", plan, data=DATA)
    assert [item.name for item in (tmp_path / "s").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["plan.yaml", "results.jsonl", "rows/search-000000.json"])
def test_what_a_killed_writer_left_half_written_is_tidied_away(tmp_path: Path, plan: Plan, name: str) -> None:
    torn = (tmp_path / "s" / name).with_name(f".{Path(name).name}.123.tmp")
    torn.parent.mkdir(parents=True)
    torn.write_text("half a li")
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()
    assert not torn.exists()


def test_a_study_that_came_to_nothing_may_get_another_plan(tmp_path: Path, plan: Plan) -> None:
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()
    mended = _plan(tmp_path, "band.macs.max=2G")
    StudyFolder.open(tmp_path / "s", mended, data="f" * 12).close()
    assert read_plan(tmp_path / "s" / "plan.yaml") == mended
    # A checkpoint counts, too: it belongs to the plan that it was trained by.
    (tmp_path / "s" / "tasks").mkdir()
    with pytest.raises(StudyError, match=r"these differ: band\.macs\.max"):
        StudyFolder.open(tmp_path / "s", plan, data=DATA)


def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
    (tmp_path / "s" / "plan.yaml").write_text("name: x\nbnad: 3\n")
    with pytest.raises(StudyError, match=r"begun with cannot be read \(.*plan\.yaml:2: unknown key 'bnad'"):
        StudyFolder.open(tmp_path / "s", plan, data=DATA)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[:50], "not JSON (Unterminated string"),
        (lambda text: "", "not JSON (Expecting value at line 1, column 1)"),
        (lambda text: text.replace('"schema": 1', '"schema": 9'), "rows of schema 1 are read here, but got schema 9"),
        (lambda text: "[1]", "a row is a JSON object, but got list"),
    ],
)
def test_a_spoilt_row_is_named_with_its_mend(
    tmp_path: Path, plan: Plan, make_row: MakeRow, spoil: Callable[[str], str], said: str
) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        file = study.write(make_row())
    file.write_text(spoil(file.read_text()))
    with pytest.raises(StudyError) as caught:
        read_rows(tmp_path / "s")
    assert str(caught.value).startswith(f"{file}: {said}")
    assert str(caught.value).endswith("delete this file and the study trains that candidate again")


def test_a_copied_row_is_refused(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        file = study.write(make_row())
    file.with_name("copy.json").write_text(file.read_text())
    with pytest.raises(StudyError, match=r"copy\.json: this row's file is search-000000\.json; rename it"):
        read_rows(tmp_path / "s")


def test_a_row_whose_id_is_not_its_specs_is_not_written(tmp_path: Path, plan: Plan, make_row: MakeRow) -> None:
    with (
        StudyFolder.open(tmp_path / "s", plan, data=DATA) as study,
        pytest.raises(RowError, match="its spec_id is wrong"),
    ):
        study.write(make_row(spec_id="wrong"))


def test_a_write_that_fails_leaves_the_old_row(
    tmp_path: Path, plan: Plan, make_row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError("disk full")

    with StudyFolder.open(tmp_path / "s", plan, data=DATA) as study:
        study.write(make_row())
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", fail)
            with pytest.raises(OSError, match="disk full"):
                study.write(make_row(seconds=1.0))
        with pytest.raises(RowError, match=r"seconds is nan"):
            study.write(make_row(seconds=float("nan")))
        assert read_rows(tmp_path / "s") == study.rows() == (make_row(),)
    assert len(list((tmp_path / "s" / "rows").iterdir())) == 1  # nothing is left aside


def test_a_second_writer_is_refused_while_the_first_writes(tmp_path: Path, plan: Plan) -> None:
    with StudyFolder.open(tmp_path / "s", plan, data=DATA):
        with pytest.raises(
            StudyError, match=rf"only one process may write a study, but process {os.getpid()} on .* does"
        ):
            StudyFolder.open(tmp_path / "s", plan, data=DATA)
        assert read_rows(tmp_path / "s") == ()
    study = StudyFolder.open(tmp_path / "s", plan, data=DATA)
    study.close()
    study.close()


HOLD = """\
import sys, time
from scalesearch.plan.plan import read_plan
from scalesearch.records.folder import StudyFolder
study = StudyFolder.open(sys.argv[1], read_plan(sys.argv[2]), data="0123456789ab")
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_writer_leaves_no_lock(tmp_path: Path, plan: Plan) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "s"), str(tmp_path / "asked.yaml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(StudyError, match=f"process {holder.pid} on"):
            StudyFolder.open(tmp_path / "s", plan, data=DATA)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EIO])
def test_a_disk_without_locks_is_not_taken_for_another_process(
    reason: int, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(handle: int, how: int) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("fcntl.flock", refused)
    said = rf"this disk cannot lock files \({re.escape(os.strerror(reason))}\); name a folder on another disk by --out"
    with pytest.raises(StudyError, match=said):
        StudyFolder.open(tmp_path / "s", plan, data=DATA)
    monkeypatch.undo()
    StudyFolder.open(tmp_path / "s", plan, data=DATA).close()


def test_reading_a_row_calls_few_functions(tmp_path: Path, make_row: MakeRow) -> None:
    (tmp_path / "rows").mkdir()
    curve = tuple((epoch, {f"n{i}": 0.123456789 * i for i in range(12)}) for epoch in range(10))
    for ordinal in range(60):
        row = make_row(width=16 + 8 * (ordinal % 20), ordinal=ordinal, curve=curve)
        (tmp_path / "rows" / row.file_name).write_text(row.to_json())
    assert len(read_rows(tmp_path)) == 60  # Converters are compiled once.
    # Counted, for time hangs on the machine: a study of thousands of rows is read before each command.
    assert _calls(lambda: read_rows(tmp_path)) / 60 < 1000  # 430 when this was written


def _calls(work: Callable[[], object]) -> int:
    count = 0

    def counted(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
