"""Our D0 beside effdet 0.4.1's, in one interleaved run: step, inference, ONNX Runtime, post-processing, memory.

    python benchmarks/effdet_speed.py [--rounds 15] [--out results/benchmarks/effdet_speed.md]

Times are medians over rounds in which every candidate has its turn, each in a process of its own; ratios are of medians.
Takes about seven minutes on two cores. The training step is labelling of seven boxes an image, loss and backward at batch
4. Our trainings, `measure` and `predict` keep the memory that their tensors free (`keep_freed_memory`); rows say where that
is so, of effdet's too. Peak memory is that of a process of its own, over what it held before the model was built. Needs
the extras test and onnx.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

import torch
from peer import peer_model, peer_spec, randomise
from rich.progress import track
from torch import Tensor, nn

from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.deploy import export_onnx, prepare
from scalesearch.nn.detector import Outputs, build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.nn.postprocess import detect
from scalesearch.nn.recompute import set_recompute
from scalesearch.profile.environment import machine
from scalesearch.training.peak_memory import PeakMemory

NAME = "efficientdet_d0"
BATCH, BOXES = 4, 7
Call = Callable[[], Any]


def main() -> None:
    """Measure, print and write the table; or, with --peak, one process's memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=[*GROUPS], choices=[*GROUPS, "memory"], metavar="GROUP")
    parser.add_argument("--threads", type=int, help="torch's; its own number by default")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/effdet_speed.md"))
    parser.add_argument("--peak", choices=PEAKS, help=argparse.SUPPRESS)
    parser.add_argument("--turns", nargs=3, metavar=("GROUP", "WHAT", "WHO"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.turns:
        _take_turns(*args.turns)
        return
    if args.peak:
        print(_peak(args.peak))
        return
    rows = [row for group in args.only if group in GROUPS for row in _group(group, args.rounds)]
    whole = set(args.only) == set(GROUPS)
    if whole or "memory" in args.only:
        rows += _memory()
    text = _table(rows, args.rounds)
    print(text, end="")
    if whole:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)


# ---- what is timed ----


def _step(size: int, ours: bool, *, recompute: bool = False) -> Call:
    spec = peer_spec(NAME, size=(size, size))
    images, boxes, labels = _batch(spec)
    if not ours:
        from effdet import DetBenchTrain

        bench = DetBenchTrain(peer_model(NAME, spec, seed=None), create_labeler=True).train()
        target = {"bbox": boxes[..., [1, 0, 3, 2]], "cls": labels + 1}
        return lambda: _backward(bench, bench(images, target)["loss"])
    detector = build(spec).train().to(memory_format=torch.channels_last)
    set_recompute(detector, recompute)
    images, anchors = images.contiguous(memory_format=torch.channels_last), anchor_boxes(spec)
    return lambda: _backward(detector, detection_loss(detector(images), assign(anchors, boxes, labels)).total)


def _backward(model: nn.Module, loss: Tensor) -> None:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]


def _batch(spec: DetectorSpec) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(BATCH, BOXES, 2, generator=generator) * spec.size[0] * 0.7
    sides = (0.05 + 0.25 * torch.rand(BATCH, BOXES, 2, generator=generator)) * spec.size[0]
    labels = torch.randint(0, spec.classes, (BATCH, BOXES), generator=generator)
    return torch.randn(BATCH, 3, *spec.size, generator=generator), torch.cat([corner, corner + sides], 2), labels


def _steps() -> dict[str, dict[str, Call]]:
    return {
        f"training step, batch {BATCH}, {size}": {
            "effdet": _step(size, False),
            "ours": _step(size, True),
            "ours, checkpointing": _step(size, True, recompute=True),
        }
        for size in (256, 512)
    }


def _inference() -> dict[str, dict[str, Call]]:
    import onnxruntime

    spec = peer_spec(NAME)
    theirs, ours = peer_model(NAME, spec), build(spec).eval()
    randomise(ours)
    image = torch.randn(1, 3, *spec.size, generator=torch.Generator().manual_seed(0))
    prepared, last = prepare(ours), image.contiguous(memory_format=torch.channels_last)
    plain = build(spec).eval().to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(ours, Path(folder) / "d0.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(Path(folder) / "d0.onnx", options, providers=["CPUExecutionProvider"])
    array = image.numpy()
    for found in (prepared(image), [torch.from_numpy(x) for x in session.run(None, {"images": array})]):
        for one, other in zip(found, ours(image), strict=True):
            error = float((one - other).abs().max() / other.abs().max())
            assert error < 1e-5, error
    calls: dict[str, Call] = {
        "effdet": lambda: theirs(image),
        "ours, as built": lambda: plain(last),
        "ours, prepared": lambda: prepared(last),
        "ours, ONNX Runtime": lambda: session.run(None, {"images": array}),
    }
    return {"inference, batch 1, 512": calls}


def _selection() -> dict[str, dict[str, Call]]:
    from effdet.anchors import Anchors, generate_detections
    from effdet.bench import _post_process

    spec = peer_spec(NAME)
    generator = torch.Generator().manual_seed(0)
    cells = [spec.map_size(level) for level in spec.levels]
    classes = [2 * torch.randn(1, 9 * 90, *hw, generator=generator) - 4 for hw in cells]
    boxes = [0.3 * torch.randn(1, 36, *hw, generator=generator) for hw in cells]
    outputs = Outputs(*(_flat(x, last) for x, last in ((classes, 90), (boxes, 4))))
    theirs = Anchors(3, 7, 3, list(spec.anchors.aspects), spec.anchors.scale, spec.size).boxes
    mine, one, size = anchor_boxes(spec), torch.tensor(1.0), torch.tensor([512.0, 512.0])

    def effdet(soft: bool) -> Tensor:
        scores, deltas, places, labels = _post_process(classes, boxes, 5, 90, 5000)
        found: Tensor = generate_detections(scores[0], deltas[0], theirs, places[0], labels[0], one, size, 100, soft)
        return found

    def ours(method: str) -> Tensor:
        (found,) = detect(outputs, mine, spec.size, method=method)
        return torch.cat([found.boxes, found.scores[:, None], found.labels[:, None] + 1], 1)

    for soft, method in ((False, "hard"), (True, "soft")):
        torch.testing.assert_close(ours(method), effdet(soft), rtol=1e-4, atol=1e-2)
    return {
        "post-processing, 49,104 x 90, hard": {"effdet": lambda: effdet(False), "ours": lambda: ours("hard")},
        "post-processing, 49,104 x 90, soft": {"effdet": lambda: effdet(True), "ours": lambda: ours("soft")},
    }


def _flat(levels: list[Tensor], last: int) -> Tensor:
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, last) for x in levels], 1)


