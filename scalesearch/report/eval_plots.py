"""Plots of an evaluation: the confusion matrix and the precision-recall curves, drawn by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

MATRIX, CURVES = "confusion_matrix.png", "precision_recall.png"
_NUMBERED, _NAMED = 40, 20
"""Most classes for which the matrix shows numbers, and most curves that the legend names."""


def draw_matrix(counts: NDArray[np.int64], names: Sequence[str], title: str, file: Path) -> None:
    """Draw the counts [K + 1, K + 1] of annotated (rows) by predicted class; the last class is background."""
    side = max(4.0, 0.45 * len(counts) + 2.5)
    with plt.rc_context({"text.parse_math": False}):
        figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
        shown = ConfusionMatrixDisplay(counts, display_labels=[*map(_short, names), "background"])
        numbered = len(counts) <= _NUMBERED
        shown.plot(ax=axes, cmap="Blues", colorbar=False, xticks_rotation="vertical", include_values=numbered)
        axes.set(title=title, ylabel="annotated", xlabel="predicted")
        _write(figure, file)


def draw_curves(curves: Mapping[str, Sequence[float]], title: str, file: Path) -> None:
    """Draw a curve for each class: precision [101] at recall 0, 0.01 .. 1."""
    with plt.rc_context({"text.parse_math": False}):
        figure, axes = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
        for precision in curves.values():
            PrecisionRecallDisplay(np.asarray(precision), np.linspace(0, 1, len(precision))).plot(ax=axes)
        labels = [f"{_short(name)}, AP50 {np.mean(precision):.3f}" for name, precision in curves.items()]
        if labels:
            axes.legend(axes.get_lines()[:_NAMED], labels[:_NAMED], fontsize="small")
        axes.set(title=title, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        _write(figure, file)


def _short(name: str) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in name)
    return text if len(text) <= 24 else f"{text[:23]}…"


def _write(figure: Figure, file: Path) -> None:
    figure.savefig(file, dpi=130)
    plt.close(figure)
