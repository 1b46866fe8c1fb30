"""The rows that `scalesearch fit` is given: a study's folder, or a table in a CSV or Parquet file, as families."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cost.budget import METRICS, quantity
from scalesearch.evidence.scaling_law import Member
from scalesearch.inputs.quoting import quoted
from scalesearch.plan.plan import read_plan
from scalesearch.records.comparable import comparable_rows
from scalesearch.records.folder import PLAN, RESULTS, read_rows
from scalesearch.records.row import Row
from scalesearch.rehearsal.table_file import SUFFIXES, CellValue, TableFile, read_table_file

FLOPS_ARE = {"multiply-adds": 1.0, "twice": 0.5}
"""What a column `flops` counts, and the multiply-adds of one."""
SHAPE = ("width", "repeats", "head_depth")
"""Dimensions that a table may have as columns, besides the size."""
COLUMNS = ("name", "family", "flops", "ap", "size", "seed", "epoch", "loss", *METRICS, *SHAPE)
_LEAST_MACS = 1e5
"""Below this a number is probably one in units of 10^9, as papers print."""


@dataclass(frozen=True)
class ScalingRows:
    """Members by family, and how to speak of them."""

    source: Path
    families: dict[str, tuple[Member, ...]]
    """A file without the column `family` has one, named after the file."""
    unit: float
    """AP points of one unit of the file's AP: 1 where it is written as 34.3, 100 where as 0.343."""
    facts: tuple[str, ...]
    base: DetectorSpec | None = None
    """A detector of the kind that most rows are of; None for a table."""
    aspect: float | None = None
    """Height / width of inputs, before sides are rounded; that of `base` where it is not known."""


def read_scaling_rows(path: Path, flops_are: str | None) -> ScalingRows:
    """Read a study's folder (or its results.jsonl), or a CSV or Parquet file (docs/scaling.md).

    Raises ValueError in one line, with the file, the line and the column.
    """
    if path.is_dir() or path.name == RESULTS:
        if flops_are:
            raise ValueError(
                f"--flops-are is for a column flops, but {path} is a study, which counts multiply-adds; drop it"
            )
        return _of_study(path.parent if path.name == RESULTS else path)
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"rows are in a study's folder or a {' or '.join(SUFFIXES)} file, but got {path}; check the path"
        )
    return _of_table(read_table_file(path), flops_are)


def _of_study(folder: Path) -> ScalingRows:
    rows, left_out = comparable_rows(read_rows(folder))
    if not rows:
        raise ValueError(f"{folder}: a law needs complete trainings with an AP, but there is none; search first")
    by_spec: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_spec.setdefault(row.spec_id, {})[row.seed] = row
    members = []
    for runs in by_spec.values():
        first = next(iter(runs.values()))
        aps = tuple(100 * float(row.final["ap"] or 0) for row in runs.values())
        members.append(
            Member(
                name=first.name or first.spec_id,
                macs=float(first.cost["macs"]),
                size=math.sqrt(math.prod(first.spec.size)),
                aps=aps,
                dimensions=dimensions_of(first.spec),
                kind=kind_of(first.spec),
            )
        )
    facts = [f"{len(members)} detectors trained by one recipe for {rows[0].epochs_planned} epochs"]
    if left_out:
        facts.append(f"{left_out} trainings left out: another recipe, other data or another split")
    common = Counter(one.kind for one in members).most_common(1)[0][0]
    runs = next(runs for runs in by_spec.values() if kind_of(next(iter(runs.values())).spec) == common)
    base = next(iter(runs.values())).spec
    return ScalingRows(
        folder,
        {folder.name: tuple(members)},
        100.0,
        tuple(facts),
        base=base,
        aspect=_aspect(folder, base),
    )


def dimensions_of(spec: DetectorSpec) -> dict[str, float]:
    """Return the dimensions by which a family grows; none where the heads have a width of their own."""
    if spec.head_width != spec.width:
        return {}
    shape = {name: float(getattr(spec, name)) for name in SHAPE}
    return {"size": float(max(spec.size)), **shape}


