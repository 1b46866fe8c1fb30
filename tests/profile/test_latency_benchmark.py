"""Measuring and calibrating, end to end on tiny detectors: what is reported, and what the equations find."""

from __future__ import annotations

import dataclasses
import mmap
import random
from collections import Counter
from pathlib import Path

import pytest
import torch

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import OTHER, amounts, predict_latency
from scalesearch.cost.operators import operators
from scalesearch.nn.detector import build
from scalesearch.plan.latency_table import read_table, write_table
from scalesearch.profile import latency_benchmark as latency
from scalesearch.profile.calibrate import calibrate, candidate, estimate, fit_prices, held_out
from scalesearch.profile.latency_benchmark import interval, measure_latency, take_turns
from scalesearch.profile.latency_setting import setting_of
from scalesearch.profile.onnx_graph import sketch
from scalesearch.profile.operator_timing import Observed, observe
from scalesearch.profile.operator_trace import record
from scalesearch.profile.price_check import random_spec
from scalesearch.profile.resolve import resolve
from tests.cost.test_operators import priced, summed
from tests.displays import watched

TINY = dataclasses.replace(
    named("d0"),
    backbone=EfficientNet(width=0.25, depth=0.3),
    topology=bifpn(3, 5),
    size=(64, 64),
    width=16,
    head_width=16,
    repeats=1,
    head_depth=1,
)


FEW = dataclasses.replace(
    TINY, backbone=EfficientNet(width=0.25, depth=0.25, lite=True), topology=bifpn(3, 4), head_depth=0
)
"""Less to record, where a test is not of the operations."""


@pytest.mark.parametrize("seed", range(8))
def test_rows_of_anything_sum_to_the_price(seed: int, tmp_path: Path) -> None:
    spec = random_spec(seed, tmp_path)
    assert summed(spec) == priced(spec)


@pytest.mark.parametrize("spec", [TINY, dataclasses.replace(TINY, size=(65, 94), padding="symmetric", separable=False)])
def test_rows_are_what_the_module_does(spec: DetectorSpec) -> None:
    with torch.device("meta"):
        recorded = record(build(spec), torch.empty(1, 3, *spec.size))
    convolutions = ("conv", "product")
    ours = Counter(
        (row.c_in, row.c_out, row.target[0] * row.target[1], row.kernel, row.groups, row.after)
        for row in operators(spec)
        if row.name in convolutions
    )
    theirs = Counter(
        (row.c_in, row.c_out, row.target[0] * row.target[1], row.kernel, row.groups, row.after)
        for row in recorded
        if row.name in convolutions
    )
    assert ours == theirs
    names = Counter(row.name for row in operators(spec))
    seen = Counter(row.name for row in recorded)
    assert {name: names[name] for name in ("pad", "max_pool", "nearest")} == {
        name: seen[name] for name in ("pad", "max_pool", "nearest")
    }


def test_timms_operators_are_kept_in_the_cache_and_an_older_cache_is_measured_again(tmp_path: Path) -> None:
    backbone = resolve("resnet18", sizes=[(64, 64)], levels=(3, 4, 5), cache=tmp_path)
    found = backbone.known.operators[64, 64]
    assert sum(row.macs for row in found) == backbone.known.macs[64, 64]
    assert Counter(row.after for row in found)["relu"] > 8
    assert resolve("resnet18", sizes=[(64, 64)], levels=(3, 4, 5), cache=tmp_path).known.operators[64, 64] == found
    (file,) = (tmp_path / "timm").iterdir()
    file.write_text(file.read_text().replace('"operators"', '"others"'))
    assert resolve("resnet18", sizes=[(64, 64)], levels=(3, 4, 5), cache=tmp_path).known.operators[64, 64] == found


