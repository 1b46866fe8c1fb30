"""EfficientDet's experiments, asked of the committed tables: which dimension, which width factor, which feature network?

    python benchmarks/scaling_page.py            # writes results/scaling: scaling.md, scaling.png

Reads the rows of the committed table, whose named designs are stars about a centre and families at matched cost, three seeds
each. Every difference stands beside the smallest one that so many seeds can tell, from the noise that is pooled over the designs,
and with the number of seeds that would tell it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from scaling_designs import FACTORS, StudyDesigns, found_compounds, read_designs, slope_of, star_of

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group
from scalesearch.evidence.ranks import kendall

ROOT = Path(__file__).parents[1] / "results"
OUT = ROOT / "scaling"
STUDIES = {
    "table_bccd": "blood cells, test_byobnet from random weights",
    "table_digits": "digits, test_byobnet from random weights",
    "table_lite0": "blood cells, EfficientNet-Lite0 with ImageNet weights, frozen",
}
RATES = {
    "learning_rate/0.003": "0.003",
    "table_bccd": "0.008",
    "learning_rate/0.02": "0.02",
    "learning_rate/follows": "0.008, less for the wide and the deep",
}
"""The studies that trained the compound designs of phi 2, and their learning rates."""
PUBLISHED = 1.35
DIMENSIONS = {"size": "size", "width": "width", "repeats": "repeats", "heads": "head_depth"}
"""What the names of star designs begin with, and the field that they vary."""
_COLOURS = {"size": "#2166ac", "width": "#1b7837", "repeats": "#b8860b", "heads": "#762a83", "compound": "#d6001c"}


def read_studies() -> list[StudyDesigns]:
    """Return the named designs of the committed tables."""
    return [read_designs(ROOT / name) for name in STUDIES if (ROOT / name).is_dir()]


# ---- the questions ----


def noise_lines(study: StudyDesigns) -> Iterator[str]:
    """Say how much one training is off, and what three seeds tell."""
    low, high = study.noise.interval
    runs = max(len(group.rows) for group in study.groups.values())
    yield (
        f"{len(study.groups)} designs, {sum(len(group.rows) for group in study.groups.values())} trainings. Noise of one: "
        f"{study.noise.sd:.4f} ({low:.4f} .. {high:.4f}). {runs} seeds of each of two designs tell a difference of "
        f"{study.noise.tellable(runs):.3f} four times in five; {study.noise.significant(runs):.3f} is significant."
    )
    for name in study.unsteady:
        spread = study.groups[name].spread()
        assert spread
        values = ", ".join(f"{value:.3f}" for value in spread.values)
        yield f"\n`{name}` is not in that noise, since its seeds differ by more (Cochran's C test at 1 %): {values}."


def star_lines(study: StudyDesigns) -> Iterator[str]:
    """AP for a doubling of the cost along each dimension alone."""
    yield "| dimension | values | FLOPs | AP from the least to the largest | AP for a doubling of FLOPs |"
    yield "|---|---|---|---|---|"
    for dimension, field in DIMENSIONS.items():
        star = star_of(study, dimension)
        if len(star) < 3:
            continue
        values = [max(g.first.spec.size) if field == "size" else getattr(g.first.spec, field) for g in star]
        slope, half = slope_of(study, star)
        aps = [study.mean(group) for group in star]
        yield (
            f"| {dimension} | {', '.join(map(str, values))} | {human(star[0].first.cost['macs'])} .. "
            f"{human(star[-1].first.cost['macs'])} | {aps[0]:.3f} .. {aps[-1]:.3f} | {slope:+.3f} ± {half:.3f} |"
        )


def figure6_lines(study: StudyDesigns) -> Iterator[str]:
    """Compare compound scaling with single dimensions at matched FLOPs (EfficientDet Figure 6)."""
    for phi in (1, 2):
        published = study.compound(PUBLISHED, phi)
        singles = {name: group for name, group in study.groups.items() if name.endswith(f"_only{2**phi}x")}
        if published is None or not singles:
            continue
        yield f"\n{2**phi} times the centre's FLOPs:\n"
        yield "| scaled | size, width, repeats, heads | FLOPs | AP | beside compound 1.35 |"
        yield "|---|---|---|---|---|"
        best = max(found_compounds(study, phi), key=lambda one: study.mean(one[1]))
        rows = [("compound, 1.35", published)]
        rows += [(f"compound, {best[0]:g} (the best)", best[1])] if best[1] is not published else []
        rows += sorted(singles.items(), key=lambda one: -study.mean(one[1]))
        for name, group in rows:
            beside = "" if group is published else study.against(group, published)
            label = name.replace(f"_only{2**phi}x", " alone")
            yield f"| {label} | {shape(group)} | {human(group.first.cost['macs'])} | {study.shown(group)} | {beside} |"


def factor_lines(study: StudyDesigns) -> Iterator[str]:
    """Show the grid of width factors over the ladder of budgets."""
    phis = [phi for phi in (1, 2) if found_compounds(study, phi)]
    if not phis:
        return
    yield "| factor | " + " | ".join(f"phi {phi}: size, width, repeats, heads; FLOPs; AP" for phi in phis) + " |"
    yield "|---|" + "---|" * len(phis)
    for factor in FACTORS:
        cells = []
        for phi in phis:
            group = study.compound(factor, phi)
            cells.append(
                f"{shape(group)}; {human(group.first.cost['macs'])}; {study.shown(group)}" if group else "not trained"
            )
        yield f"| {factor:g} | " + " | ".join(cells) + " |"
    for phi in phis:
        found = found_compounds(study, phi)
        best, worst = max(found, key=lambda one: study.mean(one[1])), min(found, key=lambda one: study.mean(one[1]))
        published = study.compound(PUBLISHED, phi)
        assert published
        if best[1] is published:
            beside = "which 1.35 shares"
        else:
            beside = f"beside 1.35 it has {study.against(best[1], published)}"
        yield (
            f"\nphi {phi}: the best factor is {best[0]:g}, {beside}; beside the worst, {worst[0]:g}, it has "
            f"{study.against(best[1], worst[1])}."
        )


def network_lines(study: StudyDesigns) -> Iterator[str]:
    """Compare feature networks at the centre's cost."""
    found = {name: group for name, group in study.groups.items() if name.endswith("_matched")}
    if not found:
        return
    yield "| feature network | size | FLOPs | AP | beside bifpn |"
    yield "|---|---|---|---|---|"
    yield f"| bifpn | {max(study.centre.first.spec.size)} | {human(study.centre.first.cost['macs'])} | {study.shown(study.centre)} | |"
    for name, group in sorted(found.items(), key=lambda one: -study.mean(one[1])):
        yield (
            f"| {name.removesuffix('_matched')} | {max(group.first.spec.size)} | {human(group.first.cost['macs'])} | "
            f"{study.shown(group)} | {study.against(group, study.centre)} |"
        )


