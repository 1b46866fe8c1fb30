"""What the scaling page asks of named designs, each answer as lines of Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

import numpy as np
from scaling_designs import AS_PUBLISHED, FACTORS, MATCHED, StudyDesigns, found_compounds, slope_of, star_of

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group
from scalesearch.evidence.ranks import kendall

PUBLISHED = 1.35
DIMENSIONS = {"size": "size", "width": "width", "repeats": "repeats", "heads": "head_depth"}
"""What the names of star designs begin with, and the field that they vary."""


def noise_lines(study: StudyDesigns) -> Iterator[str]:
    """Say how much one training is off, and what as many seeds as the designs have tell."""
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


def factor_lines(study: StudyDesigns, kind: str = MATCHED) -> Iterator[str]:
    """Show the grid of width factors over the ladder of budgets."""
    phis = [phi for phi in (1, 2) if found_compounds(study, phi, kind)]
    if not phis:
        return
    yield "| factor | " + " | ".join(f"phi {phi}: size, width, repeats, heads; FLOPs; AP" for phi in phis) + " |"
    yield "|---|" + "---|" * len(phis)
    for factor in FACTORS:
        cells = []
        for phi in phis:
            group = study.compound(factor, phi, kind)
            cells.append(
                f"{shape(group)}; {human(group.first.cost['macs'])}; {study.shown(group)}" if group else "not trained"
            )
        yield f"| {factor:g} | " + " | ".join(cells) + " |"
    for phi in phis:
        found = found_compounds(study, phi, kind)
        best, worst = max(found, key=lambda one: study.mean(one[1])), min(found, key=lambda one: study.mean(one[1]))
        published = study.compound(PUBLISHED, phi, kind)
        assert published
        if best[1] is published:
            beside = "which 1.35 shares"
        else:
            beside = f"beside 1.35 it has {study.against(best[1], published)}"
        yield (
            f"\nphi {phi}: the best factor is {best[0]:g}, {beside}; beside the worst, {worst[0]:g}, it has "
            f"{study.against(best[1], worst[1])}."
        )


def published_lines(study: StudyDesigns) -> Iterator[str]:
    """Show the grid of width factors as published, where a larger factor costs more, beside the size alone at that cost."""
    yield from factor_lines(study, AS_PUBLISHED)
    star = star_of(study, "size")
    costs, aps = [math.log2(g.first.cost["macs"]) for g in star], [study.mean(g) for g in star]
    for phi in (1, 2):
        found = [
            (factor, study.mean(group), math.log2(group.first.cost["macs"]))
            for factor, group in found_compounds(study, phi, AS_PUBLISHED)
        ]
        beside = [
            f"{factor:g} has {ap - float(np.interp(cost, costs, aps)):+.3f}"
            for factor, ap, cost in found
            if cost <= costs[-1]
        ]
        if beside:
            yield f"\nphi {phi}: beside the size alone at the same FLOPs, between the designs of its star, {', '.join(beside)}."
        if len(beside) < len(found):
            yield (
                f"\nphi {phi}: {len(found) - len(beside)} factors cost more than the largest design of the size's star, "
                f"which has {study.shown(star[-1])} at {human(star[-1].first.cost['macs'])}."
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


def family_lines(table: StudyDesigns, family: StudyDesigns, plan: str) -> Iterator[str]:
    """Show what a fit said of its family, what its members have when trained, and compound scaling's cost and AP."""
    said = dict(re.findall(r"^# +(\w+): (AP [0-9.]+ \([0-9. ]+\)), ", plan, re.MULTILINE))
    yield "| budget | size, width, repeats, heads | FLOPs | AP said, 80 % of trainings | trained |"
    yield "|---|---|---|---|---|"
    for name, group in sorted(family.groups.items(), key=lambda one: one[1].first.cost["macs"]):
        cost = human(group.first.cost["macs"])
        yield f"| {name} | {shape(group)} | {cost} | {said[name].removeprefix('AP ')} | {family.shown(group)} |"
    compound = {f"compound {PUBLISHED:g}, phi {phi}": table.compound(PUBLISHED, phi) for phi in (1, 2)}
    for name, group in {"the centre": table.centre, **compound}.items():
        if group:
            yield f"| {name} | {shape(group)} | {human(group.first.cost['macs'])} | | {table.shown(group)} |"
    bounds = {name: tuple(map(float, re.findall(r"[0-9]\.[0-9]+", text)[1:])) for name, text in said.items()}
    scores = [(name, row.final["ap"]) for name, group in family.groups.items() for row in group.rows]
    inside = sum(bounds[name][0] <= ap <= bounds[name][1] for name, ap in scores)
    yield f"\n{inside} of {len(scores)} trainings are inside what was said. The choice has seen these images: the table's AP is on them."
