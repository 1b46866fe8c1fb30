"""One small trained detector, shared by the tests of the commands that use one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scalesearch.arch.spec import to_dict
from scalesearch.cli import main
from tests.conftest import Command, write_coco
from tests.detectors import TINY

__all__ = ["Command", "Trained"]

RECIPE = ("epochs=40", "batch=4", "norm_batches=2", "learning_rate=0.005", "eval_every=10")


@dataclass(frozen=True)
class Trained:
    """A training's folder and its data."""

    folder: Path
    data: Path
    design: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Two colours of rectangles, 40 epochs of 5 steps: enough to find some."""
    home = tmp_path_factory.mktemp("trained")
    for split, count, seed in (("train", 20, 0), ("val", 6, 1)):
        write_coco(home / "coco", split, count=count, seed=seed)
    design = home / "design.json"
    design.write_text(json.dumps(to_dict(TINY)))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    options = [word for change in RECIPE for word in ("--set", change)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALESEARCH_CACHE", str(home / "cache"))
        words = ["train", str(design), "--data", str(home / "coco"), "--out", str(home / "run"), *options]
        patch.setattr("sys.argv", ["scalesearch", *words])
        main()
        yield Trained(home / "run", home / "coco", design)
    torch.set_num_threads(before)
