"""Cut a small set of one class from a COCO folder, as a labelling tool exports it: for trying the first hour of one's own data.

    python benchmarks/one_class_set.py path/to/bccd Platelets platelets --images 150
    scalesearch init platelets -o plan.yaml
    scalesearch search plan.yaml --finish

Both commands took 45 min 51 s on two quiet cores of an AMD EPYC; `init` had said 45. The two winners have AP50 0.963 and 0.955
on the 25 images of valid, over three seeds each, and AP 0.493 and 0.485 with a standard deviation of 0.029 between seeds.

Writes train/ and valid/ (a sixth), in each `_annotations.coco.json` beside the images, with the supercategory as a category that
has no box, as Roboflow writes it. The images are drawn among those that have the class, from both splits.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from pathlib import Path
from typing import Any


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("coco", type=Path, help="a folder with annotations/instances_{train,val}.json, train/ and val/")
    parser.add_argument("category", help="the name of the class")
    parser.add_argument("out", type=Path, help="a folder that is not there yet")
    parser.add_argument("--images", type=int, default=150)
    args = parser.parse_args()
    found = [row for split in ("train", "val") for row in rows_of(args.coco, split, args.category)]
    if len(found) < args.images:
        parser.error(f"{args.category} is on {len(found)} images, but {args.images} were asked for")
    random.Random(0).shuffle(found)
    held = args.images // 6
    parts = {"train": found[: args.images - held], "valid": found[args.images - held : args.images]}
    for part, rows in parts.items():
        write(args.out / part, rows, args.category)
        print(f"{part}: {len(rows)} images, {sum(len(boxes) for _, _, boxes in rows)} boxes")


def rows_of(coco: Path, split: str, category: str) -> list[tuple[Path, dict[str, Any], list[dict[str, Any]]]]:
    """Return the file, the image and the boxes of each image of a split that has the class."""
    data = json.loads((coco / "annotations" / f"instances_{split}.json").read_text(encoding="utf-8"))
    wanted = next(one["id"] for one in data["categories"] if one["name"] == category)
    boxes: dict[int, list[dict[str, Any]]] = {}
    for one in data["annotations"]:
        if one["category_id"] == wanted:
            boxes.setdefault(one["image_id"], []).append(one)
    return [
        (coco / split / image["file_name"], image, boxes[image["id"]])
        for image in data["images"]
        if image["id"] in boxes
    ]


def write(folder: Path, rows: list[tuple[Path, dict[str, Any], list[dict[str, Any]]]], category: str) -> None:
    """Write a split, its images and its annotations in one folder."""
    folder.mkdir(parents=True)
    images, annotations = [], []
    for number, (file, image, boxes) in enumerate(rows):
        shutil.copy(file, folder / file.name)
        images.append({"id": number, "file_name": file.name, "height": image["height"], "width": image["width"]})
        annotations += [
            {"image_id": number, "category_id": 1, "bbox": box["bbox"], "area": box["bbox"][2] * box["bbox"][3]}
            | {"segmentation": [], "iscrowd": 0}
            for box in boxes
        ]
    data = {
        "categories": [
            {"id": 0, "name": "objects", "supercategory": "none"},
            {"id": 1, "name": category, "supercategory": "objects"},
        ],
        "images": images,
        "annotations": [{"id": number, **one} for number, one in enumerate(annotations)],
    }
    (folder / "_annotations.coco.json").write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    main()
