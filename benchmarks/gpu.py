"""Every check that wants a GPU, in parts; writes results/gpu/gpu.md as it goes.

    python benchmarks/gpu.py [--only equality workers] [--out results/gpu/gpu.md]
    python benchmarks/gpu.py --device cpu --out /tmp/gpu.md       # the parts at a small size, to test them

    equality   CUDA against CPU: batches, labels, loss, gradients, detections
    precision  fp32, bf16 and fp16 training, whole and resumed
    memory     a training that runs out of memory, and the next one in its process
    workers    one to eight workers on one GPU
    effdet     the D0 training step beside effdet 0.4.1's
    latency    latency by CUDA events, twice
    loop       the training loop with its loader (not among the default parts)

Each part is a process of its own, which is ended after four minutes, and all parts after twelve: a part that fails, hangs or
leaves the GPU in an error is reported in the table, and the others run. A bare machine needs Linux, Python 3.11 or newer, a
driver, and these wheels with what they need: torch and torchvision (of one CUDA version), timm, numpy, pillow, PyYAML, msgspec,
psutil, safetensors, huggingface_hub, pycocotools, faster-coco-eval; the parts effdet and latency also rich; the
part effdet also effdet 0.4.1. The repository need not be installed: the script adds it to the path.

What was run: on a CPU all parts by --device cpu, each in 35 to 150 s on two busy cores (tests/benchmarks/test_gpu.py runs a
sample). On a GPU none yet: limits of time and of differences are estimates, and results/gpu/ does not exist.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {
    "equality": "gpu_checks",
    "precision": "gpu_checks",
    "memory": "gpu_checks",
    "workers": "gpu_checks",
    "effdet": "gpu_speed",
    "latency": "gpu_speed",
    "loop": "gpu_speed",
}
DEFAULT = tuple(name for name in PARTS if name != "loop")
LONGEST, TOGETHER = 240.0, 720.0
"""Seconds of a part, and of all."""
RUN = "import {module} as parts\nfor line in parts.{part}({device!r}): print(line, flush=True)"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the parts; exit 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*DEFAULT], metavar="PART")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("results/gpu/gpu.md"))
    args = parser.parse_args(argv)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write(args.out, title(args.device), "w")
    start, failed = time.monotonic(), []
    for part in args.only:
        left = min(LONGEST, TOGETHER - (time.monotonic() - start))
        fault = run(part, args.device, args.out, left) if left > 0 else "not run: the twelve minutes are over"
        if fault:
            failed.append(part)
            write(args.out, f"\n{part} FAILED: {fault}\n")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


def title(device: str) -> str:
    """The head of the table. Exits where there is no GPU."""
    import torch

    sys.path.insert(0, str(HERE.parent))
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("these checks need a CUDA device, and torch finds none here; --device cpu tests the parts themselves")
    name = torch.cuda.get_device_name() if device == "cuda" else "a CPU: a test of the script, at a small size"
    return f"# Checks on {name}\n\ntorch {torch.__version__}, CUDA {torch.version.cuda}, python {sys.version.split()[0]}.\n"


def run(part: str, device: str, out: Path, seconds: float) -> str:
    """Run a part in a process of its own and add its lines to the table as they come; say how it failed, or ''."""
    start = time.monotonic()
    write(out, f"\n## {part}\n\n")
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    code = RUN.format(module=PARTS[part], part=part, device=device)
    log = out.with_name(f"{out.stem}-{part}.log")
    with log.open("w") as errors, out.open("a") as table:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdout=table,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its workers, too
            process.wait()
            return f"it was ended after {seconds:.0f} s"
    print(f"{part}: {'done' if status == 0 else 'FAILED'} after {time.monotonic() - start:.0f} s", flush=True)
    if status:
        return (log.read_text().strip().splitlines() or [f"status {status}"])[-1]
    write(out, f"\n{time.monotonic() - start:.0f} s.\n")
    log.unlink()
    return ""


def write(out: Path, text: str, mode: str = "a") -> None:
    """Add text to the table, at once."""
    with out.open(mode) as table:
        table.write(text)


if __name__ == "__main__":
    main()