def shape(group: Group) -> str:
    """Return the dimensions of a design in short."""
    spec = group.first.spec
    return f"{max(spec.size)}, {spec.width}, {spec.repeats}, {spec.head_depth}"


def read_rates() -> dict[str, StudyDesigns]:
    """Return the compound designs of phi 2 by learning rate; nothing where only one rate was tried."""
    found = {rate: read_designs(ROOT / name) for name, rate in RATES.items() if (ROOT / name).is_dir()}
    ours = {
        rate: StudyDesigns(study.name, {name: group for name, group in study.groups.items() if name.endswith("phi2")})
        for rate, study in found.items()
    }
    return ours if len(ours) > 1 else {}


def rate_lines(rates: Mapping[str, StudyDesigns]) -> Iterator[str]:
    """Compare width factors at several learning rates: is the best one best at each?"""
    groups = {f"{name} at {rate}": group for rate, study in rates.items() for name, group in study.groups.items()}
    pooled = StudyDesigns("rates", groups)
    names = {factor: f"f{factor:g}phi2".replace(".", "_") for factor in FACTORS}
    yield "| factor | " + " | ".join(rates) + " |"
    yield "|---|" + "---|" * len(rates)
    for factor, name in names.items():
        yield f"| {factor:g} | " + " | ".join(pooled.shown(study.groups[name]) for study in rates.values()) + " |"
    means = {rate: [pooled.mean(study.groups[name]) for name in names.values()] for rate, study in rates.items()}
    yield f"\nNoise of one training, pooled over these: {pooled.noise.sd:.4f}.\n"
    usual = rates["0.008"]
    for rate, study in rates.items():
        order = sorted(names, key=lambda factor: -pooled.mean(study.groups[names[factor]]))
        best, worst = (study.groups[names[factor]] for factor in (order[0], order[-1]))
        published = study.groups[names[PUBLISHED]]
        beside = "" if best is published else f"; beside 1.35 it has {pooled.against(best, published)}"
        ranks = ""
        if study is not usual:
            tau = kendall(means[rate], means["0.008"]).tau
            ranks = f"; Kendall's tau with the order at 0.008 is {tau:.2f}"
        yield (
            f"- At {rate} the best factor is {order[0]:g}{beside}; beside the worst, {order[-1]:g}, it has "
            f"{pooled.against(best, worst)}{ranks}."
        )


# ---- page and picture ----

LIMITS = """
## What this is and is not good for

- The trainings are short: 200 steps of 8 images. Deep networks from random weights learn more slowly and less
  steadily in so few steps, so that more cells or head layers lose here; a longer training may give them more.
- The images are 205 + 87 of blood cells. That a larger input pays most is what small objects want; COCO at
  512 pixels and more is elsewhere on that curve.
- The backbone does not grow with phi, as it does in EfficientDet; only input, feature network and heads do.
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
        + ", ".join(study.name for study in studies)
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
        "Feature networks at matched FLOPs (EfficientDet, Table 5)": network_lines,
    }
    for study in studies:
        lines += ["", f"## {STUDIES[study.name].capitalize()}", "", *noise_lines(study)]
        for question, answer in questions.items():
            found = list(answer(study))
            if len(found) > 2:
                lines += ["", f"### {question}", "", *found]
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
        axes.set_title(STUDIES[study.name].replace(", ", "\n"), fontsize=10)
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
