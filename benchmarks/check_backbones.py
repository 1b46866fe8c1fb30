"""Which of timm's models serve as backbones? Writes results/checks/backbones.txt.

    python benchmarks/check_backbones.py       # a minute on one core; pytest takes a sample of the families

Models of many families on the meta device: accepted with the maps that they are known to have, their operators summing to
their price, or refused with the reason. `tests/nn/test_backbone.py` builds a few for real.
"""

from __future__ import annotations

import argparse
import platform
import re
import tempfile
from pathlib import Path

import timm
import torch

from scalesearch.profile.resolve import resolve

ACCEPTED = {  # by family: name -> channels at strides 8, 16, 32
    "ResNet": {"resnet18": (128, 256, 512), "seresnet50": (512, 1024, 2048), "resnetv2_50": (512, 1024, 2048)},
    "ResNeXt": {"resnext50_32x4d": (512, 1024, 2048), "resnest14d": (512, 1024, 2048)},
    "MobileNet": {
        "mobilenetv2_100": (32, 96, 320),
        "mobilenetv3_large_100": (40, 112, 960),
        "mobilenetv4_conv_small": (64, 96, 960),
    },
    "EfficientNet": {"efficientnet_b0": (40, 112, 320), "efficientnetv2_rw_t": (48, 128, 208)},
    "searched": {"mnasnet_100": (40, 96, 320), "fbnetc_100": (32, 112, 352), "hardcorenas_a": (40, 112, 960)},
    "MixNet": {"mixnet_s": (40, 120, 200)},
    "RegNet": {"regnetx_002": (56, 152, 368), "regnety_004": (104, 208, 440)},
    "ConvNeXt": {"convnext_atto": (80, 160, 320), "convnextv2_atto": (80, 160, 320)},
    "DenseNet": {"densenet121": (512, 1024, 1024)},
    "DLA": {"dla34": (128, 256, 512)},
    "HRNet": {"hrnet_w18_small": (256, 512, 1024)},
    "VGG": {"vgg11": (512, 512, 512), "repvgg_a0": (96, 192, 1280)},
    "VoVNet": {"vovnet39a": (512, 768, 1024), "ese_vovnet19b_dw": (512, 768, 1024)},
    "CSP": {"cspresnet50": (256, 512, 1024), "cspdarknet53": (256, 512, 1024)},
    "Swin": {"swin_tiny_patch4_window7_224": (192, 384, 768), "swinv2_cr_tiny_224": (192, 384, 768)},
    "MaxViT": {"maxvit_tiny_tf_224": (128, 256, 512), "coatnet_0_rw_224": (192, 384, 768)},
    "PVT": {"pvt_v2_b0": (64, 160, 256), "twins_pcpvt_small": (128, 320, 512)},
    "MetaFormer": {"poolformer_s12": (128, 320, 512)},
    "MobileViT": {"mobilevit_xxs": (48, 64, 320), "edgenext_xx_small": (48, 88, 168)},
    "GhostNet": {"ghostnet_100": (40, 80, 160)},
    "FastViT": {"fastvit_t8": (96, 192, 384), "mobileone_s0": (128, 256, 1024)},
    "FocalNet": {"focalnet_tiny_srf": (192, 384, 768)},
    "DaViT": {"davit_tiny": (192, 384, 768)},
    "EfficientViT": {"efficientvit_b0": (32, 64, 128)},
    "HGNet": {"hgnetv2_b0": (256, 512, 1024)},
    "Hiera": {"hiera_tiny_224": (192, 384, 768)},
    "TinyViT": {"tiny_vit_5m_224": (128, 160, 320)},
    "MambaOut": {"mambaout_femto": (96, 192, 288)},
    "NFNet": {"eca_nfnet_l0": (512, 1536, 2304)},
    "DPN": {"dpn68": (320, 704, 832)},
    "Xception": {"xception41": (728, 1024, 2048)},
}
REFUSED = {
    "vit_tiny_patch16_224": "stride 8 for level 3, but timm's 'vit_tiny_patch16_224' has strides 16; take",
    "mixer_b16_224": "stride 8 for level 3, but timm's 'mixer_b16_224' has strides 16; take",
    "nest_tiny": "stride 32 for level 5, but timm's 'nest_tiny' has strides 4, 8, 16; take",
    "convmixer_768_32": "stride 8 for level 3, but timm's 'convmixer_768_32' has strides 7; take|features_only not implemented",
    "sequencer2d_s": "stride 8 for level 3, but timm's 'sequencer2d_s' has strides 7, 14; take",
    "shvit_s1": "stride 8 for level 3, but timm's 'shvit_s1' has strides 16, 32, 64; take",
    "pit_ti_224": "(must have .* 32x40 cells at 256x320, but timm's 'pit_ti_224' gives 31x39|has strides 7, 14, 28); take another backbone",
    "inception_v3": "must have .* 32x40 cells at 256x320, but timm's 'inception_v3' gives 29x37; take another",
    "halonet26t": "'halonet26t' failed on an image of 256x320 with AssertionError; take a size",
    "efficientformer_l1": "'efficientformer_l1' failed on an image of 256x320 with RuntimeError: .*; take",
    "mvitv2_tiny": "'mvitv2_tiny' does not work as a backbone: 256x320 failed with AssertionError; take",
    "metaformer": "a model of timm .*, but got 'metaformer'; the nearest names are .*former",
}
SIZE, LEVELS = (256, 320), (3, 4, 5)


def differs(name: str, channels: tuple[int, ...], cache: Path) -> str:
    """What is wrong with an accepted model; empty where nothing is.

    The sizes of its maps are checked where they are measured: `resolve` refuses others.
    """
    found = resolve(name, sizes=[SIZE], levels=LEVELS, cache=cache).known
    if found.channels != dict(zip(LEVELS, channels, strict=True)):
        return f"{name}: channels {found.channels}, not {channels}"
    if sum(row.macs for row in found.operators[SIZE]) != found.macs[SIZE]:
        return f"{name}: its operators do not sum to its price"
    if not (found.params > 0 and found.macs[SIZE] > found.activations[SIZE] > 0):
        return f"{name}: parameters, multiply-adds and activations are in no order"
    return ""


def refusal(name: str, cache: Path) -> str:
    """The line that refuses a model; empty where it is taken."""
    try:
        resolve(name, sizes=[SIZE], levels=LEVELS, cache=cache)
    except ValueError as error:
        return str(error)
    return ""


def main() -> None:
    """Resolves all and writes what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/checks/backbones.txt"))
    args = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        for models in ACCEPTED.values():
            wrong += filter(None, (differs(name, channels, Path(place)) for name, channels in models.items()))
        for name, reason in REFUSED.items():
            if not re.search(reason, said := refusal(name, Path(place))):
                wrong.append(f"{name}: refused with {said!r}")
    versions = f"python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}"
    lines = [
        f"python benchmarks/check_backbones.py: {SIZE[0]}x{SIZE[1]}, {versions}",
        f"accepted  {sum(map(len, ACCEPTED.values()))} models of {len(ACCEPTED)} families: {', '.join(ACCEPTED)}",
        f"refused   {len(REFUSED)}: {', '.join(REFUSED)}",
        f"different {len(wrong)}",
        *wrong,
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
