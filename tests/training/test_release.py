"""A training that failed holds no memory, also while its error is kept."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from scalesearch.data.sets import Data
from scalesearch.execute.executor import InProcess
from scalesearch.nn.detector import Detector
from scalesearch.nn.release import releasing
from scalesearch.training.run_task import run_task
from tests.displays import watched
from tests.training.test_run_task import data, one_thread, task  # noqa: F401 - fixtures


def models() -> int:
    """Models of this process, reachable or not."""
    return sum(type(one) is Detector for one in gc.get_objects())


def full(done: int, total: int, text: str) -> None:
    """Fails as PyTorch does on a GPU, at the end of the first step."""
    if "loss" in text:
        try:
            raise MemoryError
        except MemoryError as error:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.") from error


def test_no_model_is_held_by_the_error_of_a_training(data: Data, tmp_path: Path) -> None:  # noqa: F811
    gc.collect()
    before = models()
    with watched(full):
        future = InProcess(lambda task, label: run_task(task, data)).submit(task(tmp_path), "one")
    error = future.exception()
    assert models() == before
    assert isinstance(error, torch.cuda.OutOfMemoryError) and "Tried to allocate" in str(error)
    (note,) = error.__notes__
    assert "in _train_epoch" in note and note.index("MemoryError") < note.index("direct cause")


def test_variables_and_what_functions_close_over_are_let_go() -> None:
    class Large:
        pass

    @releasing
    def work() -> None:
        large = Large()
        large.itself = large  # type: ignore[attr-defined]

        def inner() -> None:
            raise ValueError(str(large))

        try:
            inner()
        except ValueError as error:
            raise RuntimeError("worse") from error

    kept = Large()
    with pytest.raises(RuntimeError, match="worse") as caught:
        work()
    assert [one for one in gc.get_objects() if type(one) is Large] == [kept]
    assert caught.value.__traceback__ is not None and "in inner" in caught.value.__notes__[0]
