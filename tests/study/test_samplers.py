"""What each sampler observes, what it asks for, and what it does where there is little to go by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scalesearch.arch.genes import Genes
from scalesearch.cost.budget import from_dict
from scalesearch.plan.sections import SAMPLERS, SamplerPlan
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band, EmptyBandError
from scalesearch.space.candidates import Candidate, SpecUnit, inside
from scalesearch.space.find_band import find_band
from scalesearch.space.finite import FiniteUnit, band_of
from scalesearch.space.projected import ProjectedBand
from scalesearch.space.space import Choices, Point, Space, steps
from scalesearch.study import evolution, graph_start, samplers
from scalesearch.study.observations import gain_slope, observed_values
from scalesearch.study.propose import propose

GENES = Genes(levels=(3, 5), nodes=5, inputs=2, fusions=("fast", "sum"))
CONSTANTS = {
    "backbone": Choices(("efficientnet-w0.25-d0.3",)),
    "size": Choices((64,)),
    "width": Choices((16,)),
    "repeats": Choices((1,)),
    "head_depth": Choices((1,)),
}
MODELS = ("tpe", "nsga2", "gp", "evolution")
BOTH = ("ap", "macs")


def unit_of(axes: dict[str, Choices], low: str, high: str, genes: Genes | None = None) -> SpecUnit:
    space = Space(axes=CONSTANTS | axes, classes=3, genes=genes)
    return SpecUnit(space, from_dict({"macs": {"min": low, "max": high}}))


def free_band() -> Band:
    """Graphs and nothing else, in a narrow band: no number can bring one into it."""
    axes = {"min_level": Choices((3,)), "max_level": Choices((5,))}
    return find_band(unit_of(axes, "2.272M", "2.275M", GENES))


def numbers_band() -> Band:
    axes = {"size": steps(64, 128, 16), "width": steps(16, 48, 8), "topology": Choices(("fpn", "bifpn"))}
    return find_band(unit_of(axes, "3M", "9M"))


def trial(ordinal: int, candidate: Candidate, *curve: float | None, state: str = "complete", epochs: int = 0) -> Trial:
    """The trial of a candidate with an AP for each epoch."""
    spec, ap = candidate.members[0], curve[-1] if curve else None
    row = Row(
        kind="search", ordinal=ordinal, point=candidate.point, spec=spec, spec_id=spec.id,
        cost=dict(zip(("params", "macs", "activations"), (1, int(candidate.costs[0]["macs"]), 1), strict=True)),
        recipe={}, recipe_id="0", data="0", splits={}, seed=0, epochs_done=len(curve), epochs_planned=epochs or len(curve),
        curve=tuple((i, {"ap": value}) for i, value in enumerate(curve, 1)), final={"ap": ap}, per_class={},
        state=state, seconds=0.0, peak_memory=0, images_per_second=0.0, threads=1, machine={}, versions={},
    )  # fmt: skip
    return Trial(ordinal, dict(candidate.point), "", (row,))


def searched(band: Band, sampler: str, count: int, objectives: Sequence[str] = BOTH, **scores: float) -> list[Trial]:
    """Trials with an AP from the spec's id, or the one given."""
    trials: list[Trial] = []
    for ordinal in range(count):
        plan = SamplerPlan(name=sampler, startup=3, population=4)
        candidate = propose(band, plan, objectives, 0, ordinal, trials).candidate
        trials.append(trial(ordinal, candidate, scores.get("ap", int(candidate.key[0][:3], 16) / 4096)))
    return trials


# ---- observed ----


def costing(candidate: Candidate, macs: float) -> Candidate:
    return Candidate(candidate.point, candidate.members, ({**candidate.costs[0], "macs": macs},))


