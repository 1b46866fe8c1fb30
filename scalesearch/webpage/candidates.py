"""The detectors that a page shows one by one: the candidates of the search, member by member, and the named designs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean
from typing import NamedTuple

from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology
from scalesearch.cost.budget import human
from scalesearch.cost.memory import inference_memory
from scalesearch.evidence.noise import Group
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_terminal
from scalesearch.records.front import Estimate
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Facts
from scalesearch.space.space import shown
from scalesearch.webpage.style import COSTS, for_plot

MOST = 1_000
"""The most candidates that a page shows one by one; of more, those that were trained longest and are best."""
Spec = list[tuple[str, str]]


class ShownDetector(NamedTuple):
    """A detector of the study: a member of a trial, or a named design."""

    row: Row
    trial: Trial | None
    """None for a named design."""
    finals: tuple[Group, ...]
    """Its full trainings."""
    estimate: Estimate | None

    @property
    def name(self) -> str:
        """What the page calls it."""
        if self.trial is None:
            return shortened(for_terminal(self.row.name), LONGEST)
        member = "" if self.row.member is None else f", member {self.row.member}"
        return f"Trial {self.row.ordinal}{member}"

    @property
    def runs(self) -> list[float]:
        """AP of the search by seed, the first seed's first; empty where it has none."""
        if self.trial is None or self.row.final.get("ap") is None:
            return []
        again = [rows[self.row.member or 0] for rows in self.trial.repeats]
        return [row.final["ap"] or 0.0 for row in (self.row, *again)]

    @property
    def ap(self) -> float | None:
        """Mean AP over the search's seeds: its last, where it was stopped; for a named design its mean on val."""
        if self.trial is None:
            spread = self.finals[0].spread() if self.finals else None
            return spread.mean if spread else None
        return fmean(self.runs) if self.runs else None

    @property
    def stopped(self) -> bool:
        """Whether it was stopped at a lower rung of the ladder."""
        return self.row.state == "stopped"

    @property
    def state(self) -> str:
        """How its training in the search ended, in a word."""
        if self.trial is None:
            return "named design"
        outcome = "measured outside the band" if self.row.outside else "failed"
        return {"complete": "complete", "stopped": "stopped early"}.get(self.row.state, outcome)

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(epochs, AP) of its evaluations in the search."""
        return [] if self.trial is None else curve_of(self.row)


def candidates(facts: Facts) -> list[ShownDetector]:
    """Return the candidates by ordinal and member, at most `MOST`, then the named designs."""
    finals: dict[tuple[int, int | None], list[Group]] = {}
    for group in facts.winners:
        finals.setdefault((group.first.ordinal, group.first.member), []).append(group)
    known = facts.estimates
    found = [
        ShownDetector(row, trial, tuple(finals.get((row.ordinal, row.member), ())), known.get(trial.ordinal))
        for trial in _chosen(facts)
        for row in trial.rows
    ]
    return found + [ShownDetector(group.first, None, (group,), None) for group in facts.baselines]


def _chosen(facts: Facts) -> Sequence[Trial]:
    """Return the trials to show, by ordinal."""
    most = MOST // len(facts.plan.bands)
    if len(facts.trials) <= most:
        return facts.trials
    kept = {group.first.ordinal for group in facts.winners} | {trial.ordinal for trial in facts.front}

    def worth(trial: Trial) -> tuple[bool, int, float]:
        return trial.ordinal in kept, trial.epochs_done, trial.value("ap")

    return sorted(sorted(facts.trials, key=worth)[-most:], key=lambda trial: trial.ordinal)


def costs_of(row: Row) -> dict[str, float]:
    """Return the costs of a row; memory by arithmetic where the row has none."""
    found = {name: float(value) for name, value in row.cost.items() if name in COSTS}
    if "memory" not in found and (memory := _memory(row.spec)) is not None:
        found["memory"] = memory
    return found


@lru_cache(maxsize=4 * MOST)
def _memory(spec: DetectorSpec) -> float | None:
    try:
        return float(inference_memory(spec))
    except ValueError:  # a timm backbone whose memory was not measured at this size
        return None


def curve_of(row: Row) -> list[tuple[int, float]]:
    """Return (epochs, AP) of a row's evaluations."""
    return [(epochs, ap) for epochs, numbers in row.curve if (ap := numbers.get("ap")) is not None]


