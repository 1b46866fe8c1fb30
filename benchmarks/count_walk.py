"""How many of the package's files does a reader open on three walks? Writes results/checks/walk.txt.

    python benchmarks/count_walk.py

A file is on a walk if one of its functions is called there: from `cost d0` to its number, from an image to its loss (all
that a training calls), and from a point to its row (all that a search of one trial calls, its report too). What is called
while a module is imported does not count. Each walk is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import scalesearch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = str(Path(scalesearch.__file__).parent) + os.sep
SHORT = (
    "--set",
    "recipe.epochs=1",
    "--set",
    "winners.recipe.epochs=1",
    "--set",
    "winners.seeds=[0]",
    "--set",
    "workers=1",
)
WALKS = {
    "cost d0 to its number": ("cost", "d0"),
    "an image to its loss": ("train", str(ROOT / "results/quickstart/rows/search-000000.json"), "--set", "epochs=1"),
    "a point to its row": ("search", str(ROOT / "search_spaces/quickstart.yaml"), "--trials", "1", *SHORT),
}


def counted(files: set[str]) -> Callable[[FrameType, str, Any], None]:
    """A profiler that adds the file of each call of ours which no import makes."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event != "call" or not name.startswith(PACKAGE) or name in files or frame.f_code.co_name == "<module>":
            return
        back = frame.f_back
        while back is not None:
            if back.f_code.co_name == "<module>" and back.f_code.co_filename.startswith(PACKAGE):
                return
            back = back.f_back
        files.add(name)

    return profile


def walk(words: tuple[str, ...]) -> None:
    """Run one command in this process, and print the files that it called, one a line."""
    from scalesearch.cli import main as command

    files: set[str] = set()
    sys.argv = ["scalesearch", *words]
    threading.setprofile(counted(files))
    sys.setprofile(counted(files))
    try:
        command()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.setprofile(None)
    print("\n".join(["files", *sorted(name.removeprefix(PACKAGE) for name in files)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walk", choices=WALKS, help="run this one here; by default each in a process of its own")
    parser.add_argument("--out", type=Path, default=ROOT / "results/checks/walk.txt")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = () if asked.walk == "cost d0 to its number" else ("--out", f"{folder}/out")
        if asked.walk:
            walk((*WALKS[asked.walk], *place))
            return
    lines = ["python benchmarks/count_walk.py"]
    for name in WALKS:
        command = [sys.executable, __file__, "--walk", name]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        files = text.partition("\nfiles\n")[2].split() or text.removeprefix("files\n").split()
        lines += ["", f"{name}: {len(files)} files", *(f"  {file}" for file in files)]
    asked.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
