"""Does every sampler stay inside a narrow band? Writes results/checks/samplers.txt.

    python benchmarks/check_samplers.py            # about 10 minutes on one core
    python benchmarks/check_samplers.py --trials 12 --out /tmp/samplers.txt

Three spaces of which at most 1 % is inside the band: one that is priced whole, one far too large for that, one of free
graphs. Each sampler proposes 100 candidates (GP 60); nothing is trained, AP is a formula over the spec. Counted are
trials, candidates over the budget, under its lower end, and seen before; each is priced anew from its spec.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import optuna

from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget, from_dict
from scalesearch.cost.price import price
from scalesearch.plan.sections import SAMPLERS, SamplerPlan
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band, EmptyBandError
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.space.find_band import find_band
from scalesearch.space.space import Choices, Space, steps
from scalesearch.study.propose import Proposal, propose

OBJECTIVES = ("ap", "macs")
TRAINED, GP_TRAINED, MOST = 100, 60, 1.05
SEED, SHARE_OF = 0, 20_000


class Case(NamedTuple):
    """A space and a band of it."""

    name: str
    space: Space
    band: dict[str, dict[str, str]]

    @property
    def unit(self) -> SpecUnit:
        """Trials of one detector."""
        return SpecUnit(self.space, from_dict(self.band))


def cases() -> list[Case]:
    """The three spaces."""
    small = {"backbone": Choices(("efficientnet-w0.25-d0.3", "efficientnet-w0.5-d0.5"))}
    mixed = small | {"topology": Choices(("fpn", "panet", "bifpn", "nasfpn")), "size": steps(64, 320, 16)}
    mixed |= {"width": steps(16, 128, 8), "repeats": steps(1, 5, 1), "head_depth": steps(1, 3, 1)}
    large = {"backbone": Choices(("efficientnet-w0.25-d0.3", "efficientnet-w0.5-d0.5", "efficientnet_b0"))}
    large |= {"topology": Choices(("fpn", "panet", "panet_simplified", "bifpn", "qufpn", "nasfpn"))}
    large |= {"fusion": Choices(("own", "sum", "fast")), "size": steps(64, 512, 8), "width": steps(16, 256, 4)}
    large |= {"repeats": steps(1, 8, 1), "head_depth": steps(0, 4, 1)}
    free = {"backbone": Choices(("efficientnet-w0.25-d0.3",)), "size": Choices((128,)), "width": steps(16, 48, 8)}
    free |= {
        "repeats": Choices((1, 2)),
        "head_depth": Choices((1,)),
        "min_level": Choices((2,)),
        "max_level": Choices((5,)),
    }
    genes = Genes(levels=(2, 5), nodes=8, inputs=2, fusions=("fast", "sum"))
    return [
        Case("mixed, enumerated", Space(axes=mixed, classes=3), {"macs": {"min": "98M", "max": "100M"}}),
        Case("large, solved", Space(axes=large, classes=3), {"macs": {"min": "300M", "max": "304M"}}),
        Case("free graphs", Space(axes=free, classes=3, genes=genes), {"macs": {"min": "25.0M", "max": "25.1M"}}),
    ]


def ap(spec: DetectorSpec) -> float:
    """A score that grows with cost, with a best width for the size, and a taste for edges; 0.005 of it is the id's."""
    edges = sum(len(node.inputs) for node in spec.topology.nodes)
    ideal = math.log(max(spec.size) / 4)
    return (
        math.log10(price(spec).macs) / 20
        - (math.log(spec.width) - ideal) ** 2 / 20
        - (spec.repeats - 2.5) ** 2 / 200
        + min(edges, 16) / 200
        + int(spec.id[:4], 16) / 2**16 / 200
    )


def row_of(ordinal: int, proposal: Proposal, score: float | None) -> Row:
    """The row of the proposal as if it had been trained to `score`, or failed where that is None."""
    spec = proposal.candidate.members[0]
    return Row(
        kind="search",
        ordinal=ordinal,
        proposed_by=proposal.proposed_by,
        point=dict(proposal.candidate.point),
        spec=spec,
        spec_id=spec.id,
        cost=price(spec)._asdict(),
        recipe={},
        recipe_id="0" * 12,
        data="0" * 12,
        splits={"train": "a", "evaluated": "b"},
        seed=0,
        epochs_done=1,
        epochs_planned=1,
        curve=() if score is None else ((1, {"ap": score}),),
        final={} if score is None else {"ap": score},
        per_class={},
        state="failed" if score is None else "complete",
        seconds=0.0,
        peak_memory=0,
        images_per_second=0.0,
        threads=1,
        machine={},
        versions={},
    )


