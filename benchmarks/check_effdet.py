"""effdet 0.4.1's models against the equivalent specs: raw outputs from the same weights.

    python benchmarks/check_effdet.py [--out results/checks/effdet.txt]

Weights, biases and running statistics are random. At each model's native size and at 384x640, in float64 and float32,
90 classes. Takes about three minutes on two cores. Exit status 1 where an error is over the bound.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
import warnings
from pathlib import Path

import timm
import torch
from peer import MODELS, largest_error, peer_model, peer_spec
from rich.progress import track

from scalesearch.cost.price import price
from scalesearch.nn.checkpoints import load_weights
from scalesearch.nn.detector import build

BOUNDS = {torch.float64: 1e-8, torch.float32: 1e-4}


def main() -> int:
    """Checks, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/checks/effdet.txt"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    started = time.perf_counter()
    rows = [row for name in track(MODELS, "comparing") for row in _rows(name)]
    text = _table(rows, time.perf_counter() - started)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text, end="")
    return int(any(not fine for *_, fine in rows))


def _rows(name: str) -> list[tuple[str, str, int, float, float, bool]]:
    found = []
    native = peer_spec(name)
    for size in (native.size, (384, 640)):
        spec = dataclasses.replace(native, size=size)
        theirs, ours = peer_model(name, spec), build(spec).eval()
        with tempfile.TemporaryDirectory() as folder:
            torch.save(theirs.state_dict(), Path(folder) / "weights.pth")
            assert not load_weights(ours, Path(folder) / "weights.pth")
        assert sum(p.numel() for p in theirs.parameters()) == price(spec).params
        images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        errors = {kind: largest_error(theirs.to(kind), ours.to(kind), images.to(kind), 90) for kind in reversed(BOUNDS)}
        fine = all(errors[kind] < bound for kind, bound in BOUNDS.items())
        where = f"{size[0]}x{size[1]}"
        found.append((name, where, price(spec).params, errors[torch.float64], errors[torch.float32], fine))
    return found


def _table(rows: list[tuple[str, str, int, float, float, bool]], seconds: float) -> str:
    lines = [
        "effdet's models against ours: its state dict through scalesearch.nn.checkpoints, one random image;",
        "the largest difference of an output over the largest output (bounds: 1e-8 in float64, 1e-4 in float32)",
        "",
        f"{'model':24}{'size':>10}{'parameters':>12}{'float64':>11}{'float32':>11}",
        *(
            f"{name:24}{size:>10}{params:>12}{double:>11.1e}{single:>11.1e}{'' if fine else '  OVER'}"
            for name, size, params, double, single, fine in rows
        ),
        "",
        f"versions    python {sys.version.split()[0]}, torch {torch.__version__}, timm {timm.__version__}, effdet 0.4.1",
        f"time        {seconds:.0f} s",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
