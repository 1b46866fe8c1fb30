"""An exported detector under ONNX Runtime, evaluated like a torch one: `scalesearch eval model.onnx`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels, eval_batches
from scalesearch.data.split import Category
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Outputs
from scalesearch.nn.model_file import KEY, Classes, described
from scalesearch.nn.onnx_file import FOUND, need_onnx
from scalesearch.nn.postprocess import Detections, detect
from scalesearch.training.evaluation import BATCH, CANDIDATES, coco_results


@dataclass(frozen=True, kw_only=True)
class OnnxModel:
    """An ONNX file of ours, open under ONNX Runtime, with the contents of its properties."""

    file: Path
    spec: DetectorSpec
    classes: Classes
    session: Any
    """onnxruntime.InferenceSession."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The category of each label."""
        return tuple(Category(id=id_, name=name) for id_, name in self.classes)

    @property
    def device(self) -> torch.device:
        """The device whose memory it takes."""
        return torch.device("cpu")

    def detections(self, pixels: Pixels, method: str = "hard") -> list[dict[str, Any]]:
        """Return COCO results of all images, as `training.evaluation.predict`, with the file's suppression if any.

        ValueError where that is another than `method`.
        """
        names = [output.name for output in self.session.get_outputs()]
        if "count" in names and method != "hard":
            raise ValueError(
                f"{self.file}: a file with hard suppression inside cannot have {method}: export it without --nms"
            )
        fixed = self.session.get_inputs()[0].shape[0]
        together = fixed if isinstance(fixed, int) else BATCH
        results: list[dict[str, Any]] = []
        for batch in eval_batches(pixels, together):
            images = batch.images.permute(0, 3, 1, 2).float().numpy()
            lack = together - len(images) if isinstance(fixed, int) else 0
            filled: NDArray[np.float32] = np.pad(images, ((0, lack), (0, 0), (0, 0), (0, 0)))
            values = self.session.run(names, {"images": filled})
            found = self._found(dict(zip(names, map(torch.from_numpy, values), strict=True)), method)[: len(images)]
            results += coco_results(found, batch.index.tolist(), pixels)
        return results

    def _found(self, outputs: dict[str, torch.Tensor], method: str) -> list[Detections]:
        if "count" not in outputs:
            raw = Outputs(*(outputs[name] for name in Outputs._fields))
            return detect(raw, anchor_boxes(self.spec), self.spec.size, method=method, candidates=CANDIDATES)
        rows = zip(*(outputs[name] for name in FOUND), strict=True)
        return [
            Detections(boxes[:k], scores[:k], labels[:k]) for boxes, scores, labels, count in rows for k in [int(count)]
        ]


def open_onnx(file: Path) -> OnnxModel:
    """Open the exported detector in `file`. Raises FileNotFoundError, or ValueError for a file that is not ours."""
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file")
    need_onnx()
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=onnxruntime.get_available_providers())
    except Exception as error:  # ONNX Runtime's own exceptions have no common class
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{file}: an exported detector must be a whole ONNX file, but ONNX Runtime says: {reason}"
        ) from error
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise ValueError(
            f"{file}: an ONNX file must record its detector and classes, as `scalesearch export` writes them, but this one "
            "does not: export it again"
        )
    found = described(text, file)
    return OnnxModel(file=file, spec=found.spec, classes=found.classes, session=session)
