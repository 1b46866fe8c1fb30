"""Run a study: from a plan and data to rows and a report. Connects `study` with `training` through an executor."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import optuna
import torch

from scalesearch.app.confirm_latency import plan_table
from scalesearch.app.gpu_workers import fill_gpus, training_settings
from scalesearch.app.messages import look_at, tell_data, tell_found
from scalesearch.app.prepare import check_start, identified, in_epochs
from scalesearch.app.report_study import report_study
from scalesearch.app.workers import HERE, Where, find_engine, make_executor
from scalesearch.arch.backbone import Backbone, TimmBackbone, parse
from scalesearch.arch.networks import fpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors
from scalesearch.cost.latency import predict_latency
from scalesearch.cost.metrics import Meter, meter_of
from scalesearch.data.pixels import split_targets
from scalesearch.data.sets import Data, open_data
from scalesearch.data.split import Split
from scalesearch.io.progress import bar
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.mirror.storage import trial_storage
from scalesearch.nn.anchors import class_coverage, fit_anchors
from scalesearch.plan.plan import Plan
from scalesearch.plan.recipe import Recipe
from scalesearch.profile.environment import machine, versions
from scalesearch.profile.resolve import resolve
from scalesearch.records.folder import StudyFolder
from scalesearch.report.facts import gather
from scalesearch.space.candidates import FamilyUnit, SpecUnit, Unit
from scalesearch.space.find_band import find_band
from scalesearch.space.space import Frame
from scalesearch.study.driver import run_study
from scalesearch.study.study import Provenance, Study
from scalesearch.training.initial import wanted_normalisation
from scalesearch.training.norms import check_norms
from scalesearch.training.run_task import scaled

logger = logging.getLogger(__name__)


def search(plan: Plan, out: Path, where: Where = HERE, storage: str | None = None) -> Path:
    """Run or continue the study of `plan` in the folder `out`, and return the path of its report.

    `where` says where to train; `storage` is a URL or journal file for the Optuna ledger, by default one in the folder.
    Raises ValueError for what the user can correct; rows written before stay and are reported.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("a search starts its own workers, so start it once: by scalesearch search, not by torchrun")
    # Optuna logs a line for every study and trial, which would hide our messages.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if storage is not None:
        trial_storage(storage).open()  # fails before any work is done
    engine = find_engine(plan, where)
    torch.set_num_threads(engine.threads)
    _check_norms(plan)
    plan = with_weights(plan)
    data = open_plan_data(plan)
    _check_norms(plan, len(data.train.images))
    plan = with_epochs(plan, data)
    with StudyFolder.open(out, plan, data=data.fingerprint) as folder:
        if before := len(folder.rows()):
            logger.info(f"continuing the study in {out}, which has {before} trainings; another --out begins one anew")
        study = make_study(plan, data, folder, storage)
        engine = fill_gpus(engine, plan, where, study.band)
        torch.set_num_threads(engine.threads)
        study = dataclasses.replace(study, provenance=provenance(plan, data))  # the threads, which the band may decide
        executor = make_executor(engine, plan, data, folder.path)
        try:
            run_study(study, executor)
            if before == len(folder.rows()) > 0:
                logger.info("nothing was left to train")
        finally:
            executor.close()
            facts = gather(plan, folder.rows())
            path = report_study(out, facts)
        tell_found(facts, out)
    return path


def make_study(plan: Plan, data: Data, folder: StudyFolder, storage: str | None = None) -> Study:
    """Return the study of a plan in its opened folder, and say what the band contains."""
    unit = make_unit(plan, data)
    band = find_band(unit)
    logger.info(f"band: {band.summary}")
    ledger = OptunaLedger(folder.path, plan.name, plan.objectives, unit.axes, storage)
    return Study(
        plan=plan,
        unit=unit,
        band=band,
        folder=folder,
        provenance=provenance(plan, data),
        ledger=ledger,
        confirm=True,
    )


def open_plan_data(plan: Plan) -> Data:
    """Open and check the plan's data, and say a line for each split and each thing dropped while reading."""
    source = plan.data
    data = open_data(
        source.source,
        train=source.train,
        val=source.val,
        select=source.select,
        seed=source.seed,
    )
    data = look_at(data)
    tell_data(data)
    return data


