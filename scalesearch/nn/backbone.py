"""Backbones as torch modules: an EfficientNet of any width and depth, or timm's features_only.

May import arch, torch and timm.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import timm
import torch
from timm.layers.drop import DropPath
from timm.layers.norm_act import BatchNormAct2d
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual, SqueezeExcite
from timm.models._efficientnet_builder import efficientnet_init_weights
from torch import Tensor, nn

from scalesearch.arch.backbone import Backbone, EfficientNet, TimmBackbone, squeeze
from scalesearch.arch.normalisation import NORMALISATIONS, normalisation_of
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.conv import Conv2d, adopt
from scalesearch.nn.layers import Activation
from scalesearch.nn.pretrained import pretrained_config, pretrained_file
from scalesearch.nn.recompute import call


class Excite(SqueezeExcite):
    """timm's squeeze-and-excitation with its mean as sum / area: the same numbers, half the time of a step.

    The gradient of a sum is an expanded view, that of a mean a full map: 5.7 instead of 11.1 ms at [4, 144, 64, 64].
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same, each channel weighted."""
        pooled = x.sum((2, 3), keepdim=True) / (x.shape[2] * x.shape[3])
        out: Tensor = x * self.gate(self.conv_expand(self.act1(self.conv_reduce(pooled))))
        return out


class EfficientNetFeatures(nn.Module):
    """An EfficientNet without head, of timm's blocks, with timm's parameter names.

    Blocks beyond the coarsest level that the spec reads are not built.
    """

    recompute = False

    def __init__(self, spec: DetectorSpec, backbone: EfficientNet, *, stochastic_depth: float = 0.0) -> None:
        super().__init__()
        stages = backbone.cut(spec.backbone_levels[-1])
        pad = "same" if spec.backbone_same else ""
        act = partial(Activation, spec.activation)
        norm = partial(BatchNormAct2d, eps=spec.backbone_norm_eps, momentum=spec.norm_momentum)
        self.conv_stem = Conv2d(3, backbone.stem, 3, stride=2, padding=1, bias=False)
        self.conv_stem.same = spec.backbone_same
        self.bn1 = norm(backbone.stem, act_layer=act)
        self.blocks = nn.Sequential()
        c_in, above = backbone.stem, 0
        total = sum(stage.repeats for stage in backbone.stages)
        for stage in stages:
            blocks = nn.Sequential()
            for i in range(stage.repeats):
                layers: dict[str, Any] = {"norm_layer": norm, "act_layer": act, "pad_type": pad}
                layers["drop_path_rate"] = stochastic_depth * (above + i) / total
                if not backbone.lite:
                    layers["se_layer"] = partial(Excite, rd_channels=squeeze(c_in))
                layers |= {"dw_kernel_size": stage.kernel, "stride": stage.stride if i == 0 else 1}
                if stage.expansion == 1:
                    blocks.append(DepthwiseSeparableConv(c_in, stage.channels, **layers))
                else:
                    blocks.append(InvertedResidual(c_in, stage.channels, exp_ratio=stage.expansion, **layers))
                c_in = stage.channels
            above += stage.repeats
            self.blocks.append(blocks)
        # The map of a level is the output of the last block before the next halving (google/automl: reduction_<level>).
        self.taps = frozenset(len(backbone.cut(level)) - 1 for level in spec.backbone_levels)
        efficientnet_init_weights(self)
        adopt(self)

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the maps of the spec's backbone levels, finest first."""
        x = self.bn1(self.conv_stem(images))
        maps = []
        for i, stage in enumerate(self.blocks):
            for block in stage:  # type: ignore[attr-defined]
                x = call(block, x, inside=block, recompute=self.recompute)
            if i in self.taps:
                maps.append(x)
        return maps


