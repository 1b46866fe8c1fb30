"""What a GPU does for a whole batch at once, against what a CPU does one by one: pixels and detections. On CPU tensors.

    python benchmarks/check_together.py [--count 400] [--out results/checks/together.txt]      (a minute on one core)

Pixels: jitter of random images of random sizes by zooms of several ranges, and mosaics. Detections: random outputs with
none above the limit, boxes and scores that are not numbers, one image or several, few candidates or more than there are
anchors, and so many overlaps that the best 4 * most of an image are not enough. Exit status 1 where detections differ,
where pixels differ by more than 1, or where any differs although no side shrinks to less than a quarter.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from scalesearch.data import augment, mix, resample
from scalesearch.nn.detector import Outputs
from scalesearch.nn.postprocess import Detections, Suppression, one_by_one, together

SCALES = ((0.8, 1.25), (0.5, 2.0), (0.25, 4.0), (0.1, 2.0), (0.01, 0.25))
"""Ranges of zooms; in the last two a side shrinks to less than a quarter."""


def seeded(seed: int) -> torch.Generator:
    """Return a generator of its own."""
    return torch.Generator().manual_seed(seed)


def below(high: int, generator: torch.Generator) -> int:
    """Draw from 1, ..., high."""
    return int(torch.randint(1, high + 1, (), generator=generator))


def pixels(seed: int, scale: tuple[float, float] | None) -> Tensor:
    """Return the differences of jittered images [B, H, W, 3], or of mosaics without `scale`."""
    generator = seeded(seed)
    count, height, width = (below(high, generator) for high in (6, 140, 140))
    images = torch.randint(0, 256, (count, height, width, 3), generator=generator, dtype=torch.uint8)
    if scale is None:
        if min(height, width) < 4:
            return images[:0].int()
        centres, places, rows = (torch.rand(count, k, generator=generator).tolist() for k in (2, 8, 4))
        canvases = [
            [(int(count * row), one) for row, one in zip(own, mix.tiles((height, width), *draws), strict=True)]
            for own, *draws in zip(rows, centres, places, strict=True)
        ]
    else:
        draws = torch.rand(count, 4, generator=generator).tolist()
        canvases = [[tile] for tile in enumerate(augment.drawn(draw, (height, width), scale, True) for draw in draws)]
    one, other = resample.one_by_one(images, canvases), resample.together(images, canvases)
    return (one.int() - other.int()).abs()


def outputs(seed: int) -> tuple[Outputs, Tensor, Suppression]:
    """Return random outputs without equal scores, with their anchors and a suppression."""
    generator = seeded(seed)
    images, anchors, classes = below(5, generator), below(400, generator), below(7, generator)
    spread = below(200, generator)  # small: everything overlaps
    corners = spread * torch.rand(anchors, 2, generator=generator)
    boxes = torch.cat([corners, corners + 4 + 40 * torch.rand(anchors, 2, generator=generator)], 1)
    logits = 3 * torch.randn(images, anchors, classes, generator=generator) - 1
    deltas = 0.3 * torch.randn(images, anchors, 4, generator=generator)
    if seed % 3 == 0:
        deltas[:, ::5] = math.nan
    if seed % 4 == 0:
        logits[:, ::7, 0] = math.nan
    if seed % 5 == 0:
        logits[0] -= 50
    if seed % 11 == 0:
        logits[0] = math.nan
    how = Suppression(
        method="hard",
        candidates=below(1000, generator),
        least=(0.0, 0.05, 0.3, 0.9)[below(4, generator) - 1],
        iou=(0.0, 0.3, 0.5, 0.7, 1.0)[below(5, generator) - 1],
        sigma=0.5,
        most=(1, 3, 10, 100)[below(4, generator) - 1],
    )
    return Outputs(logits, deltas), boxes, how


def detections(seed: int) -> list[tuple[Detections, Detections]]:
    """Return each image's detections, one by one and together."""
    made, anchors, how = outputs(seed)
    return list(zip(*(work(made, anchors, (150, 170), how) for work in (one_by_one, together)), strict=True))


def same(one: Detections, other: Detections) -> bool:
    """Whether detections are the same ones, to the rounding of their numbers."""
    return torch.equal(one.labels, other.labels) and all(
        mine.shape == theirs.shape and torch.allclose(mine, theirs, rtol=1e-5, atol=1e-4)
        for mine, theirs in zip(one, other, strict=True)
    )


def main() -> int:
    """Check, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("results/checks/together.txt"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    start, failed = time.perf_counter(), False
    lines = ["all images of a batch at once, as off the CPU, against one by one, as on it", ""]
    for scale in (*SCALES, None):
        found = [pixels(seed, scale).flatten() for seed in range(args.count)]
        values = torch.cat(found)
        different, largest = int((values > 0).sum()), int(values.max())
        failed |= largest > 1 or bool(different and (scale is None or scale[0] >= 0.25))
        what = f"zoom {scale[0]:g} to {scale[1]:g}" if scale else "mosaics"
        lines.append(
            f"{what:<16}{len(values):>11} values of {len(found)} batches, {different} differ, by {largest} at most"
        )
    pairs = [pair for seed in range(args.count) for pair in detections(seed)]
    wrong = sum(not same(*pair) for pair in pairs)
    total = sum(len(one.scores) for one, _ in pairs)
    lines += [
        f"{'detections':<16}{total:>11} of {len(pairs)} images in {args.count} batches, {wrong} images differ",
        "",
        f"{'versions':<16}torch {torch.__version__}, Python {platform.python_version()}",
        f"{'time':<16}{time.perf_counter() - start:.0f} s on one thread",
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(failed or wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
