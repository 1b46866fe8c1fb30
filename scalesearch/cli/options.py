"""What the verbs share: the options that several take, and lines beside the output."""

from __future__ import annotations

import os
from pathlib import Path

import click

PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)
SIZE = click.option("--size", metavar="HxW", help="Input size in pixels; native by default.")


def note(text: str) -> None:
    """A line on standard error, where it spoils no table and no JSON; of torchrun's processes the first one's."""
    if os.environ.get("RANK", "0") == "0":
        click.echo(text, err=True)
