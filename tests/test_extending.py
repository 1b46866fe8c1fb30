"""The walks of docs/extending.md: each is short, its diffs fit the sources, and its trial passes in a patched copy.

All four are tried in one copy and in one process, because importing torch takes longer than they do.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
WALKS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE, flags=re.DOTALL | re.MULTILINE))
MOST = 40
"""Lines that a walk adds, blank ones aside."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def patch(package: Path, diff: str) -> None:
    """Applies hunks that are found by their context and what they remove, which must be there once."""
    for name, hunks in re.findall(r"^--- (\S+)\n(.*?)(?=^--- |\Z)", diff, flags=re.DOTALL | re.MULTILINE):
        file = package / name
        for hunk in hunks.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            before, after = ("".join(line[1:] or "\n" for line in lines if line[0] in marks) for marks in (" -", " +"))
            text = file.read_text()
            assert text.count(before) == 1, f"{name} has {text.count(before)} of\n{before}"
            file.write_text(text.replace(before, after))


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package after all walks, with the page's files beside it."""
    folder = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "scalesearch", folder / "scalesearch", ignore=shutil.ignore_patterns("__pycache__"))
    for walk in WALKS.values():
        for diff in blocks(walk, "diff"):
            patch(folder, diff)
    (first,) = blocks(PAGE[: PAGE.index("\n## ")], "python")
    (folder / "try_it.py").write_text(first)
    (folder / "search_spaces").symlink_to(ROOT / "search_spaces")
    return folder


@pytest.fixture(scope="module")
def said(patched: Path) -> str:
    """What the trials of all walks say: the Python of three, then the command of the last."""
    trials = [code for walk in WALKS.values() for code in blocks(walk, "python")]
    ((command,),) = (blocks(walk, "sh") for walk in WALKS.values() if blocks(walk, "sh"))
    assert len(trials) == 3
    name, *words = shlex.split(command)
    last = f"import runpy, sys\nsys.argv = {[name, *words]!r}\nrunpy.run_module({name!r}, run_name='__main__')\n"
    (patched / "trials.py").write_text("\n".join([*trials, last]))
    known = {**os.environ, "PYTHONPATH": str(patched), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "trials.py"], cwd=patched, env=known, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_is_short(name: str) -> None:
    added = [line for diff in blocks(WALKS[name], "diff") for line in diff.splitlines() if re.match(r"\+\s*\S", line)]
    assert 0 < len(added) < MOST


def test_what_the_walks_build_is_priced_checked_and_trained(said: str) -> None:
    assert said.count("Cost(params=") == 3


def test_the_sampler_of_the_last_walk_proposes(said: str) -> None:
    assert "climb" in said and "random" in said
