"""Export of a detector to ONNX: pixels in, raw outputs or final detections out.

The graph includes normalisation. With suppression it ends in TopK, the box decoder and NonMaxSuppression, an operator
of every ONNX runtime. torch records all but NonMaxSuppression, whose output has no fixed shape. May import torch, nn
and, where they are installed, onnx and onnxruntime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.deploy import folded, onnx_program
from scalesearch.nn.detector import Detector, Outputs
from scalesearch.nn.postprocess import decode_boxes

FOUND = ("boxes", "scores", "labels", "count")
"""Outputs with suppression: [B, MOST, 4] xyxy in input pixels, [B, MOST], [B, MOST] int64, [B] int64. Best first; past
`count` values are 0 and labels -1."""

MOST, CANDIDATES, IOU, LEAST = 100, 1000, 0.5, 0.001
"""Detections per image, (anchor, class) pairs before suppression, overlap threshold, least score."""

_CANDIDATES = ("t_boxes", "t_scores", "t_labels", "t_shifted")
OPSETS = (18, 23)
"""ONNX opsets that torch's exporter writes, as of 2.11: (lowest, highest)."""


@dataclass(frozen=True, kw_only=True)
class OnnxOptions:
    """The options of an ONNX file."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Mean and deviation of the normalisation, for RGB in [0, 1]."""
    nms: bool = False
    batch: int | None = None
    """Images per run; None: any number."""
    opset: int | None = None
    """None: the exporter's default."""


def need_onnx() -> None:
    """Raise ValueError where a package that the export needs is not installed."""
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise ValueError(
            f"an ONNX file needs the packages of the extra onnx, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'scalesearch[onnx]'"
        )


def onnx_model(detector: Detector, options: OnnxOptions, properties: Mapping[str, str]) -> Any:
    """Return the detector as an onnx.ModelProto: `images` float32 [B, 3, H, W], RGB in 0..255 -> its outputs.

    The outputs are the two of `Outputs`, preceded by FOUND with `nms`. `properties` are stored in the model. Raises
    ValueError as `prepare` and `need_onnx`.
    """
    need_onnx()
    import onnx

    inside = _Normalised(folded(detector), options)
    module: nn.Module = _Candidates(inside, detector.spec) if options.nms else inside
    images = torch.zeros(options.batch or 2, 3, *detector.spec.size)
    names = (*_CANDIDATES, *Outputs._fields) if options.nms else Outputs._fields
    model: Any = onnx_program(module, images, names, batch=options.batch, opset=options.opset).model_proto
    if options.nms:
        model = _suppressed(model, options)
    onnx.helper.set_model_props(model, dict(properties))
    onnx.checker.check_model(model)
    return model


def without_raw(model: Any) -> Any:
    """Remove the two raw outputs from the model's outputs; the nodes that compute them stay."""
    kept = [output for output in model.graph.output if output.name not in Outputs._fields]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


