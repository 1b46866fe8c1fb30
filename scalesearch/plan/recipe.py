"""`Recipe`: the hyper-parameters of training, as immutable data. Standard library and `io`.

The defaults are the short recipe of docs/recipe.md, chosen by its spread over seeds as much as by its AP. `PRESETS`
has the published one, too. Momentum and eps of batch norms are fields of the detector (`DetectorSpec`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalesearch.io.hashes import short_hash
from scalesearch.plan.recipe_values import RANGES, typed_value

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": ("adamw", "sgd"),
    "box_loss": ("huber", "iou", "giou", "diou", "ciou"),
    "precision": ("fp32", "bf16", "fp16"),
}
"""The choices of the fields of `Recipe` that are words."""


NONE = "none"
"""No weights, no frozen stages: a word, since a plan's text has at least one character."""
FREEZES = (NONE, "backbone", *(str(level) for level in range(1, 6)))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hyper-parameters of training. Raises ValueError for a value outside its range, naming the field."""

    epochs: int = 30
    """Epochs of the whole schedule: warm-up and cosine end here, whichever part of it a task trains."""
    steps: int = 0
    """Steps of the whole schedule; the epochs are worked out once the number of images is known, each as long as an epoch
    or a little shorter. 30 epochs of 100 images are 360 steps of 8, too few for most. 0: the epochs as given."""
    batch: int = 8
    """Images a step, over all processes. It is small because a CPU's time grows with the images, and a short run needs
    steps."""
    optimizer: str = "adamw"
    learning_rate: float = 8e-3
    """Peak learning rate for `reference_batch` images a step."""
    reference_batch: int = 0
    """The batch of `learning_rate`, which is scaled in proportion to `batch` (google/automl: 0.08 for 64).
    0: no scaling. That is the default, since AdamW's best rate grows more slowly than the batch."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises linearly from 0; then it falls by a cosine to 0."""
    momentum: float = 0.9
    """Momentum of SGD; AdamW has its usual (0.9, 0.999)."""
    nesterov: bool = True
    """Whether SGD uses Nesterov momentum; the published recipe does not."""
    weight_decay: float = 4e-5
    """Weight decay, on kernels only (EfficientDet sec. 5.1). SGD: added to the gradient; AdamW: decoupled."""
    clip: float = 10.0
    """Largest norm of the whole gradient; 0 disables clipping."""
    ema: float = 0.998
    """Decay of the averaged weights, which are evaluated: min(ema, (1 + t) / (10 + t)) at step t; 0: no averaging."""
    norm_batches: int = 16
    """Training batches over which batch-norm statistics are re-estimated before an evaluation; 0: the running ones,
    which lag behind after a few hundred steps at a momentum of 0.01 (docs/recipe.md: 0.11 AP, and the spread)."""
    freeze_norms: bool = False
    """Keep the batch-norm statistics of the initial weights in training and evaluation: for pretrained weights and
    batches too small for statistics of their own."""
    match_iou: float = 0.5
    """An anchor is assigned to the box that it overlaps most if their IoU is at least this; else it is background."""
    match_best: int = 1
    """The number of its best anchors that each box is assigned whatever their IoU."""
    focal_alpha: float = 0.25
    focal_gamma: float = 1.5
    label_smoothing: float = 0.0
    box_loss: str = "huber"
    box_weight: float = 50.0
    """Weight of the box loss relative to the class loss (EfficientDet: 50 for Huber)."""
    huber_delta: float = 0.1
    jitter: tuple[float, float] = (0.8, 1.25)
    """Range of the random zoom; (1, 1) is none. Shorter runs need a milder one (EfficientDet's appendix: [0.5, 1.5] was
    best at 30 epochs, [0.1, 2] at 300)."""
    flip: bool = True
    """Mirror half of the images; not for objects with a left and a right, such as digits."""
    flip_vertical: bool = False
    """Turn half of the images upside down, too: for pictures from above, as of a microscope, a satellite or a drone."""
    colour: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Strength of random brightness, contrast, saturation and hue, as in torchvision's ColorJitter: factors from
    [1 - s, 1 + s], hue shifted by [-s, s] of its circle. The published recipe has none, and it is expensive: the hue of
    an image takes longer than its zoom."""
    mosaic: float = 0.0
    """Share of the images that are replaced by four shrunken ones of the batch (YOLOv4). For long runs on little data:
    a short run lacks steps, not variety."""
    mixup: float = 0.0
    """Share of the images that are averaged with another of the batch and keep the boxes of both (YOLOX)."""
    stochastic_depth: float = 0.0
    """Rate at which the backbone's last block is dropped per image, falling linearly to 0 at its first. The published
    rate is 0.2 from EfficientNet-B1 on and 0 for B0, as here."""
    pretrained: bool = False
    """Start a timm backbone from timm's pretrained weights; other backbones have none."""
    weights: str = NONE
    """Initial weights: a file, a training's folder, or an installed package that has some."""
    weights_hash: str = NONE
    """Hash of the content of the initial weights, filled in when a training or a study begins. It is part of the id in
    place of the path, so that weights are the same wherever they lie, and others are not."""
    freeze: str = NONE
    """The part of the backbone that is not trained: none, backbone, or the stages up to the map of a level 1 .. 5, as 3.
    Its norms keep the statistics of the initial weights."""
    unfreeze_at: int = 0
    """Epoch from which everything is trained, as fine-tuning in two phases; 0: never."""
    backbone_lr: float = 1.0
    """Factor of the backbone's learning rate."""
    rate_width: int = 0
    """Width at which `learning_rate` is right: kernels that read the feature network's or the heads' n channels take
    rate_width / n of it (muP for Adam, docs/recipe.md). 0: the same rate for every width."""
    rate_depth: float = 0.0
    """Effective depth (`arch/depth.py`) at which `learning_rate` is right: feature network and heads of depth d take
    (rate_depth / d)^1.5 of it. 0: the same rate for every depth."""
    precision: str = "fp32"
    """Precision of the network in training: bf16 and fp16 by autocast, fp16 (on CUDA only) with dynamic loss scaling.
    Weights, loss, evaluation and batch-norm statistics stay in float32. bf16 is slower on a CPU without bf16 units."""
    compile: bool = False
    """Train with torch.compile: a minute and more at the start of each task, then faster steps."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: half the memory, a third more time, the same numbers."""
    eval_every: int = 0
    """Epochs between evaluations; 0: only at the end of a task."""

    def __post_init__(self) -> None:
        for name in ("jitter", "colour"):
            if isinstance(getattr(self, name), (list, tuple)):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        level: object = self.freeze
        if type(level) is int:
            object.__setattr__(self, "freeze", str(level))
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, typed_value(item.name, getattr(self, item.name), item.default))
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must satisfy {low:g} <= {name} <= {high:g}, but got {getattr(self, name)!r}")
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be one of {', '.join(words)}, but got {getattr(self, name)!r}")
        if self.source and self.pretrained:
            raise ValueError(
                f"weights and pretrained are two starts, but got {self.weights!r} and pretrained: true; keep one of them"
            )
        if self.rate_width and self.optimizer != "adamw":
            raise ValueError(
                f"rate_width is a rule for adamw, but got {self.rate_width} and optimizer: {self.optimizer}; set it to 0"
            )
        if self.freeze not in FREEZES:
            raise ValueError(
                f"freeze must be none, backbone, or a level from 1 to 5 up to which stages are frozen, but got {self.freeze!r}"
            )
        if self.unfreeze_at and self.freeze == NONE:
            raise ValueError(
                f"unfreeze_at is for frozen stages, but got {self.unfreeze_at} and freeze: none; set freeze"
            )
        if not self.steps:
            self._check_phases()
        if self.compile and self.checkpointing:
            raise ValueError(
                "compile and checkpointing cannot both be true, since torch does not compile the one inside the "
                "other: set one of them to false"
            )
        if not (all(0 <= strength <= 1 for strength in self.colour) and self.colour[3] <= 0.5):
            raise ValueError(
                "colour must be [brightness, contrast, saturation, hue] with 0 <= strength <= 1 and hue at most 0.5, but "
                f"got {list(self.colour)}"
            )
        if not 0.01 <= self.jitter[0] <= self.jitter[1] <= 100:
            raise ValueError(f"jitter must be a pair with 0.01 <= low <= high <= 100, but got {list(self.jitter)}")

    def _check_phases(self) -> None:
        if self.unfreeze_at >= self.epochs and self.unfreeze_at:
            raise ValueError(
                f"unfreeze_at must be below the {self.epochs} epochs, but got {self.unfreeze_at}; 0 is never"
            )

    def steps_of_epoch(self, images: int) -> int:
        """Return the steps of an epoch of so many images: a short last batch is dropped unless it is the only one.

        Fewer where `steps` are not a whole number of epochs: each epoch leaves out as many, others each time.
        """
        whole = max(1, images // self.batch)
        return min(whole, max(1, round(self.steps / self.epochs))) if self.steps else whole

    def for_images(self, images: int) -> Recipe:
        """Return the recipe with the epochs that its `steps` are of so many images; the same one without `steps`.

        ValueError where the backbone would be unfrozen after its last epoch.
        """
        if not self.steps:
            return self
        epochs = math.ceil(self.steps / max(1, images // self.batch))
        recipe = dataclasses.replace(self, epochs=epochs)
        recipe._check_phases()
        return recipe

    @property
    def source(self) -> str | None:
        """Where the initial weights lie; None for random ones, or timm's if `pretrained`."""
        return None if self.weights == NONE else self.weights

    @property
    def frozen_backbone(self) -> bool:
        """Whether no part of the backbone is ever trained."""
        return self.freeze == "backbone" and not self.unfreeze_at

    @property
    def peak(self) -> float:
        """The peak learning rate at this batch."""
        scale = self.batch / self.reference_batch if self.reference_batch else 1.0
        return self.learning_rate * scale

    @property
    def id(self) -> str:
        """Twelve hex digits: a hash of the fields that differ from their defaults."""
        fields = self.to_dict()
        if self.weights_hash != NONE:
            fields.pop("weights", None)
        return short_hash(json.dumps(fields, sort_keys=True, separators=(",", ":")))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data of the fields that differ from their defaults; `from_dict` is the inverse."""
        changed = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if getattr(self, item.name) != item.default
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in changed.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Invert `to_dict`; ValueError names an unknown field, a wrong type or a value out of range."""
        return cls().replaced(data)

    def replaced(self, data: Mapping[str, Any]) -> Recipe:
        """Return this recipe with the fields of `data` replaced. ValueError as `from_dict`.

        Other weights need another hash. Epochs without steps replace the steps, too; of both, the steps count.
        """
        names = [item.name for item in dataclasses.fields(self)]
        if unknown := sorted(set(data) - set(names)):
            raise ValueError(f"a recipe has the fields {', '.join(names)}, but got {unknown[0]!r}")
        if "weights" in data or "pretrained" in data:
            data = {"weights_hash": NONE, **data}
        if "epochs" in data and "steps" not in data:
            data = {**data, "steps": 0}
        return dataclasses.replace(self, **data)


PRESETS: dict[str, Recipe] = {
    "short": Recipe(),
    # google/automl hparams_config.py and det_model_fn.py; EfficientDet sec. 5.1: 0.16 at batch 128, one epoch of
    # warm-up. The averaged weights are evaluated with running statistics.
    "efficientdet": Recipe(
        epochs=300,
        batch=128,
        optimizer="sgd",
        learning_rate=0.08,
        reference_batch=64,
        warmup=1 / 300,
        nesterov=False,
        ema=0.9998,
        norm_batches=0,
        jitter=(0.1, 2.0),
        stochastic_depth=0.2,
    ),
}
"""Recipes by name; a plan or the command line may name one and replace some of its fields."""
