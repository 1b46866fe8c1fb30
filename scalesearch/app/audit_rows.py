"""What `scalesearch audit` is given, as comparisons of short with full trainings: a study's folder, or a plain table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from statistics import fmean

from scalesearch.arch.depth import path_lengths
from scalesearch.arch.spec import DetectorSpec
from scalesearch.evidence.audit import AuditedCandidate, AuditedTraining, ProxyComparison
from scalesearch.evidence.noise import NoiseFloor, noise_floor, unsteady
from scalesearch.inputs.quoting import quoted
from scalesearch.records.folder import RESULTS, check_study, read_rows
from scalesearch.records.row import Row
from scalesearch.rehearsal.plain_table import PlainTable, ScoreCurve
from scalesearch.rehearsal.table_file import SUFFIXES, read_table_file
from scalesearch.space.space import shown

_SEARCHED = ("search", "repeat")


@dataclass(frozen=True, kw_only=True)
class TrainedCandidate:
    """A candidate with trainings of one kind, by seed."""

    name: str
    runs: tuple[AuditedTraining, ...]
    whole: Mapping[int, float]
    """By seed, the AP of those that came to their end."""
    free: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class TrainingKind:
    """Trainings by one recipe, on one data set, evaluated on one split."""

    label: str
    epochs: int
    searched: bool
    """Whether they are of the search, not of winners and baselines."""
    candidates: Mapping[str, TrainedCandidate]
    """By spec id or point."""
    cost: str
    notes: tuple[str, ...] = ()

    @property
    def noise(self) -> NoiseFloor | None:
        """Noise of one whole training, without the unsteady candidates; None where nothing was trained again."""
        return noise_floor(list(one.whole.values()) for key, one in self.candidates.items() if key not in self.unsteady)

    @cached_property
    def unsteady(self) -> tuple[str, ...]:
        """The candidates whose seeds differ too much to be pooled with the others'."""
        return unsteady({key: list(one.whole.values()) for key, one in self.candidates.items()})

    @property
    def apart(self) -> tuple[str, ...]:
        """A sentence for each candidate that is not in the noise."""
        return tuple(
            f"{self.candidates[key].name} is not in the noise: its seeds differ by more than the others' (Cochran's C test at "
            f"1 %), {', '.join(f'{ap:.3f}' for ap in self.candidates[key].whole.values())}"
            for key in self.unsteady
        )


def read_kinds(path: Path) -> list[TrainingKind]:
    """Read the kinds of trainings of a study (the search first), or the one of a plain table.

    Raises ValueError in one line for a path that is neither, or has no training with an AP.
    """
    if path.is_dir() or path.name == RESULTS:
        return _of_study(path.parent if path.name == RESULTS else path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"an audit is of a study's folder or a {' or '.join(SUFFIXES)} file, but got {path}; check the path"
        )
    return [_of_table(path)]


# ---- a study ----


def _of_study(folder: Path) -> list[TrainingKind]:
    check_study(folder)
    kinds: dict[tuple[object, ...], list[Row]] = {}
    for row in read_rows(folder):
        if row.state != "failed" and row.final.get("ap") is not None:
            kind = (row.kind not in _SEARCHED, row.recipe_id, row.data, row.epochs_planned, row.splits["evaluated"])
            kinds.setdefault(kind, []).append(row)
    if not kinds:
        raise ValueError(f"{folder}: an audit needs trainings with an AP, but there is none; search first")
    return [_kind(rows) for _, rows in sorted(kinds.items(), key=lambda item: (item[0][0], -len(item[1])))]


def _kind(rows: Sequence[Row]) -> TrainingKind:
    first = rows[0]
    searched = first.kind in _SEARCHED
    by_spec: dict[str, dict[int, Row]] = {}
    for row in rows:
        by_spec.setdefault(row.spec_id, {}).setdefault(row.seed, row)
    candidates = {}
    for spec_id, by_seed in by_spec.items():
        runs = [row for _, row in sorted(by_seed.items())]
        candidates[spec_id] = TrainedCandidate(
            name=_name(runs[0]),
            runs=tuple(_training(row) for row in runs),
            whole={row.seed: float(row.final["ap"] or 0) for row in runs if row.state == "complete"},
            free={**{name: float(value) for name, value in runs[0].cost.items()}, **free_of(runs[0].spec)},
        )
    stopped = sum(not one.whole for one in candidates.values())
    notes = []
    if stopped:
        notes.append(
            f"{stopped} of {len(candidates)} candidates were stopped on the ladder and are left out; those that were not are "
            "the better ones, whose order is harder to predict"
        )
    who = "the search" if searched else "winners and baselines"
    label = f"{who} ({first.epochs_planned} epochs, on {first.splits['evaluated']})"
    return TrainingKind(
        label=label,
        epochs=first.epochs_planned,
        searched=searched,
        candidates=candidates,
        cost="macs",
        notes=tuple(notes),
    )


def _name(row: Row) -> str:
    if row.kind == "baseline":
        return row.name
    member = "" if row.member is None else f" member {row.member}"
    return f"trial {row.ordinal}{member}"


def _training(row: Row) -> AuditedTraining:
    aps = {epochs: float(ap) for epochs, numbers in row.curve if (ap := numbers.get("ap")) is not None}
    sums = accumulate(float(loss) for _, loss, _, _ in row.losses)
    loss_sums = {epoch: total for (epoch, *_), total in zip(row.losses, sums, strict=True)}
    known = {epoch: total for epoch, total in loss_sums.items() if epoch in aps}
    return AuditedTraining(seed=row.seed, aps={**aps, row.epochs_done: float(row.final["ap"] or 0)}, loss_sums=known)


