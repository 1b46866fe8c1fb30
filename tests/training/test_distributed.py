"""Two processes on a CPU train what one trains: the same losses, weights, numbers, files; how they fail."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import multiprocessing
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scalesearch.arch.spec import to_dict
from scalesearch.cli import main
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_data
from scalesearch.data.shard import Shard
from scalesearch.nn.backbone import TimmFeatures
from scalesearch.nn.detector import build
from scalesearch.nn.recompute import set_recompute
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Task
from scalesearch.training.distributed import (
    ALONE,
    PATIENCE,
    STEP_PATIENCE,
    Team,
    has_unused_parameters,
    joined,
    synchronized,
)
from scalesearch.training.evaluation import evaluate, norms_of
from scalesearch.training.loop import Training
from scalesearch.training.optimizer import make_optimizer, set_rate
from scalesearch.training.run_task import run_task
from tests.conftest import write_coco
from tests.detectors import TINY

FROZEN = Recipe(epochs=4, batch=4, freeze_norms=True, learning_rate=1e-3, colour=(0.2, 0.2, 0.2, 0.1), mosaic=0.0)
MIXED = dataclasses.replace(FROZEN, mosaic=0.5, mixup=0.5, optimizer="sgd", box_loss="giou", precision="bf16")
LEARNT = dataclasses.replace(FROZEN, freeze_norms=False, epochs=2, norm_batches=2)
STILL = dataclasses.replace(LEARNT, learning_rate=0.0)
PHASES = dataclasses.replace(FROZEN, freeze="3", unfreeze_at=2, backbone_lr=0.5)
TASKS = {
    "whole": dataclasses.replace(FROZEN, epochs=2),
    "broken": dataclasses.replace(FROZEN, learning_rate=100, optimizer="sgd", clip=0, warmup=0, ema=0),
}

Report = dict[str, Any]


def train_by(team: Team, coco: Path, recipe: Recipe, folder: Path) -> Report:
    """The losses of all steps, the weights and their average, the numbers and statistics of the evaluated model."""
    torch.set_num_threads(1)
    data = open_data(coco)
    training = Training(task(folder, recipe), open_pixels(data.train, TINY.size), torch.device("cpu"), team)
    losses: list[float] = []
    for _ in range(recipe.epochs):
        training.train_epoch(lambda _, loss: losses.append(loss))
    model = training.evaluated()
    (evaluation,) = evaluate([model], [training.anchors], open_pixels(data.val, TINY.size), team)
    return {
        "losses": losses,
        "model": training.model.state_dict(),
        "average": training.average.model.state_dict(),
        "evaluated": model.state_dict(),
        "numbers": evaluation.numbers,
    }


def _all(team: Team, coco: Path, folder: Path) -> None:
    """What the fixture `reports` collects, in one start of the processes: half of the time goes into that."""
    reports = [train_by(team, coco, recipe, folder) for recipe in (FROZEN, MIXED, LEARNT, STILL, PHASES)]
    outcomes = [run_task(task(folder / name, recipe), open_data(coco), team=team) for name, recipe in TASKS.items()]
    reported = [dataclasses.asdict(outcome) for outcome in outcomes]
    torch.save([reports, json.dumps(reported), unused(team)], folder / f"report{team.shard.rank}.pt")
    assert team.waiting is not None and team.waiting._get_backend(torch.device("cpu")).options._timeout == PATIENCE
    steps = torch.distributed.group.WORLD
    assert steps is not None and steps._get_backend(torch.device("cpu")).options._timeout == STEP_PATIENCE


class Toy(nn.Module):
    """One convolution that is used and one that is not, and a norm's statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused, self.norm = nn.Conv2d(3, 2, 3), nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.norm(self.used(images))
        return made


def unused(team: Team) -> dict[str, torch.Tensor]:
    """Three steps of a model with an unused part, decayed if anything were; its state, and what was broadcast."""
    torch.manual_seed(0)
    model = Toy()
    optimizer = make_optimizer(model, Recipe(weight_decay=0.5))
    set_rate(optimizer, 0.1)
    wrapped = team.wrapped(model, (8, 8))
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        optimizer.zero_grad()
        wrapped(images + team.shard.rank).square().sum().backward()
        optimizer.step()
    return model.state_dict()


