"""The file of a table of timings: read with its mend, written whole."""

from __future__ import annotations

import json
from pathlib import Path

from scalesearch.cost.latency import LatencyTable, from_dict, to_dict
from scalesearch.inputs.documents import JsonError, parse
from scalesearch.io.publish import publish


def read_table(path: Path | str) -> LatencyTable:
    """The table in a file that `scalesearch calibrate` wrote.

    Raises FileNotFoundError, and ValueError for a file that is no such table, with the mend.
    """
    try:
        data = parse(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no table of timings {path}; `scalesearch calibrate -o {path}` makes one"
        ) from None
    except (OSError, JsonError) as error:
        raise ValueError(
            f"{path}: a table of timings is a JSON file, but {error}; make it again with "
            f"`scalesearch calibrate -o {path}`"
        ) from None
    try:
        return from_dict(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; make it again with `scalesearch calibrate -o {path}`") from None


def write_table(table: LatencyTable, path: Path) -> None:
    """Writes the table as JSON, aside and renamed: a file is whole or not there."""
    publish(path, as_text(table))


def as_text(table: LatencyTable) -> str:
    """The text of a table's file, JSON."""
    return json.dumps(to_dict(table), indent=1, allow_nan=False) + "\n"


def is_table(path: Path) -> bool:
    """Whether the file is a table of timings, of whatever schema. Raises what reading another file raises."""
    found = parse(path.read_bytes())
    return isinstance(found, dict) and {"schema", "setting", "reference", "prices"} <= found.keys()
