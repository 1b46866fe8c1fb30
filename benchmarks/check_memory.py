"""Is the arithmetic of memory right? Ten detectors trained for a step, estimate and measurement side by side.

In float32 and bfloat16, with gradient checkpointing and without.

    python benchmarks/check_memory.py [--batch 2] [--side 256]         (about five minutes on one core)

On a CPU the measured bytes are those that autograd's saved-tensor hooks see (distinct storages once each, parameters and
buffers aside), plus weights, gradients, optimiser state, averaged weights and buffers as they are in memory after a real
step; the peak resident size of the process above what it held before is printed beside. Where CUDA is available the same
step runs there too, and is compared with torch.cuda.max_memory_allocated. Peak activations in inference are compared with
a recording of every operation's storages on the meta device. Exit status 1 where an estimate is more than 15 % off.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import gc
import platform
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.networks import nasfpn, panet, qufpn
from scalesearch.arch.scaling import named, retinanet_nasfpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.memory import BYTES, TrainingSettings, peak_activations, training_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.nn.recompute import set_recompute
from scalesearch.plan.recipe import Recipe
from scalesearch.profile.memory_trace import kept_bytes, peak_numbers, recomputed_bytes
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training.ema import Average
from scalesearch.training.optimizer import make_optimizer
from scalesearch.training.peak_memory import PeakMemory

TOLERANCE = 0.15


def detectors(side: int) -> dict[str, DetectorSpec]:
    """Ten, of every kind: sizes, backbones, networks, activations, full and separable convolutions."""
    square, flat = (side, side), (side * 3 // 4 // 8 * 8, side)
    d0 = named("d0", size=square)
    return {
        "d0": d0,
        "d0, rectangular": named("d0", size=flat),
        "d0, half the size": named("d0", size=(side // 2, side // 2)),
        "d1": named("d1", size=square),
        "lite0": named("lite0", size=square),
        "PANet, resnet18, relu": dataclasses.replace(
            d0, topology=panet(), backbone=TimmBackbone(name="resnet18"), activation="relu"
        ),
        "BiFPN, mobilenetv3_small_050": dataclasses.replace(d0, backbone=TimmBackbone(name="mobilenetv3_small_050")),
        "QuFPN, softmax, no head convolutions": dataclasses.replace(
            d0, topology=qufpn(fusion="softmax"), head_depth=0, order="conv_norm_act", down="avg", up="bilinear"
        ),
        "NAS-FPN, small EfficientNet": dataclasses.replace(
            d0, topology=nasfpn(), backbone=EfficientNet(width=0.5, depth=0.5), repeats=5, width=112, head_width=40
        ),
        "RetinaNet with NAS-FPN, resnet18": dataclasses.replace(
            retinanet_nasfpn(size=square, width=64), backbone=TimmBackbone(name="resnet18")
        ),
    }


class Line(NamedTuple):
    """One detector, in bytes."""

    estimate: int
    measured: int
    resident: int
    peak: int
    recorded: int


class Step:
    """A detector with all that a training of it holds, and one step over random images."""

    def __init__(self, spec: DetectorSpec, training: TrainingSettings, device: torch.device) -> None:
        torch.manual_seed(0)
        self.model = build(spec).to(device).to(memory_format=torch.channels_last).train()
        set_recompute(self.model, training.checkpointing)
        self.average = Average(self.model, 0.998)
        self.optimizer = make_optimizer(self.model, Recipe(optimizer=training.optimizer))
        self.training = training
        self.images = torch.randn(training.batch, 3, *spec.size, device=device).to(memory_format=torch.channels_last)
        anchors = anchor_boxes(spec, device)
        boxes = torch.tensor([[10.0, 10.0, 50.0, 60.0]], device=device).expand(training.batch, 1, 4)
        labels = torch.zeros(training.batch, 1, dtype=torch.long, device=device)
        self.targets = assign(anchors, boxes, labels)

    def loss(self) -> Tensor:
        """The forward pass."""
        with torch.autocast(self.images.device.type, torch.bfloat16, enabled=self.training.half):
            outputs = self.model(self.images)
        return detection_loss(outputs, self.targets).total

    def run(self) -> None:
        """The whole step."""
        self.optimizer.zero_grad()
        self.loss().backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.average.update(1)

    def held(self) -> int:
        """Bytes of weights, gradients, optimiser, averaged weights and buffers."""
        modules: tuple[nn.Module, ...] = (self.model, self.average.model)
        tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
        tensors += [p.grad for p in self.model.parameters() if p.grad is not None]
        tensors += [x for state in self.optimizer.state.values() for x in state.values() if isinstance(x, Tensor)]
        return _bytes(tensors)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum({t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in tensors}.values())


def check(spec: DetectorSpec, training: TrainingSettings) -> Line:
    """On the CPU."""
    gc.collect()
    before = _resident()
    step, memory = Step(spec, training, torch.device("cpu")), PeakMemory(torch.device("cpu"))
    step.run()
    resident = memory.read() - before
    kept = recomputed_bytes if training.checkpointing else kept_bytes
    measured = kept(step.model, step.loss) + step.held()
    with torch.device("meta"):
        model, images = build(spec), torch.empty(1, 3, *spec.size)
    recorded = BYTES * peak_numbers(
        model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    )
    return Line(training_memory(spec, training), measured, resident, peak_activations(spec), recorded)


def _resident() -> int:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc: what earlier detectors freed goes back first
    pages = Path("/proc/self/statm")
    return int(pages.read_text().split()[1]) * 4096 if pages.exists() else 0


def on_cuda(spec: DetectorSpec, training: TrainingSettings) -> int:
    """The most bytes that the second step allocates on the GPU: the first one has what cuDNN tries out."""
    device = torch.device("cuda")
    step = Step(spec, training, device)
    step.run()
    torch.cuda.synchronize()
    memory = PeakMemory(device)
    step.run()
    torch.cuda.synchronize()
    return memory.read()


def table(lines: dict[str, Line]) -> Iterator[str]:
    """The CPU's."""
    yield f"{'training, MB':38} {'estimate':>9} {'measured':>9} {'off':>7} {'resident':>9}    inference, peak MB   recorded   off"
    for name, line in lines.items():
        off, peak_off = line.estimate / line.measured - 1, line.peak / line.recorded - 1
        yield (
            f"{name:38} {line.estimate / 1e6:9.1f} {line.measured / 1e6:9.1f} {off:+7.2%} {line.resident / 1e6:9.1f}    "
            f"{line.peak / 1e6:18.3f} {line.recorded / 1e6:10.3f} {peak_off:+.2%}"
        )


