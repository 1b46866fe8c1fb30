"""Does a training that is killed, again and again, end with the bits of one that is not? Writes results/checks/resume.txt.

    python benchmarks/check_resume.py                       # about 10 minutes on one core
    python benchmarks/check_resume.py --kills 3 --data coco/ --out /tmp/resume.txt

Each training goes on in a process of its own, which SIGKILL ends at a random moment (while it decodes, within an epoch,
in an evaluation, in the middle of a checkpoint) until one attempt comes to the end. Then weights, average, optimiser
and curve must equal, bit by bit, those of a training that was left alone. The recipe draws all that can be
drawn: jitter, colour, mosaic, mixup, stochastic depth.
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
from scalesearch.plan.task import Task
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
SEED = 0
IMAGES = 48
"""Of each split, at most."""


def design(classes: int) -> DetectorSpec:
    """The smallest detector that has every part."""
    return DetectorSpec(
        size=(64, 64),
        classes=classes,
        backbone=EfficientNet(width=0.25, depth=0.25),
        topology=bifpn(3, 5),
        repeats=1,
        width=8,
        head_width=8,
        head_depth=1,
        anchors=Anchors(scale=1.5),
    )


def few(data: Data) -> Data:
    """The data with so few images that an attempt takes seconds."""

    def cut(split: Split) -> Split:
        return dataclasses.replace(split, images=split.images[:IMAGES])

    return dataclasses.replace(data, train=cut(data.train), select=cut(data.select), val=cut(data.val))


def attempt(data: Data, folder: Path, seconds: float | None) -> tuple[bool, float]:
    """Trains in a process of its own, killed after so many seconds: whether it came to the end, and its time."""
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        learning_curve.SAVE_SECONDS = 0.05
        task = Task(
            spec=design(len(data.train.categories)), recipe=RECIPE, seed=SEED, to_epoch=RECIPE.epochs, folder=folder
        )
        outcome = training.run_task(task, data)
        os._exit(0 if outcome.state == "complete" else 3)
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


def check(data: Data, kills: int, place: Path) -> list[str]:
    """The lines of the report. SystemExit where a training ended with other bits."""
    rng, found, done, trainings = random.Random(SEED), Counter[str](), 0, 0
    _, seconds = attempt(data, place / "whole", None)
    wanted = content(place / "whole")
    while done < kills:
        folder = place / f"killed{trainings}"
        trainings += 1
        ended = False
        while not ended:
            ended, _ = attempt(data, folder, rng.uniform(0, seconds / 2) if done < kills else None)
            if not ended:
                done += 1
                found[where(folder)] += 1
        if not same(content(folder), wanted):
            raise SystemExit(f"the training in {folder} ended with other bits than the one that was left alone")
    left = ", ".join(f"{what}: {count}" for what, count in found.most_common())
    return [
        f"{done} kills of {trainings} trainings of {seconds:.1f} s: all ended with the bits of one left alone",
        f"what the kills left behind: {left}",
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the check and writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--data", default="digits", help="COCO folder, or digits")
    parser.add_argument("--out", type=Path, default=Path("results/checks/resume.txt"))
    args = parser.parse_args(argv)
    data = few(open_data(args.data))
    with tempfile.TemporaryDirectory() as place:
        lines = check(data, args.kills, Path(place))
    head = f"python benchmarks/check_resume.py: seed {SEED}, {args.kills} kills, python {platform.python_version()}, "
    head += f"torch {torch.__version__}, one thread"
    text = "\n".join([head, *lines, "All checks passed!"]) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
