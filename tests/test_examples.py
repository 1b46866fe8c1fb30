"""The notebook runs as it stands, over a small study in place of its parameters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"
PLAN = """
space: {backbone: efficientnet-w0.25-d0.3, topology: [fpn, bifpn], size: 64, width: [8, 16], repeats: 1, head_depth: 1}
detector: {}
band: {macs: {max: 5M}}
sampler: {name: random}
trials: 2
recipe: {epochs: 1, batch: 4}
winners: {top: 1, seeds: [0]}
data: {source: digits, select: 0.3}
"""


def test_the_notebook_runs(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    mpl.use("agg")
    (tmp_path / "plan.yaml").write_text(PLAN)
    small = {"plan_file": tmp_path / "plan.yaml", "changes": {}, "data": coco, "out": tmp_path / "study"}
    names: dict[str, Any] = {}
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            exec("".join(cell["source"]), names)  # noqa: S102
            assert names.keys() >= small.keys()
            names |= small
        elif cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)  # noqa: S102
    assert len(names["frame"]) == 2 and names["study"].facts.winners
    assert "ap" in names["found"]["numbers"]
