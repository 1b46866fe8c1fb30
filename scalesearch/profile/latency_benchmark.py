"""Measured latency: a detector as deployed, timed in turn with a reference operation.

The reference shows the machine's speed at the time: it is timed before and after every run of the detector. The ratio
of the two is what is compared between runs, hours and predictions (docs/latency.md). A timing process keeps the memory
that it frees (`nn.allocator`). May import arch, cost, nn and torch.
"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import LatencySetting
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.deploy import Prepared, export_onnx, folded, prepare
from scalesearch.nn.detector import Detector, Outputs, build
from scalesearch.nn.memory_limit import check_inference
from scalesearch.nn.postprocess import detect
from scalesearch.nn.release import releasing
from scalesearch.profile.latency_setting import PRECISIONS, device_of, runtime_for

REFERENCE = (
    "eight times: a product [192, 256] x [256, 256], a depthwise 3x3 over [1, 64, 32, 32] channels_last, its SiLU, "
    "a sum; fp32, PyTorch; after a run of it that is not timed"
)
"""The reference operation, in words; about 2.5 ms on one thread of a server's processor.

Its data fits several times into a core's second-level cache and stays there. Over maps of 1 MiB, which do not fit, a
depthwise convolution took up to 1.89 times as long in one process as in another, depending on its pages; over these,
1.03 (results/benchmarks/processes.md).
"""

WARM_UP = 3
ROUNDS, SECONDS = 120, 15.0
"""Upper bounds of a measurement; its minimum is eight rounds. Its precision is in results/checks/measure_again.txt."""

UNSURE, DRIFT, WAITED = 0.025, 0.15, 0.10
"""Thresholds of a measurement's warnings: half the ratio's interval; the reference's spread (10th to 90th percentile, 6
to 12 % on a quiet machine); the share of the time in which other processes had the processor."""

FAULT = 1e-6
"""Seconds of a page fault, for the warning; 1.2e-6 measured in a virtual machine."""

Call = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Latency:
    """A detector's measured latency for one batch. Times are in seconds; intervals are 95 % intervals of a median."""

    setting: LatencySetting
    detector: str
    """The spec's id."""
    size: tuple[int, int]
    rounds: int
    clock: str
    """processor: this thread's CPU time (one thread on a CPU); wall: elapsed time."""
    seconds: float
    interval: tuple[float, float]
    reference: float
    ratio: float
    """Median over runs of the run's time / the mean of the references before and after it."""
    ratio_interval: tuple[float, float]
    drift: float
    """Spread of the reference, 10th to 90th percentile, relative to its median."""
    suppression: float
    """Post-processing, timed apart: decoding, selection and suppression of an untrained detector's outputs."""
    faults: int
    """Page faults of a run; 0 where the allocator keeps memory."""
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        return asdict(self) | {"reference_operation": REFERENCE}


# ---- what is timed ----


def deployed(spec: DetectorSpec, setting: LatencySetting) -> tuple[Call, Detector]:
    """Return a call that runs the detector as the backend deploys it, on random weights and images; and the detector.

    Raises ValueError for a backbone that cannot be deployed, or a batch that does not fit into memory.
    """
    detector, images = _built(spec, setting)
    if setting.backend == "onnxruntime":
        return _session(detector, images, setting), detector
    run: Any = prepare(detector) if setting.backend == "eager" else torch.compile(folded(detector))

    @torch.no_grad()
    def call() -> Outputs:
        return Outputs(*run(images))

    return call, detector


def prepared_with_images(spec: DetectorSpec, setting: LatencySetting) -> tuple[Prepared, Tensor]:
    """Return the module that the eager backend runs, and a batch for it."""
    detector, images = _built(spec, setting)
    return prepare(detector), images


def _built(spec: DetectorSpec, setting: LatencySetting) -> tuple[Detector, Tensor]:
    device, dtype = device_of(setting), PRECISIONS[setting.precision]
    check_inference(spec, setting.batch, device)
    torch.manual_seed(0)
    images = torch.randn(setting.batch, 3, *spec.size).to(device, dtype).contiguous(memory_format=torch.channels_last)
    return build(spec).to(device, dtype).eval(), images


def _session(detector: Detector, images: Tensor, setting: LatencySetting) -> Call:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "detector.onnx"
        export_onnx(detector, file)
        session = open_session(str(file), setting)
    array = images.cpu().numpy()
    return lambda: Outputs(*(torch.from_numpy(x) for x in session.run(None, {"images": array})))


