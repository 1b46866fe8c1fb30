"""What a recipe can ask for beside its defaults: each goes on bit by bit after a stop, or says why it cannot."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scalesearch.arch.backbone import EfficientNet
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import Data
from scalesearch.plan.recipe import Recipe
from scalesearch.training import checkpoint, learning_curve
from scalesearch.training import loader as feed
from scalesearch.training.compiled import compiled
from scalesearch.training.evaluation import refresh_norms
from scalesearch.training.loader import fed, prepared
from scalesearch.training.loop import Training
from scalesearch.training.precision import Precision
from scalesearch.training.run_task import run_task
from tests.detectors import TINY
from tests.displays import watched
from tests.training.test_run_task import RECIPE, data, one_thread, same, task, weights  # noqa: F401 - fixtures

CPU = torch.device("cpu")
DEEP = dataclasses.replace(TINY, backbone=EfficientNet(width=0.25, depth=0.5))
"""With blocks that have a shortcut, which stochastic depth can leave out."""
ALL = dataclasses.replace(
    RECIPE,
    colour=(0.4, 0.4, 0.4, 0.1),
    mosaic=0.5,
    mixup=0.3,
    stochastic_depth=0.5,
    precision="bf16",
    reference_batch=4,
    box_loss="diou",
    box_weight=1.0,
)


def test_every_option_goes_on_where_it_stopped(data: Data, tmp_path: Path) -> None:  # noqa: F811
    whole = run_task(task(tmp_path / "whole", ALL, spec=DEEP), data)
    run_task(task(tmp_path / "parts", ALL, spec=DEEP, to_epoch=2), data)
    second = run_task(task(tmp_path / "parts", ALL, spec=DEEP, from_epoch=2), data)
    assert whole.state == second.state == "complete"
    assert same(tmp_path / "whole", tmp_path / "parts") and whole.curve[-1] == second.curve[-1]
    assert all(value.dtype != torch.bfloat16 for value in weights(tmp_path / "whole").values())


def test_every_option_goes_on_inside_an_epoch(
    data: Data,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning_curve, "SAVE_SECONDS", 0.0)
    recipe = dataclasses.replace(ALL, epochs=2)
    run_task(task(tmp_path / "whole", recipe, spec=DEEP), data)
    seen: list[str] = []

    def interrupt(done: int, total: int, text: str) -> None:
        seen.append(text)
        if sum(one.startswith("epoch 2, loss") for one in seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched(interrupt):
        run_task(task(tmp_path / "cut", recipe, spec=DEEP), data)
    state = checkpoint.load(tmp_path / "cut")
    assert state is not None and (state["epoch"], state["step"]) == (1, 1)
    run_task(task(tmp_path / "cut", recipe, spec=DEEP), data)
    assert same(tmp_path / "whole", tmp_path / "cut")


OFF = {
    "colour": (0.0, 0.0, 0.0, 0.0),
    "mosaic": 0.0,
    "mixup": 0.0,
    "stochastic_depth": 0.0,
    "precision": "fp32",
    "reference_batch": 0,
    "box_loss": "huber",
}


def test_every_option_does_something(data: Data, tmp_path: Path) -> None:  # noqa: F811
    epoch = dataclasses.replace(ALL, epochs=1, norm_batches=0)
    run_task(task(tmp_path / "all", epoch, spec=DEEP), data)
    for name, value in OFF.items():
        without = dataclasses.replace(epoch, **{name: value})  # type: ignore[arg-type]
        run_task(task(tmp_path / name, without, spec=DEEP), data)
        assert not same(tmp_path / "all", tmp_path / name), name
    run_task(task(tmp_path / "again", dataclasses.replace(epoch, checkpointing=True), spec=DEEP), data)
    assert same(tmp_path / "all", tmp_path / "again"), "what is made again leaves out the same blocks"


def test_batches_made_ahead_are_the_same(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    pixels = open_pixels(data.train, TINY.size)

    def all_batches(spare: bool) -> list[feed.Ready]:
        monkeypatch.setattr(feed, "spare_core", lambda: spare)
        return [ready for epoch in (0, 1) for ready in fed(prepared(pixels, ALL, seed=3, epoch=epoch, device=CPU), CPU)]

    for one, other in zip(all_batches(True), all_batches(False), strict=True):
        assert one.targets == other.targets == {}
        assert all(torch.equal(first, second) for first, second in zip(one[:-1], other[:-1], strict=True))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training as on a GPU: labels from the loader, losses read a step later."""
    begin = Training.begin_epoch

    def begin_late(training: Training) -> None:
        training.late = True
        begin(training)

    monkeypatch.setattr(Training, "begin_epoch", begin_late)


