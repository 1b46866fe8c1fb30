"""EfficientDet's experiments, asked of the committed tables: which dimension, which width factor, which feature network?

    python benchmarks/scaling_page.py            # writes results/scaling: scaling.md, scaling.png

Reads the rows of the committed table, whose named designs are stars about a centre and families at matched cost, three seeds
each. Every difference stands beside the smallest one that so many seeds can tell, from the noise that is pooled over the designs,
and with the number of seeds that would tell it.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator
from scipy.special import stdtrit

from scalesearch.arch.scaling import round_width
from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group, NoiseFloor, by_seed, floor_of, unsteady
from scalesearch.records.folder import read_rows

ROOT = Path(__file__).parents[1] / "results"
OUT = ROOT / "scaling"
STUDIES = {"table_bccd": "blood cells, test_byobnet from random weights"}
FACTORS = (1.2, 1.25, 1.3, 1.35, 1.4, 1.45)
"""EfficientDet sec. 4.2."""
PUBLISHED = 1.35
DIMENSIONS = {"size": "size", "width": "width", "repeats": "repeats", "heads": "head_depth"}
"""What the names of star designs begin with, and the field that they vary."""
_COLOURS = {"size": "#2166ac", "width": "#1b7837", "repeats": "#b8860b", "heads": "#762a83", "compound": "#d6001c"}


@dataclass(frozen=True)
class StudyDesigns:
    """The named designs of a study, each with its seeds."""

    name: str
    groups: Mapping[str, Group]

    @cached_property
    def unsteady(self) -> tuple[str, ...]:
        """The designs whose seeds differ too much to be pooled with the others."""
        return unsteady({name: spread.values for name, group in self.groups.items() if (spread := group.spread())})

    @cached_property
    def noise(self) -> NoiseFloor:
        """Of one training, pooled over the designs but the unsteady ones."""
        floor = floor_of(group for name, group in self.groups.items() if name not in self.unsteady)
        assert floor, "designs are trained with several seeds"
        return floor

    @property
    def centre(self) -> Group:
        """The design about which the stars are."""
        return self.groups["base"]

    def mean(self, group: Group) -> float:
        """Return the mean AP over seeds."""
        spread = group.spread()
        assert spread
        return spread.mean

    def half(self, group: Group) -> float:
        """Return half the 95 % interval of the mean, from the pooled noise."""
        return float(stdtrit(self.noise.freedom, 0.975)) * self.noise.sd / math.sqrt(len(group.rows))

    def shown(self, group: Group) -> str:
        """Return the mean with half its interval."""
        return f"{self.mean(group):.3f} ± {self.half(group):.3f}"

    def against(self, group: Group, other: Group) -> str:
        """Return the difference of `group` to `other`, whether seeds tell it, and how many would."""
        difference = self.mean(group) - self.mean(other)
        least = self.noise.significant(len(group.rows), len(other.rows))
        if abs(difference) > least:
            return f"**{difference:+.3f}** (told: beyond {least:.3f})"
        seeds = self.noise.runs_for(abs(difference))
        return f"{difference:+.3f} (not told; {f'{seeds:,} seeds would' if seeds else 'no difference'})"

    def compound(self, factor: float, phi: int) -> Group | None:
        """Return the compound design of a width factor, which several factors may share."""
        width, repeats = round_width(self.centre.first.spec.width * factor**phi), self.centre.first.spec.repeats + phi
        for name, group in self.groups.items():
            if re.fullmatch(rf"f[0-9_]+phi{phi}", name) and group.first.spec.width == width:
                assert group.first.spec.repeats == repeats
                return group
        return None


def read_designs(name: str) -> StudyDesigns | None:
    """Return the named designs of the committed study `name`; None where there is none."""
    if not (ROOT / name).is_dir():
        return None
    groups = {group.first.name: group for group in by_seed(read_rows(ROOT / name), ["baseline"])}
    return StudyDesigns(name, groups)


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


def star_of(study: StudyDesigns, dimension: str) -> list[Group]:
    """Return the centre and the designs that differ from it in one dimension, by cost."""
    found = [
        group
        for name, group in study.groups.items()
        if name == "base" or re.fullmatch(rf"{dimension}(\d+|_only\dx)", name)
    ]
    return sorted(found, key=lambda group: group.first.cost["macs"])


def slope_of(study: StudyDesigns, star: Sequence[Group]) -> tuple[float, float]:
    """Return the slope of mean AP over log2 FLOPs, and half its 95 % interval, scatter about the line included."""
    x = np.array([math.log2(group.first.cost["macs"]) for group in star])
    y = np.array([study.mean(group) for group in star])
    x = x - x.mean()
    slope = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - slope * x
    freedom = len(star) - 2
    scatter = max(float((rest**2).sum() / freedom), study.noise.sd**2 / len(star[0].rows))
    return slope, float(stdtrit(freedom, 0.975)) * math.sqrt(scatter / float((x * x).sum()))


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


def found_compounds(study: StudyDesigns, phi: int) -> list[tuple[float, Group]]:
    """Return the compound designs at matched cost, by factor."""
    return [(factor, group) for factor in FACTORS if (group := study.compound(factor, phi))]


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


def page(studies: Sequence[StudyDesigns]) -> str:
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
    studies = [study for name in STUDIES if (study := read_designs(name))]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "scaling.md").write_text(page(studies), encoding="utf-8")
    draw(studies, args.out / "scaling.png")


if __name__ == "__main__":
    main()
