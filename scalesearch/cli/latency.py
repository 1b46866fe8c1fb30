"""Commands on latency: measure, calibrate."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scalesearch.cli.options import BATCH, PATH, SIZE, printing

logger = logging.getLogger(__name__)

_SETTING = (
    click.option("--device", default="cpu", show_default=True, help="cpu or cuda."),
    click.option(
        "--backend",
        type=click.Choice(("eager", "compile", "onnxruntime")),
        default="eager",
        show_default=True,
        help="PyTorch with norms folded, the same through torch.compile, or ONNX Runtime (extra onnx).",
    ),
    click.option("--precision", type=click.Choice(("fp32", "bf16", "fp16")), default="fp32", show_default=True),
    click.option("--threads", type=click.IntRange(1), help="PyTorch's own number by default."),
    click.option("--batch", type=BATCH, default=1, show_default=True, help="Images at a time."),
)


def setting_options(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a latency setting to a command."""
    for option in reversed(_SETTING):
        verb = option(verb)
    return verb


@click.command()
@click.argument("design")
@setting_options
@SIZE
@click.option("--json", "as_json", is_flag=True, help="One object.")
def measure(
    design: str,
    device: str,
    backend: str,
    precision: str,
    threads: int | None,
    batch: int,
    size: str | None,
    as_json: bool,
) -> None:
    """Time DESIGN (d0 .. lite4, or a file) as it is deployed, in turn with a reference operation.

    Prints the median with an interval, and the ratio to the reference, which a change of clock does not move.

    \b
    Examples:
      scalesearch measure d0 --threads 1
      scalesearch measure my_detector.yaml --backend onnxruntime --threads 4 --json
      scalesearch measure d0 --device cuda --precision fp16 --batch 8
    """
    from scalesearch.app import measure_latency as timing
    from scalesearch.console.latency_tables import show_latency
    from scalesearch.plan.design import read_design, unfitted_note
    from scalesearch.profile.latency_setting import setting_of

    spec = read_design(design, size=size)
    if note := unfitted_note(design):
        logger.info(note)
    found = timing.measure(spec, setting_of(device, backend, precision, threads, batch))
    for warning in found.warnings:
        logger.warning(f"warning: {warning}")
    text = json.dumps(found.to_dict(), indent=2)
    with printing(lambda: text):
        if as_json:
            click.echo(text)
        else:
            show_latency(design, found.to_dict())


@click.command()
@setting_options
@click.option(
    "--out", "-o", type=PATH, help="The table, a JSON file; in the cache, named after the device, by default."
)
def calibrate(device: str, backend: str, precision: str, threads: int | None, batch: int, out: Path | None) -> None:
    """Time operators on this device, once, so that latencies can be predicted without building anything.

    Takes a few minutes. Times random detectors whole and in parts, and measures the error of predictions for detectors
    that the table was not made from.

    \b
    Examples:
      scalesearch calibrate --threads 1
      scalesearch calibrate --backend onnxruntime --threads 1 -o this_machine.json
    """
    from scalesearch.io.cache import cache_folder
    from scalesearch.io.target import claim_file, claim_folder
    from scalesearch.plan.latency_table import is_latency_table

    if out:
        claim_file(out, "a table of timings", is_latency_table)
    else:
        claim_folder(cache_folder() / "latency", "the cache's folder of tables of timings")
    from scalesearch.app import measure_latency as timing
    from scalesearch.console.progress import RichConsole
    from scalesearch.profile.latency_setting import setting_of

    setting = setting_of(device, backend, precision, threads, batch)
    with RichConsole():
        timing.calibrate(setting, out)