def test_a_stopped_trial_tells_its_ap_and_the_median_gain_of_those_that_went_on() -> None:
    candidates = [costing(numbers_band().draw((), np.random.default_rng(i)), 100) for i in range(6)]
    whole = [(0.1, 0.3, 0.4), (0.2, 0.3, 0.3), (0.1, 0.2, 0.7)]  # From epoch 1: 0.3, 0.1, 0.6; from 2: 0.1, 0, 0.5
    trials = [trial(i, candidates[i], *curve) for i, curve in enumerate(whole)]
    trials += [trial(3, candidates[3], 0.05, state="stopped"), trial(4, candidates[4], 0.1, 0.25, state="stopped")]
    trials += [trial(5, candidates[5], state="failed")]
    observed = observed_values(trials, BOTH)
    assert [t.ordinal for t, _ in observed] == [0, 1, 2, 3, 4]
    assert [values[0] for _, values in observed] == pytest.approx([0.4, 0.3, 0.7, 0.35, 0.35])
    assert [values[1] for _, values in observed] == [c.costs[0]["macs"] for c in candidates[:5]]
    assert observed_values(trials[3:], ["ap"])[0][1] == [0.05]  # Nobody went on: no gain.


def test_a_dear_one_that_was_stopped_is_expected_to_gain_more_where_dear_ones_did() -> None:
    drawn = [numbers_band().draw((), np.random.default_rng(i)) for i in range(5)]
    cheap, middle, dear, *stopped = (
        costing(one, macs) for one, macs in zip(drawn, (100, 200, 400, 100, 400), strict=True)
    )
    whole = [trial(i, one, 0.1, ap) for i, (one, ap) in enumerate([(cheap, 0.2), (middle, 0.4), (dear, 0.6)])]
    trials = whole + [trial(3 + i, one, 0.1, state="stopped") for i, one in enumerate(stopped)]
    low, high = (values[0] for _, values in observed_values(trials, ["ap"])[3:])
    assert 0.2 < low < 0.4 < high < 0.6  # Between the median gain and the line: three observations shrink the slope.
    assert low + high == pytest.approx(0.8)
    assert gain_slope([1.0], [0.3], 0.0) == 0 and gain_slope([1.0, 2.0], [0.1, 0.3], 0.0) == pytest.approx(0.2)
    assert gain_slope([1.0, 2.0], [0.1, 0.3], 0.25) == pytest.approx(0.1)


@pytest.mark.parametrize("sampler", [*MODELS, "ehvi"])
def test_stopped_and_failed_trials_are_no_hindrance(sampler: str) -> None:
    band, rng = numbers_band(), np.random.default_rng(0)
    drawn: dict[tuple[str, ...], Candidate] = {c.key: c for c in (band.draw((), rng) for _ in range(40))}
    plan = SamplerPlan(name=sampler, startup=3, population=4)
    candidates = list(drawn.values())[:12]
    mixed = [
        trial(i, c, *(0.1, 0.2)[: 1 + i % 2], state=("stopped", "complete", "failed")[i % 3], epochs=2)
        for i, c in enumerate(candidates)
    ]
    found = propose(band, plan, BOTH, 0, 12, mixed)
    assert found.proposed_by == sampler and found.candidate.key not in {t.key for t in mixed}
    failed = [trial(i, c, state="failed") for i, c in enumerate(candidates)]
    assert propose(band, plan, BOTH, 0, 12, failed).proposed_by == "random"


