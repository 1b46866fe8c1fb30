"""effdet 0.4.1's models under their own names, and the equivalent specs. For tests and benchmarks."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.arch.topology import Node, Topology

QUFPN = Topology(  # google/automl fpn_configs_test.py, in effdet's order: the last five ascend
    3,
    7,
    tuple(
        Node(level, inputs)
        for level, *inputs in (
            *[(6, 3, 4), (5, 2, 5), (4, 1, 6), (3, 0, 7), (4, 1, 7, 8), (5, 2, 6, 9), (6, 3, 5, 10), (7, 4, 11)],
            *[(4, 1, 0), (5, 2, 13), (6, 3, 14), (7, 4, 15)],
            *[(6, 3, 15, 16), (5, 2, 14, 17), (4, 1, 13, 18), (3, 0, 19)],
            *[(3, 8, 20), (4, 9, 19), (5, 10, 18), (6, 11, 17), (7, 12, 16)],
        )
    ),
)
ANCHORS = Anchors(aspects=((1.0, 1.0), (1.4, 0.7), (0.7, 1.4)))
_TORCH: dict[str, Any] = {
    "padding": "symmetric",
    "bias_before_norm": False,
    "backbone_norm_eps": 1e-5,
    "anchors": ANCHORS,
}
_LITE: dict[str, Any] = {"backbone": EfficientNet(lite=True), "activation": "relu6"}

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "efficientdet_d0": ("d0", _TORCH),
    "efficientdet_d1": ("d1", _TORCH),
    "efficientdet_d3": ("d3", _TORCH),
    "efficientdet_q0": ("d0", {**_TORCH, "topology": QUFPN}),
    "efficientdet_q1": ("d1", {**_TORCH, "topology": QUFPN, "repeats": 3, "down": "bilinear", "up": "bilinear"}),
    "efficientdet_q2": ("d2", {**_TORCH, "topology": QUFPN, "repeats": 4}),
    # Its backbone is padded PyTorch's way, its feature network TensorFlow's.
    "efficientdet_lite0": (
        "d0",
        {**_TORCH, **_LITE, "size": (384, 384), "padding": "same", "backbone_padding": "symmetric"},
    ),
    "tf_efficientdet_d0": ("d0", {"anchors": ANCHORS}),
    "tf_efficientdet_lite0": (
        "d0",
        {
            **_LITE,
            "size": (320, 320),
            "topology": bifpn(fusion="sum"),
            "anchors": dataclasses.replace(ANCHORS, scale=3.0),
        },
    ),
}
"""effdet's name -> a published detector of ours and the fields in which the peer's differs."""


def peer_spec(name: str, **changes: Any) -> DetectorSpec:
    """The spec of effdet's model `name` at its native size and 90 classes, with `changes`."""
    like, fields = MODELS[name]
    return dataclasses.replace(dataclasses.replace(named(like), **fields), **changes)


def peer_model(name: str, spec: DetectorSpec, *, seed: int | None = 0) -> nn.Module:
    """effdet's model at the spec's size and classes.

    Weights are random; unless seed is None, biases, edge weights and running statistics are too.
    """
    from effdet import get_efficientdet_config
    from effdet.efficientdet import EfficientDet

    config = get_efficientdet_config(name)
    config.image_size, config.num_classes = spec.size, spec.classes
    torch.manual_seed(seed or 0)
    model: nn.Module = EfficientDet(config, pretrained_backbone=False).eval()
    if seed is not None:
        randomise(model)
    return model


def randomise(model: nn.Module) -> None:
    """Weights, biases and statistics under which the outputs depend on the image.

    effdet's start of a training lets a signal fade to 1e-7 of the output on its way, where no error would be seen.
    """
    for key, value in model.state_dict().items():
        if "running_var" in key:
            value.uniform_(0.5, 2)
        elif "running_mean" in key or "edge_weights" in key or key.endswith("bias"):
            value.add_(torch.randn_like(value) * 0.2)
        elif value.ndim == 4:
            value.normal_(std=GAIN / value[0].numel() ** 0.5)


GAIN = 1.6
"""Of a convolution's weights over fan-in: about what an activation and a norm take from a signal."""


def flat(levels: list[Tensor], last: int) -> Tensor:
    """effdet's maps [B, anchors * last, h, w] of all levels -> [B, N, last]."""
    return torch.cat([x.permute(0, 2, 3, 1).reshape(len(x), -1, last) for x in levels], 1)


@torch.no_grad()
def largest_error(theirs: nn.Module, ours: nn.Module, images: Tensor, classes: int) -> float:
    """The largest difference of raw outputs, over the largest output."""
    errors = []
    for mine, levels, last in zip(ours(images), theirs(images), (classes, 4), strict=True):
        reference = flat(levels, last)
        errors.append(float((mine - reference).abs().max() / reference.abs().max()))
    return max(errors)
