"""How well does a rung rank what a sampler proposes? Candidates that are closer together are harder to rank.

    python benchmarks/ladder_ranks.py --samplers random,evolution,tpe,ehvi,gp --seeds 100:104 --out results/rehearsal/ranks.txt

For each sampler, over the second half of its proposals with full training: the standard deviation of true AP about a line
over the logarithm of the multiply-adds, and Kendall's tau of that distance with the same distance of the AP seen at each
rung. The mean and half of the 95 % interval over seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from unittest import mock

import numpy as np
import optuna
from numpy.typing import NDArray
from scipy.stats import kendalltau

from scalesearch.app.rehearse import on_landscape
from scalesearch.evidence.noise import Spread
from scalesearch.plan.ladder import epochs_at
from scalesearch.rehearsal.comparison_page import spread_text
from scalesearch.rehearsal.simulation import Yardstick, rehearse
from scalesearch.study import derive
from scalesearch.study.propose import Proposal, propose

PLAN = Path(__file__).parents[1] / "search_spaces" / "landscape.yaml"


def beyond(values: NDArray[np.float64], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distance of values from their line over the logarithm of the cost."""
    return values - np.polyval(np.polyfit(size, values, 1), size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samplers", default="random,evolution,tpe,gp,ehvi")
    parser.add_argument("--seeds", default="100:104", help="from:to, the last one excluded")
    parser.add_argument("--trials", type=int, default=80)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    stage = on_landscape(PLAN, [f"trials={asked.trials}"], "plain")
    yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)
    epochs = epochs_at(stage.plan.ladder, stage.plan.recipe.epochs)
    lines = [
        f"python benchmarks/ladder_ranks.py --samplers {asked.samplers} --seeds {asked.seeds} --trials {asked.trials}",
        "spread of true AP beyond the cost | tau of the AP seen at the rungs with the true one, lowest rung first",
    ]
    for sampler in asked.samplers.split(","):
        spreads, taus = [], []
        for seed in range(*map(int, asked.seeds.split(":"))):
            made: list[Proposal] = []

            def noted(*of: object, made: list[Proposal] = made, **more: object) -> Proposal:
                made.append(propose(*of, **more))  # type: ignore[arg-type]
                return made[-1]

            plan = dataclasses.replace(
                stage.plan, sampler=dataclasses.replace(stage.plan.sampler, name=sampler), seed=seed, ladder=None
            )
            with mock.patch.object(derive, "propose", noted):
                rehearse(plan, stage.band, stage.surrogate, yardstick, stage.setup)
            specs = [one.candidate.members[0] for one in made[len(made) // 2 :]]
            size = np.log([one.candidate.costs[0]["macs"] for one in made[len(made) // 2 :]])
            truth = beyond(np.array([stage.surrogate.truth(spec) for spec in specs]), size)
            seen = [np.array([stage.surrogate.ap(spec, seed, epoch) for spec in specs]) for epoch in epochs]
            spreads.append(float(truth.std()))
            taus.append([float(kendalltau(beyond(values, size), truth).statistic) for values in seen])
        told = ", ".join(spread_text(Spread(tuple(column))) for column in zip(*taus, strict=True))
        lines.append(f"{sampler:9} {spread_text(Spread(tuple(spreads)))} | {told}")
        print(lines[-1], flush=True)
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
