"""Table 5's feature-network ratios by `price`, and the table in the docs."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def table5() -> ModuleType:
    return script("table5")


@pytest.mark.parametrize("shape", ["d2", "d3"])
@pytest.mark.parametrize("row", ["panet", "nasfpn", "bifpn", "bifpn, weighted"])
def test_ratios_are_the_papers_where_the_wiring_is_known(table5: ModuleType, shape: str, row: str) -> None:
    assert table5.ratios(shape, row) == pytest.approx(table5.PAPER[row], abs=0.05)


def test_ratios_equal_an_independent_count(table5: ModuleType) -> None:
    # Counted apart from this project, to three digits.
    found = {row: [f"{x:.3f}" for s in ("d2", "d3") for x in table5.ratios(s, row)] for row in ("nasfpn", "bifpn")}
    assert found == {"nasfpn": ["0.755", "0.727", "0.738", "0.714"], "bifpn": ["0.892", "0.680", "0.864", "0.661"]}


def test_our_fully_connected_network_costs_what_the_table_says_at_d3(table5: ModuleType) -> None:
    assert table5.ratios("d3", "fully_connected") == pytest.approx((1.24, 1.21), abs=0.03)


def test_the_docs_hold_the_table(table5: ModuleType) -> None:
    assert table5.BEGIN + table5.table() + table5.END in table5.DOCS.read_text()
