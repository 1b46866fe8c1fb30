"""Reading and writing the file of a table of timings; errors have the remedy, and files are written whole."""

from __future__ import annotations

import json
from pathlib import Path

from scalesearch.cost.latency import LatencyTable, from_dict, to_dict
from scalesearch.inputs.documents import JsonError, parse_json
from scalesearch.inputs.files import read_whole
from scalesearch.io.publish import publish


def read_table(path: Path | str) -> LatencyTable:
    """Read a table that `scalesearch calibrate` wrote.

    Raises FileNotFoundError, and ValueError for a file that is no such table, both with the remedy.
    """
    try:
        data = parse_json(read_whole(Path(path)))
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
    """Write the table as JSON, aside and then renamed: the file is whole or not there."""
    publish(path, as_text(table))


def as_text(table: LatencyTable) -> str:
    """Return the JSON text of a table's file."""
    return json.dumps(to_dict(table), indent=1, allow_nan=False) + "\n"


def is_latency_table(path: Path) -> bool:
    """Whether the file is a table of timings, of any schema. Errors of reading it are passed on."""
    found = parse_json(path.read_bytes())
    return isinstance(found, dict) and {"schema", "setting", "reference", "prices"} <= found.keys()
