"""Valid inputs of each kind for check_fuzz.py, in one folder."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

from scalesearch.app import rehearse
from scalesearch.app.train_one import train
from scalesearch.arch import spec as specs
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.latency import HeldOut, LatencySetting, LatencyTable
from scalesearch.cost.price import price
from scalesearch.data.sets import Data, open_data
from scalesearch.nn.detector import build
from scalesearch.nn.model_file import save_weights
from scalesearch.plan.design import read_design, read_recipe_file
from scalesearch.plan.latency_table import write_table
from scalesearch.plan.plan import read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.records.folder import StudyFolder
from scalesearch.records.row import Row

DESIGN = "space: {backbone: efficientnet-w0.25-d0.3, size: 64, width: 8, repeats: 1, head_depth: 1, max_level: 5}\n"
GRAPH = """topology:
  levels: [3, 5]
  nodes:
    - [4, [1, 2], fast]
    - {level: 3, inputs: [0, 3], fusion: sum}
    - [4, [1, 3, 4], softmax]
    - [5, [2, 5], gate_max]
"""
PLAN = """name: fuzz
data: {source: coco, select: 0.4}
space:
  backbone: efficientnet-w0.25-d0.3
  topology: [fpn, bifpn, graph.yaml]
  size: 64
  width: {low: 8, high: 24, step: 8}
  repeats: [1, 2]
  head_depth: 1
  max_level: 5