def make_unit(plan: Plan, data: Data) -> Unit:
    """Return the plan's unit (spec or family), with anchors fitted to the data and timm backbones measured."""
    anchors = _anchors(plan, plan.frames, data.train)
    return unit_of(plan, len(data.train.categories), anchors)


def unit_of(plan: Plan, classes: int, anchors: Anchors | Mapping[Frame, Anchors]) -> Unit:
    """Return the plan's unit (spec or family) with these anchors, timm backbones measured."""
    space = plan.space(
        classes=classes,
        anchors=anchors,
        measured=_resolved(plan, plan.frames),
        normalisations=_normalisations(plan),
    )
    meter = make_meter(plan)
    if table := plan_table(plan):
        logger.info(f"latency: {table}")
    if plan.family is None:
        assert plan.band is not None, "a plan of unit spec has a band"
        return SpecUnit(space, plan.band, meter)
    return FamilyUnit(space, plan.family.bands, plan.family.phi, plan.family.solve, meter)


def make_meter(plan: Plan) -> Meter:
    """Return the meter of the metrics in the plan's bands and objectives; training memory is for the plan's recipe."""
    training = training_settings(plan.recipe)
    table = plan_table(plan)
    if table is None:
        return meter_of(plan.metrics, training=training)
    return meter_of(plan.metrics, training=training, predict=lambda spec: predict_latency(spec, table))


def _anchors(plan: Plan, frames: Sequence[Frame], split: Split) -> dict[Frame, Anchors]:
    """Return the anchors of each frame, fitted where the plan says auto, and say the share of boxes that they match."""
    update = bar("fitting anchors")
    found: dict[Frame, Anchors] = {}
    shares: list[list[float | None]] = []
    for done, frame in enumerate(frames, 1):
        size, min_level, max_level = frame
        boxes, labels = split_targets(split, size)
        spec = dataclasses.replace(named("d0", size=size), topology=fpn(min_level, max_level))
        found[frame] = fit_anchors(boxes, labels, spec) if isinstance(plan.anchors, str) else plan.anchors
        spec = dataclasses.replace(spec, anchors=found[frame])
        found_by_class = class_coverage(spec, boxes, labels, len(split.categories))
        shares.append([of_class.share for of_class in found_by_class])
        update(done, len(frames), "sizes")
    logger.info(
        f"anchors {'fitted to' if plan.anchors == 'auto' else 'given for'} {len(frames)} frame{'s' * (len(frames) != 1)}: "
        + "; ".join(_frame_text(frame, anchors) for frame, anchors in list(found.items())[:4])
        + ("; ..." if len(found) > 4 else "")
    )
    logger.info(f"boxes that an anchor matches at IoU 0.5, over the frames: {_shares_text(split, shares)}")
    return found


def _frame_text(frame: Frame, anchors: Anchors) -> str:
    (height, width), min_level, max_level = frame
    text = f"scale {anchors.scale:g}, {anchors.octaves} octaves, {len(anchors.aspects)} aspects"
    return f"{text} at {height}x{width}, levels {min_level}..{max_level}"


def _shares_text(split: Split, shares: Sequence[Sequence[float | None]]) -> str:
    """Return the range over the frames by class, as `RBC 100%, Platelets 4% .. 62%`."""
    parts = []
    for k, category in enumerate(split.categories):
        known = sorted(share for of_frame in shares if (share := of_frame[k]) is not None)
        if not known:
            parts.append(f"{category.name} no boxes")
            continue
        low, high = f"{known[0]:.0%}", f"{known[-1]:.0%}"
        parts.append(f"{category.name} {low if low == high else f'{low} .. {high}'}")
    return ", ".join(parts)


def _resolved(plan: Plan, frames: Sequence[Frame]) -> dict[tuple[str, int, int], Backbone]:
    """Return each timm backbone of the plan, measured at every size that the space can ask for."""
    timm = [name for name in plan.backbones if isinstance(parse(name), TimmBackbone)]
    spans = sorted({frame[1:] for frame in frames})
    update = bar("measuring backbones")
    found: dict[tuple[str, int, int], Backbone] = {}
    for done, (name, span) in enumerate(product(timm, spans), 1):
        low, high = span
        sizes = [size for size, *levels in frames if levels == [low, high]]
        found[name, low, high] = resolve(name, sizes=sizes, levels=range(low, min(high, 5) + 1))
        update(done, len(timm) * len(spans), name)
    return found


