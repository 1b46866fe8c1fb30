"""From an export to a report, in one command each: two data sets in every layout that labelling tools write.

    python benchmarks/check_layouts.py path/to/coco digits > results/checks/layouts.txt

Of each data set the first IMAGES of train and a third as many of val are copied, laid out anew, and searched by a plan of
two trials of one epoch and one winner. What a folder was read as is the lines under it; what is checked is that a report
comes out, and of how many images and boxes. Minutes on two cores.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scalesearch.cli import cli
from scalesearch.data.digits import digits_folder
from tests.layouts import SPLIT, WHOLE

IMAGES = 36
PLAN = """
data: {source: none}
space: {backbone: efficientnet-w0.25-d0.5, topology: [fpn, bifpn], repeats: 1, width: 16, head_depth: 1, size: 128}
band: {macs: {max: 1G}}
sampler: {name: random}
trials: 2
recipe: {epochs: 1, batch: 6}
winners: {top: 1, seeds: [0]}
"""


def copied(source: Path, folder: Path) -> None:
    """The first images of both splits of a COCO folder, and their annotations."""
    for split, count in (("train", IMAGES), ("val", IMAGES // 3)):
        name = f"instances_{split}.json"
        document = json.loads((source / "annotations" / name).read_text())
        document["images"] = document["images"][:count]
        kept = {entry["id"] for entry in document["images"]}
        document["annotations"] = [item for item in document["annotations"] if item["image_id"] in kept]
        for entry in document["images"]:
            file = folder / split / entry["file_name"]
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / split / entry["file_name"], file)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / name).write_text(json.dumps(document))


def tried(source: Path, layout: Callable[[Path], None]) -> bool:
    """Whether a report came out; prints what was read."""
    with tempfile.TemporaryDirectory() as place:
        folder, out, plan = Path(place, "export"), Path(place, "study"), Path(place, "plan.yaml")
        copied(source, folder)
        layout(folder)
        plan.write_text(PLAN)
        said, start, failure = io.StringIO(), time.perf_counter(), ""
        with contextlib.redirect_stdout(said):
            try:
                cli.main(["search", str(plan), "--data", str(folder), "--out", str(out)], standalone_mode=False)
            except ValueError as error:
                failure = str(error)
        whole = (out / "report.md").is_file() and (out / "front.csv").is_file()
        print(
            f"{layout.__name__}: {'report' if whole else failure or 'no report'}, {time.perf_counter() - start:.0f} s"
        )
        lines = said.getvalue().splitlines()
        read = [line for line in lines if " images" in line or line.startswith(("  ", "left out", "anchors given"))]
        print("\n".join(f"    {line}".replace(place, "") for line in read if "epoch" not in line), flush=True)
        return whole


def main(sources: list[str]) -> None:
    """All layouts of each data set; status 1 where one had no report."""
    results = []
    for source in sources:
        print(f"{Path(source).name}, {IMAGES} + {IMAGES // 3} images", flush=True)
        folder = digits_folder() if source == "digits" else Path(source)
        results += [tried(folder, layout) for layout in (*SPLIT, *WHOLE)]
    print(f"{sum(results)} of {len(results)} layouts ended in a report")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
