"""`Rehearsed`: the result of one rehearsal as plain data, and the file of many."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from scalesearch.inputs.documents import parse_json
from scalesearch.inputs.typed import Number, fields_of
from scalesearch.io.target import TargetError, claim_folder

RUNS = "runs.jsonl"
"""File of a folder's rehearsals, one a line."""
_BEGINNING = '{"setup": "'
"""Beginning of each line."""


class FrontUpdate(NamedTuple):
    """State of a search when a fully trained candidate changed its front."""

    epochs: int
    """Epochs trained so far, over all candidates."""
    seconds: Number
    """Time of these epochs, from the table or the landscape."""
    volume: Number
    """Hypervolume of the front's true values, as a share of that of the whole band; AP from 0."""
    above: Number
    """The same with AP counted from the band's median: 0 is no better than a random candidate."""


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """One search on a landscape or a recorded table."""

    setup: str
    """The problem: only rehearsals of one setup are comparable."""
    sampler: str
    ladder: bool
    seed: int
    trials: int
    """Number of trials requested."""
    candidates: int
    """Number of candidates proposed."""
    ended: int
    """Number of candidates fully trained."""
    full: int
    """Epochs that training all candidates fully would take."""
    epochs: int
    """Epochs trained."""
    seconds: Number
    """Time of the epochs trained."""
    steps: tuple[FrontUpdate, ...]

    @property
    def last(self) -> FrontUpdate:
        """The last step; one with hypervolume 0 where no candidate was fully trained."""
        return self.steps[-1] if self.steps else FrontUpdate(self.epochs, self.seconds, 0.0, 0.0)

    def at(self, epochs: float) -> FrontUpdate:
        """Return the last step within this many epochs."""
        reached = [step for step in self.steps if step.epochs <= epochs]
        return reached[-1] if reached else FrontUpdate(0, 0.0, 0.0, 0.0)

    def to_json(self) -> str:
        """Return one line of JSON; `from_json` is the inverse."""
        return json.dumps({**asdict(self), "steps": [list(step) for step in self.steps]})


def from_json(text: str) -> Rehearsed:
    """Inverse of `Rehearsed.to_json`. Raises ValueError where the text is torn or something else."""
    try:
        return fields_of(parse_json(text), Rehearsed, "a rehearsal")
    except ValueError as error:
        raise ValueError(f"a rehearsal is one JSON object of its fields, but this is none ({error})") from None


def read_runs(file: Path) -> tuple[list[Rehearsed], bool]:
    """Return the rehearsals of a file, and whether its last line is torn. Raises ValueError for any other file."""
    *lines, last = file.read_text(encoding="utf-8").split("\n")
    try:
        kept = [from_json(line) for line in lines]
        if last and not (last.startswith(_BEGINNING) or _BEGINNING.startswith(last)):
            raise ValueError("its last line is none")
    except ValueError as error:
        raise ValueError(f"{file}: each line is a rehearsal, but {error}; name another folder with -o") from None
    return kept, bool(last)


def claim_rehearsal(folder: Path) -> None:
    """Raise ValueError unless rehearsals can be written in `folder`: it has some, is empty or does not exist."""
    claim_folder(folder, "a folder of rehearsals")
    if (folder / RUNS).is_file():
        read_runs(folder / RUNS)
    elif folder.exists() and (strange := sorted(item.name for item in folder.iterdir())):
        raise TargetError(
            f"{folder}: rehearsals begin in an empty folder, but this one has {strange[0]} and no {RUNS}; "
            "name another with -o"
        )
