"""The model of the sampler ehvi: scikit-learn's Gaussian process as we use it, or BoTorch's SingleTaskGP?

    pip install botorch==0.18.1
    python benchmarks/outside_tables.py -o tables/
    OMP_NUM_THREADS=1 python benchmarks/gp_models.py --tables tables/       # writes results/benchmarks/gp_models.md

Features, acquisition, candidates and the observations that hyperparameters are fitted to are the same; the model is
exchanged. Ours: Matérn 5/2 with one length scale for each group of columns, maximum a posteriori (study/gaussian_process.py).
BoTorch's: SingleTaskGP with its defaults (RBF with a length scale for each column, Hvarfner et al. 2024), fitted by
fit_gpytorch_mll, on features scaled to the unit cube as it asks for.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from compare_samplers import ours
from numpy.typing import NDArray
from table_problems import STARTUP, Measure, Problem, problem

from scalesearch.evidence.noise import Spread
from scalesearch.rehearsal.comparison_page import spread_text
from scalesearch.study import cost_aware
from scalesearch.study.gaussian_process import Posterior, Prediction, predict

NAMES = ("nb201-cifar100", "graph-cora", "hpolib-protein")
TRIALS, SEEDS = 60, 5
OUT = Path(__file__).parents[1] / "results" / "benchmarks" / "gp_models.md"
Array = NDArray[np.float64]


def single_task_gp(
    x: Array, y: Array, groups: NDArray[np.int64], wanted: Array, fitted: int | None = None
) -> Posterior:
    """`predict` of study/gaussian_process.py with BoTorch's model; `groups` are not used."""
    import torch
    from botorch.models import SingleTaskGP

    low, high = np.minimum(x.min(axis=0), wanted.min(axis=0)), np.maximum(x.max(axis=0), wanted.max(axis=0))
    width = np.where(high > low, high - low, 1.0)
    here, there = (x - low) / width, (wanted - low) / width
    first = len(y) if fitted is None else fitted
    middle, spread = float(y.mean()), float(y.std()) or 1.0
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        model = SingleTaskGP(torch.tensor(here), torch.tensor((y - middle) / spread)[:, None], outcome_transform=None)
        model.load_state_dict(_fitted(here[:first].tobytes(), y[:first].tobytes()))
        model.eval()
        # One joint pass over thousands of candidates would have their covariance matrix: each is asked for alone.
        found = model.posterior(torch.tensor(there)[:, None])
        mean, deviation = found.mean.numpy().ravel(), found.variance.sqrt().numpy().ravel()
        observed = model.posterior(torch.tensor(here)[:, None]).mean.numpy().ravel()
    return Posterior(observed=middle + spread * observed, wanted=Prediction(middle + spread * mean, spread * deviation))


@lru_cache(maxsize=256)
def _fitted(x: bytes, y: bytes) -> Any:
    """Return the state of a model fitted to these observations, features in the unit cube."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    values = np.frombuffer(y)
    places = np.frombuffer(x).reshape(len(values), -1)
    values = (values - values.mean()) / (float(values.std()) or 1.0)
    with torch.enable_grad():
        model = SingleTaskGP(torch.tensor(places), torch.tensor(values)[:, None], outcome_transform=None)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model.state_dict()


class Searched(NamedTuple):
    """One search with one model."""

    volume: float
    seconds: float
    """Processor time of a proposal of the model, all else included."""


def searched(given: Problem, measure: Measure, model: Callable[..., Posterior], seed: int) -> Searched:
    """Search once."""
    plan = dataclasses.replace(given.stage.plan, trials=TRIALS)
    shorter = dataclasses.replace(given, stage=dataclasses.replace(given.stage, plan=plan))
    started = time.process_time()
    with mock.patch.object(cost_aware, "predict", model):
        evaluated = ours(shorter, "ehvi", seed)
    seconds = (time.process_time() - started) / (TRIALS - STARTUP)
    steps, _ = measure.steps(evaluated, seed)
    return Searched(steps[-1].volume, round(seconds, 4))


def page(found: dict[str, dict[str, list[Searched]]]) -> str:
    """Return the page: a line for each table and model."""
    intro = (
        f"{TRIALS} evaluations, band and volume as in [samplers](samplers/samplers.md); the mean ± half of the "
        "95 % interval. Same features, acquisition and candidates (`benchmarks/gp_models.py`). One thread."
    )
    lines = [
        "# The model of ehvi: scikit-learn or BoTorch",
        "",
        intro,
        "",
        "| table | seeds | model | volume | less scikit-learn's, by seed | seconds a proposal |",
        "|---|---|---|---|---|---|",
    ]
    for table, models in found.items():
        (base, first), *_ = models.items()
        for name, runs in models.items():
            difference = Spread(tuple(run.volume - other.volume for run, other in zip(runs, first, strict=True)))
            lines.append(
                f"| {table} | {len(runs)} | {name} | {spread_text(Spread(tuple(run.volume for run in runs)))} | "
                f"{'-' if name == base else spread_text(difference)} | {fmean(run.seconds for run in runs):.3f} |"
            )
    names = list(next(iter(found.values())))
    slower = [
        fmean(run.seconds for run in models[names[1]]) / fmean(run.seconds for run in models[names[0]])
        for models in found.values()
    ]
    every = Spread(
        tuple(
            b.volume - a.volume
            for models in found.values()
            for a, b in zip(models[names[0]], models[names[1]], strict=True)
        )
    )
    factor = math.exp(fmean(math.log(value) for value in slower))
    lines += ["", f"Over all: BoTorch less scikit-learn {spread_text(every)} in volume, {factor:.1f} times its time."]
    return "\n".join(lines) + "\n"


def read_searches(file: Path) -> dict[tuple[str, str, int], Searched]:
    """Return the searches of a file by table, model and seed; none where there is no file."""
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return {(one["table"], one["model"], one["seed"]): Searched(one["volume"], one["seconds"]) for one in lines}


def by_table(
    found: Mapping[tuple[str, str, int], Searched], models: Sequence[str]
) -> dict[str, dict[str, list[Searched]]]:
    """Return the searches of the seeds that all models have, by table and model."""
    grouped: dict[str, dict[str, list[Searched]]] = {}
    for table in NAMES:
        seeds = [seed for seed in range(SEEDS) if all((table, model, seed) in found for model in models)]
        if seeds:
            grouped[table] = {model: [found[table, model, seed] for seed in seeds] for model in models}
    return grouped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="folder of outside_tables.py")
    parser.add_argument("-o", "--out", type=Path, default=OUT, help="the page; the searches are kept beside it")
    asked = parser.parse_args()
    models: dict[str, Callable[..., Posterior]] = {
        f"scikit-learn {version('scikit-learn')}": predict,
        f"BoTorch {version('botorch')}": single_task_gp,
    }
    file = asked.out.with_suffix(".jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    found = read_searches(file)
    problems = {table: problem(table, asked.tables) for table in NAMES}
    measures = {table: Measure(given) for table, given in problems.items()}
    for seed, table, name in product(range(SEEDS), NAMES, models):
        if (table, name, seed) in found:
            continue
        one = found[table, name, seed] = searched(problems[table], measures[table], models[name], seed)
        with file.open("a") as lines:
            lines.write(json.dumps({"table": table, "model": name, "seed": seed, **one._asdict()}) + "\n")
        print(table, name, seed, one, flush=True)
        if done := by_table(found, list(models)):
            asked.out.write_text(page(done))


if __name__ == "__main__":
    main()
