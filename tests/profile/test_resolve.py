"""timm's models measured: once, at each size asked for, or refused with the reason and the mend."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import timm

from scalesearch.arch.backbone import TimmBackbone, efficientnet_b
from scalesearch.arch.scaling import named
from scalesearch.cost.price import breakdown
from scalesearch.io.cache import cache_folder
from scalesearch.profile import resolve as room
from scalesearch.profile.resolve import resolve, resolve_spec

LEVELS = (3, 4, 5)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sizes that were really measured."""
    calls: list[Any] = []
    real = room._measure

    def measure(name: str, levels: Any, size: Any) -> Any:
        calls.append(size)
        return real(name, levels, size)

    monkeypatch.setattr(room, "_measure", measure)
    return calls


def test_timms_efficientnet_measures_what_ours_is_priced_at(tmp_path: Path) -> None:
    """Two ways to one number: timm's model counted by torch, our stages by arithmetic."""
    found = resolve("efficientnet_b1", sizes=[(72, 100), (256, 256)], levels=LEVELS, cache=tmp_path).known
    assert found.channels == {3: 40, 4: 112, 5: 320}
    assert found.timm == timm.__version__
    for size in [(72, 100), (256, 256)]:
        ours = breakdown(dataclasses.replace(named("d1"), size=size)).backbone
        assert (found.params, found.macs[size], found.activations[size]) == ours


def test_resnet18_has_the_known_figures(tmp_path: Path) -> None:
    # torchvision's documentation: 11,689,512 parameters and 1.81 G multiply-adds at 224, of which the
    # classifier is 513,000 and 0.000512 G.
    found = resolve("resnet18", sizes=[(224, 224)], levels=LEVELS, cache=tmp_path).known
    assert found.params == 11_689_512 - 513_000
    assert found.macs[224, 224] == 1_814_073_344 - 512_000


def test_only_the_levels_that_are_asked_for_are_built(tmp_path: Path) -> None:
    whole, part = (
        resolve("resnet18", sizes=[(64, 64)], levels=levels, cache=tmp_path).known for levels in ((3, 4, 5), (2, 3))
    )
    assert part.channels == {2: 64, 3: 128}
    assert part.params < whole.params / 10


def test_what_is_known_is_not_measured_again(tmp_path: Path, counted: list[Any]) -> None:
    first = resolve("resnet18", sizes=[(64, 64), (64, 64)], levels=LEVELS, cache=tmp_path)
    assert resolve("resnet18", sizes=[(64, 64)], levels=LEVELS, cache=tmp_path).measured == first.measured
    assert counted == [(64, 64)]
    both = resolve(first, sizes=[(64, 64), (64, 96)], levels=LEVELS, cache=tmp_path)
    assert counted == [(64, 64), (64, 96)]
    assert sorted(both.known.macs) == [(64, 64), (64, 96)]
    resolve("resnet18", sizes=[(64, 64)], levels=(4, 5), cache=tmp_path)
    assert len(counted) == 3


def test_the_cache_is_whole_and_keyed_by_timms_version_and_our_way_of_measuring(
    tmp_path: Path, counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve("resnet18", sizes=[(64, 64)], levels=LEVELS, cache=tmp_path)
    (file,) = (tmp_path / "timm").iterdir()
    assert file.name == f"resnet18-3_4_5-timm{timm.__version__}-{room._MEASURING}.json"
    assert json.loads(file.read_text())[0]["size"] == [64, 64]
    for broken in ("", "[{}]", "{", '{"a": 1}', "[1]"):
        file.write_text(broken)
        resolve("resnet18", sizes=[(64, 64)], levels=LEVELS, cache=tmp_path)
    assert len(counted) == 6
    monkeypatch.setattr(timm, "__version__", "0.0.0")
    assert resolve("resnet18", sizes=[(64, 64)], levels=LEVELS, cache=tmp_path).known.timm == "0.0.0"
    assert len(counted) == 7
    monkeypatch.setattr(room, "_MEASURING", 0)
    resolve("resnet18", sizes=[(64, 64)], levels=LEVELS, cache=tmp_path)
    assert len(counted) == 8


def test_the_usual_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "there"))
    assert cache_folder() == tmp_path / "there"
    resolve("resnet18", sizes=[(64, 64)], levels=LEVELS)
    assert list((tmp_path / "there" / "timm").iterdir())
    monkeypatch.delenv("SCALESEARCH_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "scalesearch"


def test_a_spec_is_resolved_at_its_own_size_and_levels(tmp_path: Path, counted: list[Any]) -> None:
    ours = named("d0")
    assert resolve_spec(ours, tmp_path) is ours
    bare = dataclasses.replace(ours, backbone=TimmBackbone(name="resnet18"), size=(64, 96))
    spec = resolve_spec(bare, tmp_path)
    assert spec == bare and spec.id == bare.id
    assert spec.backbone.channels(5) == 512 and counted == [(64, 96)]
    assert resolve_spec(spec, tmp_path) is spec
    moved = resolve_spec(dataclasses.replace(spec, size=(64, 64)), tmp_path)
    assert counted == [(64, 96), (64, 64)]
    assert breakdown(moved).backbone.macs * 3 == pytest.approx(breakdown(spec).backbone.macs * 2)
    assert resolve_spec(dataclasses.replace(spec, backbone=efficientnet_b(0)), tmp_path) is not spec


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("resnet_18", [(64, 64)], "a model of timm .*, but got 'resnet_18'; the nearest names are .*resnet18"),
        ("vgg11", [(100, 64)], "13x8 cells at 100x64, but timm's 'vgg11' gives 12x8; take a size divisible by 32, or"),
        ("inception_resnet_v2", [(128, 128)], "gives .*; take another backbone$"),
        ("dla34", [(100, 100)], "'dla34' failed on an image of 100x100 with RuntimeError: .*; take a size divisible"),
        ("efficientformer_l1", [(128, 96)], "128x96 with RuntimeError: .* by 32, or 224x224, its own, or another"),
        ("xcit_nano_12_p16_224", [(64, 64)], "has strides 16; take another backbone or span of levels"),
        (
            "coatnet_0_rw_224",
            [(64, 64), (128, 128)],
            "the same parameters at every size .* at 64x64, .* at 128x128; give",
        ),
    ],
)
def test_what_cannot_serve_is_refused(name: str, sizes: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(name, sizes=sizes, levels=LEVELS, cache=tmp_path)


def test_a_model_with_a_built_in_size_is_built_for_the_size_asked(tmp_path: Path) -> None:
    # A transformer whose windows must divide the map: at its own 224 a map of 256 would not fit.
    found = resolve("maxvit_tiny_tf_224", sizes=[(256, 320)], levels=LEVELS, cache=tmp_path).known
    assert found.channels == {3: 128, 4: 256, 5: 512}
