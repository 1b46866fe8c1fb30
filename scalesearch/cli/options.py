"""Options shared by several commands, their checks, and the handling of output that cannot be written."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


class Finite(click.FloatRange):
    """A finite number in a range; click's FloatRange accepts nan, for which every comparison is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number. Raises BadParameter unless it is finite and in the range."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number.", param, ctx)
        return float(found)


SEED = click.IntRange(0, 2**63 - 1)
"""Range of seeds that every random generator here accepts."""
BATCH = click.IntRange(1, 65_536)
COUNT = click.IntRange(1, 100_000)
"""Number of trials, searches or classes."""
WORKERS = click.IntRange(1, 4096)
PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
SIZE = click.option("--size", metavar="HxW", help="Input size in pixels; native by default.")


@contextmanager
def printing(again: Callable[[], str]) -> Iterator[None]:
    """Print `again()` to standard error if standard output cannot be written, as on a full disk; then raise OSError."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        click.echo(again(), err=True)
        raise OSError(
            f"standard output cannot be written ({error.strerror}); the output is above, on standard error"
        ) from None


def _device(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Hide the other devices from torch, which is not imported yet and uses the device that it finds."""
    if value is None:
        return None
    match = re.fullmatch(r"cpu|(?:cuda|gpu|cuda:(\d+)|(\d+))", value)
    if not match:
        raise click.BadParameter(f"must be cpu, cuda or cuda:0 (or another number), but got {value!r}")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise click.BadParameter("is set by torchrun for each process; leave it out")
    number = match[1] or match[2]
    if value == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif number is not None:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        places = seen.split(",") if seen is not None else [str(place) for place in range(int(number) + 1)]
        if int(number) >= len(places):
            raise click.BadParameter(
                f"must be below {len(places)}, since CUDA_VISIBLE_DEVICES is {seen!r}, but got {value!r}"
            )
        os.environ["CUDA_VISIBLE_DEVICES"] = places[int(number)]
    return value


DEVICE = click.option(
    "--device", callback=_device, help="cpu, cuda, or cuda:N; a GPU where there is one, by default.", metavar="D"
)


def need_device(device: str | None) -> None:
    """Raise ValueError where a GPU is asked for and torch finds none."""
    if device is None or device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise ValueError(f"--device {device} asks for a GPU, but torch finds none: leave it out, or take --device cpu")


def need_data(source: str | Path, splits: tuple[str, str] = ("train", "val")) -> None:
    """Raise DataError for a data set without these splits, before torch is imported, which takes seconds."""
    if str(source) == "digits":
        return
    from scalesearch.data.layout import check_folder

    check_folder(Path(source), *splits)