def main() -> int:
    """Checks, prints and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--optimizer", choices=("adamw", "sgd"), default="adamw")
    parser.add_argument("--out", type=Path, default=Path("results/checks/memory.txt"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    training = TrainingSettings(batch=args.batch, optimizer=args.optimizer)
    with tempfile.TemporaryDirectory() as cache:
        specs = {name: resolve_spec(spec, Path(cache)) for name, spec in detectors(args.side).items()}
    lines = {name: check(spec, training) for name, spec in specs.items()}
    offs = {name: abs(line.estimate / line.measured - 1) for name, line in lines.items()}
    others = [
        dataclasses.replace(training, half=half, checkpointing=again)
        for half, again in ((True, False), (False, True), (True, True))
    ]
    rows = []
    for name, spec in specs.items():
        found = [check(spec, setting) for setting in others]
        offs |= {f"{name} {i}": abs(line.estimate / line.measured - 1) for i, line in enumerate(found)}
        rows.append(
            f"{name:38}"
            + "".join(
                f" {line.estimate / 1e6:9.1f} {line.measured / 1e6:9.1f} {line.estimate / line.measured - 1:+7.2%}"
                for line in found
            )
        )
    text = [
        "training memory by arithmetic against a real step on a CPU: bytes that saved-tensor hooks see plus weights, gradients,",
        "optimiser, averaged weights and buffers. resident: how far the process's peak resident size rose above what it was",
        "before (allocator, loss and backward temporaries included, less what freed memory it could use again).",
        "inference: peak of live maps by arithmetic, and recorded from every operation of the module on the meta device",
        f"    python benchmarks/check_memory.py --batch {args.batch} --side {args.side} --optimizer {args.optimizer}",
        "",
        *table(lines),
        "",
        "the same estimate and measurement in bfloat16, with checkpointing, and with both. With checkpointing the measurement is",
        "the largest sum of what was kept before a segment and of what the segment keeps when it is run again",
        f"{'training, MB':38}"
        + "".join(f" {what:>9} {'measured':>9} {'off':>7}" for what in ("bf16", "again", "both")),
        *rows,
        "",
        f"batch {args.batch}, {args.optimizer}, longer side {args.side}; one thread",
        f"python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}",
        f"largest error {max(offs.values()):.2%} (allowed: {TOLERANCE:.0%})",
    ]
    if torch.cuda.is_available():
        text += ["", f"{torch.cuda.get_device_name()}, torch.cuda.max_memory_allocated of a step, MB"]
        for name, spec in specs.items():
            allocated, estimate = on_cuda(spec, training), lines[name].estimate
            offs[f"{name} on CUDA"] = abs(estimate / allocated - 1)
            text.append(f"{name:38} {estimate / 1e6:9.1f} {allocated / 1e6:9.1f} {estimate / allocated - 1:+7.2%}")
    else:
        text.append("no GPU was at hand: max_memory_allocated was not compared")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(text) + "\n")
    print("\n".join(text))
    return 1 if max(offs.values()) > TOLERANCE else 0


if __name__ == "__main__":
    sys.exit(main())
