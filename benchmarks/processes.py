"""How much a time depends on the process that took it: the same work in processes of their own, one kind after another.

    python benchmarks/processes.py [--runs 6] [--out results/benchmarks/processes.md]

A process that gives freed memory back has page faults in each call; their number depends on the place of its heap, and
stays for its whole life. Measured by a D0's inference of one image at 512 and its training step (labelling, loss,
backward, SGD) with four, with and without `nn.allocator`. And the time of a depthwise convolution whose maps fill the
second-level cache depends on where their pages lie: measured over maps of 64x64 and 32x32. Processor time of one
thread, the median of 12 calls. About fifteen minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from rich.progress import track

from scalesearch.arch.scaling import named
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.deploy import prepare
from scalesearch.nn.detector import build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.profile.environment import machine

BOXES, CALLS = 7, 12


def inference(size: int) -> Callable[[], object]:
    """One run of a D0 as it is deployed."""
    spec = dataclasses.replace(named("d0"), size=(size, size))
    run = prepare(build(spec).eval())
    image = torch.randn(1, 3, size, size).contiguous(memory_format=torch.channels_last)

    @torch.no_grad()
    def call() -> object:
        return run(image)

    return call


def step(size: int, batch: int = 4) -> Callable[[], object]:
    """One step of a D0's training."""
    spec = dataclasses.replace(named("d0"), size=(size, size))
    model = build(spec).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    corner = torch.rand(batch, BOXES, 2) * size * 0.7
    boxes = torch.cat([corner, corner + (0.05 + 0.25 * torch.rand(batch, BOXES, 2)) * size], 2)
    labels, anchors = torch.randint(0, spec.classes, (batch, BOXES)), anchor_boxes(spec)

    def call() -> None:
        optimizer.zero_grad()
        detection_loss(model(images), assign(anchors, boxes, labels)).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return call


def depthwise(side: int, times: int) -> Callable[[], object]:
    """A depthwise 3x3 over 64 channels, again and again."""
    last = torch.channels_last
    image = torch.randn(1, 64, side, side).contiguous(memory_format=last)
    kernel = torch.randn(64, 1, 3, 3).contiguous(memory_format=last)

    @torch.no_grad()
    def call() -> None:
        for _ in range(times):
            torch.conv2d(image, kernel, padding=1, groups=64)

    return call


CASES: dict[str, Callable[[], Callable[[], object]]] = {
    "inference, 512, batch 1": lambda: inference(512),
    "training step, 256, batch 4": lambda: step(256),
    "training step, 512, batch 4": lambda: step(512),
    "depthwise 3x3, 64x64x64, 100 times": lambda: depthwise(64, 100),
    "depthwise 3x3, 64x32x32, 400 times": lambda: depthwise(32, 400),
}
GIVEN, KEPT = "given back", "kept"
ROWS = [(case, how) for case in CASES for how in (GIVEN, KEPT) if how == KEPT or "depthwise" not in case]


def run(case: str, kept: bool) -> None:
    """Prints seconds and faults of a call, and the process's peak of resident memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if kept:
        assert keep_freed_memory(), "the C library is not glibc"
    call = CASES[case]()
    for _ in range(3):
        call()
    seconds, faults = [], []
    for _ in range(CALLS):
        start, before = time.thread_time(), _usage().ru_minflt
        call()
        seconds.append(time.thread_time() - start)
        faults.append(_usage().ru_minflt - before)
    print(json.dumps([median(seconds), median(faults), _usage().ru_maxrss * 1024]))


def _usage() -> resource.struct_rusage:
    return resource.getrusage(resource.RUSAGE_SELF)


def main() -> None:
    """Run the processes, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/processes.md"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run(args.one[0], args.one[1] == KEPT)
        return
    found: dict[tuple[str, str], list[list[float]]] = {row: [] for row in ROWS}
    for _ in track(range(args.runs), "processes"):
        for (case, how), results in found.items():
            command = [sys.executable, __file__, "--one", case, how]
            results.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    lines = [
        "# The same work in other processes",
        "",
        f"{args.runs} processes a line, in turn; their median, the least and the most. One thread.",
        f"`python benchmarks/processes.py --runs {args.runs}` writes this table.",
        "",
        f"Machine: {machine()['cpu']}, {machine()['system']}, {' '.join(platform.libc_ver())}, torch {torch.__version__}.",
        "",
        "| what | freed memory is | ms | most over least | of the time | pages taken anew in a call | peak resident, MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (case, how), results in found.items():
        seconds, faults, peak = zip(*results, strict=True)
        before = median(one[0] for one in found.get((case, GIVEN), results))
        lines.append(
            f"| {case} | {how} | {_range([1e3 * one for one in seconds])} | {max(seconds) / min(seconds):.2f} | "
            f"{median(seconds) / before:.2f} | {_range(faults)} | {_range([one / 2**20 for one in peak])} |"
        )
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _range(values: Sequence[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f} .. {max(values):,.0f})"


if __name__ == "__main__":
    main()
