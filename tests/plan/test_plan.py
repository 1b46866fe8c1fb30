"""Plans: what is read, what is refused and where, and when a study may go on with one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_type_hints

import pytest

from scalesearch.arch.backbone import efficientnet_b
from scalesearch.arch.genes import Genes
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cost.budget import Bound, Budget
from scalesearch.plan.plan import Plan, PlanError, changes, read_plan
from scalesearch.plan.recipe import PRESETS, Recipe
from scalesearch.plan.sections import DETECTOR, DataPlan, SamplerPlan
from scalesearch.space.space import Choices

SPEC = """\
name: quick
data: {source: digits, select: 0.25}
space:
  backbone: efficientnet-w0.5-d0.5
  topology: [fpn, bifpn]
  size: 128
  width: {low: 16, high: 48, step: 8}
  repeats: [1, 2]
  head_depth: 1
detector: {padding: symmetric, bias_before_norm: false}
band:
  macs: {min: 20M, max: 0.04G}
  params: {max: 1e6}
sampler: {name: random}
recipe:
  epochs: 10
  learning_rate: 2e-3
winners: {top: 1, seeds: [0, 1], recipe: {epochs: 40}}
baselines:
  wide: {topology: bifpn, width: 64, repeats: 3}
"""
FAMILY = """\
unit: family
family:
  bands: [{macs: {max: 20M}}, {macs: {max: 40M}}]
  phi: [0, 1]
  solve: {size: {low: 64, high: 128, step: 16}}
space:
  backbone: efficientnet-w0.5-d0.5
  width_base: 24
  width_factor: [1.2, 1.35]
  repeats: 1
  head_depth: 1