class _Normalised(nn.Module):
    """Normalisation, then a detector's graph."""

    factor: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, options: OnnxOptions) -> None:
        super().__init__()
        self.network = network  # not `graph`, a name that torch.export uses itself
        mean, std = (torch.tensor(values)[:, None, None] for values in (options.mean, options.std))
        self.register_buffer("factor", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] in 0..255 -> class logits, box deltas."""
        logits, deltas = self.network(images * self.factor + self.shift)
        return logits, deltas


class _Candidates(nn.Module):
    """The best (anchor, class) pairs of each image, as `detect` selects them, before suppression."""

    anchors: Tensor
    limit: Tensor

    def __init__(self, inside: nn.Module, spec: DetectorSpec) -> None:
        super().__init__()
        self.inside, self.size = inside, spec.size
        self.register_buffer("anchors", anchor_boxes(spec))
        self.register_buffer("limit", torch.tensor([spec.size[1], spec.size[0]] * 2, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """[B, 3, H, W] -> boxes [B, K, 4], scores [B, K], labels [B, K], boxes shifted by class; raw outputs."""
        logits, deltas = self.inside(images)
        classes = logits.shape[2]
        # The anchor of one of the best pairs is among the best anchors by their best class.
        rows = logits.amax(2).topk(min(CANDIDATES, logits.shape[1])).indices
        few = logits.gather(1, rows[..., None].expand(-1, -1, classes)).flatten(1)
        values, places = few.topk(min(CANDIDATES, few.shape[1]))
        chosen, labels = rows.gather(1, places // classes), places % classes
        near = deltas.gather(1, chosen[..., None].expand(-1, -1, 4))
        boxes = decode_boxes(near, self.anchors[chosen]).clamp(min=0).minimum(self.limit)
        scores, lack = values.sigmoid(), MOST - min(CANDIDATES, few.shape[1])
        if lack > 0:
            boxes, scores, labels = F.pad(boxes, (0, 0, 0, lack)), F.pad(scores, (0, lack)), F.pad(labels, (0, lack))
        # Boxes of different classes never overlap once shifted, so one suppression serves all classes.
        shifted = boxes + (labels * (max(self.size) + 1))[..., None]
        return boxes, scores, labels, shifted, logits, deltas


_TAIL = """<ir_version: {ir}, opset_import: ["" : {opset}]>
suppression (float[{batch},K,4] t_boxes, float[{batch},K] t_scores, int64[{batch},K] t_labels,
             float[{batch},K,4] t_shifted)
  => (float[{batch},{most},4] boxes, float[{batch},{most}] scores, int64[{batch},{most}] labels, int64[{batch}] count)
{{
  t_most = Constant <value = int64[1] {{{most}}}> ()
  t_iou = Constant <value = float[1] {{{iou}}}> ()
  t_least = Constant <value = float[1] {{{least}}}> ()
  t_one = Constant <value = int64[1] {{1}}> ()
  t_last = Constant <value = int64[1] {{-1}}> ()
  t_places = Constant <value = int64[2] {{0, 2}}> ()
  t_zero = Constant <value = float {{0}}> ()
  t_no_label = Constant <value = int64 {{-1}}> ()
  t_by_class = Unsqueeze (t_scores, t_one)
  t_picked = NonMaxSuppression (t_shifted, t_by_class, t_most, t_iou, t_least)
  t_at = Gather <axis = 1> (t_picked, t_places)
  t_score = GatherND (t_scores, t_at)
  t_shape = Shape (t_scores)
  t_none = ConstantOfShape <value = float[1] {{0}}> (t_shape)
  t_kept = ScatterND (t_none, t_at, t_score)
  scores, t_rows = TopK (t_kept, t_most)
  t_there = Greater (scores, t_zero)
  t_row = Unsqueeze (t_rows, t_last)
  t_box = GatherND <batch_dims = 1> (t_boxes, t_row)
  t_mask = Unsqueeze (t_there, t_last)
  boxes = Where (t_mask, t_box, t_zero)
  t_label = GatherND <batch_dims = 1> (t_labels, t_row)
  labels = Where (t_there, t_label, t_no_label)
  t_ones = Cast <to = 7> (t_there)
  count = ReduceSum <keepdims = 0> (t_ones, t_one)
}}
"""


def _suppressed(model: Any, options: OnnxOptions) -> Any:
    """Append the suppression to the model of candidates."""
    import onnx

    (opset,) = [one.version for one in model.opset_import if one.domain == ""]
    values = {"ir": model.ir_version, "opset": opset, "batch": options.batch or "batch"}
    tail = onnx.parser.parse_model(_TAIL.format(**values, most=MOST, iou=IOU, least=LEAST))
    del model.opset_import[:]  # drop unused domains: both parts must name the same
    model.opset_import.extend(tail.opset_import)
    joined = onnx.compose.merge_models(model, tail, io_map=[(name, name) for name in _CANDIDATES])
    order = {name: i for i, name in enumerate((*FOUND, *Outputs._fields))}
    outputs = sorted(joined.graph.output, key=lambda output: order[output.name])
    del joined.graph.output[:]
    joined.graph.output.extend(outputs)
    return joined