def kind_of(spec: DetectorSpec) -> str:
    """Return what a detector is besides its dimensions: equal for two that differ in these, in anchors and in the shape of the
    input alone. (Sides are rounded, so that equal aspects give other ratios at other sizes.)
    """
    same = dataclasses.replace(
        spec, size=(512, 512), width=64, head_width=64, repeats=1, head_depth=1, anchors=Anchors()
    )
    return same.id


def _aspect(folder: Path, base: DetectorSpec) -> float:
    """Return the aspect that a study's plan gives to all its inputs, else that of `base`."""
    axis = read_plan(folder / PLAN).axes.get("aspect") if (folder / PLAN).is_file() else None
    if axis and len(axis.values) == 1:
        return float(axis.values[0])
    return base.size[0] / base.size[1]


def _of_table(file: TableFile, flops_are: str | None) -> ScalingRows:
    share = _share(file, flops_are)
    numbers = _TableCells(file)
    shape = {name: numbers.whole(name) for name in SHAPE if name in file.columns}
    macs = numbers.costs("macs" if "macs" in file.columns else "flops", share)
    sizes = numbers.sizes() if "size" in file.columns else [None] * len(file.lines)
    ap = numbers.ap()
    unit = 100.0 if max(ap) <= 1 else 1.0
    seeds, epochs = numbers.whole("seed"), numbers.whole("epoch")
    names = numbers.names()
    labels = [str(cell or file.path.stem) for cell in file.columns.get("family", [None] * len(file.lines))]
    last = max(epochs)
    runs: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    for row in range(len(file.lines)):
        known = runs.setdefault((labels[row], names[row]), {})
        for other, _ in list(known.values())[:1]:
            if (macs[other], sizes[other]) != (macs[row], sizes[row]):
                rule = (
                    f"a detector has one cost and size, but {quoted(names[row])} has others in line {file.lines[other]}"
                )
                raise file.error(row, f"{rule}; give each a name of its own")
        if seeds[row] in known and known[seeds[row]][1] == epochs[row]:
            rule = f"a line is of another detector, seed or epoch than the others, but line {file.lines[known[seeds[row]][0]]}"
            raise file.error(row, f"{rule} has the same; give repetitions a column seed")
        if seeds[row] not in known or known[seeds[row]][1] < epochs[row]:
            known[seeds[row]] = (row, epochs[row])
    families: dict[str, list[Member]] = {}
    short = 0
    for (label, name), known in runs.items():
        whole = [row for row, epoch in known.values() if epoch == last]
        short += len(known) - len(whole)
        if whole:
            aps = tuple(unit * ap[row] for row in whole)
            first, size = whole[0], sizes[whole[0]]
            dimensions = {key: float(column[first]) for key, column in shape.items()} | ({"size": size} if size else {})
            member = Member(name=name, macs=macs[first], size=size, aps=aps, dimensions=dimensions)
            families.setdefault(label, []).append(member)
    facts = [f"{sum(map(len, families.values()))} detectors of {file.path.name}"]
    if flops_are == "twice":
        facts.append("the column flops is halved to multiply-adds, which all costs here are")
    if short:
        facts.append(f"{short} trainings left out that end before the last epoch {last}")
    found = {label: tuple(members) for label, members in families.items()}
    return ScalingRows(file.path, found, unit, tuple(facts))