def with_weights(plan: Plan) -> Plan:
    """Return the plan with the hashes of its recipes' initial weights, which are fetched, and fit all its backbones.

    Raises ValueError where there are none, or they do not fit.
    """
    recipe, final = (identified(one, backbones_of(plan)) for one in (plan.recipe, plan.winners.recipe))
    for note in dict.fromkeys((*check_starts(plan, recipe), *check_starts(plan, final))):
        logger.info(note)
    return dataclasses.replace(plan, recipe=recipe, winners=dataclasses.replace(plan.winners, recipe=final))


def with_epochs(plan: Plan, data: Data) -> Plan:
    """Return the plan with the epochs that the steps of its recipes are, and say them. ValueError where they are too few
    for its ladder."""
    recipe = in_epochs(plan.recipe, len(data.train.images), "the search")
    final = in_epochs(plan.winners.recipe, final_images(plan, data), "winners")
    if plan.ladder:
        plan.ladder.epochs(recipe.epochs)
    return dataclasses.replace(plan, recipe=recipe, winners=dataclasses.replace(plan.winners, recipe=final))


def final_images(plan: Plan, data: Data) -> int:
    """Return the number of images that winners and baselines are trained on."""
    return len(data.train.images) + (len(data.select.images) if plan.data.select != "val" else 0)


def backbones_of(plan: Plan) -> list[Backbone]:
    """Return every backbone that a candidate or a baseline can have, unmeasured."""
    return [parse(name) for name in plan.backbones]


def check_starts(plan: Plan, recipe: Recipe) -> list[str]:
    """Return notes on what is taken of the recipe's initial weights.

    Raises ValueError where they do not fit a backbone at a span of levels of the plan.
    """
    notes: dict[str, None] = {}
    spans = {frame[1:]: frame for frame in plan.frames}
    for backbone, (size, low, high) in product(backbones_of(plan), spans.values()):
        own = wanted_normalisation(recipe, backbone) or plan.detector["normalisation"]
        spec = dataclasses.replace(
            named("d0", size=size),
            backbone=backbone,
            topology=fpn(low, high),
            **{**plan.detector, "normalisation": own},
        )
        notes |= dict.fromkeys(check_start(spec, recipe))
    return list(notes)


def _normalisations(plan: Plan) -> dict[str, str]:
    """Return by backbone the normalisation of its initial weights; empty where no recipe starts from any.

    ValueError where those of search and winners want others.
    """
    found: dict[str, str] = {}
    for name, recipe in product(plan.backbones, (plan.recipe, plan.winners.recipe)):
        own = wanted_normalisation(recipe, parse(name))
        if own and found.setdefault(name, own) != own:
            raise ValueError(
                f"a detector has one normalisation, but the weights of the search and of winners.recipe want {found[name]} "
                f"and {own}: give both the same weights"
            )
    for own in sorted(set(found.values()) - {plan.detector["normalisation"]}):
        which = ", ".join(name for name, other in found.items() if other == own)
        logger.info(f"images are normalised by {own}, which the pretrained weights were trained with: {which}")
    return found


def _check_norms(plan: Plan, images: int | None = None) -> None:
    """Raise ValueError where a batch norm would see one value a channel, for any candidate at any rung."""
    rungs = plan.ladder.rungs if plan.ladder else ()
    known = images and max(1, round(images * min((rung.images for rung in rungs), default=1.0)))
    for recipe, (size, low, high) in product((plan.recipe, plan.winners.recipe), plan.frames):
        least = scaled(size, min((rung.size for rung in rungs), default=1.0))
        check_norms(dataclasses.replace(named("d0", size=least), topology=fpn(low, high)), recipe, known)


def provenance(plan: Plan, data: Data) -> Provenance:
    """Return the fields that the rows of this run have in common."""
    splits = dict(data.splits)
    splits["train+select"] = splits["train"] if plan.data.select == "val" else data.whole
    return Provenance(
        data=data.fingerprint, splits=splits, threads=torch.get_num_threads(), machine=machine(), versions=versions()
    )