band: {macs: {min: 1M, max: 100M}}
sampler: {name: random}
trials: 1
recipe: {epochs: 1, batch: 2, jitter: [1, 1]}
winners: {top: 1, seeds: [0]}
baselines: {plain: {topology: fpn, width: 16, repeats: 1}}
"""
TIMED = PLAN.replace("band: {", "latency: {table: table.json}\nband: {latency: {max: 1s}, ")
RECIPE = "epochs: 1\nbatch: 2\noptimizer: sgd\ncolour: [0.1, 0, 0, 0]\n"


# ---- valid inputs ----


def make_inputs(folder: Path) -> None:
    """One file of each kind; each command of check_fuzz.py succeeds on them."""
    folder.mkdir(parents=True)
    for name, text in (
        ("design.yaml", DESIGN),
        ("graph.yaml", GRAPH),
        ("plan.yaml", PLAN),
        ("timed.yaml", TIMED),
        ("recipe.yaml", RECIPE),
    ):
        (folder / name).write_text(text)
    for split, count in (("train", 6), ("val", 2)):
        _coco(folder / "coco", split, count)
    spec = read_design(str(folder / "design.yaml"), classes=2)
    (folder / "design.json").write_text(json.dumps(specs.to_dict(spec), indent=1))
    _weights(folder, spec)
    _table(folder / "table.json")
    _study(folder, spec)
    _laws(folder, spec)
    _points(folder)
    _rehearsal(folder)
    (folder / "link.yaml").symlink_to("design.yaml")


def _coco(folder: Path, split: str, count: int) -> None:
    rng = random.Random(split)
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    document: dict[str, Any] = {"images": [], "annotations": []}
    document["categories"] = [{"id": 3, "name": "red"}, {"id": 7, "name": "blue"}]
    for number in range(count):
        picture = np.full((48, 64, 3), 128, np.uint8)
        document["images"].append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        for k in range(2):
            x, y = rng.randrange(30), rng.randrange(20)
            picture[y : y + 20, x : x + 24] = ((220, 40, 40), (40, 60, 220))[k]
            box = {"id": 2 * number + k, "image_id": number, "category_id": (3, 7)[k], "bbox": [x, y, 24, 20]}
            document["annotations"].append({**box, "area": 480, "iscrowd": 0})
        PIL.Image.fromarray(picture).save(folder / split / f"{number}.png")
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


def _weights(folder: Path, spec: DetectorSpec) -> None:
    torch.manual_seed(0)
    detector, classes = build(spec), ((3, "red"), (7, "blue"))
    save_weights(detector, classes, folder / "weights.safetensors")
    recipe = read_recipe_file(folder / "recipe.yaml", ())
    train(spec, recipe, data=str(folder / "coco"), seed=0, out=folder / "run")
    torch.save(detector.state_dict(), folder / "plain.pth")


def _table(file: Path) -> None:
    setting = LatencySetting(device="x", backend="eager", precision="fp32", threads=1, batch=1, versions={"torch": "2"})
    prices = {"elementwise": {"calls": 1e-6, "read": 1e-9}, "pointwise": {"macs": 1e-10}}
    error = HeldOut(candidates=3, mean=0.05, worst=0.1)
    made = {"0123456789ab": (1000, 0.01)}
    write_table(LatencyTable(setting=setting, reference=0.003, prices=prices, error=error, made_from=made), file)


def _study(folder: Path, spec: DetectorSpec) -> None:
    plan = read_plan(folder / "plan.yaml", ["trials=3", "anchors={octaves: 3}", f"data.source={folder / 'coco'}"])
    data = open_data(str(folder / "coco"), train="train", val="val", select=0.4, seed=0)
    with StudyFolder.open(folder / "study", plan, data=data.fingerprint) as study:
        for ordinal, width in enumerate((8, 16, 24)):
            point = {"topology": "fpn", "width": width, "repeats": 1}
            found = plan.space(classes=2, anchors=spec.anchors).spec(point)
            searched = _row(found, plan.recipe, data, point, ordinal)
            study.write(searched)
            if ordinal:
                final = {"train": plan.data.train, "evaluated": data.splits["val"]}
                for seed in (0, 1):
                    study.write(replace(searched, kind="winner", seed=seed, splits=final))
        study.write(replace(searched, kind="baseline", name="plain", splits=final))
    (folder / "row.json").write_text((folder / "study" / "rows" / "search-000000.json").read_text())


def _row(spec: DetectorSpec, recipe: Recipe, data: Data, point: dict[str, Any], ordinal: int) -> Row:
    ap = 0.1 * (ordinal + 1)
    return Row(
        kind="search",
        ordinal=ordinal,
        proposed_by="random",
        point=point,
        spec=spec,
        spec_id=spec.id,
        cost=price(spec)._asdict(),
        recipe=recipe.to_dict(),
        recipe_id=recipe.id,
        data=data.fingerprint,
        splits={"train": data.splits["train"], "evaluated": data.splits["select"]},
        seed=0,
        epochs_done=1,
        epochs_planned=1,
        curve=((1, {"ap": ap, "ap50": 0.5}),),
        final={"ap": ap, "ap50": 0.5, "ap_large": None},
        per_class={"red": ap, "blue": None},
        state="complete",
        seconds=1.5,
        peak_memory=10**8,
        images_per_second=9.5,
        threads=1,
        machine={"cpu": "x", "cores": "2"},
        versions={"torch": "2"},
    )


def _laws(folder: Path, spec: DetectorSpec) -> None:
    """Nine detectors of two dimensions, as a study of two epochs and as tables."""
    plan = read_plan(folder / "plan.yaml", ["trials=9", "anchors={octaves: 3}", "recipe.epochs=2", "name=laws"])
    data = open_data(str(folder / "coco"), train="train", val="val", select=0.4, seed=0)
    lines = []
    with StudyFolder.open(folder / "laws", plan, data=data.fingerprint) as study:
        for ordinal in range(9):
            point: dict[str, Any] = {"topology": "fpn", "width": 8 + 8 * (ordinal // 3), "repeats": 1 + ordinal % 3}
            found = plan.space(classes=2, anchors=spec.anchors).spec(point)
            row = _row(found, plan.recipe, data, point, ordinal)
            for seed in (0, 1):
                ap = 0.2 + 0.05 * (ordinal // 3) + 0.02 * (ordinal % 3) + 0.01 * ((ordinal + seed) % 2)
                curve = ((1, {"ap": ap / 2, "ap50": ap}), (2, {"ap": ap, "ap50": 0.9}))
                losses = ((1, 2.0 - ap, 1.0, 0.5), (2, 1.0 - ap, 0.5, 0.2))
                kind = replace(row, kind="repeat", seed=seed, turn=ordinal, proposed_by="repeats") if seed else row
                study.write(
                    replace(kind, epochs_done=2, epochs_planned=2, curve=curve, final=curve[-1][1], losses=losses)
                )
                size = f"{found.size[0]}x{found.size[1]}"
                cells = (
                    found.id,
                    row.cost["macs"],
                    f"{ap:.4f}",
                    size,
                    found.width,
                    found.repeats,
                    seed,
                    row.cost["params"],
                )
                lines.append(cells)
    head = ("name", "macs", "ap", "size", "width", "repeats", "seed", "params")
    write_tables(folder / "laws.csv", [head, *lines], flops="flops")


def _points(folder: Path) -> None:
    """Eight points with two seeds and three epochs, whose later scores keep the order."""
    lines: list[tuple[Any, ...]] = [("operator", "width", "seed", "epoch", "macs", "latency", "loss", "ap")]
    for point in range(8):
        for seed, epoch in ((seed, epoch) for seed in (0, 1) for epoch in (1, 2, 4)):
            ap = 0.1 * epoch + 0.05 * point + 0.011 * ((point * 7 + seed * 3 + epoch) % 5)
            operator, width = ("conv", "pool")[point % 2], 8 * (1 + point // 2)
            lines.append((operator, width, seed, epoch, 10**6 * (point + 1), 0.01 + point / 1000, 2 - ap, round(ap, 4)))
    write_tables(folder / "points.csv", lines)


def write_tables(file: Path, lines: Sequence[tuple[Any, ...]], flops: str = "macs") -> None:
    """The table as CSV, and as Parquet, with the column macs called `flops` there, where pyarrow is installed."""
    file.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    other = file.with_suffix(".parquet")
    try:
        from pyarrow import Table
        from pyarrow.parquet import write_table
    except ImportError:
        other.write_bytes(b"PAR1")
        return
    head, *rest = lines
    names = [flops if name == "macs" else name for name in head]
    columns = [
        [float(cell) if name == "ap" else cell for cell in column]
        for name, column in zip(head, zip(*rest, strict=True), strict=True)
    ]
    write_table(Table.from_arrays([*map(_array, columns)], names=names), other)


def _array(cells: list[Any]) -> Any:
    import pyarrow

    return pyarrow.array(cells)


def _rehearsal(folder: Path) -> None:
    stage = rehearse.on_landscape(folder / "plan.yaml", ["trials=2"], "plain")
    samplers = ("random", "tpe")
    rehearse.run_rehearsals(stage, samplers=samplers, seeds=1, ladders=(False,), out=folder / "reh")