def words(row: Row) -> str:
    """Return what the candidate is, in a line."""
    return shown(row.point) or "the plan's constants"


def hover(one: ShownDetector) -> str:
    """Return what a figure shows of it under the pointer."""
    row, costs = one.row, costs_of(one.row)
    by = f" · {for_plot(row.proposed_by)}" if one.trial else ""
    lines = [f"<b>{for_plot(one.name)}</b>{by} · {one.state}", *_wrapped(for_plot(words(row)))]
    lines.append(
        " · ".join(
            f"{human(costs[name], name)} {COSTS[name]}"
            for name in ("macs", "params", "memory", "latency")
            if name in costs
        )
    )
    if one.runs:
        seeds = f", mean of {len(one.runs)} seeds" if len(one.runs) > 1 else ""
        lines.append(f"AP {one.ap:.3f} on {for_plot(row.splits['evaluated'])}{seeds} after {row.epochs_done} epochs")
    lines += [final_words(group) for group in one.finals]
    return "<br>".join(lines)


def final_words(group: Group) -> str:
    """Return the AP of a full training with its seeds, for a figure."""
    spread = group.spread()
    if spread is None:
        return "no AP"
    seeds = f", {len(spread.values)} seeds" if len(spread.values) > 1 else ""
    interval = f", 95 % of the mean {spread.interval[0]:.3f} .. {spread.interval[1]:.3f}" if spread.interval else ""
    return f"AP {spread} on {for_plot(group.first.splits['evaluated'])}{seeds}{interval}"


def _wrapped(text: str, width: int = 56) -> list[str]:
    """Break a line at commas, since a figure does not."""
    lines = [""]
    for part in text.split(", "):
        joined = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines[-1] += ","
            lines.append(part)
    return lines


def spec_of(one: ShownDetector) -> Spec:
    """Return its properties as (name, value), for the panel beside the figure."""
    row, costs = one.row, costs_of(one.row)
    found: Spec = [("Proposed by", for_terminal(row.proposed_by))] if one.trial else []
    found += [(_title(name), for_terminal(value)) for name, value in row.point.items() if "." not in name]
    found += [("Topology", "free graph")] if any("." in name for name in row.point) else []
    found.append(("Input", "x".join(map(str, row.spec.size))))
    found += [
        (_title(COSTS[name]), human(costs[name], name)) for name in COSTS if name in costs and name != "activations"
    ]
    if one.trial:
        found.append(("State", f"{one.state}, {row.epochs_done} of {row.epochs_planned} epochs"))
    if one.runs:
        seeds = f" (mean of {len(one.runs)} seeds)" if len(one.runs) > 1 else ""
        found.append((f"AP on {for_terminal(row.splits['evaluated'])}", f"{one.ap:.3f}{seeds}"))
    if one.estimate:
        found.append(("Estimated mean AP", f"{one.estimate.mean:.3f} ± {one.estimate.variance**0.5:.3f}"))
    for group in one.finals:
        by = f", recipe {for_terminal(group.first.name)}" if group.first.kind == "winner" and group.first.name else ""
        found.append((f"AP on {for_terminal(group.first.splits['evaluated'])}{by}", str(group.spread() or "no AP")))
    found.append(("Row", f"rows/{row.file_name}"))
    return found


def _title(name: str) -> str:
    text = for_terminal(name).replace("_", " ")
    return text if text.isupper() or text == "FLOPs" else text[:1].upper() + text[1:]


def topology_of(one: ShownDetector) -> Topology:
    """Return its feature network."""
    return one.row.spec.topology
