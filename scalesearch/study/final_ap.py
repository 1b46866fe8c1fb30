"""The final AP that a model expects of trials and candidates, from whole trainings or also from the rungs of a ladder."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from scalesearch.records.trials import Trial
from scalesearch.study.gaussian_process import Array, Posterior, predict
from scalesearch.study.multi_fidelity import Scores, predict_final

_MOST_SCORES = 1_000
"""The most APs along curves that are observed, for the time of a proposal."""


def final_ap(
    trials: Sequence[Trial],
    ap: Sequence[float],
    places: Array,
    groups: NDArray[np.int64],
    wanted: Array,
    busy: Array | None = None,
) -> Posterior:
    """Return the posterior of the final AP at `wanted` [M, D] and at the trials' places, then those in training.

    Args:
        trials: trials that did not fail.
        ap: their final AP or, of stopped ones, its estimate, which serves where all have been seen at one rung only.
        places: their features [N, D].
        groups: group of each feature [D].
        busy: features of candidates in training [B, D]: each is taken to come to its expected AP (Ginsbourger et al. 2010,
            "kriging believer").
    """
    count = len(trials)
    fitted = milestone(count)
    scores = rung_scores(trials)
    if scores.rung.max() == 0:
        values = np.array(ap)
        if busy is None or not len(busy):
            return predict(places, values, groups, wanted, fitted)
        expected = predict(places, values, groups, busy, fitted).wanted.mean
        return predict(np.vstack([places, busy]), np.append(values, expected), groups, wanted, fitted)
    size = np.array([fmean(trial.log_macs) for trial in trials])
    if busy is None or not len(busy):
        return predict_final(places, size, scores, groups, wanted, fitted)
    expected = predict_final(places, size, scores, groups, busy, fitted).wanted.mean
    top = np.full(len(busy), scores.rung.max())
    scores = Scores(
        np.append(scores.trial, count + np.arange(len(busy))),
        np.append(scores.rung, top),
        np.append(scores.ap, expected),
    )
    size = np.append(size, np.full(len(busy), size.mean()))
    return predict_final(np.vstack([places, busy]), size, scores, groups, wanted, fitted)


def rung_scores(trials: Sequence[Trial]) -> Scores:
    """Return the APs of these trials at the epochs where any of them was stopped, and at the end.

    At most 1,000: of the trials that came farthest, of equals the latest.
    """
    epochs = sorted({trial.epochs_done for trial in trials if trial.stopped})
    top = len(epochs)
    found: list[list[tuple[int, int, float]]] = []
    for i, trial in enumerate(trials):
        curve = [(i, rung, ap) for rung, at in enumerate(epochs) if (ap := trial.aps.get(at)) is not None]
        found.append([*curve, (i, top, trial.value("ap"))] if trial.complete else curve)
    kept: list[tuple[int, int, float]] = []
    for scores in sorted(found, key=lambda scores: (-scores[-1][1] if scores else 0, -scores[0][0] if scores else 0)):
        if len(kept) + len(scores) > _MOST_SCORES:
            break
        kept += scores
    kept.sort()
    levels = {rung: number for number, rung in enumerate(sorted({rung for _, rung, _ in kept}))}
    return Scores(
        np.array([i for i, _, _ in kept], dtype=np.int64),
        np.array([levels[rung] for _, rung, _ in kept], dtype=np.int64),
        np.array([ap for _, _, ap in kept], dtype=np.float64),
    )


def milestone(count: int) -> int:
    """Return how many of the first trials hyperparameters are fitted to: steps of a tenth, so that they are fitted anew
    only now and then."""
    return count if count < 20 else count - count % (count // 10)
