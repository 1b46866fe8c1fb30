"""Schedule, optimiser, average, batch-norm statistics, checkpoints, memory."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.coco import read_split
from scalesearch.data.pixels import open_pixels
from scalesearch.nn.anchors import Coverage, class_coverage
from scalesearch.nn.detector import build
from scalesearch.plan.recipe import Recipe
from scalesearch.training import anchor_match, checkpoint
from scalesearch.training.anchor_match import MOST_CLASSES, match_report
from scalesearch.training.ema import Average
from scalesearch.training.evaluation import refresh_norms
from scalesearch.training.optimizer import learning_rate, make_optimizer
from scalesearch.training.peak_memory import PeakMemory
from scalesearch.training.together import own_random
from tests.detectors import TINY


def test_the_rate_rises_to_its_peak_and_falls_to_0() -> None:
    recipe = Recipe(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(recipe, step, 1000) for step in range(1000)]
    assert rates.index(max(rates)) == 100 and max(rates) == 1.0
    rises = [b > a for a, b in itertools.pairwise(rates)]
    assert rises == [True] * 100 + [False] * 899
    assert 0 < rates[0] < 0.02 and 0 < rates[-1] < 1e-5
    assert rates[550] == pytest.approx(0.5)


def test_no_warmup_and_nothing_but_warmup() -> None:
    assert learning_rate(Recipe(learning_rate=2.0, warmup=0.0), 0, 10) == 2.0
    rates = [learning_rate(Recipe(learning_rate=1.0, warmup=1.0), step, 10) for step in range(10)]
    assert rates == sorted(rates) and rates[-1] < 1.0


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_kernels_decay_and_nothing_else(name: str) -> None:
    model = build(named("d0", classes=3))
    optimizer = make_optimizer(model, Recipe(optimizer=name, weight_decay=0.1))
    decayed, kept = optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    convs = {id(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert {id(p) for p in decayed["params"]} == convs
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def small() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def weight_of(average: Average) -> torch.Tensor:
    return next(iter(average.model.parameters()))


def test_the_average_warms_up() -> None:
    model = small()
    average = Average(model, 0.99)
    weight = next(iter(model.parameters()))
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    average.update(1)
    torch.testing.assert_close(weight_of(average), start + 1 - 2 / 11)
    average.update(10**6)
    torch.testing.assert_close(weight_of(average), start + 1 - 2 / 11 * 0.99)


def test_an_average_without_decay_is_the_model() -> None:
    model = small()
    average = Average(model, 0.0)
    model(torch.randn(2, 3, 8, 8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    average.update(1)
    for (name, mine), theirs in zip(average.model.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs) or "num_batches" in name


def test_refreshed_norms_are_the_batches_mean_and_weights_stay() -> None:
    model = small()
    before = [p.clone() for p in model.parameters()]
    batches = [torch.randn(4, 3, 9, 9, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    outputs = [model[0](x).detach() for x in batches]
    model(torch.full((2, 3, 9, 9), 100.0))
    refresh_norms([model], batches)
    norm = model[1]
    torch.testing.assert_close(norm.running_mean, torch.stack([y.mean((0, 2, 3)) for y in outputs]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([y.var((0, 2, 3)) for y in outputs]).mean(0))
    assert norm.momentum == 0.1 and not model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, {"epoch": 1, "weights": torch.arange(3)})

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", broken)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, {"epoch": 2})
    state = checkpoint.load(tmp_path)
    assert state is not None and state["epoch"] == 1 and state["weights"].tolist() == [0, 1, 2]
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.LAST]


def test_peak_memory_sees_what_is_already_gone() -> None:
    memory = PeakMemory(torch.device("cpu"))
    before = memory.read()
    block = torch.ones(256 * 2**20 // 4)
    del block
    # Half of it: what earlier tests left to the garbage collector may go meanwhile.
    assert memory.read() - before > 128 * 2**20


def test_a_thousand_classes_are_shown_in_a_few_lines(coco: Path) -> None:
    place = coco / "annotations" / "instances_train.json"
    document = json.loads(place.read_text())
    pixels = open_pixels(read_split(coco, "train"), TINY.size)
    assert len(match_report(TINY, pixels)) == 2
    document["categories"] += [{"id": 100 + i, "name": f"c{i}"} for i in range(998)]
    for number, annotation in enumerate(document["annotations"]):
        annotation["category_id"] = 100 + number
    place.write_text(json.dumps(document))
    lines = match_report(TINY, open_pixels(read_split(coco, "train"), TINY.size))
    boxes = sum(not annotation["iscrowd"] for annotation in document["annotations"])
    assert len(lines) == MOST_CLASSES + 2 and lines[-2].startswith(
        f"the other {boxes - MOST_CLASSES} classes: anchors match at least "
    )
    assert lines[-1].startswith("red, blue, c") and lines[-1].endswith(
        f"and {1000 - boxes - MOST_CLASSES} more: no boxes in train"
    )


def test_matches_are_counted_once_a_machine(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[DetectorSpec] = []

    def count(spec: DetectorSpec, *rest: Any) -> list[Coverage]:
        counted.append(spec)
        return class_coverage(spec, *rest)

    def in_a_new_process(spec: DetectorSpec, cache: Path | None) -> tuple[str, ...]:
        monkeypatch.setattr(anchor_match, "_known", {})
        return match_report(spec, open_pixels(read_split(coco, "train"), spec.size), cache)

    monkeypatch.setattr(anchor_match, "class_coverage", count)
    cache = tmp_path / "cache"
    cache.mkdir()
    lines = in_a_new_process(TINY, cache)
    assert in_a_new_process(TINY, cache) == lines and len(counted) == 1
    assert match_report(TINY, open_pixels(read_split(coco, "train"), TINY.size)) == lines and len(counted) == 1
    wider, others = dataclasses.replace(TINY, width=16), [{"anchors": Anchors(scale=9.0)}, {"topology": bifpn(4, 5)}]
    assert in_a_new_process(wider, cache) == lines and len(counted) == 1
    for number, change in enumerate(others, 2):
        assert in_a_new_process(dataclasses.replace(TINY, **change), cache) != lines and len(counted) == number  # type: ignore[arg-type]
    files = list(cache.iterdir())
    assert len(files) == 3 and all(file.name.startswith("matches-") for file in files)
    for content in ("[[1, 2", "[[1, 0.5, 2.0]]", "{}"):  # torn, of another number of classes, something else
        for file in files:
            file.write_text(content)
        assert in_a_new_process(TINY, cache) == lines
    assert in_a_new_process(TINY, Path("/proc/scalesearch")) == in_a_new_process(TINY, None) == lines


def test_a_training_on_the_cpu_leaves_the_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with several, torch would open each to keep its generator, and warn."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.random._fork_rng_warned_already", False)
    before = torch.get_rng_state()
    with own_random(torch.device("cpu")):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
