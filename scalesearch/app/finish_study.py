"""Evaluation and export of a study's winners, beside their weights."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from scalesearch.app.draw_winner import draw_winner
from scalesearch.app.evaluate import evaluate
from scalesearch.app.export import export_onnx
from scalesearch.app.report_study import report_page
from scalesearch.app.trained_model import Model, open_model
from scalesearch.data.sets import open_split
from scalesearch.evidence.noise import by_seed
from scalesearch.io.hashes import file_hash
from scalesearch.io.publish import publish
from scalesearch.plan.plan import Plan
from scalesearch.records.folder import read_rows
from scalesearch.records.row import Row
from scalesearch.report.facts import gather
from scalesearch.study.jobs import weights_folder
from scalesearch.training import checkpoint

logger = logging.getLogger(__name__)

EVALUATION, DETECTOR = "evaluation.json", "detector.onnx"
"""Files that `finish` writes beside the weights of a winner."""


def finish(path: Path, plan: Plan) -> None:
    """Evaluate the winners of the study in `path` on val and export them with suppression, beside their weights. Draw what
    the best one detects, and write the page again, which shows it.

    Each winner's lowest seed is taken, whatever its AP: the best of several on val would be biased. Files of the same
    weights that exist are not made again. Raises ValueError as `export_onnx`.
    """
    groups = by_seed(read_rows(path), ["winner"])
    if not groups:
        logger.warning("no winners to finish")
    split = open_split(plan.data.source, plan.data.val)
    for group in groups:
        row = group.first
        folder = weights_folder(path, row.spec_id, row.recipe_id, row.seed)
        weights = checkpoint.last(folder)
        if weights is None:
            logger.warning(
                f"winner {row.spec_id}: not exported, since its weights are not in {folder} (on another machine?)"
            )
        elif _finished(folder, weights):
            logger.info(f"winner {row.spec_id}: scored and exported before, to {folder / DETECTOR}")
        else:
            model = open_model(folder)
            scored = evaluate(model, split).summary
            exported = _export(model, folder)
            # Written last: `_finished` takes it as the sign that the export is complete.
            publish(folder / EVALUATION, json.dumps(scored, indent=1, ensure_ascii=False) + "\n")
            logger.info(f"winner {row.spec_id}: {_score_text(scored['numbers']['ap'], row)}; {exported}")
    if draw_winner(path, plan, split):
        report_page(path, gather(plan, read_rows(path)))


def _finished(folder: Path, weights: Path) -> bool:
    try:
        made = json.loads((folder / EVALUATION).read_text())["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(made == file_hash(weights)) and (folder / DETECTOR).is_file()


def _export(model: Model, folder: Path) -> str:
    found = export_onnx(model, folder / DETECTOR, nms=True)
    return f"{folder / DETECTOR}, largest relative difference {found.difference:.2g}"


def _score_text(ap: float | None, row: Row) -> str:
    own = row.final.get("ap")
    text = "no AP" if ap is None else f"AP {ap:.3f} on {row.splits['evaluated']}"
    if ap is not None and own is not None and abs(ap - own) > 5e-4:
        return f"{text} (its row says {own:.3f}: other hardware or versions)"
    return text
