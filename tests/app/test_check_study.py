"""`report --check` on copies of a committed study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from scalesearch.cli.study import report
from scalesearch.study.check import StrayRowError

QUICKSTART = Path(__file__).parents[2] / "results" / "quickstart"


def test_it_counts_the_proposals_that_follow_and_writes_nothing(tmp_path: Path) -> None:
    study = Path(shutil.copytree(QUICKSTART, tmp_path / "study"))
    (study / "report.md").unlink()
    done = CliRunner().invoke(report, [str(study), "--check"])
    assert done.exit_code == 0 and done.output.endswith("proposals follow from the rows that they were told\n")
    assert not (study / "report.md").exists()


def test_it_names_the_row_that_does_not_follow(tmp_path: Path) -> None:
    study = Path(shutil.copytree(QUICKSTART, tmp_path / "study"))
    file = max((study / "rows").glob("search-*.json"))
    row = json.loads(file.read_text())
    file.write_text(json.dumps(row | {"proposed_by": "gp"}))
    done = CliRunner().invoke(report, [str(study), "--check"])
    assert isinstance(done.exception, StrayRowError) and str(done.exception).startswith(file.name)


@pytest.mark.parametrize("name", ["results", "rows"])
def test_what_is_no_study_is_refused(tmp_path: Path, name: str) -> None:
    done = CliRunner().invoke(report, [str(tmp_path / name), "--check"])
    assert isinstance(done.exception, ValueError)