def test_a_backbone_without_operators_is_named(tmp_path: Path) -> None:
    known = resolve("resnet18", sizes=[(64, 64)], levels=(3, 4, 5), cache=tmp_path).known
    bare = TimmBackbone(name="resnet18", measured=dataclasses.replace(known, operators={}))
    with pytest.raises(ValueError, match=r"operators of the backbone 'resnet18' at 64x64 are not known; call"):
        operators(dataclasses.replace(TINY, backbone=bare))


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_a_measurement_says_what_it_is_of(backend: str) -> None:
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    setting = setting_of("cpu", backend, "fp32", 1, 2)
    found = measure_latency(FEW, setting, rounds=8)
    assert found.detector == FEW.id and found.rounds == 8 and found.clock == "processor"
    assert found.interval[0] <= found.seconds <= found.interval[1]
    assert found.ratio_interval[0] <= found.ratio <= found.ratio_interval[1]
    assert found.suppression > 0 and found.setting.batch == 2 and found.setting.versions["torch"] == torch.__version__
    data = found.to_dict()
    assert data["setting"]["backend"] == backend and "SiLU" in data["reference_operation"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("tpu", "eager", "fp32"), "a device is cpu or cuda, but got 'tpu'"),
        (("cpu", "jax", "fp32"), "a backend is one of eager, compile, onnxruntime"),
        (("cpu", "onnxruntime", "bf16"), "onnxruntime is timed in fp32"),
    ],
)
def test_a_setting_that_is_not_there_is_refused(given: tuple[str, str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setting_of(*given, 1, 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said() -> None:
    with pytest.raises(
        ValueError, match="the device cuda needs a GPU, but PyTorch finds none here; take the device cpu"
    ):
        setting_of("cuda", "eager", "fp32", 1, 1)


def test_the_reference_over_itself_is_one() -> None:
    from scalesearch.profile.latency_benchmark import reference_of

    setting = setting_of("cpu", "eager", "fp32", 1, 1)
    turns = take_turns(reference_of(torch.device("cpu")), setting, rounds=30)
    assert len(turns.references) == 31
    # Loose, for other processes may run: a median of 30.
    assert sorted(turns.ratios)[15] == pytest.approx(1.0, abs=0.2)


def test_memory_taken_anew_is_counted_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pages, size = 512, mmap.PAGESIZE

    def take() -> None:
        with mmap.mmap(-1, pages * size) as memory:  # no allocator between: always given back
            for page in range(pages):
                memory[page * size] = 1

    setting = setting_of("cpu", "eager", "fp32", 1, 1)
    assert pages <= take_turns(take, setting, rounds=8).faults < 2 * pages
    plain, detector = latency.deployed(FEW, setting)
    assert latency.measure_latency(FEW, setting, rounds=8).faults < pages // 8
    monkeypatch.setattr(latency, "deployed", lambda *_: (lambda: (take(), plain())[1], detector))
    monkeypatch.setattr(latency, "FAULT", 1.0)  # so that it does not depend on this machine's speed
    found = latency.measure_latency(FEW, setting, rounds=8)
    assert found.to_dict()["faults"] >= pages
    assert f"each run had {found.faults:,} page faults" in "; ".join(found.warnings)


def test_the_interval_of_a_median_by_hand() -> None:
    # 25 values: ranks 12.5 -+ 1.96 * 5 / 2 = 7.6 and its mirror.
    assert interval(list(range(25))) == (7, 17)
    assert interval([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize("backend", ["eager", "onnxruntime"])
def test_a_table_is_made_and_predicts(backend: str, tmp_path: Path) -> None:
    if backend == "onnxruntime":
        pytest.importorskip("onnxruntime")
    setting = setting_of("cpu", backend, "fp32", 1, 1)
    specs = [TINY, dataclasses.replace(TINY, width=32, repeats=2), dataclasses.replace(TINY, size=(96, 96))]
    heard: list[tuple[int, int]] = []
    with watched(lambda done, total, what: heard.append((done, total))):
        table = calibrate(setting, specs, rounds=3, seconds=0.0)
    assert heard == [(1, 3), (2, 3), (3, 3)] and set(table.made_from) == {spec.id for spec in specs}
    assert table.error.candidates == 3 and table.setting == setting
    write_table(table, tmp_path / "t.json")
    assert read_table(tmp_path / "t.json") == table
    small, large = (predict_latency(dataclasses.replace(TINY, size=(side, side)), table) for side in (64, 256))
    assert 0 < small <= large  # three short rounds beside other work may tell no sizes apart


def test_prices_that_made_the_latencies_are_found(tmp_path: Path) -> None:
    """Latencies made up from known prices, with no parts and no noise: held-out ones are predicted to the percent."""
    draw = random.Random(0)
    observed, truth = [], {"calls": 1e-3, "macs": 2e-9, "written": 1e-7}
    for seed in range(80):
        spec = dataclasses.replace(
            TINY,
            width=8 * draw.randint(1, 8),
            size=(32 * draw.randint(2, 8), 64),
            repeats=draw.randint(1, 4),
            head_depth=draw.randint(0, 3),
            backbone=EfficientNet(width=draw.uniform(0.3, 1.0), depth=draw.uniform(0.3, 1.5), lite=draw.random() < 0.5),
        )
        found = amounts(operators(spec))
        whole = sum(truth[unit] * some[unit] for some in found.values() for unit in truth)
        observed.append(Observed(f"{seed}", 0, whole, found, (), 1.0))
    error = held_out(observed, 1)
    assert error.candidates == 80 and error.mean < 0.02
    prices = fit_prices(observed, 1)
    assert OTHER in prices and all(value >= 0 for some in prices.values() for value in some.values())
    assert estimate({"never seen": {"calls": 1.0}}, prices) == pytest.approx(prices[OTHER]["calls"])


def test_the_parts_of_a_run_are_shares_of_it() -> None:
    seen = observe(TINY, setting_of("cpu", "eager", "fp32", 1, 1), rounds=3, seconds=0.0)
    assert sum(value for _, value in seen.parts) == pytest.approx(seen.whole)
    convolutions = sum(row.name == "conv" for row in operators(TINY))
    assert sum(not isinstance(what, str) for what, _ in seen.parts) == convolutions


def test_candidates_are_drawn_from_their_seed_alone(tmp_path: Path) -> None:
    assert candidate(3, tmp_path) == candidate(3, tmp_path) != candidate(4, tmp_path)


def test_a_sketch_has_the_operators_of_the_rows() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rows = operators(TINY)
    model, feed = sketch(rows, TINY.size)
    counts = Counter(node.op_type for node in onnx.load_from_string(model).graph.node)
    assert counts["Conv"] == sum(row.name == "conv" for row in rows) and counts["Gemm"] == 2
    assert set(feed) == {"images"}, "every operator found the maps that it reads"
    with pytest.raises(ValueError, match="the operator roll cannot be drawn"):
        sketch([rows[0]._replace(name="roll")], TINY.size)