def task(folder: Path, recipe: Recipe) -> Task:
    return Task(spec=TINY, recipe=recipe, seed=0, to_epoch=recipe.epochs, folder=folder)


def _start(
    rank: int, world: int, ports: tuple[int, int], work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(ports[0])
    try:
        with joined() as team:
            work(team, *arguments)
    except ValueError as error:
        print(f"process {rank}: {error}", flush=True)
        sys.exit(2)
    if work is _all:
        os.environ["MASTER_PORT"] = str(ports[1])
        _refused(*arguments)


def _refused(coco: Path, folder: Path) -> None:
    """The verb on data with a broken picture, in processes that have torch already: its status and what each says."""
    os.environ["SCALESEARCH_CACHE"] = str(folder / "cache")
    (coco / "train" / "9.png").write_bytes(b"")
    sys.argv = ["scalesearch", *words(coco, folder / f"refused{os.environ['RANK']}", folder / "refused")]
    said, status = io.StringIO(), 0
    with contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
    (folder / f"refused{os.environ['RANK']}.txt").write_text(json.dumps([status, said.getvalue()]))


def words(coco: Path, design: Path, out: Path) -> list[str]:
    """A training of one epoch, as a user types it."""
    design.with_suffix(".json").write_text(json.dumps(to_dict(TINY)))
    options = ["--set", "epochs=1", "--set", "batch=4", "--set", "freeze_norms=true"]
    return ["train", str(design.with_suffix(".json")), "--data", str(coco), "--out", str(out), *options]


def together(work: Callable[..., None], *arguments: Any, world: int = 2) -> list[int | None]:
    """Runs `work(team, *arguments)` in processes of one team; their exit codes."""
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        ports = (one.getsockname()[1], other.getsockname()[1])
    context = multiprocessing.get_context("spawn")
    members = [context.Process(target=_start, args=(rank, world, ports, work, arguments)) for rank in range(world)]
    for member in members:
        member.start()
    for member in members:
        member.join(600)
    for member in members:
        member.kill()
    return [member.exitcode for member in members]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set coco/, and report0.pt and report1.pt of two processes that did `_all` on a copy; then `_refused`."""
    folder = tmp_path_factory.mktemp("team")
    for name in ("coco", "copy"):
        write_coco(folder / name, "train", count=10, seed=0)
        write_coco(folder / name, "val", count=20, seed=1)
    assert together(_all, folder / "copy", folder) == [0, 0]
    return folder


@pytest.fixture(scope="module")
def reports(place: Path) -> tuple[list[Report], list[Report], list[Report]]:
    """The reports of the five recipes: of one process, and of each of two processes."""
    first, second = (torch.load(place / f"report{rank}.pt", weights_only=True)[0] for rank in (0, 1))
    alone = [train_by(ALONE, place / "coco", recipe, place) for recipe in (FROZEN, MIXED, LEARNT, STILL, PHASES)]
    return alone, first, second


@pytest.mark.parametrize(("which", "tolerance"), [(0, 1e-5), (1, 2e-2), (4, 1e-5)])
def test_two_processes_have_the_losses_of_one(reports: Any, which: int, tolerance: float) -> None:
    """Batch-norm statistics are frozen: torch synchronizes them on GPUs only. The second is in bfloat16, the last in two
    phases, of which the second trains more."""
    alone, first, second = (report[which] for report in reports)
    assert len(alone["losses"]) == 8 and alone["losses"][0] != alone["losses"][-1]
    assert first["losses"] == pytest.approx(alone["losses"], rel=tolerance)
    assert second["losses"] == first["losses"]


def test_two_processes_have_the_weights_and_numbers_of_one(reports: Any) -> None:
    alone, first, _ = (report[0] for report in reports)
    for part in ("model", "average", "evaluated"):
        assert alone[part].keys() == first[part].keys()
        for name, value in alone[part].items():
            torch.testing.assert_close(
                first[part][name], value, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
            )
    for name, number in alone["numbers"].items():
        assert first["numbers"][name] == (None if number is None else pytest.approx(number, abs=1e-3))


@pytest.mark.parametrize("which", [0, 1, 2, 4])
def test_all_processes_hold_the_same(reports: Any, which: int) -> None:
    _, first, second = (report[which] for report in reports)
    assert first["numbers"] == second["numbers"]
    parts = ("model", "average", "evaluated") if which != 2 else ("evaluated",)
    for part in parts:
        assert all(torch.equal(first[part][name], second[part][name]) for name in first[part])
    for part in ("model", "average"):
        assert all(
            torch.equal(value, dict(second[part])[name]) for name, value in first[part].items() if "running" not in name
        )


def test_the_norms_of_an_evaluation_see_whole_batches(reports: Any) -> None:
    """The weights do not change, so that only the statistics of the evaluation are compared."""
    alone, first, _ = (report[3] for report in reports)
    for name, value in alone["evaluated"].items():
        torch.testing.assert_close(first["evaluated"][name], value)
    trained = [(alone["model"][name], value) for name, value in first["model"].items() if name.endswith("running_var")]
    assert not all(torch.allclose(one, other) for one, other in trained)


def test_frozen_norms_stay(coco: Path, tmp_path: Path) -> None:
    report = train_by(ALONE, coco, dataclasses.replace(FROZEN, epochs=1), tmp_path)
    start = build(TINY).state_dict()
    for part in ("model", "average", "evaluated"):
        assert all(torch.equal(report[part][n], v) for n, v in start.items() if "running" in n or "num_batches" in n)
    assert Recipe(freeze_norms=False).id == Recipe().id != FROZEN.id


def test_a_task_in_two_processes_writes_once_and_goes_on_in_one(place: Path) -> None:
    (reported, _), (other, _) = (json.loads(torch.load(place / f"report{rank}.pt")[1]) for rank in (0, 1))
    assert reported["curve"] == other["curve"] and reported["state"] == other["state"] == "complete"
    data = open_data(place / "coco")
    one = run_task(task(place / "one", TASKS["whole"]), data)
    for name, number in one.curve[0][1].items():
        assert reported["curve"][0][1][name] == (None if number is None else pytest.approx(number, abs=1e-3))
    again = run_task(task(place / "whole", TASKS["whole"]), data)
    assert again.curve[0][1] == reported["curve"][0][1]
    assert reported["losses"] == other["losses"] == [list(epoch) for epoch in again.losses]
    assert [epoch for epoch, *_ in reported["losses"]] == [epoch for epoch, *_ in one.losses]
    assert [loss for epoch in reported["losses"] for loss in epoch] == pytest.approx(
        [loss for epoch in one.losses for loss in epoch], rel=1e-3
    )
    assert {file.name for file in (place / "whole").iterdir()} == {file.name for file in (place / "one").iterdir()}


def test_a_model_with_unused_parameters_is_trained(place: Path) -> None:
    first, second = (torch.load(place / f"report{rank}.pt", weights_only=True)[2] for rank in (0, 1))
    torch.manual_seed(0)
    start = Toy().state_dict()
    assert all(torch.equal(first[name], start[name]) for name in start if name.startswith("unused"))
    assert torch.equal(first["used.weight"], second["used.weight"])
    assert not torch.equal(first["used.weight"], start["used.weight"])
    assert not torch.equal(first["norm.running_mean"], second["norm.running_mean"]), "no step waits for buffers"


def test_which_models_have_unused_parameters() -> None:
    toy = Toy()
    assert has_unused_parameters(toy, (8, 8)) and has_unused_parameters(nn.Linear(1, 1), (8, 8))
    assert not has_unused_parameters(synchronized(toy.used), (8, 8))
    toy.unused.requires_grad_(False)
    assert not has_unused_parameters(toy, (8, 8))
    detector = build(TINY)
    set_recompute(detector)
    assert not has_unused_parameters(detector, TINY.size)
    assert detector.training and all(parameter.grad is None for parameter in detector.parameters())
    backbone = TimmFeatures("hrnet_w18_small", [3, 4, 5], (64, 64))
    assert has_unused_parameters(backbone, (64, 64))


def test_a_loss_that_is_not_finite_ends_all_with_all_images(place: Path) -> None:
    (_, first), (_, second) = (json.loads(torch.load(place / f"report{rank}.pt")[1]) for rank in (0, 1))
    assert first["state"] == second["state"] == "failed" and first["reason"] == second["reason"]
    assert "not finite at step" in first["reason"]
    assert len(re.findall(r"\d+", first["reason"].partition("images ")[2].partition(")")[0])) == 4


def test_torchrun_trains_and_one_process_talks(coco: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "scalesearch", *words(coco, tmp_path / "design", tmp_path / "out")],
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall("^train: 10 images", done.stdout, re.MULTILINE)) == 1
    assert len(re.findall("^on val after 1 epochs", done.stdout, re.MULTILINE)) == 1
    assert "Warning:" not in done.stderr
    assert json.loads((tmp_path / "out" / "result.json").read_text())["state"] == "complete"


def test_an_error_of_all_processes_ends_all_and_is_reported_once(place: Path) -> None:
    ends = [json.loads((place / f"refused{rank}.txt").read_text()) for rank in (0, 1)]
    assert all(status for status, _ in ends)
    (line,) = [line for _, said in ends for line in said.splitlines() if line.startswith("scalesearch: ")]
    assert "9.png is not" in line and not (place / "refused" / "result.json").exists()


@pytest.mark.parametrize(
    ("batch", "images", "world", "said"),
    [
        (8, 100, 3, "3 processes have a batch of 8: set batch=6"),
        (2, 100, 4, "4 processes have a batch of 2: set batch=4"),
        (16, 9, 2, r"2 processes have a batch of 9 \(all 9 images\)"),
    ],
)
def test_batches_that_do_not_divide_are_refused(batch: int, images: int, world: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Team(shard=Shard(0, world)).check_batch(batch, images)


def test_batches_that_divide() -> None:
    for batch, images, world in ((8, 100, 4), (8, 100, 1), (7, 100, 1), (16, 8, 2)):
        Team(shard=Shard(0, world)).check_batch(batch, images)


def test_parts_make_the_whole() -> None:
    whole = torch.arange(12)
    assert torch.cat([Shard(rank, 3).of(whole) for rank in range(3)]).tolist() == whole.tolist()


def test_synchronized_norms_keep_weights_activations_and_outputs() -> None:
    model = build(TINY).eval()
    images = torch.randn(2, 3, 48, 64)
    before, names, count = model(images), list(model.state_dict()), len(norms_of(model))
    changed = synchronized(model).eval()
    assert list(changed.state_dict()) == names
    assert len(norms_of(changed)) == count and all(isinstance(norm, nn.SyncBatchNorm) for norm in norms_of(changed))
    for one, other in zip(before, changed(images), strict=True):
        torch.testing.assert_close(one, other)


def _norms_on_gpus(team: Team, coco: Path, folder: Path) -> None:
    assert team.device is not None
    training = Training(task(folder, LEARNT), open_pixels(open_data(coco).train, TINY.size), team.device, team)
    losses: list[float] = []
    for _ in range(LEARNT.epochs):
        training.train_epoch(lambda _, loss: losses.append(loss))
    torch.save([losses, training.evaluated().cpu().state_dict()], folder / f"gpu{team.shard.rank}.pt")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="synchronized batch norms need two GPUs")
def test_two_gpus_with_synchronized_norms_have_the_losses_of_one(coco: Path, tmp_path: Path) -> None:
    assert together(_norms_on_gpus, coco, tmp_path) == [0, 0]
    _norms_on_gpus(Team(device=torch.device("cuda", 0)), coco, tmp_path / "..")
    (two, norms), (one, wanted) = (torch.load(folder / "gpu0.pt") for folder in (tmp_path, tmp_path / ".."))
    assert two == pytest.approx(one, rel=1e-3)
    for name, value in wanted.items():
        torch.testing.assert_close(norms[name], value, rtol=1e-2, atol=1e-3)
