"""Points, their specs, and points that give no detector."""

from __future__ import annotations

import math

import pytest

from scalesearch.arch.genes import Genes
from scalesearch.arch.networks import fpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors
from scalesearch.space.space import Choices, Space, shown, steps

D0 = {
    "backbone": Choices(("efficientnet_b0",)),
    "size": Choices((512,)),
    "width": Choices((64,)),
    "repeats": Choices((3,)),
    "head_depth": Choices((3,)),
}


def test_a_space_of_constants_is_one_spec() -> None:
    space = Space(axes=D0, classes=90)
    assert space.count == 1
    assert list(space.points()) == [{}]
    assert space.spec({}) == named("d0")


def test_points_and_specs_of_axes() -> None:
    space = Space(axes=D0 | {"width": steps(16, 32, 8), "topology": Choices(("fpn", "bifpn"))}, classes=5)
    points = list(space.points())
    assert (space.count, len(points)) == (6, 6)
    assert points[0] == {"topology": "fpn", "width": 16}
    spec = space.spec(points[-1])
    assert (spec.width, spec.head_width, len(spec.topology.nodes)) == (32, 32, 8)


def test_compound_axes_give_the_papers_formulas() -> None:
    axes = {"backbone": Choices(("efficientnet_b0",)), "phi": Choices((0, 1, 2)), "width_base": Choices((64,))}
    axes |= {"width_factor": Choices((1.2, 1.35)), "repeats_base": Choices((3,)), "head_base": Choices((3,))}
    axes |= {"size_base": Choices((512,))}
    space = Space(axes=axes, classes=90)
    spec = space.spec({"phi": 2, "width_factor": 1.35})
    assert (spec.width, spec.repeats, spec.head_depth, spec.size) == (120, 5, 3, (768, 768))
    assert space.spec({"phi": 2, "width_factor": 1.35}, phi=0) == named("d0")


def test_a_backbone_follows_phi_and_gives_the_published_family() -> None:
    """D1 and D3 by the paper's formulas; the widths of D1 and D3 are the shipped table's too (sec. 4)."""
    axes = {"backbone": Choices(("efficientnet_b{phi}",)), "width_base": Choices((64,)), "size_base": Choices((512,))}
    axes |= {"phi": Choices((0, 1, 3)), "repeats_base": Choices((3,)), "head_base": Choices((3,))}
    space = Space(axes=axes, classes=90)
    assert [space.spec({"phi": phi}) for phi in (0, 1, 3)] == [named(name) for name in ("d0", "d1", "d3")]
    assert space.backbones() == ["efficientnet_b0", "efficientnet_b1", "efficientnet_b3"]
    assert space.backbones(phi=(2.0,)) == ["efficientnet_b2"]
    assert space.scales_backbone and not Space(axes=D0, classes=90).scales_backbone


def test_a_backbone_cannot_follow_a_phi_that_is_not_there() -> None:
    axes = D0 | {"backbone": Choices(("efficientnet_b{phi}",))}
    with pytest.raises(
        ValueError, match=r"the backbone efficientnet_b\{phi\} follows phi, but the space has no axis phi"
    ):
        Space(axes=axes, classes=90).spec({})


def test_rectangles_and_frames() -> None:
    axes = D0 | {"size": Choices((128, 192)), "aspect": Choices((0.75,)), "max_level": Choices((6, 7))}
    space = Space(axes=axes, classes=3)
    assert space.spec({"size": 192, "max_level": 6}).size == (144, 192)
    assert sorted(space.frames()) == [((96, 128), 3, 6), ((96, 128), 3, 7), ((144, 192), 3, 6), ((144, 192), 3, 7)]
    fitted = {frame: Anchors(scale=frame[0][0] / 48) for frame in space.frames()}
    fitted_space = Space(axes=axes, classes=3, anchors=fitted)
    assert fitted_space.spec({"size": 192, "max_level": 7}).anchors.scale == 3


@pytest.mark.parametrize(("aspect", "size"), [(1, (100, 100)), (0.75, (72, 100)), (1.5, (100, 64))])
def test_size_is_the_longer_side_and_the_other_a_multiple_of_eight(aspect: float, size: tuple[int, int]) -> None:
    axes = D0 | {"size": Choices((100,)), "aspect": Choices((aspect,))}
    assert Space(axes=axes, classes=3).spec({}).size == size


def test_steps_include_their_end_and_keep_whole_numbers() -> None:
    assert steps(1, 4, 1).values == (1, 2, 3, 4)
    assert steps(1.2, 1.45, 0.05).values == (1.2, 1.25, 1.3, 1.35, 1.4, 1.45)
    assert steps(16, 30, 8).values == (16, 24)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({**D0, "colour": Choices((1,))}, "an axis is one of .* but got 'colour'"),
        ({**D0, "topology": Choices(("fpnn",))}, "the axis topology has fpn, .*, nasfpn_avg, but got 'fpnn'"),
        ({**D0, "width": Choices(("64",))}, "the axis width has numbers, but got '64'"),
        ({**D0, "width": Choices((64.5,))}, "the axis width has whole numbers, but got 64.5"),
        ({**D0, "width_factor": Choices((1.2,))}, "got both width and width_factor"),
        ({k: v for k, v in D0.items() if k != "size"}, "needs the axis size, or size_base and size_step"),
        ({k: v for k, v in D0.items() if k != "backbone"}, "needs the axis backbone"),
    ],
)
def test_a_bad_space_is_refused(axes: dict[str, Choices], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(axes=axes, classes=3)


def test_bad_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one value and none twice"):
        Choices((1, 1))
    with pytest.raises(ValueError, match="low <= high and step > 0"):
        steps(4, 1, 1)


def test_ranks_are_of_numbers_in_order_and_of_names_as_given() -> None:
    assert Choices((8, 2, 4.0)).ordered == (2, 4.0, 8) and Choices((8, 2, 4)).ranks == {2: 0, 4: 1, 8: 2}
    assert Choices(("b", "a")).ordered == ("b", "a") and Choices(("b", "a")).named and not Choices((1,)).named


def test_genes_are_axes_after_the_others_and_a_named_network_does_without() -> None:
    genes = Genes(levels=(3, 5), nodes=4, inputs=2)
    space = Space(axes=D0 | {"width": steps(16, 32, 8), "max_level": Choices((5,))}, classes=3, genes=genes)
    assert list(space.free) == ["width", *genes.axes]
    assert space.count == 3 * math.prod(genes.axes.values())
    point = {"width": 16, **{name: choices[-1] for name, choices in genes.choices.items()}}
    assert space.spec(point).topology == genes.read(point)
    assert space.spec({"width": 16, "topology": "fpn"}).topology == fpn(3, 5)
    assert shown(point) == "width 16, free graph" and shown({"width": 16}) == "width 16"
    assert space.frames() == [((512, 512), 3, 5)]


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"topology": Choices(("fpn",))}, "the genes say what the topology is"),
        ({"fusion": Choices(("sum",))}, "the genes say what the fusion is"),
        ({"min_level": Choices((3, 4))}, r"of graphs over the levels 3\.\.5, so min_level must be 3, but got 3, 4"),
        ({"max_level": Choices((6,))}, "so max_level must be 5, but got 6"),
    ],
)
def test_a_space_does_not_say_twice_what_its_genes_say(axes: dict[str, Choices], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Space(axes=D0 | {"max_level": Choices((5,))} | axes, classes=3, genes=Genes(levels=(3, 5)))