# ---- every sampler ----


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"grid"}))
def test_graphs_alone_in_a_narrow_band(sampler: str) -> None:
    band = free_band()
    assert isinstance(band, ProjectedBand)
    trials = searched(band, sampler, 8 if sampler == "gp" else 14)
    assert len({t.key for t in trials}) == len(trials)
    for t in trials:
        assert inside(band.unit, band.unit.solve(t.point))
        assert t.rows[0].spec.topology == GENES.read(t.point)


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - {"grid"}))
@pytest.mark.parametrize(
    "axes",
    [{"width": steps(16, 96, 8)}, {"topology": Choices(("fpn", "panet", "bifpn", "qufpn"))}],
    ids=["number", "names"],
)
def test_one_axis_to_its_end_with_equal_scores(sampler: str, axes: dict[str, Choices]) -> None:
    band = find_band(unit_of(axes, "1M", "900M"))
    count = len(next(iter(axes.values())).values)
    trials = searched(band, sampler, count, ["ap"], ap=0.5)
    assert len({t.key for t in trials}) == count
    with pytest.raises(EmptyBandError, match=f"all {count} candidates inside the band have been tried"):
        propose(band, SamplerPlan(name=sampler, startup=3), ["ap"], 0, count, trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_finite_set_is_a_band(sampler: str) -> None:
    some, rng = numbers_band(), np.random.default_rng(0)
    given = {c.key: c for c in (some.draw((), rng) for _ in range(60))}
    candidates = list(given.values())[:9]
    band = band_of([*candidates, candidates[0]])
    assert set(band.unit.axes) == set(candidates[0].point)
    assert all(band.unit.solve(c.point) is c and inside(band.unit, c) for c in candidates)
    trials = searched(band, sampler, 9)
    assert {t.key for t in trials} == {c.key for c in candidates}
    with pytest.raises(EmptyBandError):
        propose(band, SamplerPlan(name=sampler), BOTH, 0, 9, trials)


def test_what_is_no_band() -> None:
    one, two = (numbers_band().draw((), np.random.default_rng(i)) for i in (0, 1))
    with pytest.raises(EmptyBandError, match="the set is empty"):
        band_of([])
    with pytest.raises(ValueError, match="the same axes"):
        band_of([one, replace(two, point={"width": 16})])
    with pytest.raises(ValueError, match="but width has both"):
        band_of([one, replace(two, point={**two.point, "width": "wide"})])
    with pytest.raises(ValueError, match="two have the same"):
        FiniteUnit((one, replace(two, point=one.point)), ())


def said() -> str:
    """What each sampler proposes on a small space, TPE where scores are equal but for their last bits, evolution on graphs."""
    counts = {"tpe": 24, "nsga2": 12, "gp": 6, "evolution": 12, "ehvi": 12, "qmc": 6, "random": 6}
    kept = [(name, [t.key for t in searched(numbers_band(), name, count)]) for name, count in counts.items()]
    equal = [asked("tpe", observations(12, seed), seed) for seed in range(25)]
    return repr([*kept, equal, [t.key for t in searched(free_band(), "evolution", 6)]])


def test_a_fresh_process_proposes_the_same_as_if_on_an_older_processor() -> None:
    code = "import tests.study.test_samplers as t; print(t.said())"
    root = str(Path(__file__).parents[2])
    older = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}
    if newer := np.show_config(mode="dicts")["SIMD Extensions"].get("found"):
        older["NPY_DISABLE_CPU_FEATURES"] = " ".join(newer)
    env = {**os.environ, **older, "PYTHONHASHSEED": "7", "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == said()


# ---- one by one ----


AXES = {"a": Choices(("x", "y", "z")), "b": Choices(tuple(range(9))), "c": Choices(tuple(range(9)))}


def observations(count: int, seed: int = 0) -> list[tuple[Point, list[float]]]:
    """Points whose score depends only on a (y is best) and b (small is best)."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        point = {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in AXES.items()}
        found.append((point, [float(point["a"] == "y") - float(point["b"]) / 9]))
    return found


def asked(name: str, seen: list[tuple[Point, list[float]]], seed: int, pending: Sequence[Point] = ()) -> Point:
    if name == "evolution":
        return evolution.ask(AXES, None, ["ap"], 16, seen, np.random.default_rng(seed))
    pool = [point for point, _ in observations(64, seed)]
    return samplers.ask(SamplerPlan(name=name), AXES, ["ap"], seed, seen, pending, lambda _: [0.0], lambda: pool)


@pytest.mark.parametrize("name", MODELS)
def test_what_was_good_is_asked_for_again(name: str) -> None:
    answers = [asked(name, observations(32), seed) for seed in range(24)]
    scores = [float(answer["a"] == "y") - float(answer["b"]) / 9 for answer in answers]
    assert np.mean(scores) > 0.05  # -0.11 by chance, with a standard error of 0.11


@pytest.mark.parametrize("name", ["tpe", "gp"])
def test_what_is_in_training_is_not_asked_for_again(name: str) -> None:
    seen = observations(32)
    free, busy = [], []
    for seed in range(12):
        free.append(asked(name, seen, seed))
        # Others that were asked for at the same time are in training.
        busy.append(asked(name, seen, seed, busy))

    def apart(points: list[Point]) -> float:
        places = [(float(p["a"] == "y"), float(p["b"]) / 9, float(p["c"]) / 9) for p in points]
        return float(np.mean([np.abs(np.subtract(a, b)).sum() for i, a in enumerate(places) for b in places[:i]]))

    assert apart(busy) > 1.2 * apart(free)


def test_nsga2_has_parents_whose_values_its_children_have() -> None:
    # Of the second generation on, all parents are "y" with b = 2; a child differs by its mutation alone, 1 in 3 an axis.
    seen: list[tuple[Point, list[float]]] = [({"a": "z", "b": 7, "c": i % 9}, [0.0]) for i in range(16)]
    seen += [({"a": "y", "b": 2, "c": i % 9}, [1.0]) for i in range(16)]
    answers = [asked("nsga2", seen, seed) for seed in range(40)]
    assert sum(answer["a"] == "y" for answer in answers) >= 25
    assert sum(answer["b"] == 2 for answer in answers) >= 20
    # Without a whole generation there are no parents: every value is as good as another.
    few = [asked("nsga2", seen[:8], seed) for seed in range(40)]
    assert {answer["a"] for answer in few} == {"x", "y", "z"} and sum(answer["b"] == 7 for answer in few) < 15


def test_a_sobol_sequence_covers_an_axis_evenly() -> None:
    band = find_band(unit_of({"width": steps(16, 72, 8)}, "1M", "900M"))
    widths = [propose(band, SamplerPlan(name="qmc"), BOTH, 3, i, []).candidate.point["width"] for i in range(16)]
    assert sorted(widths) == sorted([*steps(16, 72, 8).values] * 2)


def test_evolution_forgets_the_old_and_prefers_the_first_front() -> None:
    axes = {"a": Choices(tuple(range(100)))}
    old: list[tuple[Point, list[float]]] = [({"a": 0}, [0.9, 1.0])]
    new: list[tuple[Point, list[float]]] = [({"a": 50}, [0.5, 2.0]), ({"a": 52}, [0.5, 2.0])]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert int(evolution.ask(axes, None, BOTH, 2, old + new, rng)["a"]) >= 25
        assert int(evolution.ask(axes, None, BOTH, 3, new + old, rng)["a"]) <= 77


def test_a_mutated_graph_is_another_graph() -> None:
    unit, rng = free_band().unit, np.random.default_rng(0)
    start = {name: axis.values[0] for name, axis in unit.axes.items()}
    mutants = [evolution.mutant(start, unit.axes, unit.genes, rng) for _ in range(10)]
    assert all(GENES.read(point) != GENES.read(start) for point in mutants)


def test_a_search_of_graphs_starts_with_published_networks_and_their_mutants() -> None:
    genes = Genes(levels=(3, 5), nodes=8, inputs=3, fusions=("fast", "sum"))
    networks = set(graph_start.published(genes))
    assert len(networks) >= 3
    plan = SamplerPlan(name="ehvi", startup=8)
    band = find_band(unit_of({"width": steps(16, 64, 8), **SPAN}, "1.5M", "5M", genes))
    found = [propose(band, plan, BOTH, 0, i, []) for i in range(8)]
    assert {one.proposed_by for one in found} == {"published"}
    assert all(inside(band.unit, one.candidate) for one in found)
    graphs = [one.candidate.members[0].topology for one in found]
    assert sum(graph in networks for graph in graphs) >= 1 and len(set(graphs)) >= 4
    # Too few nodes for any published network: a random one.
    few = Genes(levels=(3, 5), nodes=3, inputs=1, fusions=("sum",))
    assert graph_start.published(few) == []
    band = find_band(unit_of({"width": steps(16, 64, 8), **SPAN}, "1M", "5M", few))
    assert propose(band, plan, BOTH, 0, 0, []).proposed_by == "published"


SPAN = {"min_level": Choices((3,)), "max_level": Choices((5,))}
