"""Assignment on hand-made boxes; focal and box loss against their special cases, autograd and effdet's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.ops import box_iou

from scalesearch.nn.detector import Outputs
from scalesearch.nn.losses import BOX_LOSSES, Targets, assign, detection_loss, focal_loss, iou_loss
from scalesearch.nn.postprocess import encode_boxes

ANCHORS = torch.tensor(
    [[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 8.0], [20.0, 20.0, 30.0, 30.0], [50.0, 50.0, 90.0, 90.0]]
)


def batch(*images: list[tuple[list[float], int]]) -> tuple[Tensor, Tensor]:
    most = max(1, *(len(image) for image in images))
    boxes, labels = torch.zeros(len(images), most, 4), torch.full((len(images), most), -1)
    for i, image in enumerate(images):
        for j, (box, label) in enumerate(image):
            boxes[i, j], labels[i, j] = torch.tensor(box), label
    return boxes, labels


def test_threshold_and_forced_best() -> None:
    boxes, labels = batch([([0.0, 0.0, 10.0, 10.0], 1), ([28.0, 28.0, 40.0, 40.0], 2)], [])
    targets = assign(ANCHORS, boxes, labels)
    # 0 and 1 by overlap (1.0, 0.8); 2 is the second box's best at IoU 0.017; the empty image has none.
    assert targets.places.tolist() == [0, 1, 2]
    assert targets.labels.tolist() == [1, 1, 2]
    assert targets.boxes[2].tolist() == [28.0, 28.0, 40.0, 40.0]
    torch.testing.assert_close(targets.anchors, ANCHORS[:3])
    assert assign(ANCHORS, boxes, labels, best=0).places.tolist() == [0, 1]
    assert assign(ANCHORS, boxes, labels, iou=0.9).places.tolist() == [0, 2]


def test_a_box_that_touches_no_anchor_forces_none() -> None:
    assert len(assign(ANCHORS, *batch([([200.0, 200.0, 210.0, 210.0], 0)])).places) == 0


def test_forced_goes_before_overlap_and_the_closer_box_wins() -> None:
    # The second box's best anchor is 1, which the first overlaps more but does not need.
    boxes, labels = batch([([0.0, 0.0, 10.0, 10.0], 0), ([0.0, 0.0, 10.0, 6.0], 1)])
    assert assign(ANCHORS, boxes, labels).labels.tolist() == [0, 1]
    # Both want anchor 3: the closer one has it, in either order; of equals the first.
    near, far = ([50.0, 50.0, 90.0, 88.0], 0), ([50.0, 50.0, 90.0, 80.0], 1)
    for image in ([near, far], [far, near]):
        assert assign(ANCHORS, *batch(image)).labels.tolist() == [0]
    assert assign(ANCHORS, *batch([near, (near[0], 5)])).labels.tolist() == [0]


def test_more_than_one_forced() -> None:
    boxes, labels = batch([([0.0, 0.0, 10.0, 3.0], 0)])
    assert assign(ANCHORS, boxes, labels, best=1).places.tolist() == [1]
    assert assign(ANCHORS, boxes, labels, best=2).places.tolist() == [0, 1]
    # Only what overlaps at all is forced, and more than there are is all of them.
    assert assign(ANCHORS, boxes, labels, best=9).places.tolist() == [0, 1]


def test_assignment_does_not_depend_on_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    corner = 80 * torch.rand(4, 6, 2, generator=generator)
    boxes = torch.cat([corner, corner + 5 + 20 * torch.rand(4, 6, 2, generator=generator)], dim=2)
    labels = torch.randint(-1, 3, (4, 6), generator=generator)
    grid = torch.cartesian_prod(torch.arange(0.0, 100, 8), torch.arange(0.0, 100, 8))
    anchors = torch.cat([grid, grid + 16], dim=1)
    whole = assign(anchors, boxes, labels)
    parts = [assign(anchors, boxes[i : i + 1], labels[i : i + 1]) for i in range(4)]
    assert whole.places.tolist() == [i * len(anchors) + k for i, p in enumerate(parts) for k in p.places.tolist()]
    torch.testing.assert_close(whole.boxes, torch.cat([p.boxes for p in parts]))


def case(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits [2, 30, 4], positives' index and labels, and the same as a dense one-hot."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 30, 4, generator=generator, dtype=torch.float64)
    index = torch.tensor([0, 7, 29, 31, 59])
    labels = torch.tensor([0, 3, 1, 1, 2])
    dense = torch.zeros(60, 4, dtype=torch.float64)
    dense[index, labels] = 1
    return logits, index, labels, dense.view_as(logits)


def test_gamma_0_alpha_half_is_half_of_bce() -> None:
    logits, index, labels, dense = case()
    ours = focal_loss(logits, index, labels, alpha=0.5, gamma=0.0)
    torch.testing.assert_close(ours, F.binary_cross_entropy_with_logits(logits, dense, reduction="sum") / 2)


def test_swapping_targets_and_signs_at_alpha_half_changes_nothing() -> None:
    logits, index, labels, dense = case()
    every = torch.ones_like(dense).nonzero()
    off = every[dense.flatten() == 0]
    swapped = focal_loss(-logits, off[:, 0] * 30 + off[:, 1], off[:, 2], alpha=0.5, gamma=1.5)
    torch.testing.assert_close(focal_loss(logits, index, labels, alpha=0.5, gamma=1.5), swapped)


@pytest.mark.parametrize(("gamma", "smoothing"), [(1.5, 0.0), (1.5, 0.1), (2.0, 0.0), (0.0, 0.2)])
def test_focal_is_effdets_and_so_is_its_gradient(gamma: float, smoothing: float) -> None:
    effdet = pytest.importorskip("effdet.loss")
    logits, index, labels, dense = case()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    one = focal_loss(ours, index, labels, alpha=0.25, gamma=gamma, smoothing=smoothing) / 6
    other = effdet.new_focal_loss(
        theirs, dense, alpha=0.25, gamma=gamma, normalizer=torch.tensor(6.0), label_smoothing=smoothing
    ).sum()
    torch.testing.assert_close(one, other)
    (a,), (b,) = torch.autograd.grad(one, ours), torch.autograd.grad(other, theirs)
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_made_by_hand_is_right(smoothing: float) -> None:
    logits, index, labels, _ = case(1)

    def loss(x: Tensor) -> Tensor:
        return focal_loss(x, index, labels, alpha=0.25, gamma=1.5, smoothing=smoothing)

    assert torch.autograd.gradcheck(loss, logits.requires_grad_())


def test_off_the_cpu_the_focal_loss_is_few_kernels() -> None:
    """D0 at 512 and batch 32, shapes alone: each operation is a kernel to launch."""
    calls: list[object] = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            calls.append(func)
            return func(*args, **(kwargs or {}))

    logits = torch.empty(32, 49_104, 90, device="meta", requires_grad=True)
    places = labels = torch.zeros(700, dtype=torch.long, device="meta")
    with Counting():
        focal_loss(logits, places, labels, alpha=0.25, gamma=1.5)
    assert len(calls) < 500


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[[200.0], [-200.0]]]).requires_grad_()
    loss = focal_loss(logits, torch.tensor([1]), torch.tensor([0]), alpha=0.25, gamma=1.5)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(0.75 * 200 + 0.25 * 200)
    torch.testing.assert_close(gradient, torch.tensor([[[0.75], [-0.25]]]))


def setting() -> tuple[Outputs, Targets]:
    generator = torch.Generator().manual_seed(3)
    boxes, labels = batch([([1.0, 0.0, 10.0, 11.0], 1)], [([52.0, 50.0, 85.0, 95.0], 0)])
    outputs = Outputs(torch.randn(2, 4, 2, generator=generator), 0.2 * torch.randn(2, 4, 4, generator=generator))
    return outputs, assign(ANCHORS, boxes, labels)


def test_huber_is_effdets() -> None:
    effdet = pytest.importorskip("effdet.loss")
    outputs, targets = setting()
    wanted = torch.zeros(8, 4)
    wanted[targets.places] = encode_boxes(targets.boxes, targets.anchors)
    count = torch.tensor(float(len(targets.places) + 1))
    theirs = effdet._box_loss(outputs.box_deltas.view(8, 4), wanted, count, delta=0.1)
    losses = detection_loss(outputs, targets)
    torch.testing.assert_close(losses.box, theirs)
    torch.testing.assert_close(losses.total, losses.class_ + 50 * losses.box)


@pytest.mark.parametrize("box", ["huber", *BOX_LOSSES])
def test_a_perfect_box_costs_nothing(box: str) -> None:
    outputs, targets = setting()
    outputs.box_deltas.view(8, 4)[targets.places] = encode_boxes(targets.boxes, targets.anchors)
    assert detection_loss(outputs, targets, box=box).box.item() == pytest.approx(0, abs=1e-5)


def test_iou_loss_is_torchvisions_iou_and_the_others_are_dearer_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = 10 * torch.rand(2, 50, 2, generator=generator)
    boxes, targets = torch.cat([corners, corners + 1 + 8 * torch.rand(2, 50, 2, generator=generator)], 2)
    wanted = (1 - box_iou(boxes, targets).diag()).sum()
    torch.testing.assert_close(iou_loss(boxes, targets, reduction="sum"), wanted)
    apart = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([[5.0, 5.0, 6.0, 6.0]])
    values = {name: float(loss(*apart, reduction="sum")) for name, loss in BOX_LOSSES.items()}
    assert values["iou"] == 1.0 and min(values[name] for name in ("giou", "diou", "ciou")) > 1.5


def test_a_batch_without_objects_has_a_loss_and_a_gradient() -> None:
    outputs = Outputs(torch.zeros(1, 4, 2, requires_grad=True), torch.zeros(1, 4, 4, requires_grad=True))
    losses = detection_loss(outputs, assign(ANCHORS, *batch([])))
    losses.total.backward()  # type: ignore[no-untyped-call]
    assert losses.box.item() == 0 and losses.class_.item() > 0
    assert outputs.class_logits.grad is not None and (outputs.class_logits.grad > 0).all()
