"""The scaling page: what it says of the committed rows, and of rows whose truth is known."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from scalesearch.app.curves_table import write_curves
from scalesearch.evidence.noise import Group
from tests.benchmarks.scripts import FOLDER, script
from tests.records.conftest import row

RESULTS = FOLDER.parent / "results"


@pytest.fixture(scope="module")
def designs() -> ModuleType:
    return script("scaling_designs")


@pytest.fixture(scope="module")
def scaling(designs: ModuleType) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(FOLDER))  # the scripts import one another
        yield script("scaling_page")


@pytest.fixture
def questions(scaling: ModuleType) -> ModuleType:
    return sys.modules["scaling_questions"]


def design(name: str, macs: float, *aps: float, repeats: int = 1, width: int = 16) -> Group:
    """A named design of this cost, with a seed for each score."""
    one = row(kind="baseline", name=name, width=width)
    cost, spec = {**one.cost, "macs": macs}, dataclasses.replace(one.spec, repeats=repeats)
    return Group(
        tuple(
            dataclasses.replace(one, seed=seed, cost=cost, spec=spec, final={"ap": ap}) for seed, ap in enumerate(aps)
        )
    )


def test_it_follows_from_the_committed_rows(scaling: ModuleType) -> None:
    page = scaling.page(scaling.read_studies(), scaling.read_rates())
    assert (scaling.OUT / "scaling.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("study", sorted(file.name for file in RESULTS.glob("table_*")))
def test_its_tables_follow_from_the_committed_rows(study: str, tmp_path: Path) -> None:
    write_curves(RESULTS / study, tmp_path / "curves.csv")
    assert (RESULTS / study / "curves.csv").read_text() == (tmp_path / "curves.csv").read_text()


def test_the_slope_of_a_star_is_for_a_doubling(designs: ModuleType) -> None:
    star = [design(f"size{i}", 1e7 * 2**i, 0.3 + 0.05 * i, 0.32 + 0.05 * i) for i in range(4)]
    study = designs.StudyDesigns("toy", {group.first.name: group for group in star})
    slope, half = designs.slope_of(study, star)
    # The points lie on the line, so what is uncertain is the noise of a mean of two, over log2 costs of -1.5 .. 1.5.
    sd = 0.02 / math.sqrt(2)
    assert slope == pytest.approx(0.05) and study.noise.sd == pytest.approx(sd)
    assert half == pytest.approx(4.302653 * sd / math.sqrt(2) / math.sqrt(5), rel=1e-5)


def test_a_difference_is_told_only_beyond_the_noise(designs: ModuleType) -> None:
    near, far = design("near", 1e7, 0.31, 0.33), design("far", 1e7, 0.51, 0.53)
    base = design("base", 1e7, 0.30, 0.32)
    study = designs.StudyDesigns("toy", {"base": base, "near": near, "far": far})
    assert study.against(far, base) == "**+0.210** (told: beyond 0.045)"
    assert study.against(near, base).startswith("+0.010 (not told; ") and "seeds would" in study.against(near, base)
    assert study.against(base, base) == "+0.000 (not told; no difference)"


def test_factors_that_round_to_one_width_are_one_design(designs: ModuleType) -> None:
    groups = [design("base", 1e7, 0.3, 0.31, width=64), design("f1_2phi1", 2e7, 0.35, 0.36, width=80, repeats=2)]
    study = designs.StudyDesigns("toy", {group.first.name: group for group in groups})
    assert study.compound(1.2, 1) is study.compound(1.3, 1) is groups[1]
    assert study.compound(1.35, 1) is None and study.compound(1.2, 2) is None


def test_a_factor_is_compared_at_each_rate(questions: ModuleType, designs: ModuleType) -> None:
    names = [f"f{factor:g}phi2".replace(".", "_") for factor in designs.FACTORS]

    def study(rising: bool) -> object:
        aps = [0.3 + 0.02 * (i if rising else -i) for i in range(len(names))]
        groups = {name: design(name, 1e7, ap, ap + 0.002) for name, ap in zip(names, aps, strict=True)}
        return designs.StudyDesigns("toy", groups)

    lines = list(questions.rate_lines({"0.008": study(rising=True), "0.02": study(rising=False)}))
    assert lines[2].startswith("| 1.2 | 0.301 ± ")
    assert any(line.startswith("- At 0.008 the best factor is 1.45; ") for line in lines)
    assert any(line.startswith("- At 0.02 the best factor is 1.2; ") and "is -1.00" in line for line in lines)


def test_what_a_fit_said_stands_beside_what_was_trained(questions: ModuleType, designs: ModuleType) -> None:
    groups = [design("100M", 1e8, 0.44, 0.47), design("50M", 5e7, 0.39, 0.41), design("base", 2e7, 0.3, 0.31)]
    table, family = designs.StudyDesigns("table", {"base": groups[2]}), designs.StudyDesigns("family", {})
    family.groups.update({group.first.name: group for group in groups[:2]})
    plan = "#   50M: AP 0.410 (0.380 .. 0.440), 50,000,000 multiply-adds\n#   100M: AP 0.43 (0.40 .. 0.46), 1 multiply-adds\n"
    lines = list(questions.family_lines(table, family, plan))
    assert lines[2].startswith("| 50M | 96, 16, 1, 1 | 50 M | 0.410 (0.380 .. 0.440) | 0.400 ± ")
    assert lines[-1].startswith("\n3 of 4 trainings are inside")  # 0.47 is not
