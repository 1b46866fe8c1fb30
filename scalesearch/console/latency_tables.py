"""Table of a measured latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scalesearch.io.text import for_terminal


def show_latency(name: str, found: Mapping[str, Any]) -> None:
    """Print a measured latency, given as `profile.latency_benchmark.Latency.to_dict` returns it."""
    console, setting = Console(highlight=False, soft_wrap=True), found["setting"]
    threads = f"{setting['threads']} thread{'s' * (setting['threads'] != 1)}"
    console.print(
        f"{for_terminal(name)}: input {found['size'][0]}x{found['size'][1]}, batch {setting['batch']}; {setting['device']}, "
        f"{setting['backend']}, {setting['precision']}, {threads}",
        markup=False,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("", "median", "95 % interval of it"):
        table.add_column(head, justify="right" if head else "left")
    low, high = found["interval"]
    table.add_row(
        "detector", f"{1e3 * found['seconds']:.2f} ms", f"{1e3 * low:.2f} .. {1e3 * high:.2f} ms", style="bold"
    )
    low, high = found["ratio_interval"]
    table.add_row("over the reference", f"{found['ratio']:.3f}", f"{low:.3f} .. {high:.3f}")
    table.add_row("reference", f"{1e3 * found['reference']:.2f} ms", f"10th to 90th percentile {found['drift']:.0%}")
    table.add_row("suppression", f"{1e3 * found['suppression']:.2f} ms", "apart, not in the above")
    console.print(table)
    versions = ", ".join(f"{package} {version}" for package, version in setting["versions"].items())
    console.print(f"{found['rounds']} rounds, {found['clock']} time. {versions}.", markup=False)
    console.print(f"Reference: {found['reference_operation']}.", markup=False)
