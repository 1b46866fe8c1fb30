"""`run_task`: a task in, a learning curve and a checkpoint out; `run_tasks`: several of one trunk at once.

Imports nn, data and plan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import torch

from scalesearch.arch.spec import BACKBONE_TOP, DetectorSpec
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.sets import Data
from scalesearch.data.split import DataError, Split, select_from
from scalesearch.io.progress import bar
from scalesearch.nn.allocator import give_back_freed_memory, keep_freed_memory
from scalesearch.nn.memory_limit import training_shortage
from scalesearch.nn.release import let_go, releasing
from scalesearch.plan.recipe import NONE
from scalesearch.plan.task import Outcome, Task, TaskError
from scalesearch.training.anchor_match import match_report
from scalesearch.training.distributed import ALONE, Team
from scalesearch.training.group import GroupMember, train_group
from scalesearch.training.learning_curve import LearningCurve
from scalesearch.training.log import Log
from scalesearch.training.loop import Training
from scalesearch.training.peak_memory import PeakMemory

Result = Outcome | Exception
"""How one of several tasks ended: an exception is its own, and the others go on."""


def run_task(
    task: Task,
    data: Data,
    *,
    cache: Path | None = None,
    device: str = "auto",
    label: str = "training",
    tensorboard: bool = False,
    team: Team = ALONE,
) -> Outcome:
    """Train from the last checkpoint in `task.folder` (or from scratch) to `task.to_epoch`, and evaluate.

    On a CPU with a fixed number of threads the outcome, times aside, is a function of the task and the data: one task
    from 0 to 4 gives the same bits as one from 0 to 2 and one from 2 to 4. `cache` is a folder for decoded images.
    `label` stands beside its progress bar. The processes of a `team` train together and all return the outcome; the
    first one reads and writes the folder. Each epoch is logged at DEBUG.

    A loss that is not finite, insufficient memory and an exceeded time limit give an Outcome with state "failed".
    TaskError where the data cannot be read, or the folder's checkpoint is of another training or before from_epoch.
    """
    (result,) = run_tasks([task], data, cache=cache, device=device, label=label, tensorboard=tensorboard, team=team)
    if isinstance(result, Exception):
        raise result
    return result


@releasing
def run_tasks(
    tasks: Sequence[Task],
    data: Data,
    *,
    cache: Path | None = None,
    device: str = "auto",
    label: str = "training",
    tensorboard: bool = False,
    team: Team = ALONE,
) -> list[Result]:
    """Train tasks of one trunk (`Task.trunk`) together, and return how each ended; a team trains one at a time.

    Each ends as by `run_task`, to the bit. Its seconds are its share of the time, the peak of memory is that of all.
    One that fails does not stop the others.
    """
    assert len(tasks) == 1 or (team.world == 1 and len({task.trunk for task in tasks} - {""}) == 1), "one trunk"
    give_back_freed_memory()  # left by the training before; it would count in this one's peak
    keep_freed_memory()
    place = team.device or torch.device(_auto() if device == "auto" else device)
    results: dict[int, Result] = {
        i: Outcome(state="failed", reason=reason, seconds=0.0, peak_memory=0, images_per_second=0.0)
        for i, task in enumerate(tasks)
        if (reason := _shortage(task, place))
    }
    if len(results) < len(tasks):
        memory, members = PeakMemory(place), dict[int, GroupMember]()
        pixels = team.one_before_others(lambda: _open(tasks[0], data, cache))
        for i, task in enumerate(tasks):
            if i not in results:
                try:
                    member = _begun(task, data, pixels[0], place, team, memory, tensorboard)
                    member.share_backbone(members.values())
                    members[i] = member
                except Exception as error:  # noqa: BLE001  the caller judges it
                    results[i] = let_go(error)
        train_group(list(members.values()), pixels[1], bar(label))
        results |= {i: member.result or _complete(member, pixels, cache) for i, member in members.items()}
    return [results[i] for i in range(len(tasks))]


def _begun(
    task: Task, data: Data, pixels: Pixels, place: torch.device, team: Team, memory: PeakMemory, tensorboard: bool
) -> GroupMember:
    """Build the detector of a task, and restore its last checkpoint."""
    training = Training(dataclasses.replace(task, spec=_seen(task)), pixels, place, team)
    curve = LearningCurve(task, data, training)
    curve.restore()
    log = Log(task.folder, training.epoch, tensorboard=tensorboard) if team.first else None
    return GroupMember(training=training, curve=curve, log=log, memory=memory)


def _complete(member: GroupMember, pixels: Sequence[Pixels], cache: Path | None) -> Outcome:
    training = member.training
    loader = f"the loader took {training.loader_share:.1%} of the time of training"
    notes = (*training.notes, *(note for one in pixels for note in one.notes), loader)
    outcome = member.curve.outcome("complete", "", member.memory)
    return dataclasses.replace(outcome, notes=notes, matched=match_report(training.spec, pixels[0], cache))


def _open(task: Task, data: Data, cache: Path | None) -> tuple[Pixels, Pixels]:
    """Open the images to train on and those to evaluate on."""
    held_out = data.select if task.evaluate_on == "select" else data.val
    train = _train_split(task, data)
    spec = _seen(task)
    try:
        if task.images < 1:
            _, train = select_from(train, task.images, seed=0)
        opened = (open_pixels(split, spec.size, cache) for split in (train, held_out))
        first, second = (dataclasses.replace(pixels, normalisation=spec.normalisation) for pixels in opened)
    except DataError as error:
        raise TaskError(str(error)) from None
    return first, second


def _shortage(task: Task, place: torch.device) -> str:
    recipe = task.recipe
    return training_shortage(
        _seen(task),
        batch=recipe.batch,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum > 0,
        checkpointing=recipe.checkpointing,
        half=recipe.precision != "fp32",
        frozen=recipe.freeze != NONE and not recipe.unfreeze_at,
        device=place,
    )


def _seen(task: Task) -> DetectorSpec:
    """Return the detector at this task's input size."""
    return dataclasses.replace(task.spec, size=scaled(task.spec.size, task.scale))


def scaled(size: tuple[int, int], share: float) -> tuple[int, int]:
    """Return (h, w) scaled by `share`, rounded to multiples of the backbone's stride; at least one, at most `size`."""
    if share == 1:
        return size
    step = 2**BACKBONE_TOP
    height, width = (max(step, round(side * share / step) * step) for side in size)
    return min(height, size[0]), min(width, size[1])


def _train_split(task: Task, data: Data) -> Split:
    if task.train_on == "train":
        return data.train
    reported = data.val if task.evaluate_on == "val" else data.select
    if {image.file for image in data.select.images} & {image.file for image in reported.images}:
        raise TaskError(
            f"train_on: train+select must not train on what is evaluated, but select is {data.select.name!r} and the "
            f"evaluation is on {reported.name!r}: use train_on: train"
        )
    name = f"{data.train.name} and {data.select.name}"
    return dataclasses.replace(data.train, name=name, images=(*data.train.images, *data.select.images))


def _auto() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
