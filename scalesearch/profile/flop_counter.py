"""The test oracle of `cost.price`: the cost of a built module, counted by torch while it runs.

Modules and images are on the meta device, so that nothing is allocated. Counting takes from a tenth of a second to some
seconds: it serves tests and never replaces the price.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import Cost
from scalesearch.nn.detector import build

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)


def count_module(module: nn.Module, *inputs: Any) -> tuple[Cost, Any]:
    """Return the cost of one call of `module` and its result, in eval mode, without gradients.

    macs: half of FlopCounterMode's count (convolutions, matrix products, attention). activations: output elements of
    the convolutions. params: trainable ones.
    """
    outputs: list[int] = []
    hooks = [
        part.register_forward_hook(lambda _, __, out: outputs.append(out.numel()))
        for part in module.modules()
        if isinstance(part, CONVOLUTIONS)
    ]
    trainable = [p for p in module.parameters() if p.requires_grad]
    was_training = module.training
    counter = FlopCounterMode(display=False)
    try:
        # The counter hooks tensors that require gradients and fails on them under no_grad, so none may.
        module.eval().requires_grad_(False)
        with torch.no_grad(), counter:
            result = module(*inputs)
    finally:
        module.train(was_training)
        for p in trainable:
            p.requires_grad_(True)
        for hook in hooks:
            hook.remove()
    params = sum(p.numel() for p in trainable)
    return Cost(params, counter.get_total_flops() // 2, sum(outputs)), result


def count(spec: DetectorSpec) -> dict[str, Cost]:
    """Return the cost of a spec's built module by part: backbone, neck, class_head, box_head; batch 1."""
    with torch.device("meta"):
        detector = build(spec)
        images = torch.empty(1, 3, *spec.size)
    backbone, maps = count_module(detector.backbone, images)
    neck, maps = count_module(detector.neck, maps)
    class_head, _ = count_module(detector.class_head, maps)
    box_head, _ = count_module(detector.box_head, maps)
    return {"backbone": backbone, "neck": neck, "class_head": class_head, "box_head": box_head}


def fvcore_count(spec: DetectorSpec) -> int:
    """Return fvcore's multiply-adds of a spec's convolutions and linear layers, at batch 1.

    fvcore's total includes batch norm and resizing, which are left out here. It needs real tensors, and keeps the
    activations of its trace unless gradients are off. Importing it warns.
    """
    from fvcore.nn import FlopCountAnalysis

    detector = build(spec).eval()
    with torch.no_grad():
        analysis = FlopCountAnalysis(detector, torch.zeros(1, 3, *spec.size))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        by_operator = analysis.by_operator()
    return int(by_operator["conv"] + by_operator["linear"])
