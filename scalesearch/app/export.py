"""Export of a trained detector: ONNX, checked under ONNX Runtime, or weights only."""

from __future__ import annotations

import json
from pathlib import Path

from scalesearch.app.trained_model import Model
from scalesearch.arch.normalisation import NORMALISATIONS
from scalesearch.data.decoded_file import PAD
from scalesearch.io.publish import publish_or_keep
from scalesearch.nn.agreement import Agreement, compare_outputs
from scalesearch.nn.memory_limit import check_inference
from scalesearch.nn.model_file import KEY, description_text, save_weights
from scalesearch.nn.onnx_file import OnnxOptions, onnx_model, without_raw


def export_weights(model: Model, file: Path) -> None:
    """Write a .safetensors file with weights, spec and classes. Raises ValueError where the classes have no names."""
    save_weights(model.detector.cpu(), tuple((c.id, c.name) for c in model.categories), file)


def export_onnx(
    model: Model, file: Path, *, nms: bool = False, batch: int | None = None, opset: int | None = None
) -> Agreement:
    """Write the detector as an ONNX file and return its agreement with torch.

    Raises ValueError, and writes nothing, where they differ by more than rounding or the extra onnx is not installed.
    """
    mean, std = NORMALISATIONS[model.spec.normalisation]
    options = OnnxOptions(mean=mean, std=std, nms=nms, batch=batch, opset=opset)
    check_inference(model.spec, batch or 1)
    detector = model.detector.cpu()
    made = onnx_model(detector, options, _properties(model, nms))
    found = compare_outputs(made.SerializeToString(), detector, options)
    found.check()
    publish_or_keep(file, (without_raw(made) if nms else made).SerializeToString())
    return found


def _properties(model: Model, nms: bool) -> dict[str, str]:
    """Return the file's properties: what its users must know, and what this project reads back."""
    spec, categories = model.spec, model.categories
    (height, width), (mean, std) = spec.size, NORMALISATIONS[spec.normalisation]
    outputs = (
        "boxes: xyxy in input pixels, best first; labels: places in classes; past count: 0 and -1"
        if nms
        else "class_logits: of each anchor and class, before the sigmoid; box_deltas: ty, tx, th, tw against anchors"
    )
    return {
        "spec_id": spec.id,
        "classes": json.dumps([category.name for category in categories], ensure_ascii=False),
        "category_ids": json.dumps([category.id for category in categories]),
        "input_size": json.dumps([height, width]),
        "input": f"images: float32 [B, 3, {height}, {width}], RGB in 0..255; normalisation is in the graph",
        "normalisation": json.dumps({"name": spec.normalisation, "mean": mean, "std": std}),
        "letterbox": f"the largest scale that fits, at the top left; the rest is {list(PAD)}",
        "outputs": outputs,
        KEY: description_text(spec, [(category.id, category.name) for category in categories]),
    }
