"""The package as a script or a notebook uses it: a study, a training and a trained detector, from Python alone."""

from __future__ import annotations

import ast
import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import scalesearch as ss
from scalesearch.records.folder import StudyError
from tests.detectors import TINY

PLAN = """
data: {{source: {folder}, select: 0.3}}
space: {{backbone: efficientnet-w0.25-d0.3, topology: [fpn, bifpn], size: 64, width: [8, 16], repeats: 1, head_depth: 1}}
band: {{macs: {{max: 5M}}}}
sampler: {{name: random}}
trials: 3
recipe: {{epochs: 1, batch: 4}}
winners: {{top: 1, seeds: [0]}}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))


def test_a_study_is_searched_and_read_as_a_frame(coco: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(PLAN.format(folder=coco))
    plan = ss.load_plan(file, {"trials": 2, "space.min_level": 3, "space.max_level": 5})
    assert plan.trials == 2
    caplog.set_level("WARNING", "scalesearch.study")
    caplog.set_level("DEBUG", "scalesearch")
    found = ss.search(plan, out=tmp_path / "study")
    # A room is silenced by its logger, and the others are not.
    heard = {record.name for record in caplog.records}
    assert {"scalesearch.training.group", "scalesearch.app.search_study"} <= heard
    assert not any(name.startswith("scalesearch.study") for name in heard)
    assert len(found.trials) == 2 and len(found.rows) == 3 and found.best_trials
    frame = ss.read_study(tmp_path / "study").trials_dataframe()
    assert frame.columns[0] == "number" and frame.columns[-1] == "state"
    assert {"values_ap", "duration", "params_topology", "params_width", "user_attrs_spec_id"} <= set(frame.columns)
    assert frame.number.tolist() == [0, 1] and set(frame.state) == {"COMPLETE"}
    assert frame.values_ap.tolist() == [trial.value("ap") for trial in found.trials]
    assert ss.search(plan, out=tmp_path / "study").rows == found.rows  # nothing is trained twice


def test_a_detector_is_trained_evaluated_and_asked(
    coco: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = {"epochs": 1, "batch": 4, "norm_batches": 1}
    outcome = ss.train(TINY, data=coco, recipe=recipe, out=tmp_path / "run")
    assert outcome.state == "complete"
    model = ss.load_model(tmp_path / "run")
    assert model.spec == dataclasses.replace(TINY, classes=2)
    found = ss.evaluate(model, coco)
    assert found["numbers"]["ap"] == pytest.approx(outcome.curve[-1][1]["ap"], abs=1e-6)
    rows = ss.predict(tmp_path / "run", coco / "val", score=0.0)
    assert {Path(row["file_name"]).name for row in rows} <= {f"{number}.png" for number in range(4)}
    assert capfd.readouterr() == ("", "")  # a library says nothing that nobody asked for
    assert rows and set(rows[0]) == {"file_name", "image_id", "category_id", "category_name", "bbox", "score"}


def test_a_folder_that_is_no_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="plan.yaml"):
        ss.read_study(tmp_path)


def test_type_checkers_and_python_see_the_same_names() -> None:
    tree = ast.parse(Path(ss.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == ss._WHERE
    assert all(getattr(ss, name) is not None for name in ss.__all__)


def test_importing_the_package_imports_no_numpy() -> None:
    code = "import sys, scalesearch; assert not {'numpy', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_help_imports_no_numpy_and_no_torch() -> None:
    code = "import sys, scalesearch.cli; assert not {'numpy', 'torch', 'pandas', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
