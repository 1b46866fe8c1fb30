"""EfficientDet's experiments, asked of the committed tables: which dimension, which width factor, which feature network?

    python benchmarks/scaling_page.py            # writes results/scaling: scaling.md, scaling.png

Reads the rows of the committed tables, whose named designs are stars about a centre and families at matched cost, one to three
seeds each. Every difference stands beside the smallest one that so many seeds can tell, from the noise that is pooled over the designs,
and with the number of seeds that would tell it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from scaling_designs import StudyDesigns, found_compounds, read_designs, star_of
from scaling_questions import (
    DIMENSIONS,
    factor_lines,
    family_lines,
    figure6_lines,
    network_lines,
    noise_lines,
    published_lines,
    rate_lines,
    star_lines,
)

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group

ROOT = Path(__file__).parents[1] / "results"
PLANS = ROOT.parent / "search_spaces"
OUT = ROOT / "scaling"
STUDIES = {
    "table_bccd": "blood cells, test_byobnet from random weights",
    "table_digits": "digits, test_byobnet from random weights",
    "table_lite0": "blood cells, EfficientNet-Lite0 with ImageNet weights, frozen",
}
MORE = {"table_bccd": "width_as_published"}
"""A study of the same recipe and centre that holds more designs of a table."""
RATES = {
    "learning_rate/0.003": "0.003",
    "table_bccd": "0.008",
    "learning_rate/0.02": "0.02",
    "learning_rate/follows": "0.008, less for the wide and the deep",
}
"""The studies that trained the compound designs of phi 2, and their learning rates."""
FAMILY = ("table_bccd", "family_bccd")
"""A table, and the study that trained the family which `scalesearch fit` made from it, as its plan says."""
_COLOURS = {"size": "#2166ac", "width": "#1b7837", "repeats": "#b8860b", "heads": "#762a83", "compound": "#d6001c"}


def read_studies() -> list[StudyDesigns]:
    """Return the named designs of the committed tables."""
    found = [read_designs(ROOT / name) for name in STUDIES if (ROOT / name).is_dir()]
    return [
        StudyDesigns(study.name, {**study.groups, **read_designs(ROOT / more).groups})
        if (more := MORE.get(study.name)) and (ROOT / more).is_dir()
        else study
        for study in found
    ]


def read_rates() -> dict[str, StudyDesigns]:
    """Return the compound designs of phi 2 by learning rate; nothing where only one rate was tried."""
    found = {rate: read_designs(ROOT / name) for name, rate in RATES.items() if (ROOT / name).is_dir()}
    ours = {
        rate: StudyDesigns(study.name, {name: group for name, group in study.groups.items() if name.endswith("phi2")})
        for rate, study in found.items()
    }
    return ours if len(ours) > 1 else {}


# ---- page and picture ----

LIMITS = """
## What this is and is not good for

- The trainings are short: 200 steps of 8 images of blood cells, 5 epochs of 1,200 images of digits. Deep networks from random
  weights learn more slowly and less steadily in so few steps, so that more cells or head layers lose here; a longer training
  may give them more.
- There are 205 + 87 images of blood cells, and the digits are drawn. That a larger input pays most is what small objects want;
  COCO at 512 pixels and more is elsewhere on that curve.
- The backbone does not grow with phi, as it does in EfficientDet; only input, feature network and heads do. Behind
  EfficientNet-Lite0, which has nine tenths of the centre's FLOPs, only the input size moves the cost by much.
- All AP is on val, which nothing was chosen on: the designs were named before they were trained.
- `curves.csv` in each study's folder has every learning curve as a table for `scalesearch audit`, `fit` and `rehearse`.
  Random designs of the same space are in it, too, one training each.
"""


def page(studies: Sequence[StudyDesigns], rates: Mapping[str, StudyDesigns]) -> str:
    """Return the page."""
    lines = [
        "# Compound scaling, asked again on small detectors",
        "",
        "Written by `python benchmarks/scaling_page.py` from the rows of "
        + ", ".join(name for study in studies for name in (study.name, MORE.get(study.name)) if name)
        + ".",
        "AP is on val. An interval is 95 %, from noise pooled over all designs of the study. *Told* is a difference that is",
        "significant at 95 %, one comparison at a time; of some forty comparisons two would be by chance.",
        "",
        "![AP over FLOPs along each dimension](scaling.png)",
    ]
    questions = {
        "Which dimension pays? One at a time from the centre": star_lines,
        "Compound scaling beside single dimensions at matched FLOPs (EfficientDet, Figure 6)": figure6_lines,
        "The grid of width factors at matched FLOPs (EfficientDet, section 4.2)": factor_lines,
        "The same grid as published: size, repeats and heads by phi alone, so that FLOPs grow with the factor": published_lines,
        "Feature networks at matched FLOPs (EfficientDet, Table 5)": network_lines,
    }
    for study in studies:
        lines += ["", f"## {STUDIES[study.name][0].upper()}{STUDIES[study.name][1:]}", "", *noise_lines(study)]
        for question, answer in questions.items():
            found = list(answer(study))
            if len(found) > 2:
                lines += ["", f"### {question}", "", *found]
    if (ROOT / FAMILY[1]).is_dir():
        family = family_lines(
            *(read_designs(ROOT / name) for name in FAMILY), (PLANS / f"{FAMILY[1]}.yaml").read_text()
        )
        lines += ["", f"## The family that a fit to {FAMILY[0]} gives, trained", "", *family]
    if rates:
        lines += ["", "## Is a width factor's rank an effect of the learning rate?", "", *rate_lines(rates)]
    return "\n".join(lines) + "\n" + LIMITS


def draw(studies: Sequence[StudyDesigns], file: Path) -> None:
    """Draw AP over FLOPs along each dimension, a panel for each study."""
    figure, panels = plt.subplots(
        1, len(studies), figsize=(4.6 * len(studies), 3.9), layout="constrained", squeeze=False
    )
    for axes, study in zip(panels[0], studies, strict=True):
        for dimension in DIMENSIONS:
            star = star_of(study, dimension)
            if len(star) > 2:
                line(axes, study, star, dimension, label=f"{dimension} alone")
        best = [
            max(found, key=lambda one: study.mean(one[1]))[1]
            for phi in (1, 2)
            if (found := found_compounds(study, phi))
        ]
        if best:
            line(axes, study, [study.centre, *best], "compound", label="compound, best factor")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: human(value).replace(" ", ""))
        axes.minorticks_off()
        axes.set_title(STUDIES[study.name].replace(", ", "\n", 1), fontsize=10)
        axes.set_xlabel("FLOPs")
        axes.grid(alpha=0.25)
    panels[0][0].set_ylabel("AP")
    panels[0][0].legend(fontsize=8)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def line(axes: Axes, study: StudyDesigns, star: Sequence[Group], colour: str, label: str) -> None:
    """Draw means and their intervals."""
    axes.errorbar(
        [group.first.cost["macs"] for group in star],
        [study.mean(group) for group in star],
        yerr=[study.half(group) for group in star],
        color=_COLOURS[colour],
        marker="o",
        markersize=3.5,
        linewidth=2.2 if colour == "compound" else 1.3,
        capsize=2,
        label=label,
    )


def main() -> None:
    """Write the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    studies = read_studies()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "scaling.md").write_text(page(studies, read_rates()), encoding="utf-8")
    draw(studies, args.out / "scaling.png")


if __name__ == "__main__":
    main()
