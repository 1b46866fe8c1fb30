"""Named means and standard deviations that images are normalised by. Standard library only."""

from __future__ import annotations

import math
from collections.abc import Sequence

Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue in 0..1."""
NORMALISATIONS: dict[str, Statistics] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": ((127 / 255,) * 3, (128 / 255,) * 3),
    "inception": ((0.5,) * 3, (0.5,) * 3),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "dpn": ((124 / 255, 117 / 255, 104 / 255), (1 / (0.0167 * 255),) * 3),
    "satellite": ((0.43, 0.411, 0.296), (0.213, 0.156, 0.143)),
}
"""The known statistics by name. The first two are google/automl's (hparams_config.py mean_rgb, stddev_rgb). All but
half are those of pretrained weights of timm 1.0.31: 1,143, 430, 195, 49, 6 and 3 of 1,826."""


def normalisation_of(mean: Sequence[float], deviation: Sequence[float]) -> str | None:
    """Return the name of these statistics, compared to 1e-5; None if they have none."""
    for name, known in NORMALISATIONS.items():
        pairs = zip((*known[0], *known[1]), (*mean, *deviation), strict=True)
        if all(math.isclose(ours, theirs, abs_tol=1e-5) for ours, theirs in pairs):
            return name
    return None