"""


def _read(tmp_path: Path, text: str, *overrides: str) -> Plan:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    return read_plan(file, overrides)


def _refused(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(PlanError) as caught:
        _read(tmp_path, text, *overrides)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_plan_is_read_with_every_default(tmp_path: Path) -> None:
    plan = _read(tmp_path, SPEC)
    assert plan.data == DataPlan(source="digits", train="train", val="val", select=0.25, seed=0)
    assert plan.bands == (Budget(macs=Bound(20e6, 40e6), params=Bound(0.0, 1e6)),)
    assert plan.axes["width"] == Choices((16, 24, 32, 40, 48))
    assert plan.axes["size"] == Choices((128,))
    assert plan.detector == {
        **{name: getattr(named("d0"), name) for name in DETECTOR},
        "padding": "symmetric",
        "bias_before_norm": False,
    }
    assert (plan.anchors, plan.objectives, plan.trials, plan.seed) == ("auto", ("ap", "macs"), 12, 0)
    assert plan.sampler == SamplerPlan(name="random", startup=6)
    assert plan.recipe == Recipe(epochs=10, learning_rate=2e-3)
    assert plan.winners.recipe == Recipe(epochs=40, learning_rate=2e-3)
    assert plan.baselines == {"wide": {"topology": "bifpn", "width": 64, "repeats": 3}}


def test_the_detector_section_is_every_field_that_nothing_else_sets() -> None:
    varied = {"size", "classes", "backbone", "topology", "repeats", "width", "head_width", "head_depth", "anchors"}
    assert set(DETECTOR) | varied == set(get_type_hints(DetectorSpec))
    assert not set(DETECTOR) & varied


def test_a_family_is_read_and_its_space_has_the_solved_axis(tmp_path: Path) -> None:
    plan = _read(tmp_path, FAMILY)
    assert plan.name == "p"
    assert plan.family is not None
    assert plan.bands == (Budget(macs=Bound(0.0, 20e6)), Budget(macs=Bound(0.0, 40e6)))
    assert (plan.family.phi, plan.family.solve) == ((0.0, 1.0), "size")
    space = plan.space(classes=3, anchors=Anchors())
    assert space.axes["size"] == plan.family.values == Choices((64, 80, 96, 112, 128))
    assert space.spec({"width_factor": 1.35}, phi=1, size=96).width == 32


def test_the_backbone_of_a_family_follows_phi(tmp_path: Path) -> None:
    plan = _read(tmp_path, FAMILY.replace("efficientnet-w0.5-d0.5", "efficientnet_b{phi}"))
    space = plan.space(classes=3, anchors=Anchors())
    found = [space.spec({"width_factor": 1.2}, phi=phi, size=64).backbone for phi in (0, 1)]
    assert found == [efficientnet_b(0), efficientnet_b(1)]
    with pytest.raises(PlanError, match="EfficientNet-B goes from 0 to 7, but got 9"):
        _read(tmp_path, FAMILY.replace("efficientnet-w0.5-d0.5", "efficientnet_b{phi}"), "family.phi=[0, 9]")


def test_phi_counts_from_zero_by_default(tmp_path: Path) -> None:
    plan = _read(tmp_path, FAMILY.replace("  phi: [0, 1]\n", ""))
    assert plan.family is not None
    assert plan.family.phi == (0.0, 1.0)


def test_a_space_needs_fitted_anchors_where_the_plan_says_auto(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="anchors: auto"):
        _read(tmp_path, SPEC).space(classes=3)
    own = _read(tmp_path, SPEC, "anchors={scale: 2, aspects: [[1, 1]]}")
    assert own.space(classes=3).anchors == Anchors(scale=2.0, aspects=((1.0, 1.0),))
    fitted = Anchors(scale=3.0)
    assert _read(tmp_path, SPEC).space(classes=3, anchors=fitted).anchors == fitted


def test_presets_are_recipes_of_the_search_and_of_the_winners(tmp_path: Path) -> None:
    published = PRESETS["efficientdet"]
    plan = _read(tmp_path, SPEC, "winners.recipe={preset: efficientdet, epochs: 50}")
    assert plan.recipe == Recipe(epochs=10, learning_rate=2e-3)
    assert plan.winners.recipe == published.replaced({"epochs": 50})
    plan = _read(tmp_path, SPEC, "recipe=efficientdet")
    assert (plan.recipe, plan.winners.recipe) == (published, published.replaced({"epochs": 40}))
    with pytest.raises(
        PlanError, match="recipe must be one of short, efficientdet, but got 'efficientnet'; did you mean"
    ):
        _read(tmp_path, SPEC, "recipe=efficientnet")
    with pytest.raises(
        PlanError, match=r"recipe must be one of short, efficientdet, or fields such as \{epochs: 30\}, but"
    ):
        _read(tmp_path, SPEC, "recipe=[1]")


OVERRIDES = [
    "trials=6",
    "data.source=../012",
    "data.select=val",
    "space.width=[16,32]",
    "space.width.low=24",
    "band.macs.max=1.1G",
    "anchors.octaves=2",
    "winners.top=0",
    "recipe.flip=false",
    "recipe.jitter=[0.1, 2]",
    "recipe=efficientdet",
    "winners.recipe={preset: efficientdet, epochs: 50}",
    "recipe.weight_decay=1e-12",
    "detector={laterals: level, extra_levels: pool}",
    "baselines.thin.topology=fpn",
]


@pytest.mark.parametrize("text", [SPEC, FAMILY], ids=["spec", "family"])
@pytest.mark.parametrize("override", ["seed=0", *OVERRIDES])
def test_a_resolved_plan_is_read_back_the_same(tmp_path: Path, text: str, override: str) -> None:
    if text == FAMILY and override.startswith(("band", "space", "baselines")):
        override = "family.solve.size.high=256"
    if override.startswith("baselines"):
        override = "baselines.thin={topology: fpn, width: 8, repeats: 1, max_level: 6}"
    plan = _read(tmp_path, text, override)
    again = tmp_path / "again.yaml"
    again.write_text(plan.to_yaml())
    assert read_plan(again) == plan
    assert read_plan(again).to_yaml() == plan.to_yaml()


def test_an_override_is_read_by_its_fields_type(tmp_path: Path) -> None:
    plan = _read(tmp_path, SPEC, "data.source=on", "data.train=012", "band.macs.max=2.5e9", "trials=3")
    assert (plan.data.source, plan.data.train, plan.trials) == ("on", "012", 3)
    assert plan.band is not None and plan.band.macs == Bound(20e6, 2.5e9)


BAD_SPEC = {
    "name: quick": {
        "name: a/b": "1: name must have a name of letters, digits, '.', '_' and '-' (it names files), but got 'a/b'",
        "nmae: x": "1: unknown key 'nmae'; did you mean 'name'?",
        "unit: both": "1: unit must be one of spec, family, but got 'both'",
        "unit: family": "11: band is for unit: spec, but the unit is family; give the bands of its members in",
        "family: {bands: []}": "1: family is for unit: family, but the unit is spec; drop it, or write unit: family",
        "trials: 0": "1: trials must be a whole number of at least 1, but got '0'",
        "anchors: outo": "1: anchors must be auto or {scale:, octaves:, aspects:}, but got 'outo'",
        "anchors: {octaves: 0}": "1: anchors.octaves: anchors need scale > 0, octaves >= 1 and at least one",
        "objectives: [macs]": "1: objectives must have ap and no name twice, but got macs",
        "objectives: [ap, ap]": "1: objectives must have ap and no name twice, but got ap, ap",
        "objectives: [ap, size]": "1: objectives[1] must be one of ap, macs, params, activations, memory, latency, but got",
        "objectives: [ap, latency]": "1: objectives uses latency, which is predicted from a table of this device's",
    },
    "data: {source: digits, select: 0.25}": {
        "data: digits": "2: data must be a mapping of keys to values, but got 'digits'",
        "data: {source: ''}": "2: data.source must be text, but got nothing",
        "data: {select: 1.0}": "2: data.select must be a share of train between 0 and 1, or val, but got '1.0'",
        "data: {select: vla}": "2: data.select must be a share of train between 0 and 1, or val, but got 'vla'",
        "data: {val: train}": "2: data must have train and val in different splits, but both are 'train'",
        "data: {seed: -1}": "2: data.seed must be a whole number of at least 0, but got '-1'",
    },
    "  size: 128": {
        "  sise: 128": "6: unknown key 'space.sise'; did you mean 'size'?",
        "  size: 128.5": "6: space.size must be a whole number of at least 0, but got '128.5'",
        "  size: [128, 16]": "6: space.size must have 32 <= height, width <= 16384, but got (16, 16)",
        "  size: 128\n  aspect: 0": "7: space.aspect must be a height over width above 0, but got '0'",
        "  size: 128\n  aspect: [1, -0.75]": "7: space.aspect[1] must be a height over width above 0, but got '-0.75'",
        "  size: []": "6: space.size must be a list of at least one value, but got an empty one",
        "  size: [128, 64, 128]": "6: space.size must have no value twice, but 128 is there again; drop it",
        "  size: {low: 128, high: 64, step: 8}": "6: space.size is an empty range: low must be at most high",
        "  size: {low: 64, high: 128}": "6: the key space.size.step is missing; add it",
        "  size: {low: 64, high: 128, step: 0}": "6: space.size must have a step above 0 and at most 10000 values",
        "  size: {low: 64, high: 128, setp: 8}": "6: unknown key 'space.size.setp'; did you mean 'step'?",
        "  min_level: 3": "3: space: a space needs the axis size, or size_base and size_step for phi to scale it by",
        "  size_base: 64": "3: space: size is scaled by phi, but the space has no axis phi",
        "  size: 128\n  size_base: 64": "6: space.size: a space has size or its coefficients, but got both size and",
        "  size: 128\n  phi: 1": "7: space.phi scales nothing here; leave it out, or add one of width_base",
        "  size: 128\n  max_level: [7, 3]": "3: space must have min_level below max_level, but got 3 and 7, 3",
        "  size: 128\n  fusion: {low: 1}": "7: space.fusion must be a name or a list of names; only numbers have a",
    },
    "  backbone: efficientnet-w0.5-d0.5": {
        "": "3: space: a space needs the axis backbone, for example backbone: efficientnet_b0",
        "  backbone: efficientnet-w0": "4: space.backbone must name a backbone: a scaled EfficientNet is written",
        "  backbone: efficientnet_b{phi}": "4: space.backbone: the backbone efficientnet_b{phi} follows phi, but the",
        "  backbone: efficientnet_b{phi}\n  phi: [7, 8]": "3: space: EfficientNet-B goes from 0 to 7, but got 8",
    },
    "  topology: [fpn, bifpn]": {
        "  topology: bifpm": "5: space.topology must be one of fpn, fpn_repeated, panet, panet_simplified, bifpn, qufpn, fully_connected, "
    },
    "detector: {padding: symmetric, bias_before_norm: false}": {
        "detector: {paddign: same}": "10: unknown key 'detector.paddign'; did you mean 'padding'?",
        "detector: {width: 8}": "10: detector cannot set 'width', which is set by the space, the data or the anchors",
        "detector: {padding: smae}": "10: detector.padding must be one of same, symmetric, but got 'smae'; did you",
        "detector: {separable: on}": "10: detector.separable must be true or false, but got 'on'",
        "detector: {normalisation: imagenets}": "10: detector.normalisation must be one of imagenet, half, inception, ",
        "detector: {norm_eps: 2}": "10: detector.norm_eps must be in (0, 1), but got 2.0",
        "detector:\n  extra_levels: pool": "11: detector.extra_levels: pool reads the one lateral of the coarsest",
    },
    "  macs: {min: 20M, max: 0.04G}": {
        "  macs: {min: 20M, max: 4M}": "12: band.macs is empty: min must be at most max, but got 20 M and 4 M",
        "  macs: {max: 0}": "12: band.macs is empty: max must be above 0; give the most that a detector may have",
        "  macs: {}": "12: band.macs must have min, max or both, but it has neither",
        "  macs: 3G": "12: band.macs must be a mapping of keys to values, but got '3G'",
        "  macs: {maximum: 3G}": "12: unknown key 'band.macs.maximum'; did you mean 'max'?",
        "  macs: {max: 3X}": "12: band.macs.max must be a positive number such as 25M, 0.9G or 2.5e9, but got '3X'",
        "  mcas: {max: 3G}": "12: unknown key 'band.mcas'; did you mean 'macs'?",
        "  latency: {max: 20}": "12: band.latency.max must be a time such as 20ms or 1.5s, but got '20'",
        "  latency: {max: 20ms}": "11: band uses latency, which is predicted from a table of this device's timings:",
        "  memory: {max: 20ms}": "12: band.memory.max must be an amount of memory such as 500MB, 2GiB or 1.5e9, but",
    },
    "sampler: {name: random}": {
        "sampler: {name: rnd}": "14: sampler.name must be one of grid, random, qmc, tpe, nsga2, gp, evolution, ehvi, but got",
        "sampler: {population: 1}": "14: sampler.population must be a whole number of at least 2, but got '1'",
        "sampler: {startup: 0}": "14: sampler.startup must be a whole number of at least 1, but got '0'",
    },
    "  learning_rate: 2e-3": {
        "  learning_rate: high": "17: recipe.learning_rate must be a number, but got 'high'",
        "  learning_rate: 1000": "17: recipe.learning_rate must satisfy 0 <= learning_rate <= 100, but got 1000.0",
        "  learningrate: 1": "17: unknown key 'recipe.learningrate'; did you mean 'learning_rate'?",
        "  optimizer: adam": "17: recipe.optimizer must be one of adamw, sgd, but got 'adam'",
        "  jitter: [1]": "17: recipe.jitter must be a list of 2 values, but got 1",
    },
    "winners: {top: 1, seeds: [0, 1], recipe: {epochs: 40}}": {
        "winners: {seeds: []}": "18: winners.seeds must be a list of at least one value, but got an empty one",
        "winners: {seeds: [9223372036854775808]}": "18: winners.seeds[0] must be below 2**63, the limit of random generators",
        "winners: {seeds: [1, 1]}": "18: winners.seeds must be different, but got 1, 1; drop the repeated one",
        "winners: {recipe: {epochs: 0}}": "18: winners.recipe.epochs must satisfy 1 <= epochs <= 100000, but got 0",
    },
    "  wide: {topology: bifpn, width: 64, repeats: 3}": {
        "  wide: {topology: bifpn, width: 64}": "20: baselines.wide must set repeats, which has several values in the space; add",
        "  wide: {topology: bifpn, width: 64, repeats: 0}": "20: baselines.wide.repeats must be an integer with",
        "  wide: {topology: fpn, width: 64, repeats: 1, max_level: 3}": "20: baselines.wide must have min_level below",
        "  wide: {topologie: fpn}": "20: unknown key 'baselines.wide.topologie'; did you mean 'topology'?",
        "  a b: {topology: fpn}": "20: baselines.a b must have a name of letters, digits, '.', '_' and '-'",
    },
}
CASES = [(old, new, said) for old, table in BAD_SPEC.items() for new, said in table.items()]


@pytest.mark.parametrize(("old", "new", "said"), CASES, ids=[new.strip()[:40] for _, new, _ in CASES])
def test_a_bad_plan_is_refused_at_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert SPEC.count(old + "\n") == 1
    message = _refused(tmp_path, SPEC.replace(old + "\n", new + "\n"))
    assert message.startswith(f"p.yaml:{said}")
    assert "\n" not in message


BAD_FAMILY = {
    "family.phi=[1]": "family.phi must have one value for each of the 2 bands, but got 1",
    "family.bands=[]": "family.bands must be a list of at least one value, but got an empty one",
    "family.bands=[{}]": "family.bands[0] must bound at least one of macs, params, activations",
    "family.solve={}": "family.solve must name one axis of size, width, repeats, head_depth with",
    "family.solve.aspect=1": "unknown key 'family.solve.aspect'; the keys here are size,",
    "band.macs.max=3M": "band is for unit: spec, but the unit is family; give the bands",
    "space.phi=2": "space.phi is set by the family for each of its members; leave it out of the",
    "space.size=64": "space.size is set by the family for each of its members; leave it out of",
    "baselines.paper.phi=1": "unknown key 'baselines.paper.phi'; the keys here are",
    "trails=3": "unknown key 'trails'; did you mean 'trials'?",
    "trials=ten": "trials must be a whole number of at least 1, but got 'ten'",
}


@pytest.mark.parametrize("override", BAD_FAMILY)
def test_a_bad_override_is_named_in_the_error(tmp_path: Path, override: str) -> None:
    assert _refused(tmp_path, FAMILY, override).startswith(f"override {override!r}: {BAD_FAMILY[override]}")


def test_an_override_below_a_section_is_named_beside_its_line(tmp_path: Path) -> None:
    assert _refused(tmp_path, FAMILY, "family.solve.size.low=8") == (
        "p.yaml:5, override 'family.solve.size.low=8': "
        "family.solve.size must have 32 <= height, width <= 16384, but got (8, 8)"
    )
    assert _refused(tmp_path, FAMILY, "unit=spec") == (
        "p.yaml:2: family is for unit: family, but the unit is spec; drop it, or write unit: family"
    )


def test_a_missing_band_or_family_is_missed(tmp_path: Path) -> None:
    assert _refused(tmp_path, FAMILY.split("family:")[0]) == "p.yaml:1: the key family is missing; add it"
    assert _refused(tmp_path, "space:" + FAMILY.split("space:")[1]) == "p.yaml:1: the key band is missing; add it"


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("trials=20", ()),
        ("trials=4", ("trials (12 -> 4)",)),
        ("data.source=elsewhere", ("data.source (digits -> elsewhere)",)),
        ("recipe.epochs=11", ("recipe.epochs (10 -> 11)",)),
        ("winners.seeds=[0]", ("winners.seeds ([0, 1] -> [0])",)),
        ("winners.seeds=[0,2]", ("winners.seeds ([0, 1] -> [0, 2])",)),
        ("winners.seeds=[0,1,2]", ()),
        ("winners.top=9", ()),
        ("winners.top=0", ("winners.top (1 -> 0)",)),
        ("space.min_level=3", ("space.min_level (absent -> 3)",)),
        ("space.width.high=40", ("space.width ([16, 24, 32, 40, 48] -> [16, 24, 32, 40])",)),
        ("detector.up=nearest", ()),
        ("band.macs.max=40M", ()),
        ("workers=7", ()),
        ("threads=3", ()),
        (
            "recipe.freeze=backbone together=8",
            tuple(f"{one}.freeze (none -> backbone)" for one in ("recipe", "winners.recipe")),
        ),
    ],
)
def test_what_changed_is_listed_by_key(tmp_path: Path, override: str, wanted: tuple[str, ...]) -> None:
    assert changes(_read(tmp_path, SPEC), _read(tmp_path, SPEC, *override.split(" "))) == wanted


def test_named_designs_may_be_added_at_sizes_that_are_there(tmp_path: Path) -> None:
    plan = _read(tmp_path, SPEC)
    narrow = "{topology: bifpn, width: 16, repeats: 1}"
    assert changes(plan, _read(tmp_path, SPEC, f"baselines.narrow={narrow}")) == ()
    assert changes(plan, _read(tmp_path, SPEC, "baselines.wide.width=48")) == ("baselines.wide.width (64 -> 48)",)
    assert "baselines.wide.width (64 -> absent)" in changes(
        plan, _read(tmp_path, SPEC, f"baselines={{narrow: {narrow}}}")
    )
    larger = _read(tmp_path, SPEC, f"baselines.large={narrow[:-1]}, size: 160}}")  # all anchors would be fitted anew
    assert "baselines.large.size (absent -> 160)" in changes(plan, larger)
    fixed, larger = (
        _read(tmp_path, SPEC, "anchors={scale: 3}", *more)
        for more in ((), (f"baselines.large={narrow[:-1]}, size: 160}}",))
    )
    assert changes(fixed, larger) == ()


def test_candidates_are_trained_together_where_their_backbone_is_never_trained(tmp_path: Path) -> None:
    frozen = SPEC.replace("recipe:\n", "recipe:\n  freeze: backbone\n") + "together: 4\n"
    plan = _read(tmp_path, frozen)
    assert plan.together == 4 and _read(tmp_path, plan.to_yaml()) == plan
    assert "together" not in _read(tmp_path, SPEC).resolved()
    rule = "p.yaml:22: together is for candidates whose backbone is never trained, in one forward pass that is not compiled"
    for change, found in (
        ("recipe.freeze=none", "freeze: none: set freeze: backbone there, or together: 1"),
        ("recipe.freeze=3", "freeze: 3: set freeze: backbone there, or together: 1"),
        ("recipe.unfreeze_at=2", "unfreeze_at: 2: set freeze: backbone without unfreeze_at there, or together: 1"),
        ("recipe.compile=true", "compile: true: set compile: false there, or together: 1"),
    ):
        assert _refused(tmp_path, frozen, change) == f"{rule}, but got 4 and a recipe with {found}"


def test_the_same_data_may_lie_elsewhere(tmp_path: Path) -> None:
    old, new = _read(tmp_path, SPEC), _read(tmp_path, SPEC, "data.source=elsewhere", "trials=13")
    assert changes(old, new, same_data=True) == ()
    assert changes(new, old, same_data=True) == ("trials (13 -> 12)",)


def test_an_open_end_of_a_band_stays_open(tmp_path: Path) -> None:
    plan = _read(tmp_path, SPEC, "band={macs: {min: 1M}}")
    assert plan.band == Budget(macs=Bound(1e6, math.inf))
    assert plan.resolved()["band"] == {"macs": {"min": 1e6}}


FREE = SPEC.replace(
    "  topology: [fpn, bifpn]\n",
    "  topology: {genes: {nodes: 6, inputs: 2, fusions: [fast, gate_max]}}\n  max_level: 6\n",
).replace(
    "  wide: {topology: bifpn, width: 64, repeats: 3}", "  wide: {topology: bifpn, max_level: 7, width: 64, repeats: 3}"
)


def test_free_graphs_are_genes_and_read_back_equal(tmp_path: Path) -> None:
    plan = _read(tmp_path, FREE)
    assert plan.genes == Genes(levels=(3, 6), nodes=6, inputs=2, fusions=("fast", "gate_max"))
    assert _read(tmp_path, plan.to_yaml()) == plan and "topology" not in plan.axes
    space = plan.space(classes=2, anchors=Anchors())
    assert list(space.free) == ["width", "repeats", *plan.genes.axes]
    first = {name: axis.values[-1] for name, axis in space.free.items()}
    assert space.spec(first).topology == plan.genes.read(first)
    # A baseline names its network, which may have other levels, and sets no genes.
    assert len(space.spec(plan.baselines["wide"]).topology.levels) == 5
    changed = _read(tmp_path, FREE, "space.topology.genes.nodes=7")
    assert changes(plan, changed) == ("space.topology.genes.nodes (6 -> 7)",)


BAD_GENES = {
    "{genes: {nodes: 3}}": "5: space.topology.genes.nodes: genes need a node for each of the 4 levels and at least one",
    "{genes: {nodes: 100}}": "5: space.topology.genes.nodes must be at most 60, but got 100",
    "{genes: {nodes: x}}": "5: space.topology.genes.nodes must be a whole number, but got 'x'",
    "{genes: {inputs: 0}}": "5: space.topology.genes.inputs: genes need a node",
    "{genes: {fusions: [mean]}}": "5: space.topology.genes.fusions must be different ones of sum",
    "{genes: {fusion: [sum]}}": "5: unknown key 'space.topology.genes.fusion'; did you mean 'fusions'?",
    "{gene: {nodes: 6}}": "5: unknown key 'space.topology.gene'; did you mean 'genes'?",
    "{genes: {}, low: 1}": "5: unknown key 'space.topology.low'",
    "{genes: {}}\n  fusion: sum": "6: space.fusion: the genes say what the fusion is, but the space has an axis fusion too",
    "{genes: {}}\n  min_level: [3, 4]": "6: space.min_level must be one level where the topology has genes, but got 2",
}


@pytest.mark.parametrize(("genes", "said"), BAD_GENES.items(), ids=BAD_GENES)
def test_bad_genes_are_refused_at_their_line(tmp_path: Path, genes: str, said: str) -> None:
    written = "{genes: {nodes: 6, inputs: 2, fusions: [fast, gate_max]}}"
    message = _refused(tmp_path, FREE.replace(written, genes))
    assert message.startswith(f"p.yaml:{said}") and "\n" not in message


def test_bands_over_memory_and_latency_read_back_as_written(tmp_path: Path) -> None:
    text = SPEC.replace(
        "  params: {max: 1e6}\n",
        "  memory: {max: 2GiB}\n  training_memory: {min: 500MB}\n  latency: {min: 1.5ms, max: 20ms}\nlatency: {table: cpu.json}\n"
        "objectives: [ap, memory, latency]\n",
    )
    plan = _read(tmp_path, text)
    assert plan.band is not None and plan.band.memory is not None and plan.band.latency is not None
    assert (plan.band.memory.high, plan.band.latency.low, plan.band.latency.high) == (2 * 2**30, 0.0015, 0.02)
    assert plan.metrics == ("macs", "memory", "training_memory", "latency")
    assert str(plan.band).endswith("memory <= 2.15 GB, 500 MB <= training_memory, 1.5 ms <= latency <= 20 ms")
    assert _read(tmp_path, plan.to_yaml()) == plan
