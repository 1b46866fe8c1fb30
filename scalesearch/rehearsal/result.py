"""`Rehearsed`: what one rehearsal of a search came to, as data, and the file of many."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from scalesearch.inputs.documents import parse
from scalesearch.inputs.typed import Number, fields_of
from scalesearch.io.target import TargetError, claim_folder

RUNS = "runs.jsonl"
"""The file of a folder's rehearsals, a line each."""
_BEGINNING = '{"setup": "'
"""Of each line."""


class Step(NamedTuple):
    """Where a search stood when a candidate had come to its end and changed what it would return."""

    epochs: int
    """Trained so far, over all candidates."""
    seconds: Number
    """That they took, as recorded or as the landscape says."""
    volume: Number
    """Hypervolume of the true values of what it would return, as a share of that of the whole band; AP from 0."""
    above: Number
    """The same with AP counted from the band's median: 0 is no better than a candidate drawn blindly."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One search of a landscape or a recorded table."""

    setup: str
    """Which problem it was: rehearsals of one setup may be compared."""
    sampler: str
    ladder: bool
    seed: int
    trials: int
    """Candidates asked for."""
    candidates: int
    """How many were proposed."""
    ended: int
    """How many were trained to the end."""
    full: int
    """Epochs of training every one of them to the end."""
    epochs: int
    """Epochs that were trained."""
    seconds: Number
    """That they took."""
    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """What the search came to; nothing at all where no candidate came to its end."""
        return self.steps[-1] if self.steps else Step(self.epochs, self.seconds, 0.0, 0.0)

    def at(self, epochs: float) -> Step:
        """Where it stood after so many epochs."""
        reached = [step for step in self.steps if step.epochs <= epochs]
        return reached[-1] if reached else Step(0, 0.0, 0.0, 0.0)

    def to_json(self) -> str:
        """One line; `from_json` is its inverse."""
        return json.dumps({**asdict(self), "steps": [list(step) for step in self.steps]})


def from_json(text: str) -> Rehearsed:
    """The inverse of `Rehearsed.to_json`. ValueError where it is torn or something else."""
    try:
        return fields_of(parse(text), Rehearsed, "a rehearsal")
    except ValueError as error:
        raise ValueError(f"a rehearsal is one JSON object of its fields, but this is none ({error})") from None


def read_runs(file: Path) -> tuple[list[Rehearsed], bool]:
    """The rehearsals of a file, and whether an interruption tore one more at its end. ValueError for another file."""
    *lines, last = file.read_text(encoding="utf-8").split("\n")
    try:
        kept = [from_json(line) for line in lines]
        if last and not (last.startswith(_BEGINNING) or _BEGINNING.startswith(last)):
            raise ValueError("its last line is none")
    except ValueError as error:
        raise ValueError(f"{file}: each line is a rehearsal, but {error}; name another folder with -o") from None
    return kept, bool(last)


def claim_rehearsal(folder: Path) -> None:
    """Checks that rehearsals can be written in `folder`: it has some, or is empty, or is not there. ValueError."""
    claim_folder(folder, "a folder of rehearsals")
    if (folder / RUNS).is_file():
        read_runs(folder / RUNS)
    elif folder.exists() and (strange := sorted(item.name for item in folder.iterdir())):
        raise TargetError(
            f"{folder}: rehearsals begin in an empty folder, but this one has {strange[0]} and no {RUNS}; "
            "name another with -o"
        )
