"""What makes a worker unfit, before it trains anything."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from scalesearch.app import workers
from scalesearch.data.sets import open_data
from scalesearch.execute.executor import UnfitWorkerError
from scalesearch.plan.sections import DataPlan


def footing(coco: Path, folder: Path) -> workers._Footing:
    """As a driver makes it that trains on a CPU."""
    data = DataPlan(source=str(coco))
    opened = open_data(data.source, train=data.train, val=data.val, select=data.select, seed=data.seed)
    return workers._Footing(
        data=data, fingerprint=opened.fingerprint, folder=folder, threads=1, gpu=False, versions=workers._versions()
    )


def test_a_worker_that_differs_from_its_driver_says_in_what(coco: Path, tmp_path: Path) -> None:
    same = footing(coco, tmp_path)
    assert workers._opened(same).fingerprint == same.fingerprint
    for change, said in (
        (
            {"versions": tuple((name, "0") for name, _ in same.versions)},
            "must have the driver's versions, but has python",
        ),
        ({"folder": tmp_path / "none"}, "does not see .*none; with --ray, --out must be a folder on a disk that all"),
        ({"fingerprint": "0" * 12}, "must have the driver's data, but at .* finds other data"),
        ({"data": dataclasses.replace(same.data, source=str(tmp_path / "none"))}, "cannot open the data: "),
    ):
        with pytest.raises(UnfitWorkerError, match=said):
            workers._opened(dataclasses.replace(same, **change))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_worker_whose_gpu_is_gone_does_not_train_on_the_processor(coco: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UnfitWorkerError, match=r"must compute on its GPU, but torch finds none \(is its driver loaded\?\)$"
    ):
        workers._opened(dataclasses.replace(footing(coco, tmp_path), gpu=True))
