"""Does the sum of training losses tell at a rung who ends best (training-speed estimation, Ru et al., NeurIPS 2021)?

    scalesearch search search_spaces/quickstart.yaml --set sampler.name=random --set trials=11 --set recipe.epochs=4 \\
        --set recipe.eval_every=1 --set workers=1 --set threads=1 --set winners.top=1 --set 'winners.seeds=[0]' \\
        --set winners.recipe.epochs=1 --out speed
    python benchmarks/training_speed.py speed --out results/checks/training_speed.txt

Reads the fully trained search rows of a study that evaluates every epoch, and prints for each epoch below the last Kendall's
tau with the final AP of: the AP there; the negative sum of losses so far (`sum`) and the loss of that epoch (`last`); and the
mean of the standardized AP and sum (`both`). Candidates of a study have one recipe. Losses are comparable only where anchors
are the same too, so the second column of each takes pairs of equal pyramid levels and input size alone. Intervals are 95 %, of
1,000 bootstrap samples of the candidates.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.records.folder import read_rows
from scalesearch.records.row import Row

Array = NDArray[np.float64]


def scores(rows: list[Row], epoch: int) -> Mapping[str, Array]:
    """What each score says of the candidates after `epoch` epochs; more is better."""
    ap = np.array([dict(row.curve)[epoch]["ap"] or 0.0 for row in rows])
    losses = np.array([[loss for at, loss, _, _ in row.losses if at <= epoch] for row in rows])
    total = -losses.sum(axis=1)
    standard = [(values - values.mean()) / values.std() for values in (ap, total)]
    return {"ap": ap, "sum": total, "last": -losses[:, -1], "both": np.mean(standard, axis=0)}


def tau(found: Array, final: Array, groups: NDArray[np.int64] | None = None) -> float:
    """Kendall's tau over all pairs, or over those of one group; nan where there is no pair."""
    one, two = np.triu_indices(len(final), 1)
    if groups is not None:
        same = groups[one] == groups[two]
        one, two = one[same], two[same]
    distinct = final[one] != final[two]  # a candidate drawn twice by the bootstrap is no pair
    one, two = one[distinct], two[distinct]
    agree = np.sign(found[one] - found[two]) * np.sign(final[one] - final[two])
    return float(agree.mean()) if len(agree) else float("nan")


def interval(found: Array, final: Array, groups: NDArray[np.int64] | None = None) -> str:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1000):
        some = rng.integers(len(final), size=len(final))
        drawn.append(tau(found[some], final[some], None if groups is None else groups[some]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{tau(found, final, groups):.2f} ({low:.2f} .. {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    rows = [row for row in read_rows(asked.study) if row.kind == "search" and row.state == "complete" and row.losses]
    final = np.array([row.final["ap"] or 0.0 for row in rows])
    kinds = [(row.spec.size, row.spec.levels, row.spec.anchors) for row in rows]
    groups = np.array([kinds.index(kind) for kind in kinds])
    pairs = sum(kinds[i] == kinds[j] for i in range(len(rows)) for j in range(i))
    whole = rows[0].epochs_planned
    spread = f"final AP {final.min():.3f} .. {final.max():.3f}, standard deviation {final.std(ddof=1):.3f}"
    equal = f"{pairs} of {len(rows) * (len(rows) - 1) // 2} pairs have equal anchors"
    lines = [
        f"{len(rows)} candidates of {whole} epochs; {spread}; {equal}",
        "Kendall's tau with the final AP: all pairs | pairs of equal anchors",
    ]
    for epoch in range(1, whole):
        for name, found in scores(rows, epoch).items():
            lines.append(
                f"epoch {epoch} {name:5} {interval(found, final):22} | {interval(found, final, groups)}".rstrip()
            )
    print("\n".join(lines))
    if asked.out:
        asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