def free_of(spec: DetectorSpec) -> dict[str, float]:
    """Return what is known of a detector without training, its costs aside: dimensions and paths of its graph.

    `path length` is the mean, over the pairs of an input and an output level of one cell, of the edges of the shortest
    path; `connected` the share of those pairs that have one.
    """
    levels = len(spec.levels)
    paths = path_lengths(spec.topology)
    return {
        "size": math.sqrt(math.prod(spec.size)),
        "width": float(spec.width),
        "repeats": float(spec.repeats),
        "head depth": float(spec.head_depth),
        "path length": fmean(paths),
        "connected": len(paths) / levels**2,
    }


# ---- a plain table ----


def _of_table(path: Path) -> TrainingKind:
    table = PlainTable(read_table_file(path))
    candidates = {}
    varied = [name for name in table.candidates[0].point if len({one.point[name] for one in table.candidates}) > 1]
    for one in table.candidates:
        (spec,) = one.members
        curves = table.curves(spec)
        axes = {name: float(value) for name, value in one.point.items() if not isinstance(value, str)}
        candidates[spec.id] = TrainedCandidate(
            name=shown({name: one.point[name] for name in varied}),
            runs=tuple(_of_curve(curve) for curve in curves),
            whole={curve.seed: curve.scores[-1] for curve in curves},
            free={**{name: float(value) for name, value in one.costs[0].items()}, **axes},
        )
    return TrainingKind(
        label=f"{path.name} ({table.epochs} epochs)",
        epochs=table.epochs,
        searched=True,
        candidates=candidates,
        cost="macs" if "macs" in table.costs else table.costs[0],
    )


def _of_curve(curve: ScoreCurve) -> AuditedTraining:
    spans = [after - before for before, after in zip((0, *curve.epochs), curve.epochs, strict=False)]
    sums = accumulate(loss * span for loss, span in zip(curve.losses, spans, strict=False))
    return AuditedTraining(
        seed=curve.seed,
        aps=dict(zip(curve.epochs, curve.scores, strict=True)),
        loss_sums=dict(zip(curve.epochs, sums, strict=False)),
    )


# ---- comparisons ----


def comparisons(path: Path) -> list[ProxyComparison]:
    """Return what a study or a table compares: the beginnings of its trainings with their ends, and the search's
    trainings with those of winners and baselines by each recipe."""
    search, *others = read_kinds(path)
    if not search.searched:
        return [within(one) for one in (search, *others)]
    fallback = next((one for one in others if one.noise), None)
    found = [within(search, fallback)]
    return found + [one for full in others if (one := between(search, full)) and len(one.candidates) > 1]


def within(kind: TrainingKind, fallback: TrainingKind | None = None) -> ProxyComparison:
    """Compare the beginnings of trainings with their ends. Noise that is unknown is that of `fallback`, and said so."""
    candidates = []
    for one in kind.candidates.values():
        runs = [run for run in one.runs if run.seed in one.whole]
        if runs:
            full = tuple(one.whole[run.seed] for run in runs)
            candidates.append(AuditedCandidate(name=one.name, short=tuple(runs), full=full, free=one.free))
    noise, notes = _noise(kind, fallback)
    return ProxyComparison(
        short=kind.label,
        full=kind.label,
        candidates=tuple(candidates),
        epochs=kind.epochs,
        within=True,
        noise=noise,
        cost=kind.cost,
        notes=(*kind.notes, *kind.apart, *notes),
    )


def _noise(kind: TrainingKind, fallback: TrainingKind | None) -> tuple[NoiseFloor | None, tuple[str, ...]]:
    """Return the noise of one training, of `fallback` where `kind` has none, and a note that says so."""
    if kind.noise or not (fallback and fallback.noise):
        return kind.noise, ()
    return fallback.noise, (f"no seed of {kind.label} is repeated; the noise is that of {fallback.label}",)


def between(short: TrainingKind, full: TrainingKind) -> ProxyComparison | None:
    """Compare trainings of one kind with those of another, of the candidates that both have; None where they share none.

    Noise that is unknown of the full trainings is that of the short ones, and said so.
    """
    candidates = []
    for key, one in short.candidates.items():
        other = full.candidates.get(key)
        if other and other.whole:
            whole = tuple(ap for _, ap in sorted(other.whole.items()))
            candidates.append(AuditedCandidate(name=one.name, short=one.runs, full=whole, free=one.free))
    if not candidates:
        return None
    noise, notes = _noise(full, short)
    return ProxyComparison(
        short=short.label,
        full=full.label,
        candidates=tuple(candidates),
        epochs=full.epochs,
        within=False,
        noise=noise,
        cost=short.cost,
        notes=(*full.apart, *notes),
    )


def against(proxy: Path, full: Path) -> ProxyComparison:
    """Compare the trainings of one study or table with those of another, of the candidates that both have.

    Of each, the kind of trainings is taken that shares most candidates with the other's: of PROXY the search before winners and
    baselines, of FULL the longer of two. Raises ValueError where they share none.
    """
    kinds = read_kinds(proxy)
    found = [one for short in kinds for whole in read_kinds(full) if (one := between(short, whole))]
    if not found:
        raise ValueError(
            f"{proxy} and {full} share no candidate ({_some(kinds[0].candidates.values())} in the first); train the same "
            "candidates by both recipes"
        )
    return max(found, key=lambda one: (len(one.candidates), one.epochs))


def _some(candidates: Iterable[TrainedCandidate]) -> str:
    return quoted(next(iter(candidates)).name)
