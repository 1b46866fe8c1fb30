"""log.csv has a line an epoch, whatever happened in between; checkpoints of the former name still serve."""

from __future__ import annotations

import csv
import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from scalesearch.data.sets import Data, open_data
from scalesearch.nn.losses import Losses
from scalesearch.training import checkpoint, group, learning_curve
from scalesearch.training.averages import EpochAverages
from scalesearch.training.log import COLUMNS, FILE, Log, read_log
from scalesearch.training.run_task import run_task
from tests.displays import watched
from tests.training.test_run_task import RECIPE, same, task


@pytest.fixture
def data(coco: Path) -> Data:
    return open_data(coco)


def epochs(folder: Path) -> list[int]:
    return [int(line["epoch"]) for line in read_log(folder / FILE)]


def timeless(folder: Path) -> list[list[str]]:
    timed = ("images_per_second", "memory", "seconds")
    return [[value for name, value in line.items() if name not in timed] for line in read_log(folder / FILE)]


def test_lines_after_the_checkpoint_are_dropped_and_torn_ones_too(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for epoch in (1, 2, 3):
        log.add({"epoch": epoch, "loss": 1 / epoch, "ap": None})
    assert epochs(tmp_path) == [1, 2, 3]
    with (tmp_path / FILE).open("a") as file:
        file.write("4,3,0.1")  # the process died here
    assert epochs(tmp_path) == [1, 2, 3]
    Log(tmp_path, 2).add({"epoch": 3, "loss": 0.5})
    assert epochs(tmp_path) == [1, 2, 3]
    with (tmp_path / FILE).open(newline="") as file:
        head, *lines = list(csv.reader(file))
    assert tuple(head) == COLUMNS and [line[3] for line in lines] == ["1", "0.5", "0.5"]
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_an_interrupted_training_has_the_log_of_a_whole_one(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in epoch 4, with a checkpoint that lies between two evaluations."""
    recipe = dataclasses.replace(RECIPE, eval_every=2)
    run_task(task(tmp_path / "whole", recipe), data)
    monkeypatch.setattr(learning_curve, "SAVE_SECONDS", 0.0)

    def interrupt(done: int, total: int, text: str) -> None:
        if text.startswith("epoch 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched(interrupt):
        run_task(task(tmp_path / "cut", recipe), data)
    assert epochs(tmp_path / "cut") == [1, 2, 3]
    state = torch.load(tmp_path / "cut" / checkpoint.LAST, weights_only=True)
    assert state["epoch"] == 3 and "evaluated" not in state  # between two evaluations
    run_task(task(tmp_path / "cut", recipe), data)
    assert epochs(tmp_path / "cut") == [1, 2, 3, 4]
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    run_task(task(tmp_path / "cut", recipe), data)  # it is finished: nothing is logged again
    assert epochs(tmp_path / "cut") == [1, 2, 3, 4]


def test_a_checkpoint_of_the_former_name_is_gone_on_with(data: Data, tmp_path: Path) -> None:
    run_task(task(tmp_path / "whole"), data)
    run_task(task(tmp_path / "old", to_epoch=2), data)
    state = torch.load(tmp_path / "old" / checkpoint.LAST, weights_only=True)
    for name in ("detector", "evaluated"):  # as it was written then
        state.pop(name)
    torch.save(state, tmp_path / "old" / checkpoint.FORMER)
    for name in (checkpoint.LAST, checkpoint.BEST):
        (tmp_path / "old" / name).unlink()
    run_task(task(tmp_path / "old"), data)
    assert same(tmp_path / "whole", tmp_path / "old")
    assert checkpoint.last(tmp_path / "old") == tmp_path / "old" / checkpoint.LAST
    assert not (tmp_path / "old" / checkpoint.FORMER).exists()


def test_the_best_is_kept_while_the_last_goes_on(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aps = iter([0.2, 0.5, 0.4, 0.5])
    real = group.evaluate

    def scored(*arguments: object) -> object:
        (found,) = real(*arguments)  # type: ignore[arg-type]
        return [dataclasses.replace(found, numbers={**found.numbers, "ap": next(aps)})]

    monkeypatch.setattr(group, "evaluate", scored)
    run_task(task(tmp_path, dataclasses.replace(RECIPE, eval_every=1)), data)
    best = torch.load(tmp_path / checkpoint.BEST, weights_only=True)
    last = torch.load(tmp_path / checkpoint.LAST, weights_only=True)
    assert (best["epoch"], last["epoch"]) == (2, 4)
    assert best["evaluated"].keys() == last["evaluated"].keys() == last["average"].keys()


def test_tensorboard_has_the_same_numbers(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_task(task(tmp_path / "a", to_epoch=2), data, tensorboard=True)
    run_task(task(tmp_path / "a"), data, tensorboard=True)
    board = EventAccumulator(str(tmp_path / "a" / "tensorboard"))
    board.Reload()
    scalars = [(event.step, event.value) for event in board.Scalars("loss")]
    assert [step for step, _ in scalars] == [1, 2, 3, 4]
    logged = [float(line["loss"]) for line in read_log(tmp_path / "a" / FILE)]
    assert [value for _, value in scalars] == pytest.approx(logged, rel=1e-4)
    assert [event.step for event in board.Scalars("ap")] == [2, 4]

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'scalesearch\[tensorboard\]'"):
        Log(tmp_path, 0, tensorboard=True)


def test_a_tally_goes_on_within_an_epoch() -> None:
    steps = [Losses(*map(torch.tensor, values)) for values in ((3.0, 1.0, 0.5), (5.0, 2.0, 1.5))]
    whole, cut, rest = (EpochAverages(torch.device("cpu")) for _ in range(3))
    for step in steps:
        whole.add(step, 4)
    cut.add(steps[0], 4)
    rest.restore(cut.state())
    rest.add(steps[1], 4)
    expected = {"learning_rate": 0.1, "loss": 4.0, "class_loss": 1.5, "box_loss": 1.0, "images_per_second": 4.0}
    assert whole.finish(0.1, 2.0) == rest.finish(0.1, 2.0) == expected
    whole.add(steps[0], 2)  # the next epoch begins at nothing
    assert whole.finish(0.1, 1.0)["loss"] == 3.0
