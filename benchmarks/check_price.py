"""Price against the built module on many random specs: parameters, multiply-adds, activations, part by part.

    python benchmarks/check_price.py [--count 300] [--seed 0] [--out results/checks/price_vs_module.txt]

The oracle is torch's FlopCounterMode (halved) and forward hooks, on the meta device; for three specs also
fvcore's convolution and linear entries. Then every convolution, fusion and resampling of the module, in the order in
which they run, against the operators that the price is a sum of. Takes about four minutes on one core. Exit status 1 where a single number
differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import timm
import torch
from rich.progress import track

from scalesearch.arch.scaling import PUBLISHED, named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import price
from scalesearch.profile.flop_counter import fvcore_count
from scalesearch.profile.price_check import mismatch, operator_mismatch, random_spec


def main() -> int:
    """Checks, prints and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="the first of `count` seeds in a row")
    parser.add_argument("--out", type=Path, default=Path("results/checks/price_vs_module.txt"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        seeds = range(args.seed, args.seed + args.count)
        specs = {f"seed {seed}": random_spec(seed, Path(cache)) for seed in track(seeds, "drawing ")}
    published = {name: named(name) for name in PUBLISHED}
    wrong = _wrong(published | specs)
    # Named ones: fvcore's trace drops a node of a random graph whose map the next cell does not read, though it runs.
    wrong |= _wrong_by_fvcore({name: published[name] for name in ("d0", "d1", "d3")})
    text = _summary(args.seed, specs, wrong, time.perf_counter() - started)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text, end="")
    return 1 if wrong else 0


def _wrong(specs: dict[str, DetectorSpec]) -> dict[str, str]:
    found = {
        name: mismatch(spec) or operator_mismatch(spec) for name, spec in track(specs.items(), "counting", len(specs))
    }
    return {name: text for name, text in found.items() if text}


def _wrong_by_fvcore(specs: dict[str, DetectorSpec]) -> dict[str, str]:
    wrong = {}
    for name, whole in specs.items():
        # A side of at most 128: fvcore runs the model for real.
        spec = dataclasses.replace(whole, size=(min(whole.size[0], 128), min(whole.size[1], 128)))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
            counted = fvcore_count(spec)
        if counted != price(spec).macs:
            wrong[f"{name} by fvcore"] = f"priced {price(spec).macs}, counted {counted}"
    return wrong


def _summary(seed: int, specs: dict[str, DetectorSpec], wrong: dict[str, str], seconds: float) -> str:
    macs = sorted(price(spec).macs for spec in specs.values())
    kinds = Counter(
        "efficientnet" if s.backbone.name.startswith("efficientnet-") else s.backbone.name for s in specs.values()
    )
    spans = Counter(f"{s.topology.min_level}..{s.topology.max_level}" for s in specs.values())
    lines = [
        "price against the built module: parameters, multiply-adds and activations of backbone, neck, class head and",
        "box head, each equal to the last digit (FlopCounterMode on the meta device, halved; forward hooks);",
        "fvcore's convolution and linear entries for d0, d1 and d3, sides cut to 128; every convolution, fusion and",
        "resampling as it runs against its unrolled operator: kernel, stride, groups, channels, size, parameters",
        "",
        f"random specs    {len(specs)} (seeds {seed}..{seed + len(specs) - 1}), {macs[0] / 1e6:.1f} M to {macs[-1] / 1e9:.1f} G multiply-adds",
        f"backbones       {', '.join(f'{name} {count}' for name, count in sorted(kinds.items()))}",
        f"levels          {', '.join(f'{name} {count}' for name, count in sorted(spans.items()))}",
        f"published       {', '.join(PUBLISHED)} at their native sizes, 90 classes",
        f"versions        python {sys.version.split()[0]}, torch {torch.__version__}, timm {timm.__version__}",
        f"time            {seconds:.0f} s on one thread",
        f"different       {len(wrong)}",
        *(f"  {name}: {text}" for name, text in wrong.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