class TimmFeatures(nn.Module):
    """A timm model's maps of the given pyramid levels, as [B, C, H, W] whatever its own layout.

    Activation, padding and norms are the model's own, since its pretrained weights need them.
    """

    recompute = False

    def __init__(
        self,
        name: str,
        levels: Sequence[int],
        size: tuple[int, int],
        *,
        pretrained: bool = False,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = adopt(_create(name, levels, size, pretrained, stochastic_depth))
        self.channels_last = getattr(self.model, "output_fmt", None) == "NHWC"

    def forward(self, images: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> the maps of the given levels, finest first."""
        maps: list[Tensor] = call(self.model, images, inside=self.model, recompute=self.recompute)
        return [x.permute(0, 3, 1, 2) for x in maps] if self.channels_last else list(maps)


def _create(
    name: str, levels: Sequence[int], size: tuple[int, int], pretrained: bool, stochastic_depth: float
) -> nn.Module:
    """Create timm's features_only model of `name`, with the maps of `levels` only; random weights unless `pretrained`.

    Raises ValueError where timm does not know the name (with the nearest names), where the model has no features_only
    or no map at one of the strides, refuses the size or stochastic depth, or where its weights cannot be loaded.
    """
    if ":" in name or "/" in name or not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(
            f"a backbone must be an efficientnet of scalesearch or a model of timm {timm.__version__}, but got {name!r}"
            + (f"; the nearest names are {', '.join(near)}" if near else "")
        )
    with torch.device("meta"):
        probe = _features_only(name)
    strides = [int(info["reduction"]) for info in probe.feature_info.info]
    for level in levels:
        if 2**level not in strides:
            raise ValueError(
                f"a backbone needs a map at stride {2**level} for level {level}, but timm's {name!r} has "
                f"strides {', '.join(map(str, sorted(set(strides))))}; take another backbone or span of levels"
            )
    # Of several maps at one stride, take the last, which is the deepest.
    last = {stride: i for i, stride in enumerate(strides)}
    sized: dict[str, Any] = {"img_size": size} if probe.pretrained_cfg.get("fixed_input_size") else {}
    if pretrained:
        # A file in the cache is loaded from there: timm would ask the network first whether there is a newer one.
        overlay = {"file": str(pretrained_file(name)), "custom_load": _custom_load(name)}
        sized |= {"pretrained": True, "pretrained_cfg_overlay": overlay}
    if stochastic_depth:
        sized["drop_path_rate"] = stochastic_depth
    model = _features_only(name, out_indices=[last[2**level] for level in levels], **sized)
    if stochastic_depth and not any(isinstance(module, DropPath) for module in model.modules()):
        raise _no_depth(name)
    # timm cuts most models after the last map that is asked for, but not EfficientNets and MobileNets.
    if read := getattr(model, "_stage_out_idx", None):
        model.blocks = model.blocks[: max(read)]
    return cast(nn.Module, model)


def _custom_load(name: str) -> bool | str:
    """Return timm's `custom_load` of a model's weights, which with True is of the original file, not of the hub's."""
    known = pretrained_config(name)
    assert known, "only a model with weights is created with them"
    return False if known.hf_hub_id and known.custom_load is True else known.custom_load


def weights_normalisation(backbone: Backbone) -> str | None:
    """Return the normalisation that the pretrained weights of timm's model expect; None without such weights.

    ValueError where no detector has that normalisation.
    """
    if not isinstance(backbone, TimmBackbone) or not timm.is_model(backbone.name):
        return None
    known = pretrained_config(backbone.name)
    if known is None:
        return None
    found = normalisation_of(known.mean, known.std)
    if found is None:
        raise ValueError(
            f"the pretrained weights of timm's {backbone.name!r} want images normalised by mean {list(known.mean)} and "
            f"deviation {list(known.std)}, but a detector has one of {', '.join(NORMALISATIONS)}: take other weights, or "
            "pretrained: false"
        )
    return found


def _features_only(name: str, **options: Any) -> Any:
    try:
        return timm.create_model(name, features_only=True, **options)
    except Exception as error:
        if isinstance(error, TypeError) and options.pop("img_size", None):
            # The weights have a fixed size, the code does not take one.
            return _features_only(name, **options)
        if options.pop("drop_path_rate", 0.0) and _works(name, options):
            raise _no_depth(name) from error
        if options.pop("pretrained", False):
            file = options.pop("pretrained_cfg_overlay")["file"]
            if _works(name, options):
                raise ValueError(
                    f"the pretrained weights of timm's {name!r} could not be loaded from {file}: {one_line(error)}; move "
                    "that file away to have it fetched again, take another name, or train with pretrained: false"
                ) from error
        where = "{}x{}".format(*options["img_size"]) if "img_size" in options else "features_only"
        raise ValueError(
            f"timm's {name!r} does not work as a backbone: {where} failed with {one_line(error)}; take another backbone "
            "or size"
        ) from error


def _no_depth(name: str) -> ValueError:
    return ValueError(
        f"stochastic_depth leaves out residual blocks, but timm's {name!r} has none that it can leave out; set "
        "stochastic_depth: 0, or take another backbone"
    )


def _works(name: str, options: dict[str, Any]) -> bool:
    """Whether the model can be built with random weights."""
    try:
        with torch.device("meta"):
            _features_only(name, **options)
    except ValueError:
        return False
    return True


def one_line(error: Exception) -> str:
    """Return another library's error as one line: its type, and its message if it has one."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def build_backbone(spec: DetectorSpec, *, pretrained: bool = False, stochastic_depth: float = 0.0) -> nn.Module:
    """Build the backbone of a spec: [B, 3, H, W] -> maps of `spec.backbone_levels`, finest first.

    A timm model gets the spec's batch-norm momentum; it keeps its own eps where the spec's is the default. `pretrained`
    takes timm's weights, fetched by timm, and is for timm's models only. In training the i-th of n blocks is dropped
    for an image with probability `stochastic_depth` * i / n (google/automl efficientnet_model.py; a few of timm's
    models count i / (n - 1)).

    Raises ValueError for a timm model that cannot be a backbone or was not measured at the spec's size, and where
    pretrained weights or stochastic depth are not available.
    """
    if pretrained and not isinstance(spec.backbone, TimmBackbone):
        raise ValueError(
            f"pretrained weights are those of a timm model, but the backbone is {spec.backbone.name}; take a "
            "timm name (tf_efficientnet_b0.in1k, resnet50, ...), or --weights, or pretrained: false"
        )
    match spec.backbone:
        case EfficientNet():
            return EfficientNetFeatures(spec, spec.backbone, stochastic_depth=stochastic_depth)
        case TimmBackbone(name=name):
            if spec.size not in spec.backbone.known.macs:
                raise ValueError(
                    f"the backbone {name!r} has not been measured at {spec.size[0]}x{spec.size[1]}, so its "
                    "maps may not fit; call scalesearch.resolve(spec) first"
                )
            model = TimmFeatures(
                name, spec.backbone_levels, spec.size, pretrained=pretrained, stochastic_depth=stochastic_depth
            )
            own = spec.backbone_norm_eps == DetectorSpec.backbone_norm_eps
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = spec.norm_momentum
                    module.eps = module.eps if own else spec.backbone_norm_eps
            return model