def trial_of(ordinal: int, proposal: Proposal, score: float | None) -> Trial:
    """The trial of that row."""
    row = row_of(ordinal, proposal, score)
    return Trial(ordinal, dict(row.point), row.proposed_by, (row,))


def search(band: Band, sampler: SamplerPlan, count: int, seed: int = SEED) -> tuple[list[Trial], list[float]]:
    """The trials until `count` are trained, and the processor seconds of each proposal."""
    trials: list[Trial] = []
    seconds: list[float] = []
    while sum(trial.complete for trial in trials) < count:
        start = time.process_time()
        proposal = propose(band, sampler, OBJECTIVES, seed, len(trials), trials)
        seconds.append(time.process_time() - start)
        trials.append(trial_of(len(trials), proposal, ap(proposal.candidate.members[0])))
    return trials, seconds


class Counts(NamedTuple):
    """What became of a search."""

    trials: int
    over: int
    under: int
    twice: int


def count(trials: Sequence[Trial], budget: Budget) -> Counts:
    """Every candidate priced anew against the ends of the band."""
    assert budget.macs is not None, "the bands here are of macs"
    macs = [price(trial.rows[0].spec).macs for trial in trials]
    over, under = sum(m > budget.macs.high for m in macs), sum(m < budget.macs.low for m in macs)
    return Counts(len(trials), over, under, len(trials) - len({trial.key for trial in trials}))


def share(unit: SpecUnit, points: int = SHARE_OF) -> float:
    """Of the space, the part inside the band, by `points` uniform draws."""
    rng, held = np.random.default_rng(SEED), 0
    for _ in range(points):
        point = {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in unit.axes.items()}
        held += unit.budget.holds(price(unit.space.spec(point)))
    return held / points


def line(name: str, found: Counts, seconds: Sequence[float], trials: Sequence[Trial]) -> str:
    """One sampler on one space."""
    late = [trial.value("ap") for trial in trials if trial.proposed_by == name] or [
        trial.value("ap") for trial in trials
    ]
    return (
        f"  {name:<10} {found.trials:>6} {found.over:>5} {found.under:>6} {found.twice:>6} "
        f"{1e3 * median(seconds):>10.0f} {1e3 * max(seconds):>8.0f} {sum(late) / len(late):>8.3f}"
    )


def main() -> None:
    """Runs all samplers on all spaces and writes what they did."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, help="in place of 100 (GP 60)")
    parser.add_argument("--out", type=Path, default=Path("results/checks/samplers.txt"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    versions = f"python {platform.python_version()}, optuna {optuna.__version__}, numpy {np.__version__}"
    lines = [
        f"python benchmarks/check_samplers.py: seed {SEED}, objectives {', '.join(OBJECTIVES)}, {versions}",
        "trials: to reach 100 trained (GP 60); over, under: outside the band; twice: seen before;",
        "ms: processor time of a proposal; AP: the formula's, the mean over what the sampler itself proposed",
    ]
    for case in cases():
        band, inside = find_band(case.unit), share(case.unit)
        lines += [
            "",
            f"{case.name}: {inside:.2%} of {SHARE_OF} uniform points inside {case.unit.budget}; {band.summary}",
        ]
        lines += [
            f"  {'sampler':<10} {'trials':>6} {'over':>5} {'under':>6} {'twice':>6} {'ms median':>10} {'ms max':>8} {'AP':>8}"
        ]
        print("\n".join(lines[-3:]), flush=True)
        assert inside <= 0.01, "the band is to hold at most 1 % of the space"
        for name in SAMPLERS:
            wanted = args.trials or (GP_TRAINED if name == "gp" else TRAINED)
            try:
                trials, seconds = search(band, SamplerPlan(name=name), wanted)
            except EmptyBandError as error:
                if name != "grid" or isinstance(band, EnumeratedBand):
                    raise
                lines.append(f"  {name:<10} not offered here: {error}")
                print(lines[-1], flush=True)
                continue
            found = count(trials, case.unit.budget)
            lines.append(line(name, found, seconds, trials))
            print(lines[-1], flush=True)
            assert found[1:] == (0, 0, 0) and found.trials <= MOST * wanted, (name, found)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
