"""Changes to a design before it is built: anchors fitted to the data, normalisation of the pretrained weights."""

from __future__ import annotations

import dataclasses
import logging

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import split_targets
from scalesearch.data.split import Split
from scalesearch.nn.anchors import fit_anchors
from scalesearch.nn.backbone import weights_normalisation

logger = logging.getLogger(__name__)


def with_fitted_anchors(spec: DetectorSpec, split: Split) -> DetectorSpec:
    """Return the spec with anchors fitted to the boxes of `split`, and say which they are."""
    boxes, labels = split_targets(split, spec.size)
    anchors = fit_anchors(boxes, labels, spec)
    shapes = "; ".join(f"{wide:.3g} x {high:.3g}" for wide, high in anchors.aspects)
    logger.info(
        f"anchors fitted to {split.name}: scale {anchors.scale:g}, {anchors.octaves} octaves, aspects {shapes}"
        f"{' (the published ones)' if anchors == DetectorSpec.anchors else ''}"
    )
    return dataclasses.replace(spec, anchors=anchors)


def as_weights_want(spec: DetectorSpec) -> DetectorSpec:
    """Return the spec with the normalisation of its backbone's pretrained weights, and say where it differs.

    Raises ValueError as `weights_normalisation`.
    """
    own = weights_normalisation(spec.backbone)
    if own is None or own == spec.normalisation:
        return spec
    logger.info(
        f"images are normalised by {own}, which the pretrained weights were trained with, in place of {spec.normalisation}"
    )
    return dataclasses.replace(spec, normalisation=own)