GROUPS: dict[str, Callable[[], dict[str, dict[str, Call]]]] = {
    "steps": _steps,
    "inference": _inference,
    "selection": _selection,
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One number of the table."""

    what: str
    who: str
    value: str
    ratio: float


KEPT = ", freed memory kept"
"""Ends the name of a candidate whose process keeps the memory that it frees."""
CANDIDATES: dict[str, dict[str, tuple[str, ...]]] = {
    "steps": {
        f"training step, batch {BATCH}, {size}": (
            "effdet",
            "effdet" + KEPT,
            "ours",
            "ours" + KEPT,
            "ours, checkpointing" + KEPT,
        )
        for size in (256, 512)
    },
    "inference": {
        "inference, batch 1, 512": (
            "effdet",
            "effdet" + KEPT,
            "ours, as built" + KEPT,
            "ours, prepared",
            "ours, prepared" + KEPT,
            "ours, ONNX Runtime",
        )
    },
    "selection": {f"post-processing, 49,104 x 90, {method}": ("effdet", "ours" + KEPT) for method in ("hard", "soft")},
}


def _group(group: str, rounds: int) -> list[Row]:
    rows = []
    for what, names in CANDIDATES[group].items():
        times = _interleaved(group, what, names, rounds)
        first = median(times["effdet"])
        rows += [Row(what, who, f"{1e3 * median(t):.0f} ms", median(t) / first) for who, t in times.items()]
    return rows


def _interleaved(group: str, what: str, names: tuple[str, ...], rounds: int) -> dict[str, list[float]]:
    """Seconds of each candidate's calls; the candidates wait in their processes for their turns."""
    times: dict[str, list[float]] = {who: [] for who in names}
    command = [sys.executable, __file__, "--threads", str(torch.get_num_threads()), "--turns", group, what]
    with ExitStack() as stack:
        waiting = {
            who: stack.enter_context(
                subprocess.Popen([*command, who], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for who in names
        }
        for round_ in track(range(-1, rounds), what):
            for who, process in waiting.items():
                assert process.stdin and process.stdout
                print(file=process.stdin, flush=True)
                seconds = float(process.stdout.readline())
                if round_ >= 0:  # the first warms up
                    times[who].append(seconds)
        for process in waiting.values():
            assert process.stdin
            process.stdin.close()
    return times


def _take_turns(group: str, what: str, who: str) -> None:
    """Time one call for each line of standard input."""
    if who.endswith(KEPT):
        assert keep_freed_memory(), "this needs glibc"
    call = GROUPS[group]()[what][who.removesuffix(KEPT)]
    with torch.set_grad_enabled("training" in what):
        for _ in sys.stdin:
            start = time.perf_counter()
            call()
            print(time.perf_counter() - start, flush=True)


# ---- memory ----

PEAKS = ("effdet", "ours", "ours, checkpointing")


def _peak(who: str) -> int:
    """Bytes that two steps at 512 held at most, over what the process held before."""
    import effdet  # noqa: F401 - so that both sides have imported the same

    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    step = _step(512, who != "effdet", recompute="checkpointing" in who)
    for _ in range(2):
        step()
    return memory.read() - before


def _memory() -> list[Row]:
    peaks = {}
    for who in PEAKS:
        command = [sys.executable, __file__, "--peak", who, "--threads", str(torch.get_num_threads())]
        peaks[who] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    what = f"peak memory of a training step, batch {BATCH}, 512"
    return [Row(what, who, f"{peak / 2**20:.0f} MiB", peak / peaks["effdet"]) for who, peak in peaks.items()]


# ---- the table ----


def _table(rows: list[Row], rounds: int) -> str:
    packages = ("torch", "timm", "effdet", "onnxruntime")
    lines = [
        "# Our D0 beside effdet's",
        "",
        f"One interleaved run of {rounds} rounds, ratios of medians, {torch.get_num_threads()} threads.",
        f"`{' '.join(['python', 'benchmarks/effdet_speed.py', *sys.argv[1:]])}` writes this table.",
        "",
        f"Machine: {machine()['cpu']}, {machine()['cores']} cores, {machine()['system']}. "
        f"Python {platform.python_version()}, " + ", ".join(f"{p} {metadata.version(p)}" for p in packages) + ".",
        "",
        "| what | who | median | of effdet's |",
        "| --- | --- | ---: | ---: |",
        *(f"| {row.what} | {row.who} | {row.value} | {row.ratio:.2f} |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
