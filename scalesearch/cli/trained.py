"""Commands on a trained detector: eval, predict, export."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import click

from scalesearch.cli.options import DEVICE, FILE, FOLDER, PATH, SIZE, Finite, need_device, printing
from scalesearch.inputs.quoting import quoted

logger = logging.getLogger(__name__)

DESIGN = click.option("--design", help="The detector, if WEIGHTS does not record it: d0 .. lite4, or a file.")


def _is_results(file: Path) -> bool:
    found = json.loads(file.read_bytes())
    return isinstance(found, list) and all({"image_id", "score"} <= row.keys() for row in found)


@click.command("eval")
@click.argument("weights", type=PATH)
@click.option("--data", required=True, help="Folder of an export (docs/data.md), or digits.")
@click.option("--split", default="val", show_default=True, help="Which of its splits.")
@click.option(
    "--out", "-o", type=FILE, help="Write the detections here, as COCO results with the data's own ids: .json."
)
@click.option("--plots", type=FOLDER, metavar="DIR", help="Draw the confusion matrix and precision over recall there.")
@click.option(
    "--nms",
    type=click.Choice(["hard", "soft"]),
    default="hard",
    show_default=True,
    help="Suppression: hard at IoU 0.5, or Gaussian soft-NMS, by which EfficientDet's published AP is measured.",
)
@DESIGN
@SIZE
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="One object.")
def evaluate(
    weights: Path,
    data: str,
    split: str,
    out: Path | None,
    plots: Path | None,
    nms: str,
    design: str | None,
    size: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """COCO's twelve numbers of WEIGHTS on a split, and those of each class by size.

    WEIGHTS is a training's folder (its last checkpoint), a checkpoint, an exported .onnx, or another file of weights,
    effdet's among them.

    \b
    Examples:
      scalesearch eval results/train-0123456789ab-0123456789ab-s0 --data coco/ --plots plots/
      scalesearch eval model.onnx --data coco/ -o detections.json
      scalesearch eval runs/best.pt --data coco/ --split val2017 --size 640x640 --json
      scalesearch eval efficientdet_d0.pth --design d0 --data coco/
    """
    from scalesearch.data.sets import check_split
    from scalesearch.io.target import claim_file, claim_folder

    check_split(data, split)
    need_device(device)
    if out:
        claim_file(out, "a list of detections", _is_results)
    if plots:
        claim_folder(plots, "a folder of plots")
    from scalesearch.app.evaluate import evaluate as run
    from scalesearch.app.write_evaluation import open_scored, write_detections, write_plots
    from scalesearch.console.evaluation_tables import show_evaluation
    from scalesearch.console.progress import RichConsole
    from scalesearch.data.sets import open_split

    model = open_scored(weights, design=design, size=size)
    own = open_split(data, split)
    for line in own.notes:
        logger.info(f"{own.name}: {line}")
    with RichConsole(stderr=as_json):
        found = run(model, own, nms)
    if out:
        write_detections(found, own, out)
    if plots:
        write_plots(found, plots)
    text = json.dumps(found.summary, indent=2)
    with printing(lambda: text):
        if as_json:
            click.echo(text)
        else:
            show_evaluation(found.summary)


@click.command()
@click.argument("weights", type=PATH)
@click.argument("images", type=PATH, nargs=-1, required=True, metavar="IMAGE...")
@click.option("--out", "-o", type=FOLDER, required=True, help="Folder of the drawn pictures and of detections.json.")
@click.option("--score", type=Finite(0, 1), default=0.3, show_default=True, help="The least score.")
@DESIGN
@SIZE
def predict(
    weights: Path, images: tuple[Path, ...], out: Path, score: float, design: str | None, size: str | None
) -> None:
    """Draw what WEIGHTS finds in each IMAGE, a file or a folder of them, with names and scores.

    What cannot be read is named at the end; the other pictures are done, and the exit status is 1.

    \b
    Examples:
      scalesearch predict results/train-0123456789ab-0123456789ab-s0 photo.jpg -o out
      scalesearch predict runs/best.pt photos/ more/a.png -o out --score 0.5
    """
    from scalesearch.io.target import claim_folder

    claim_folder(out, "a folder of drawn pictures")
    from scalesearch.app.predict import draw_detections
    from scalesearch.app.trained_model import open_model
    from scalesearch.console.progress import RichConsole

    model = open_model(weights, design=design, size=size)
    with RichConsole():
        unread = draw_detections(model, images, out, score=score)
    for line in unread:
        logger.warning(f"skipped: {line}")
    if unread:
        sys.exit(1)


def _batch(context: click.Context, parameter: click.Parameter, value: str) -> int | None:
    if value == "dynamic":
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,4}", value) or int(value) > 65_536:
        raise click.BadParameter(f"must be a number from 1 to 65536, or dynamic, but got {quoted(value)}")
    return int(value)


def _size(weights: Path) -> int:
    """Return the bytes of the largest file of weights there; an export takes a quarter of a checkpoint or more."""
    files = weights.glob("*.pt") if weights.is_dir() else [weights]
    return max((file.stat().st_size for file in files if file.is_file()), default=0)


@click.command()
@click.argument("weights", type=PATH)
@click.option("--out", "-o", type=FILE, required=True, help="The file: .onnx, or .safetensors for weights alone.")
@click.option("--nms", is_flag=True, help="Final detections: boxes, scores, labels, count; else the raw outputs.")
@click.option("--batch", default="dynamic", show_default=True, callback=_batch, metavar="N", help="Images at a time.")
@click.option("--opset", type=click.IntRange(18, 23), help="Version of ONNX's operators; torch's choice by default.")
@DESIGN
@SIZE
def export(
    weights: Path, out: Path, nms: bool, batch: int | None, opset: int | None, design: str | None, size: str | None
) -> None:
    """Write WEIGHTS as an ONNX file that takes RGB pixels in 0..255, and check it under ONNX Runtime.

    Classes, spec and input size are properties of the file. It is kept only where it agrees with torch.

    \b
    Examples:
      scalesearch export results/train-0123456789ab-0123456789ab-s0 -o model.onnx --nms
      scalesearch export runs/best.pt -o model.onnx --batch 1 --size 384x640
      scalesearch export runs/best.pt -o model.safetensors
    """
    from scalesearch.io.marks import claim_export

    if out.suffix not in (".onnx", ".safetensors"):
        raise ValueError(f"an export is an .onnx or a .safetensors file, but got {str(out)!r}; name it so")
    if out.suffix == ".safetensors" and (nms or batch or opset):
        raise ValueError("--nms, --batch and --opset are for an .onnx file; leave them out for weights alone")
    claim_export(out, weights, room=_size(weights) // 4)
    from scalesearch.app.export import export_onnx, export_weights
    from scalesearch.app.trained_model import open_model
    from scalesearch.nn.onnx_file import need_onnx

    if out.suffix == ".safetensors":
        export_weights(open_model(weights, design=design, size=size), out)
        click.echo(out)
        return
    need_onnx()
    model = open_model(weights, design=design, size=size)
    found = export_onnx(model, out, nms=nms, batch=batch, opset=opset)
    same = "" if found.same is None else f", {found.same:.2%} of the detections the same"
    agreement = f"{found.images} images under ONNX Runtime: largest relative difference {found.difference:.2g}{same}"
    click.echo(f"{out}: {agreement}")
