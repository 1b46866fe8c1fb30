"""Does a scaling law fitted on a family's cheapest members hold for its later ones? Writes results/checks/fit.txt.

    python benchmarks/check_fit.py            # about half a minute on one core
    python benchmarks/check_fit.py --out /tmp/fit.txt

The families are those of scalesearch/evidence/families.csv, with both AP columns that are published of EfficientDet.
Each is fitted on its cheapest three and four members, with a prior over the other families: its whole group (the same nets
or authors) is left out. The AP of the later members is then compared with the 80 % and 95 % intervals and the median.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scalesearch.evidence.family_prior import PublishedFamily, population, published_families
from scalesearch.evidence.scaling_law import IntervalEstimate, Member, fit_law

OUT = Path(__file__).parents[1] / "results" / "checks" / "fit.txt"
KNOWN = (3, 4)
OTHER_COLUMN = {2: 42.5, 3: 47.2}
"""AP of D2 and D3 in the README of rwightman/efficientdet-pytorch; google/automl has 43.5 and 46.8."""
COLUMNS = ("google/automl", "effdet README")


class Judged(NamedTuple):
    """A later member, beside what was predicted of it."""

    family: str
    truth: float
    predicted: IntervalEstimate

    @property
    def error(self) -> float:
        """Truth minus the median, in AP points."""
        return self.truth - self.predicted.value

    def inside(self, level: int) -> bool:
        """Whether the interval of 80 or 95 % holds the truth."""
        low, high = self.predicted.of_80 if level == 80 else self.predicted.of_95
        return low <= self.truth <= high


def families(column: str) -> list[PublishedFamily]:
    """The families, with the AP column asked for of EfficientDet."""
    found = []
    for family in published_families():
        if family.name == "EfficientDet" and column == COLUMNS[1]:
            family = replace(family, ap=tuple(OTHER_COLUMN.get(i, ap) for i, ap in enumerate(family.ap)))
        found.append(family)
    return found


def judge(family: PublishedFamily, known: int) -> list[Judged]:
    """Fit on the cheapest `known` members, and predict the others; none where there is no other."""
    if len(family.ap) <= known:
        return []
    members = [
        Member(name=str(i), macs=macs, aps=(ap,))
        for i, (macs, ap) in enumerate(zip(family.macs, family.ap, strict=True))
    ]
    found = fit_law(members[:known], without=family.group).predict(family.macs[known:])
    return [Judged(family.name, truth, one) for truth, one in zip(family.ap[known:], found, strict=True)]


def summary(judged: Sequence[Judged]) -> str:
    """One line: how many, how many intervals hold the truth, the mean absolute error."""
    names = list(dict.fromkeys(one.family for one in judged))
    inside = {level: np.mean([one.inside(level) for one in judged]) for level in (80, 95)}
    error = np.mean([abs(one.error) for one in judged])
    by_family = [[abs(one.error) for one in judged if one.family == name] for name in names]
    width = np.mean([one.predicted.of_80[1] - one.predicted.of_80[0] for one in judged])
    return (
        f"{len(judged)} later members of {len(names)} families: inside 80 % {inside[80]:.1%}, inside 95 % {inside[95]:.1%}, "
        f"mean absolute error {error:.2f} AP (families alike {np.mean([np.mean(one) for one in by_family]):.2f}), "
        f"mean width of 80 % {width:.1f} AP"
    )


def lines(judged: Sequence[Judged]) -> list[str]:
    """A line for each family: truth minus prediction of each later member, with the half width; ! where it is outside."""
    found = []
    for name in dict.fromkeys(one.family for one in judged):
        cells = []
        for one in (one for one in judged if one.family == name):
            half = (one.predicted.of_80[1] - one.predicted.of_80[0]) / 2
            cells.append(f"{one.error:+.1f} ±{half:.1f}{' ' if one.inside(80) else '!'}")
        found.append(f"  {name:24s}" + "  ".join(cells))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    start = time.process_time()
    whole = population()
    share, exponent = np.exp(whole.mean)
    text = [
        "benchmarks/check_fit.py: the scaling law fitted on the cheapest members of a family, judged on its later ones",
        f"prior: {whole.families} families in {whole.groups} groups; median gap {share:.2f} of 100 - AP of the cheapest member,",
        f"  median exponent {exponent:.2f}, median scatter {np.exp(whole.scatter[0]):.2f} AP; the judged family's group is left out",
        "",
    ]
    for known in KNOWN:
        by_column = {column: [one for family in families(column) for one in judge(family, known)] for column in COLUMNS}
        text.append(f"from the cheapest {known}")
        text += [f"  EfficientDet's AP of {column}: {summary(judged)}" for column, judged in by_column.items()]
        text += lines(by_column[COLUMNS[0]])
        other = [one for one in by_column[COLUMNS[1]] if one.family == "EfficientDet"]
        text += [line.replace("EfficientDet ", "  (effdet)   ") for line in lines(other)] + [""]
    text.append("truth minus median ± half of the 80 % interval, in AP points; ! is outside the interval")
    text.append(f"{time.process_time() - start:.0f} s of one core ({platform.processor() or platform.machine()})")
    print("\n".join(text))
    out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