def _share(file: TableFile, flops_are: str | None) -> float:
    """Return the multiply-adds that a unit of the column of costs stands for."""
    costs = [name for name in ("macs", "flops") if name in file.columns]
    lower = [name.lower() for name in file.columns]
    if len(costs) != 1 or "ap" not in file.columns:
        if wrong := next((name for name in file.columns if name.lower() in ("gflops", "gmacs")), None):
            raise ValueError(
                f"{file.path}:1: column {quoted(wrong)}: write {wrong.lower()[1:]}, with G after each number"
            )
        if wrong := next((name for name in file.columns if name not in COLUMNS and name.lower() in COLUMNS), None):
            raise ValueError(f"{file.path}:1: column {quoted(wrong)} is not a name here: write {wrong.lower()}")
        raise ValueError(
            f"{file.path}:1: a table has a column ap and one of macs and flops, but the columns are {', '.join(lower)[:200]}"
        )
    if costs == ["macs"]:
        if flops_are:
            raise ValueError(
                f"--flops-are is for a column flops, but {file.path} has macs, which are multiply-adds; drop it"
            )
        return 1.0
    if flops_are is None:
        raise ValueError(
            f"{file.path}:1: column 'flops': papers on detectors print multiply-adds, several code bases twice that; say "
            "which with --flops-are multiply-adds or --flops-are twice"
        )
    return FLOPS_ARE[flops_are]


@dataclass(frozen=True)
class _TableCells:
    """Reads the columns of a table; a wrong cell is a TableError with its line and column."""

    file: TableFile

    def _wrong(self, row: int, name: str, rule: str) -> ValueError:
        cell = self.file.columns[name][row]
        got = "nothing" if cell is None else quoted(cell)
        return self.file.error(row, f"column {quoted(name)}: {rule}, but got {got}")

    def costs(self, name: str, share: float) -> list[float]:
        found = []
        for row, cell in enumerate(self.file.columns[name]):
            try:
                value = quantity(cell if isinstance(cell, (str, float, int)) else "", "macs")
            except ValueError:
                raise self._wrong(row, name, "must be a number above 0, as 2.54e9 or 2.54G") from None
            if value < _LEAST_MACS:
                raise self._wrong(row, name, f"must be at least {_LEAST_MACS:,.0f} (2.54 G is 2.54G or 2.54e9)")
            found.append(value * share)
        return found

    def sizes(self) -> list[float | None]:
        found: list[float | None] = []
        for row, cell in enumerate(self.file.columns["size"]):
            match = re.fullmatch(r"(\d{1,5})\s*x\s*(\d{1,5})", cell) if isinstance(cell, str) else None
            sides = (int(match[1]), int(match[2])) if match else (cell, cell)
            if cell is not None and not all(isinstance(side, (int, float)) and 1 <= side <= 100_000 for side in sides):
                raise self._wrong(row, "size", "must be the input's pixels, as 640 or 512x640")
            found.append(None if cell is None else math.sqrt(math.prod(sides)))  # type: ignore[arg-type]
        return found

    def ap(self) -> list[float]:
        found = []
        for row, cell in enumerate(self.file.columns["ap"]):
            if not isinstance(cell, (int, float)) or not 0 <= cell <= 100:
                raise self._wrong(row, "ap", "must be a number from 0 to 1, or to 100")
            found.append(float(cell))
        if max(found) > 1 and (small := next((row for row, ap in enumerate(found) if 0 < ap < 1), None)) is not None:
            raise self._wrong(small, "ap", "must be from 0 to 1 in all lines, or from 1 to 100")
        return found

    def whole(self, name: str) -> list[int]:
        found = []
        for row, cell in enumerate(self.file.columns.get(name, [0] * len(self.file.lines))):
            if not isinstance(cell, int) or cell < 0:
                raise self._wrong(row, name, "must be a whole number of at least 0")
            found.append(cell)
        return found

    def names(self) -> list[str]:
        """Return what tells the detectors apart: their names, else the cost, the size and all columns unknown here."""
        if "name" in self.file.columns:
            cells: Sequence[CellValue] = self.file.columns["name"]
            for row, cell in enumerate(cells):
                if cell is None:
                    raise self._wrong(row, "name", "must be a name")
            return [str(cell) for cell in cells]
        own = ("macs", "flops", "size", *SHAPE)
        apart = [name for name in self.file.columns if name in own or name not in COLUMNS]
        rows: list[tuple[Any, ...]] = list(zip(*(self.file.columns[name] for name in apart), strict=True))
        return [" ".join(f"{name}={cell}" for name, cell in zip(apart, row, strict=True)) for row in rows]
