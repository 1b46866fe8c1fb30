"""Does a training that is killed, again and again, end with the bits of one that is not? Writes results/checks/resume.txt.

    python benchmarks/check_resume.py                       # about 10 minutes on one core
    python benchmarks/check_resume.py --kills 3 --data coco/ --out /tmp/resume.txt
    python benchmarks/check_resume.py --together 4 --kills 30 --out results/checks/resume_together.txt

Each training goes on in a process of its own, which SIGKILL ends at a random moment (while it decodes, within an epoch,
in an evaluation, in the middle of a checkpoint) until one attempt comes to the end. Then weights, average, optimiser
and curve must equal, bit by bit, those of a training that was left alone. The recipe draws all that can be
drawn: jitter, colour, mosaic, mixup, stochastic depth.

With --together a process trains so many detectors behind one frozen backbone, and each must end with the bits of one that was
trained alone and left alone.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.sets import Data, open_data
from scalesearch.data.split import Split
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.training import checkpoint, learning_curve
from scalesearch.training import run_task as training

RECIPE = Recipe(
    epochs=3,
    batch=4,
    norm_batches=2,
    eval_every=1,
    colour=(0.2, 0.2, 0.2, 0.1),
    mosaic=0.3,
    mixup=0.3,
    stochastic_depth=0.2,
)
FROZEN = dataclasses.replace(RECIPE, freeze="backbone")
SEED = 0
IMAGES = 48
"""Of each split, at most."""


def design(classes: int, width: int = 8) -> DetectorSpec:
    """The smallest detector that has every part."""
    return DetectorSpec(
        size=(64, 64),
        classes=classes,
        backbone=EfficientNet(width=0.25, depth=0.25),
        topology=bifpn(3, 5),
        repeats=1,
        width=width,
        head_width=width,
        head_depth=1,
        anchors=Anchors(scale=1.5),
    )


def few(data: Data) -> Data:
    """The data with so few images that an attempt takes seconds."""

    def cut(split: Split) -> Split:
        return dataclasses.replace(split, images=split.images[:IMAGES])

    return dataclasses.replace(data, train=cut(data.train), select=cut(data.select), val=cut(data.val))


def tasks(data: Data, folder: Path, count: int) -> list[Task]:
    """A training, or several that differ behind the backbone."""
    recipe, classes = RECIPE if count == 1 else FROZEN, len(data.train.categories)
    return [
        Task(spec=design(classes, 8 * i), recipe=recipe, seed=SEED, to_epoch=recipe.epochs, folder=folder / str(i))
        for i in range(1, count + 1)
    ]


def attempt(data: Data, groups: Sequence[Sequence[Task]], seconds: float | None) -> tuple[bool, float]:
    """Trains groups one after the other in a process of its own, killed after so many seconds: whether it came to the end,
    and its time."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        learning_curve.SAVE_SECONDS = 0.05
        results = [one for group in groups for one in training.run_tasks(group, data)]
        os._exit(0 if all(isinstance(one, Outcome) and one.state == "complete" for one in results) else 3)
    while seconds is None or time.monotonic() - start < seconds:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status):
                raise SystemExit(f"an attempt failed with status {os.waitstatus_to_exitcode(status)}")
            return True, time.monotonic() - start
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False, time.monotonic() - start


def content(folder: Path) -> dict[str, Any]:
    """What must be equal of a finished training; times may differ."""
    state = checkpoint.load(folder)
    assert state is not None, "a finished training has a checkpoint"
    saved = json.loads(state[checkpoint.EVALUATIONS])
    return {
        "weights": {f"{part}.{name}": value for part in ("model", "average") for name, value in state[part].items()},
        "optimizer": state["optimizer"],
        "evaluations": (saved["curve"], saved["per_class"], state["epoch"]),
    }


def same(one: Any, other: Any) -> bool:
    """Bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def where(folder: Path) -> str:
    """What a kill left behind."""
    torn = "a torn file beside " if list(folder.glob("*.part")) else ""
    state = checkpoint.load(folder)
    if state is None:
        return f"{torn}no checkpoint"
    return f"{torn}a checkpoint {'within an epoch' if state['step'] else 'between epochs'}"


def apart(folders: Sequence[Path]) -> str:
    """Whether a kill left several trainings at different steps."""
    states = [checkpoint.load(folder) for folder in folders]
    places = {(state["epoch"], state["step"]) if state else None for state in states}
    return "all at one step" if len(places) == 1 else "at different steps"


def check(data: Data, kills: int, place: Path, together: int) -> list[str]:
    """The lines of the report. SystemExit where a training ended with other bits."""
    rng, found, done, trainings = random.Random(SEED), Counter[str](), 0, 0
    whole = tasks(data, place / "whole", together)
    _, seconds = attempt(data, [[task] for task in whole], None)
    wanted = [content(task.folder) for task in whole]
    while done < kills:
        killed = tasks(data, place / f"killed{trainings}", together)
        folders = [task.folder for task in killed]
        trainings += 1
        ended = False
        while not ended:
            ended, _ = attempt(data, [killed], rng.uniform(0, seconds / 2) if done < kills else None)
            if not ended:
                done += 1
                found[where(folders[0]) if together == 1 else apart(folders)] += 1
        for folder, one in zip(folders, wanted, strict=True):
            if not same(content(folder), one):
                raise SystemExit(f"the training in {folder} ended with other bits than the one that was left alone")
    left = ", ".join(f"{what}: {count}" for what, count in found.most_common())
    several = f"groups of {together} trainings, {seconds:.1f} s one after the other" if together > 1 else ""
    return [
        f"{done} kills of {trainings} {several or f'trainings of {seconds:.1f} s'}: all ended with the bits of one left alone",
        f"what the kills left behind: {left}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the check and writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--data", default="digits", help="COCO folder, or digits")
    parser.add_argument("--together", type=int, default=1, help="trainings of a process")
    parser.add_argument("--out", type=Path, default=Path("results/checks/resume.txt"))
    args = parser.parse_args(argv)
    data = few(open_data(args.data))
    with tempfile.TemporaryDirectory() as place:
        lines = check(data, args.kills, Path(place), args.together)
    how = f" --together {args.together}" if args.together > 1 else ""
    head = (
        f"python benchmarks/check_resume.py{how}: seed {SEED}, {args.kills} kills, python {platform.python_version()}, "
    )
    head += f"torch {torch.__version__}, one thread"
    text = "\n".join([head, *lines, "All checks passed!"]) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