BROKEN = dataclasses.replace(RECIPE, learning_rate=100.0, optimizer="sgd", clip=0.0, warmup=0.0, ema=0.0)


def test_what_is_read_late_changes_nothing(
    data: Data,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr("scalesearch.training.learning_curve.SAVE_SECONDS", 0.0)
    whole = dataclasses.replace(ALL, epochs=2)
    recipes = [whole, *(dataclasses.replace(BROKEN, batch=batch) for batch in (5, 10))]
    before = [run_task(task(tmp_path / f"at-once {i}", recipe, spec=DEEP), data) for i, recipe in enumerate(recipes)]
    request.getfixturevalue("late")
    for i, recipe in enumerate(recipes):
        seen: list[str] = []
        with watched(lambda done, total, text, seen=seen: seen.append(text)):  # type: ignore[misc]
            after = run_task(task(tmp_path / f"late {i}", recipe, spec=DEEP), data)
        times = {"seconds": 0.0, "peak_memory": 0, "images_per_second": 0.0, "notes": ()}
        assert dataclasses.replace(before[i], **times) == dataclasses.replace(after, **times)  # type: ignore[arg-type]
        losses = [text for text in seen if "loss" in text]
        assert (after.state == "failed") is bool(i) and losses[0].endswith("loss nan")
        if i == 0:
            assert same(tmp_path / "at-once 0", tmp_path / "late 0") and not losses[1].endswith("nan")
        elif state := checkpoint.load(tmp_path / f"late {i}"):
            assert all(value.isfinite().all() for value in state["model"].values())


def test_all_epochs_prepare_their_batches_in_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    feed.side_stream.cache_clear()
    devices = [torch.device("cuda", index) for index in (0, 1, 0, 1, 0)]
    assert len({feed.side_stream(device) for device in devices}) == 2
    feed.side_stream.cache_clear()


def test_evaluated_statistics_are_of_unmixed_images(data: Data) -> None:  # noqa: F811
    pixels = open_pixels(data.train, TINY.size)
    plain = dataclasses.replace(ALL, mosaic=0.0, mixup=0.0)
    for one, other in zip(
        prepared(pixels, ALL, seed=0, epoch=0, device=CPU, mixed=False),
        prepared(pixels, plain, seed=0, epoch=0, device=CPU),
        strict=True,
    ):
        assert torch.equal(one.images, other.images)


def test_the_loaders_share_is_of_the_time_of_training(data: Data, tmp_path: Path) -> None:  # noqa: F811
    training = Training(task(tmp_path), open_pixels(data.train, TINY.size), CPU)
    assert training.loader_share == 0.0
    training.train_epoch()
    assert 0 < training.waited < training.seconds
    other = Training(task(tmp_path), open_pixels(data.train, TINY.size), CPU)
    other.restore(training.state())
    assert other.loader_share == training.loader_share > 0


def test_too_little_room_is_noted_and_changes_no_bit(
    data: Data,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1)
    run_task(task(tmp_path / "plain", recipe), data)
    monkeypatch.setattr("scalesearch.data.decoded_file.free_bytes", lambda cache: 0)
    outcome = run_task(task(tmp_path / "fly", recipe), data, cache=tmp_path / "cache")
    assert same(tmp_path / "plain", tmp_path / "fly")
    assert (
        sum("is decoded again in each epoch" in note or "each is decoded again" in note for note in outcome.notes) == 2
    )


def test_fp16_is_for_cuda(data: Data, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(ValueError, match="precision fp16 needs a CUDA device, but this training is on the cpu: take"):
        run_task(task(tmp_path, dataclasses.replace(RECIPE, precision="fp16")), data, device="cpu")


def scaled() -> Precision:
    """fp16's way of stepping; torch has a gradient scaler on the CPU too."""
    precision = Precision("fp32", CPU)
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    return precision


def test_a_gradient_that_overflows_for_its_scale_is_a_step_left_out() -> None:
    weight = nn.Parameter(torch.ones(1))
    optimizer, precision = torch.optim.SGD([weight], lr=0.5), scaled()
    for loss, left, scale in ((weight.sum() * 1e38, 1.0, 8.0), (weight.sum(), 0.5, 8.0)):
        optimizer.zero_grad()
        precision.backward(loss, optimizer)
        assert weight.grad is not None
        assert precision.accepts(float(weight.grad.abs().max()))
        precision.step(optimizer)
        assert weight.item() == left and precision.scaler is not None and precision.scaler.get_scale() == scale
    other = scaled()
    other.restore(precision.state())
    assert other.state() == precision.state() != scaled().state()


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_begins_at_0_after_a_first_step_that_overflowed(nesterov: bool) -> None:
    weights = [nn.Parameter(torch.full((3,), 2.0)) for _ in range(8)]
    optimizer, precision = torch.optim.SGD(weights, lr=0.5, momentum=0.9, nesterov=nesterov, fused=True), scaled()
    for slope, left in ((1e38, 2.0), (1.0, 2 - 0.5 * (1.9 if nesterov else 1.0))):
        held = [torch.full((3,), 7.0) for _ in range(64)]  # what the next tensors find in their memory
        optimizer.zero_grad()
        del held
        precision.backward(torch.stack([weight.sum() * slope for weight in weights]).sum(), optimizer)
        precision.step(optimizer)
        for weight in weights:
            torch.testing.assert_close(weight.detach(), torch.full((3,), left))


def test_sgd_takes_up_parameters_later() -> None:
    first, later = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer, precision = torch.optim.SGD([first, later], lr=1.0, momentum=0.5, fused=True), Precision("fp32", CPU)
    for joined, wanted in ((first, [0.0, 1.0]), (first + later, [-1.5, 0.0])):
        optimizer.zero_grad()
        precision.backward(joined.sum(), optimizer)
        precision.step(optimizer)
        assert [first[0].item(), later[0].item()] == wanted


def test_a_gradient_that_overflows_without_any_scale_stops() -> None:
    precision = scaled()
    assert precision.accepts(math.inf) and precision.scaler is not None
    precision.scaler = torch.amp.GradScaler("cpu", init_scale=1.0)
    precision.scaler.scale(torch.ones(1))  # makes the scale
    assert not precision.accepts(math.inf) and precision.accepts(3.0)
    assert not Precision("bf16", CPU).accepts(math.nan)


@pytest.mark.filterwarnings("ignore:dynamo_pgo force disabled")
def test_a_model_that_cannot_be_compiled_says_so_and_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/no/such/compiler",))
    refused = pytest.raises(ValueError, match=r"compile: true did not work here \(.*\): set compile: false")
    with torch.compiler.config.patch(force_disable_caches=True), refused:  # type: ignore[attr-defined]
        compiled(nn.Conv2d(3, 4, 3))(torch.randn(1, 3, 8, 8))


def test_the_twentieth_architecture_of_a_process_is_compiled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        compiled_graphs.append(len(list(graph.graph.nodes)))
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    for one_by_one in (True, False):
        compiled_graphs.clear()
        models = [nn.Sequential(nn.Linear(2, width), nn.ReLU()) for width in range(3, 23)]
        forwards = [compiled(model) for model in models]
        for number, model in enumerate(models):
            forward = compiled(model) if one_by_one else forwards[number]
            assert torch.equal(forward(torch.ones(1, 2)), model(torch.ones(1, 2)))
        assert len(compiled_graphs) == 20
    monkeypatch.setattr("scalesearch.training.compiled.MOST", 1)
    first, other = (compiled(nn.Sequential(nn.Linear(2, width), nn.Tanh())) for width in (3, 4))
    first(torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"compile: true did not work here \(FailOnRecompileLimitHit"):
        other(torch.ones(1, 2))


def test_statistics_are_those_of_the_whole_network() -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3))
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    refresh_norms([model], [images])
    torch.testing.assert_close(model[1].running_mean, images.mean((0, 2, 3)))


@pytest.mark.parametrize(("steps", "epochs", "done"), [(5, 3, 6), (4, 2, 4), (2, 1, 2), (1, 1, 1)])
def test_steps_are_trained_and_counted(steps: int, epochs: int, done: int, data: Data, tmp_path: Path) -> None:  # noqa: F811
    recipe = dataclasses.replace(RECIPE, steps=steps).for_images(len(data.train.images))
    outcome = run_task(task(tmp_path, recipe), data)
    assert (outcome.curve[-1][0], outcome.steps) == (epochs, done)
    assert run_task(task(tmp_path, recipe), data).steps == done


def test_nesterov_is_a_choice() -> None:
    from scalesearch.training.optimizer import make_optimizer

    for nesterov in (True, False):
        (first, _) = make_optimizer(nn.Conv2d(3, 4, 3), Recipe(optimizer="sgd", nesterov=nesterov)).param_groups
        assert first["nesterov"] is nesterov
