"""Who may import whom, and one name for one class, read from the sources: the floor is free of torch, the rooms acyclic."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import scalesearch

PACKAGE = Path(scalesearch.__file__).parent
FLOOR = "io"
"""Of the standard library alone; all rooms stand on it."""
ALLOWED = {
    FLOOR: set(),
    "inputs": set(),
    "arch": {"inputs"},
    "cost": {"inputs", "arch"},
    "space": {"inputs", "arch", "cost"},
    "plan": {"inputs", "arch", "cost", "space"},
    "records": {"inputs", "arch", "space", "plan"},
    "execute": {"inputs", "plan"},
    "study": {"inputs", "arch", "cost", "space", "plan", "records", "execute"},
    "mirror": {"inputs", "cost", "space", "records", "study", "evidence"},
    "evidence": {"inputs", "records"},
    "report": {"inputs", "arch", "cost", "space", "plan", "records", "evidence"},
    "webpage": {"inputs", "arch", "cost", "space", "plan", "records", "evidence", "report"},
    "rehearsal": {"inputs", "arch", "cost", "space", "plan", "records", "execute", "study", "evidence", "report"},
    "nn": {"inputs", "arch", "cost"},
    "profile": {"inputs", "arch", "cost", "nn"},
    "data": {"inputs", "arch"},
    "training": {"inputs", "arch", "nn", "data", "plan"},
    "console": {"inputs", "arch", "cost", "space"},
}
TOP = {"__init__", "__main__", "cli", "app", "api"}
"""Above the rooms; only `cli` and `app` join them."""
WITHOUT_TORCH = (
    *(FLOOR, "inputs", "arch", "cost", "space", "plan", "records", "execute", "study", "mirror", "evidence", "report"),
    *("webpage", "rehearsal", "console"),
)
WITHOUT_OPTUNA = tuple(room for room in ALLOWED if room not in ("study", "mirror"))
TORCH = {"torch", "torchvision", "timm", "effdet", "fvcore"}


def sources() -> Iterator[tuple[str, Path]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield (file.parent.name if file.parent != PACKAGE else file.stem), file


def imported(file: Path) -> set[str]:
    """Every module that the file imports, anywhere in it, dotted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_there_are_no_other_rooms() -> None:
    assert {room for room, _ in sources()} == set(ALLOWED) | TOP | {"__init__"}


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_those_below_it(room: str) -> None:
    for file in (PACKAGE / room).glob("*.py"):
        ours = {name.split(".")[1] for name in imported(file) if name.startswith("scalesearch.")}
        assert ours <= ALLOWED[room] | {room} | ({FLOOR} if room != FLOOR else set()), file.name


@pytest.mark.parametrize(("rooms", "packages"), [(WITHOUT_TORCH, TORCH), (WITHOUT_OPTUNA, {"optuna"})])
def test_heavy_packages_stay_in_their_rooms(rooms: tuple[str, ...], packages: set[str]) -> None:
    for room in rooms:
        for file in (PACKAGE / room).glob("*.py"):
            assert not {name.split(".")[0] for name in imported(file)} & packages, file.name


def test_every_room_says_what_it_is_for() -> None:
    for _, file in sources():
        assert ast.get_docstring(ast.parse(file.read_text())), file


def test_no_two_classes_share_a_name() -> None:
    """Nor two aliases of types; a private name counts without its underscore."""
    places = defaultdict[str, set[str]](set)
    for _, file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].add(str(file.relative_to(PACKAGE)))
            elif isinstance(node, ast.Assign) and re.fullmatch(
                r"_?[A-Z]\w*[a-z]\w*", name := ast.unparse(node.targets[0])
            ):
                places[name.lstrip("_")].add(str(file.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
