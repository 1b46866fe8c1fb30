"""The box coder and its inverse; selection and suppression on outputs made by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scalesearch.nn.detector import Outputs
from scalesearch.nn.postprocess import _best_pairs, decode, detect, encode


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = 100 * torch.rand(count, 2, generator=generator, dtype=torch.float64)
    return torch.cat([corner, corner + 1 + 50 * torch.rand(count, 2, generator=generator, dtype=torch.float64)], dim=1)


def test_encode_and_decode_are_inverse() -> None:
    boxes, anchors = random_boxes(50, 0), random_boxes(50, 1)
    torch.testing.assert_close(decode(encode(boxes, anchors), anchors), boxes)
    deltas = torch.randn(50, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(encode(decode(deltas, anchors), anchors), deltas)


def test_deltas_are_ty_tx_th_tw_without_variances() -> None:
    anchor, box = torch.tensor([0.0, 0.0, 10.0, 20.0]), torch.tensor([5.0, 0.0, 15.0, 40.0])
    torch.testing.assert_close(encode(box, anchor), torch.tensor([0.5, 0.5, 2.0, 1.0]).log().where(
        torch.tensor([False, False, True, True]), torch.tensor([0.5, 0.5, 0.0, 0.0])
    ))


def test_decode_is_effdets() -> None:
    effdet = pytest.importorskip("effdet.anchors")
    anchors = random_boxes(20, 3)
    deltas = torch.randn(20, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    theirs = effdet.decode_box_outputs(deltas, anchors[:, [1, 0, 3, 2]], output_xyxy=True)
    torch.testing.assert_close(decode(deltas, anchors), theirs)


def test_an_untrained_giant_stays_finite() -> None:
    assert decode(torch.full((4,), 1e6), torch.tensor([0.0, 0.0, 8.0, 8.0])).isfinite().all()


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