def open_session(model: str | bytes, setting: LatencySetting, profile: str | None = None) -> Any:
    """Open an ONNX Runtime session for a setting; `profile` is the file prefix of its own timings."""
    cuda = device_of(setting).type == "cuda"
    runtime = runtime_for("cuda" if cuda else "cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.log_severity_level = 3
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, profile
    providers = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
    return runtime.InferenceSession(model, options, providers=providers)


def reference_of(device: torch.device) -> Call:
    """Return a call that runs the reference operation once."""
    generator = torch.Generator().manual_seed(0)
    left, right, kernel = (
        torch.randn(*shape, generator=generator).to(device) for shape in ((192, 256), (256, 256), (64, 1, 3, 3))
    )
    last = torch.channels_last
    image = torch.randn(1, 64, 32, 32, generator=generator).to(device).contiguous(memory_format=last)
    kernel = kernel.contiguous(memory_format=last)

    @torch.no_grad()
    def call() -> None:
        for _ in range(8):
            torch.mm(left, right)
            out = torch.conv2d(image, kernel, padding=1, groups=64)
            torch.nn.functional.silu(out, inplace=True).add_(image)

    return call


# ---- timing ----


def clock_of(setting: LatencySetting) -> str:
    """Return processor where one thread of a CPU does all the work, else wall."""
    return "processor" if device_of(setting).type == "cpu" and setting.threads == 1 else "wall"


def timer(setting: LatencySetting) -> Callable[[Call], float]:
    """Return a function that gives the seconds of one call, by the setting's clock."""
    clock = time.thread_time if clock_of(setting) == "processor" else time.perf_counter
    wait: Call = torch.cuda.synchronize if device_of(setting).type == "cuda" else lambda: None

    def seconds(call: Call) -> float:
        wait()
        start = clock()
        call()
        wait()
        return clock() - start

    return seconds


@dataclass(frozen=True)
class Turns:
    """Seconds of each run, and of the reference before the first and after each of them."""

    runs: list[float]
    references: list[float]
    waited: float
    """Share of the time in which this thread did not have the processor; 0 by the wall clock."""
    faults: int
    """Page faults of a run, the median."""

    @property
    def ratios(self) -> list[float]:
        """Each run's time / the mean of its two neighbouring references."""
        return [run / ((a + b) / 2) for run, a, b in zip(self.runs, self.references, self.references[1:], strict=False)]


def take_turns(call: Call, setting: LatencySetting, *, rounds: int, seconds: float = math.inf) -> Turns:
    """Run `call` and the reference in turn, at most `rounds` times and, after eight rounds, for `seconds` in all."""
    keep_freed_memory()
    reference, timed = reference_of(device_of(setting)), timer(setting)
    runs: list[float] = []
    faults: list[int] = []

    def referred() -> float:
        reference()  # loads its data into the caches, whatever ran before
        return timed(reference)

    for _ in range(WARM_UP):
        call()
        referred()
    start, worked = time.perf_counter(), time.thread_time()
    references = [referred()]
    while len(runs) < rounds and (len(runs) < 8 or time.perf_counter() - start < seconds):
        before = _faults()
        runs.append(timed(call))
        faults.append(_faults() - before)
        references.append(referred())
    at_work = (time.thread_time() - worked) / (time.perf_counter() - start)
    waited = max(0.0, 1 - at_work) if clock_of(setting) == "processor" else 0.0
    return Turns(runs, references, waited, int(median(faults)))


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@releasing
def measure_latency(spec: DetectorSpec, setting: LatencySetting, *, rounds: int = ROUNDS) -> Latency:
    """Build a detector, deploy it, and time it in turn with the reference, at most `rounds` times.

    ValueError for a backbone that cannot be deployed.
    """
    call, detector = deployed(spec, setting)
    turns = take_turns(call, setting, rounds=rounds, seconds=SECONDS)
    low, high = interval(turns.ratios)
    references = sorted(turns.references)
    spread = (references[int(0.9 * len(references))] - references[len(references) // 10]) / median(references)
    ratio = median(turns.ratios)
    return Latency(
        setting=setting,
        detector=spec.id,
        size=spec.size,
        rounds=len(turns.runs),
        clock=clock_of(setting),
        seconds=median(turns.runs),
        interval=interval(turns.runs),
        reference=median(references),
        ratio=ratio,
        ratio_interval=(low, high),
        drift=spread,
        suppression=_suppression(call(), detector, setting),
        faults=turns.faults,
        warnings=_warnings((high - low) / 2 / ratio, spread, turns),
    )


def _suppression(outputs: Outputs, detector: Detector, setting: LatencySetting) -> float:
    spec = detector.spec
    anchors, timed = anchor_boxes(spec).to(outputs.box_deltas.device), timer(setting)
    return median(timed(lambda: detect(outputs, anchors, spec.size)) for _ in range(5))


def _warnings(unsure: float, drift: float, turns: Turns) -> tuple[str, ...]:
    restless = "the machine is not quiet: "
    anew = f"each run had {turns.faults:,} page faults, whose number depends on the process: the ratio may differ in another"
    found = (
        (unsure > UNSURE, f"{restless}the ratio is known to {unsure:.1%} only"),
        (drift > DRIFT, f"{restless}the reference operation spread by {drift:.0%}"),
        (turns.waited > WAITED, f"{restless}other processes had the processor for {turns.waited:.0%} of the time"),
        (FAULT * turns.faults > UNSURE * median(turns.runs), anew),
    )
    return tuple(text for bad, text in found if bad)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return a 95 % interval of the median by order statistics (binomial ranks), for any distribution."""
    ordered, count = sorted(values), len(values)
    below = max(0, math.floor(count / 2 - 1.96 * math.sqrt(count) / 2))
    return ordered[below], ordered[count - 1 - below]
