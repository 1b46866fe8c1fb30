"""What designs cost on paper: names, files, plans; as rows, as JSON, as a picture."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from scalesearch.app.price_designs import as_text, draw, priced
from scalesearch.arch.scaling import named
from scalesearch.console.cost_tables import show_costs
from scalesearch.cost.latency import predict_latency
from scalesearch.cost.price import price
from tests.cost.test_latency import table

PLAN = """
data: {source: digits}
space: {backbone: efficientnet-w0.25-d0.3, size: 64, width: [8, 16, 24], repeats: [1, 2], head_depth: 1}
anchors: {scale: 4, octaves: 3}
band: {macs: {max: 1G}}
baselines: {plain: {width: 16, repeats: 1}}
"""


def test_published_ones_are_a_family() -> None:
    found = priced(["d0", "d1", "lite0"], None, None, table())
    assert [(one.family, one.phi) for one in found] == [("d", 0.0), ("d", 1.0), ("lite", 0.0)]
    assert found[0].parts.total == price(named("d0"))
    assert found[1].latency == predict_latency(named("d1"), table())
    rows = list(csv.DictReader(io.StringIO(as_text(found, "csv"))))
    assert [row["design"] for row in rows] == ["d0", "d1", "lite0"]
    assert int(rows[0]["macs"]) == price(named("d0")).macs and float(rows[0]["latency"]) == found[0].latency
    assert [one["memory"] for one in json.loads(as_text(found, "json"))] == [one.memory for one in found]


def test_a_plan_stands_for_its_baselines_and_candidates_of_its_band(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "scalesearch")
    (tmp_path / "plan.yaml").write_text(PLAN)
    found = priced([str(tmp_path / "plan.yaml")], None, None, None)
    assert found[0].name == "baseline plain" and found[0].spec.width == 16
    assert len(found) > 2 and all(one.parts.total.macs <= 1e9 and one.spec.classes == 10 for one in found)
    assert "of the candidates inside are shown" in caplog.text


def test_a_table_of_many_columns_keeps_them_all(capsys: pytest.CaptureFixture[str]) -> None:
    found = priced(["d0", "retinanet_nasfpn"], None, "64x64", table())
    show_costs([(one.name, one.spec, one.parts, one.metrics) for one in found])
    shown = capsys.readouterr().out
    assert "…" not in shown
    assert all(word in shown for word in ("activations", "latency", "retinanet_nasfpn"))


def test_a_free_graph_is_not_listed_gene_by_gene(tmp_path: Path) -> None:
    genes = PLAN.replace("space: {", "space: {topology: {genes: {nodes: 6}}, ").replace("baselines", "#")
    (tmp_path / "plan.yaml").write_text(genes)
    found = priced([str(tmp_path / "plan.yaml")], None, None, None)
    assert found[0].name.startswith("1: ") and found[0].name.endswith(", free graph")


def test_the_picture_of_a_family(tmp_path: Path) -> None:
    found = priced(["d0", "d1", "d2"], None, None, None)
    draw(found, None, tmp_path / "family.png")
    assert (tmp_path / "family.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="two members of a family"):
        draw(found[:1], None, tmp_path / "one.png")
    with pytest.raises(ValueError, match=r"a picture is \.svg"):
        draw(found, None, tmp_path / "family.txt")
