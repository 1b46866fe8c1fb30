"""The box coder and its inverse; selection and suppression on outputs made by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from scalesearch.nn.detector import Outputs
from scalesearch.nn.postprocess import (
    Detections,
    Suppression,
    _best_pairs,
    _hard,
    _soft,
    decode_boxes,
    detect,
    encode_boxes,
    on_host,
    one_by_one,
    together,
)


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = 100 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([corner, corner + 1 + 50 * torch.rand(count, 2, generator=generator, dtype=torch.float64)], dim=1)


def test_detections_come_to_the_host_as_they_are() -> None:
    found = [
        Detections(random_boxes(k, k), torch.linspace(1, 0, k), torch.arange(k)) for k in (3, 0, 5)
    ]  # an image may have none
    for one, other in zip(on_host(found), found, strict=True):
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_encode_and_decode_are_inverse() -> None:
    boxes, anchors = random_boxes(50, 0), random_boxes(50, 1)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes)
    deltas = torch.randn(50, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(encode_boxes(decode_boxes(deltas, anchors), anchors), deltas)


def test_deltas_are_ty_tx_th_tw_without_variances() -> None:
    anchor, box = torch.tensor([0.0, 0.0, 10.0, 20.0]), torch.tensor([5.0, 0.0, 15.0, 40.0])
    torch.testing.assert_close(
        encode_boxes(box, anchor),
        torch.tensor([0.5, 0.5, 2.0, 1.0])
        .log()
        .where(torch.tensor([False, False, True, True]), torch.tensor([0.5, 0.5, 0.0, 0.0])),
    )


def test_decode_is_effdets() -> None:
    effdet = pytest.importorskip("effdet.anchors")
    anchors = random_boxes(20, 3)
    deltas = torch.randn(20, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    theirs = effdet.decode_box_outputs(deltas, anchors[:, [1, 0, 3, 2]], output_xyxy=True)
    torch.testing.assert_close(decode_boxes(deltas, anchors), theirs)


def test_an_untrained_giant_stays_finite() -> None:
    assert decode_boxes(torch.full((4,), 1e6), torch.tensor([0.0, 0.0, 8.0, 8.0])).isfinite().all()


ANCHORS = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [30.0, 30.0, 60.0, 60.0]])


def outputs(logits: list[list[float]]) -> Outputs:
    return Outputs(torch.tensor([logits]), torch.zeros(1, len(logits), 4))


def test_suppression_is_within_a_class() -> None:
    (found,) = detect(outputs([[2.0, -5.0], [1.0, 3.0], [0.0, -9.0]]), ANCHORS, (50, 50), score=0.2)
    assert found.labels.tolist() == [1, 0, 0]
    torch.testing.assert_close(found.scores, torch.tensor([3.0, 2.0, 0.0]).sigmoid())
    torch.testing.assert_close(found.boxes[2], torch.tensor([30.0, 30.0, 50.0, 50.0]))  # clipped


def test_limits_are_settable() -> None:
    made = outputs([[2.0, -5.0], [1.0, 3.0], [0.0, -9.0]])
    assert len(detect(made, ANCHORS, (64, 64), score=0.5)[0].scores) == 2
    assert len(detect(made, ANCHORS, (64, 64), score=0.999)[0].scores) == 0
    assert detect(made, ANCHORS, (64, 64), most=1)[0].labels.tolist() == [1]
    assert detect(made, ANCHORS, (64, 64), candidates=2)[0].labels.tolist() == [1, 0]
    assert len(detect(made, ANCHORS, (64, 64), score=0.2, iou=1.0)[0].scores) == 4


def test_the_best_pairs_are_the_best_of_all() -> None:
    logits = torch.randn(300, 7, generator=torch.Generator().manual_seed(5))
    values, rows, labels = _best_pairs(logits, 40, -100.0)
    torch.testing.assert_close(values, logits.flatten().topk(40).values)
    torch.testing.assert_close(logits[rows, labels], values)
    assert len(_best_pairs(logits, 10_000, -100.0)[0]) == 2100


def test_the_head_of_the_list_is_enough_for_hard_suppression() -> None:
    """Found in steps, it is what torchvision makes of all candidates, however many of them are suppressed."""
    for spread, most in ((5.0, 20), (60.0, 20), (200.0, 3), (200.0, 1000)):
        boxes = random_boxes(700, 6).float() * torch.tensor([spread / 100] * 2 + [1.0] * 2)
        boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = torch.arange(700) % 3
        values = torch.linspace(5, -5, 700)
        expected = batched_nms(boxes, values, labels, 0.5)[:most]
        assert _hard(boxes, values, labels, 0.5, most).tolist() == expected.tolist()


def test_the_best_pairs_where_a_class_is_common_or_scores_are_equal() -> None:
    logits = torch.randn(300, 7, generator=torch.Generator().manual_seed(5))
    logits[:, 2] += 20  # the best pairs are one an anchor
    values, rows, labels = _best_pairs(logits, 40, -math.inf)
    torch.testing.assert_close(values, logits.flatten().topk(40).values)
    assert set(labels.tolist()) == {2} and len(set(rows.tolist())) == 40
    values, rows, labels = _best_pairs(torch.zeros(300, 7), 40, -math.inf)
    assert len(set(zip(rows.tolist(), labels.tolist(), strict=True))) == len(values) == 40


def soft_reference(
    boxes: Tensor, scores: Tensor, labels: Tensor, sigma: float, least: float, most: int
) -> list[tuple[int, float]]:
    """Gaussian Soft-NMS as its paper writes it, class by class, and the best of all."""
    found = []
    for label in set(labels.tolist()):
        left = {i: float(scores[i]) for i in range(len(boxes)) if labels[i] == label}
        while left:
            i = max(left, key=lambda k: left[k])
            if (score := left.pop(i)) <= least:
                break
            found.append((i, score))
            for k in left:
                left[k] *= math.exp(-(float(box_iou(boxes[i : i + 1], boxes[k : k + 1])) ** 2) / sigma)
    return sorted(found, key=lambda pair: -pair[1])[:most]


@pytest.mark.parametrize("most", [10, 1000])
@pytest.mark.parametrize(("sigma", "least"), [(0.5, 0.001), (0.1, 0.3), (1e-4, 0.0)])
def test_soft_suppression_is_the_papers(sigma: float, least: float, most: int) -> None:
    boxes = random_boxes(60, 7)
    scores = torch.rand(60, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    labels = torch.arange(60) % 4 * 2  # some classes have nothing
    kept, final = _soft(boxes, scores, labels, sigma, least, most)
    expected = soft_reference(boxes, scores, labels, sigma, least, most)
    assert kept.tolist() == [i for i, _ in expected]
    assert final[kept].tolist() == pytest.approx([score for _, score in expected])


def test_the_method_and_its_limits_are_settable() -> None:
    made = outputs([[2.0, -5.0], [1.0, 3.0], [0.0, -9.0]])
    (soft,) = detect(made, ANCHORS, (64, 64), method="soft")
    # The second box of class 0 overlaps the first by 9 / 11: no longer gone, but below the third.
    assert soft.labels.tolist() == [1, 0, 0, 0, 1]
    assert len(detect(made, ANCHORS, (64, 64), method="soft", score=0.3)[0].scores) == 3
    decayed = torch.tensor(1.0).sigmoid() * math.exp(-((9 / 11) ** 2) / 0.5)
    torch.testing.assert_close(soft.scores[3], decayed)
    (wide,) = detect(made, ANCHORS, (64, 64), method="soft", sigma=1e6)
    torch.testing.assert_close(wide.scores[:4], torch.tensor([3.0, 2.0, 1.0, 0.0]).sigmoid(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="method must be one of hard, soft, but got 'linear'"):
        detect(made, ANCHORS, (64, 64), method="linear")


@pytest.mark.parametrize(
    "limit", [{"candidates": 0}, {"most": 0}, {"iou": -0.1}, {"iou": 1.5}, {"sigma": 0.0}], ids=str
)
def test_a_limit_without_sense_is_refused(limit: dict[str, Any]) -> None:
    ((name, value),) = limit.items()
    with pytest.raises(ValueError, match=rf"detections need candidates >= 1, .* but got .*{name}={value}"):
        detect(outputs([[2.0]] * 3), ANCHORS, (64, 64), **limit)


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_what_is_not_a_number_is_not_found_and_hides_nothing(method: str) -> None:
    boxes = random_boxes(600, 9).float()
    logits = torch.randn(1, 600, 3, generator=torch.Generator().manual_seed(10))
    sound = torch.ones(600, dtype=torch.bool)
    sound[::7] = False
    deltas = torch.zeros(1, 600, 4)
    expected = detect(Outputs(logits[:, sound], deltas[:, sound]), boxes[sound], (150, 150), method=method)
    for part in (0, 1):  # scores, then boxes
        bad = Outputs(logits.clone(), deltas.clone())
        bad[part][:, ~sound] = math.nan
        assert_same(detect(bad, boxes, (150, 150), method=method), expected)
    bad = Outputs(torch.cat([logits, torch.full((1, 600, 1), math.nan)], 2), deltas)
    assert_same(
        detect(bad, boxes, (150, 150), method=method, candidates=300),
        detect(Outputs(logits, deltas), boxes, (150, 150), method=method, candidates=300),
    )


def assert_same(found: list[Detections], expected: list[Detections]) -> None:
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(tuple(one), tuple(other))


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_nothing_to_find_is_no_error(method: str) -> None:
    (found,) = detect(outputs([[-20.0], [-30.0], [-20.0]]), ANCHORS, (64, 64), method=method, score=0.5)
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.labels.shape == (0,)


def crowded(images: int, anchors: int, seed: int) -> tuple[Outputs, Tensor]:
    """Outputs whose best boxes of the first image are all but one place, and its anchors."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, anchors, 2, generator=generator)
    boxes = random_boxes(anchors, seed).float()
    deltas = torch.zeros(images, anchors, 4)
    logits[0, : anchors // 2] += 9
    boxes[: anchors // 2] = torch.tensor([5.0, 5.0, 60.0, 60.0]) + 0.01 * boxes[: anchors // 2]
    return Outputs(logits, deltas), boxes


@pytest.mark.parametrize("at_once", [2**15, 50, 1])
@pytest.mark.parametrize("candidates", [150, 500, 10_000])
def test_all_images_at_once_are_as_each_alone(candidates: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an image's head of the list does not do, and in several turns."""
    made, anchors = crowded(5, 200, 11)
    how = Suppression(method="hard", candidates=candidates, least=0.2, iou=0.5, sigma=0.5, most=10)
    expected = one_by_one(made, anchors, (150, 150), how)
    assert len(expected[0].scores) == 10 if candidates > 150 else len(expected[0].scores) < 10
    monkeypatch.setattr("scalesearch.nn.postprocess.AT_ONCE", at_once)
    assert_same(together(made, anchors, (150, 150), how), expected)


def test_at_once_images_do_not_hide_each_others_boxes_and_may_have_none() -> None:
    made = Outputs(torch.tensor([[[2.0]], [[math.nan]], [[-30.0]], [[1.0]]]), torch.zeros(4, 1, 4))
    made.box_deltas[1] = math.nan
    how = Suppression(method="hard", candidates=5000, least=0.1, iou=0.5, sigma=0.5, most=100)
    found = together(made, ANCHORS[:1], (64, 64), how)
    assert [one.boxes.tolist() for one in found] == [ANCHORS[:1].tolist(), [], [], ANCHORS[:1].tolist()]
    assert_same(found, one_by_one(made, ANCHORS[:1], (64, 64), how))
