"""What the verbs share: the options that several take, and lines beside the output."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from scalesearch.io.text import for_terminal


class Finite(click.FloatRange):
    """A number in a range; click lets nan through, which no comparison is true of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number. BadParameter unless it is finite and in the range."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return float(found)


SEED = click.IntRange(0, 2**63 - 1)
"""What every random generator here takes."""
BATCH = click.IntRange(1, 65_536)
COUNT = click.IntRange(1, 100_000)
"""Of trials, searches, classes."""
WORKERS = click.IntRange(1, 256)
PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
SIZE = click.option("--size", metavar="HxW", help="Input size in pixels; native by default.")


@contextmanager
def printing(again: Callable[[], str]) -> Iterator[None]:
    """Where standard output takes no more, as on a full disk, what was worked out goes to standard error: `again`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        click.echo(again(), err=True)
        raise OSError(
            f"standard output cannot be written ({error.strerror}); what was to stand there is above"
        ) from None


def note(text: str) -> None:
    """A line on standard error, where it spoils no table and no JSON; of torchrun's processes the first one's."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(for_terminal(text), err=True)
