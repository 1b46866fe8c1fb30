"""What the verbs share: the options that several take, and lines beside the output."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
SIZE = click.option("--size", metavar="HxW", help="Input size in pixels; native by default.")


def note(text: str) -> None:
    """A line on standard error, where it spoils no table and no JSON."""
    click.echo(text, err=True)
