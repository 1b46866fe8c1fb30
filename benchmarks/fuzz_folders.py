"""Seeded mutations of data folders, and files that are none, for check_fuzz.py."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import PIL.Image


def no_file(file: Path, rng: random.Random) -> None:
    """A folder, a pipe, a device, or a link that leads nowhere in the place of the file."""
    file.unlink()
    match rng.randrange(6):
        case 0:
            file.mkdir()
        case 1 | 2:
            os.mkfifo(file)
        case 3:
            file.symlink_to("/dev/zero")
        case 4:
            file.symlink_to(file.name)
        case _:
            file.symlink_to("nowhere")


# ---- what can be wrong with a whole folder; each works on a COCO folder with the splits train and val ----


def _without(folder: Path, rng: random.Random) -> None:
    shutil.rmtree(folder / rng.choice(["annotations", "train", "val"]))


def _replaced(folder: Path, rng: random.Random) -> None:
    place = folder / rng.choice(["annotations", "train", "val"])
    shutil.rmtree(place)
    match rng.randrange(4):
        case 0:
            os.mkfifo(place)
        case 1:
            place.symlink_to(".")
        case 2:
            place.symlink_to("/dev")
        case _:
            place.write_text("{}")


def _emptied(folder: Path, rng: random.Random) -> None:
    shutil.rmtree(folder)
    match rng.randrange(4):
        case 0:
            folder.mkdir()
        case 1:
            folder.write_bytes(b"PK\x03\x04")
        case 2:
            folder.symlink_to(folder.name)
        case _:
            os.mkfifo(folder)


def _crowded(folder: Path, rng: random.Random) -> None:
    """Many JSON files, some of which look like annotations."""
    place = folder / rng.choice(["", "annotations", "train"])
    for number in range(rng.choice([1, 2, 300])):
        text = rng.choice(
            ["{}", "[]", '{"images": []}', '{"shapes": [], "imagePath": "x"}', "{", '{"annotations": [[]]}']
        )
        (place / f"{rng.choice(['a', 'instances_', 'instances_val', 'Train', 'labels'])}{number}.json").write_text(text)


def _other_tool(folder: Path, rng: random.Random) -> None:
    """Files of other formats in place of COCO's annotations, or beside them."""
    if rng.random() < 0.7:
        shutil.rmtree(folder / "annotations")
    text = rng.choice(
        ["", "0 0.5 0.5 1 1\n", "{", "names: [a", "<annotation>", '[{"image": 1}]', "[[[[", "[1]", "\xff"]
    )
    name = rng.choice(["data.yaml", "labels/0.txt", "Annotations/0.xml", "train/0.json", "project.json", "meta.json"])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)


def _respelt(folder: Path, rng: random.Random) -> None:
    """A picture of another name, and its entry with that or another one."""
    name = rng.choice(
        ["\u00e9.png", "a\nb.png", "\x1b[31m.png", "x" * 250 + ".png", " .png", "0.png/", "-.png", "0.PNG"]
    )
    raw = os.fsencode(name) if rng.random() < 0.7 else b"\xff\xfe.png"
    os.rename(folder / "train" / "0.png", os.fsencode(folder / "train") + b"/" + raw.rstrip(b"/"))
    if rng.random() < 0.7:
        _listed(
            folder, lambda entry: entry | {"file_name": rng.choice([name, os.fsdecode(raw), f"../{name}", "/" + name])}
        )


def _listed(folder: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    file = folder / "annotations" / "instances_train.json"
    document = json.loads(file.read_text())
    document["images"][0] = change(document["images"][0])
    file.write_text(json.dumps(document))


def _other_pictures(folder: Path, rng: random.Random) -> None:
    pictures = sorted((folder / rng.choice(["train", "val"])).iterdir())
    for picture in pictures if rng.random() < 0.5 else pictures[:1]:
        match rng.randrange(5):
            case 0:
                no_file(picture, rng)
            case 1:
                size, mode = rng.choice(
                    [((1, 1), "RGB"), ((64, 48), "I;16"), ((64, 48), "F"), ((64, 1), "P"), ((48, 64), "1")]
                )
                PIL.Image.new(mode, size).save(picture, format="TIFF")
            case 2:
                PIL.Image.new("1", (40_000, 40_000)).save(picture)  # 1,600 million pixels in some kB
            case 3:
                picture.write_bytes(b"")
            case _:
                shutil.copy(folder / "train" / "1.png", picture.with_name("copy.png"))
                picture.unlink()


def _nested(folder: Path, rng: random.Random) -> None:
    """The data set many folders deeper, or a folder that holds itself."""
    if rng.random() < 0.5:
        (folder / "train" / "again").symlink_to("..")
        (folder / "again").symlink_to(".")
        return
    deep = folder.parent / "/".join(["deep"] * rng.choice([1, 3, 200]))
    deep.mkdir(parents=True)
    folder.rename(deep / "coco")
    (folder.parent / "deep").rename(folder)


_CHANGES = (_without, _replaced, _emptied, _crowded, _other_tool, _respelt, _other_pictures, _nested)


def mutate_folder(folder: Path, rng: random.Random) -> None:
    """A data folder with one thing missing, replaced, added, renamed or moved."""
    rng.choice(_CHANGES)(folder, rng)
