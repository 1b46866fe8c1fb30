"""`scalesearch predict`: any picture, drawn and listed in its own upright pixels; what cannot be read is named."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from scalesearch.app.predict import draw_detections
from scalesearch.app.trained_model import open_model
from scalesearch.data.image_files import find_pictures
from scalesearch.data.split import DataError
from scalesearch.report.draw_boxes import Drawn, class_colour, draw_boxes, text_colour
from tests.app.conftest import Command, Trained
from tests.displays import watched

ORIENTATION = 0x0112


def opened(file: Path) -> PIL.Image.Image:
    with PIL.Image.open(file) as picture:
        picture.load()
        return picture


def listed(out: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((out / "detections.json").read_text())
    return found


def test_a_folder_is_drawn_and_listed(trained: Trained, command: Command, tmp_path: Path) -> None:
    done = command("predict", trained.folder, trained.data / "val", "-o", tmp_path, "--score", "0.1")
    assert done.status == 0, done.err
    assert sorted(file.name for file in tmp_path.glob("*.png")) == [f"{i}.png" for i in range(6)]
    rows = listed(tmp_path)
    assert rows and {row["category_name"] for row in rows} <= {"red", "blue"}
    names = {"red": 3, "blue": 7}
    for row in rows:
        assert row["score"] >= 0.1 and row["category_id"] == names[row["category_name"]]
        x, y, width, height = row["bbox"]
        assert x >= 0 and y >= 0 and x + width <= 64.001 and y + height <= 48.001
        assert Path(row["file_name"]) == trained.data / "val" / row["drawn"]
    many = listed(tmp_path)
    command("predict", trained.folder, trained.data / "val", "-o", tmp_path, "--score", "0.9")
    assert len(listed(tmp_path)) < len(many)


def test_every_kind_of_picture_gives_the_same_detections(trained: Trained, command: Command, tmp_path: Path) -> None:
    """Modes that hold the same colours, and rotations that EXIF takes back, change nothing."""
    upright = opened(trained.data / "val" / "5.png").convert("RGB")
    kinds = tmp_path / "kinds"
    kinds.mkdir()
    upright.save(kinds / "plain.png")
    upright.convert("RGBA").save(kinds / "rgba.png")
    upright.quantize(256).save(kinds / "palette.png")
    upright.save(kinds / "capitals.TIF")
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = 6  # stored turned by a quarter to the left
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(kinds / "turned.png", exif=exif)
    done = command("predict", trained.folder, kinds, "-o", tmp_path / "out", "--score", "0.1")
    assert done.status == 0, done.err
    rows = listed(tmp_path / "out")
    names = ("plain", "rgba", "palette", "turned", "capitals")
    found = {name: [r for r in rows if Path(r["file_name"]).stem == name] for name in names}
    assert len(found["plain"]) >= 1
    for name, own in found.items():
        assert [r["category_id"] for r in own] == [r["category_id"] for r in found["plain"]], name
        for one, other in zip(own, found["plain"], strict=True):
            assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-3)
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
    turned = opened(tmp_path / "out" / "turned.png")
    assert turned.size == opened(tmp_path / "out" / "plain.png").size


def test_grey_and_cmyk_are_drawn(trained: Trained, command: Command, tmp_path: Path) -> None:
    upright = opened(trained.data / "val" / "5.png").convert("RGB")
    upright.convert("L").save(tmp_path / "grey.png")
    upright.convert("CMYK").save(tmp_path / "cmyk.jpg")
    done = command("predict", trained.folder, tmp_path / "grey.png", tmp_path / "cmyk.jpg", "-o", tmp_path / "out")
    assert done.status == 0, done.err
    assert all(opened(tmp_path / "out" / name).mode == "RGB" for name in ("grey.png", "cmyk.png"))


def test_what_cannot_be_read_is_named_and_the_rest_is_done(trained: Trained, command: Command, tmp_path: Path) -> None:
    good = (trained.data / "val" / "5.png").read_bytes()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    PIL.Image.fromarray(np.zeros((48, 64), np.uint16)).save(tmp_path / "deep.png")
    (tmp_path / "good.png").write_bytes(good)
    done = command("predict", trained.folder, tmp_path, "-o", tmp_path / "out", "--score", "0.1")
    assert done.status == 1
    skipped = [line for line in done.err.splitlines() if line.startswith("skipped: ")]
    assert [name for line in skipped for name in ("cut", "deep", "empty", "text") if f"{name}." in line] == [
        *("cut", "deep", "empty", "text")
    ]
    assert [file.name for file in (tmp_path / "out").glob("*.png")] == ["good.png"]
    assert listed(tmp_path / "out")


def test_nothing_in_a_folder_ends_the_others(trained: Trained, command: Command, tmp_path: Path) -> None:
    """A name that is no UTF-8, one as long as can be, a FIFO, a link to nowhere, a large text: each is done or named."""
    upright = opened(trained.data / "val" / "5.png")
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("k", "x" * 2**21, zip=True)
    upright.save(tmp_path / "text.png", pnginfo=info)
    upright.save(tmp_path / os.fsdecode(b"\xff.png"))
    upright.save(tmp_path / f"{'y' * 251}.png")
    upright.convert("RGB").save(tmp_path / "broken.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "none.png")
    done = command("predict", trained.folder, tmp_path, "-o", tmp_path / "out", "--score", "0.1")
    assert done.status == 1
    skipped = [line for line in done.err.splitlines() if line.startswith("skipped: ")]
    assert len(skipped) == 2 and "fifo.png" in skipped[0] and "nowhere.png" in skipped[1]
    assert len(list((tmp_path / "out").glob("*.png"))) == 4
    names = {row["file_name"] for row in listed(tmp_path / "out")}
    assert str(tmp_path / os.fsdecode(b"\xff.png")) in names and len(names) == 4
    assert "\\xff.png" in done.err.replace("\n", "") or "\\xff.png" in done.out.replace("\n", "")


def test_a_fifo_that_is_named_is_not_waited_for(trained: Trained, command: Command, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    done = command("predict", trained.folder, tmp_path / "fifo.png", "-o", tmp_path / "out")
    assert done.status == 1 and "skipped: an image must be a file" in done.err and listed(tmp_path / "out") == []


def test_what_was_found_is_kept_where_the_rest_is_stopped(trained: Trained, tmp_path: Path) -> None:
    """Here the display raises; a full disk and Ctrl-C take the same path."""

    def stopped(done: int, total: int, what: str) -> None:
        if done == 4:
            raise KeyboardInterrupt

    model = open_model(trained.folder)
    with pytest.raises(KeyboardInterrupt), watched(stopped):
        draw_detections(model, [trained.data / "val"], tmp_path, score=0.0)
    assert len({row["file_name"] for row in listed(tmp_path)}) == 4


@pytest.mark.parametrize("name", ["long " * 20_000, "two\nlines", ""])
def test_a_class_may_have_any_name(
    trained: Trained, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = open_model(trained.folder)
    model = dataclasses.replace(model, classes=((3, name), (7, "blue")))
    caplog.set_level("INFO", "scalesearch")
    assert draw_detections(model, [trained.data / "val" / "5.png"], tmp_path, score=0.0) == []
    assert len(caplog.messages[0]) < 500 + len(str(tmp_path)) * 2 and "\n" not in caplog.messages[0]
    assert {row["category_name"] for row in listed(tmp_path)} <= {name, "blue"}


def test_pictures_of_one_name_do_not_overwrite_each_other(trained: Trained, command: Command, tmp_path: Path) -> None:
    val, train = trained.data / "val" / "5.png", trained.data / "train" / "5.png"
    done = command("predict", trained.folder, val, train, val, "-o", tmp_path)
    assert done.status == 0, done.err
    assert sorted(file.name for file in tmp_path.glob("*.png")) == ["5-2.png", "5.png"]


def test_a_drawn_picture_never_takes_the_place_of_one_that_is_read(
    trained: Trained, command: Command, tmp_path: Path
) -> None:
    photo = tmp_path / "photos" / "5.png"
    photo.parent.mkdir()
    photo.write_bytes((trained.data / "val" / "5.png").read_bytes())
    before = photo.read_bytes()
    for place in (photo, photo.parent, tmp_path):
        done = command("predict", trained.folder, place, photo, "-o", photo.parent)
        assert done.status == 2 and "must not be drawn into the folder of the originals, but" in done.err
    assert photo.read_bytes() == before and len(list(photo.parent.iterdir())) == 1
    for _ in range(2):  # what was drawn below the pictures is not read the second time
        done = command("predict", trained.folder, photo.parent, "-o", photo.parent / "out")
        assert done.status == 0 and sorted(p.name for p in (photo.parent / "out").glob("*.png")) == ["5.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jpg", "-o", "out"], "none.jpg: no such picture or folder"),
        (["-o", "out"], "Missing argument 'IMAGE...'"),
        (["a.png"], "Missing option '--out' / '-o'"),
        (["a.png", "-o", __file__], "Directory '"),
        (["a.png", "-o", "out", "--score", "2"], "2.0 is not in the range 0<=x<=1"),
    ],
)
def test_bad_input_is_one_line(trained: Trained, command: Command, arguments: list[str], message: str) -> None:
    done = command("predict", trained.folder, *arguments)
    assert done.status == 2 and message in done.err and done.err.count("\n") == 1


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"has no \.bmp, "):
        find_pictures([tmp_path])


def test_ink_is_readable_on_every_colour_and_neighbours_differ() -> None:
    def luminance(one: tuple[int, int, int]) -> float:
        return sum(w * (c / 255) ** 2.2 for w, c in zip((0.2126, 0.7152, 0.0722), one, strict=True))

    for label in range(90):
        paper, text = luminance(class_colour(label)), luminance(text_colour(class_colour(label)))
        assert (max(paper, text) + 0.05) / (min(paper, text) + 0.05) > 4.5  # WCAG AA
        assert sum(abs(a - b) for a, b in zip(class_colour(label), class_colour(label + 1), strict=True)) > 100


@pytest.mark.parametrize("box", [(0, 0, 64, 48), (0, 0, 1, 1), (63, 47, 64, 48), (10.5, 10.5, 10.6, 10.6)])
def test_boxes_at_the_edges_are_drawn(box: tuple[float, float, float, float]) -> None:
    grey = PIL.Image.new("RGB", (64, 48), (128, 128, 128))
    drawn = draw_boxes(grey, [Drawn(box, 0, "a class of a long name that does not fit 0.99")])
    assert drawn.size == (512, 384) and np.asarray(drawn).std() > 1
    assert np.asarray(grey).std() == 0
