"""One small detector, trained once for all tests of what is done with a trained one; commands run in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scalesearch.arch.spec import to_dict
from scalesearch.cli import main
from tests.conftest import write_coco
from tests.detectors import TINY

RECIPE = ("epochs=40", "batch=4", "norm_batches=2", "learning_rate=0.005", "eval_every=10")


@dataclass(frozen=True)
class Trained:
    """A training's folder and the data that it is of."""

    folder: Path
    data: Path
    design: Path


@dataclass(frozen=True)
class Done:
    """What a command came to."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line as the console script does."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["scalesearch", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return run


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
