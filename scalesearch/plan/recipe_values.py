"""Ranges and types of the fields of a `Recipe`. Standard library alone."""

from __future__ import annotations

import math

RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 100_000),
    "steps": (0, 100_000_000),
    "batch": (1, 65_536),
    "learning_rate": (0, 100),
    "reference_batch": (0, 65_536),
    "warmup": (0, 1),
    "momentum": (0, 0.9999),
    "weight_decay": (0, 10),
    "clip": (0, math.inf),
    "ema": (0, 0.999999),
    "norm_batches": (0, 100_000),
    "match_iou": (0.05, 0.95),
    "match_best": (0, 1000),
    "focal_alpha": (0, 1),
    "focal_gamma": (0, 10),
    "label_smoothing": (0, 0.5),
    "box_weight": (0, 10_000),
    "huber_delta": (1e-4, 100),
    "mosaic": (0, 1),
    "mixup": (0, 1),
    "stochastic_depth": (0, 0.9),
    "unfreeze_at": (0, 100_000),
    "backbone_lr": (1e-6, 1000),
    "rate_width": (0, 8192),
    "rate_depth": (0, 1000),
    "eval_every": (0, 100_000),
}


def typed_value(name: str, value: object, default: object) -> object:
    """Return `value` in the type of the field's default (an integer may stand for a float); ValueError otherwise."""
    if isinstance(default, tuple):
        if isinstance(value, tuple) and len(value) == len(default):
            return tuple(typed_value(name, part, like) for part, like in zip(value, default, strict=True))
        raise ValueError(f"{name} must be a list of {len(default)} numbers, but got {value!r}")
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        words = {int: "an integer", float: "a number", bool: "true or false", str: "a word"}
        raise ValueError(f"{name} must be {words[type(default)]}, but got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, but got {value!r}")
    return value
