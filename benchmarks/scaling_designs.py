"""Named designs of a committed table: stars about a centre, compound and single-dimension scaling, with pooled noise.

The names say what a design is: `base` is the centre, `size80` differs from it in the size alone, `size_only4x` in the size alone
at four times its cost, `f1_35phi2` is the compound design of width factor 1.35 at phi 2, whose size is solved for its cost, and `p1_35phi2` is it
as published, of a size that only phi decides.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from scalesearch.arch.scaling import round_width
from scalesearch.evidence.noise import Group, NoiseFloor, by_seed, floor_of, unsteady
from scalesearch.records.folder import read_rows

FACTORS = (1.2, 1.25, 1.3, 1.35, 1.4, 1.45)
"""EfficientDet sec. 4.2."""
MATCHED, AS_PUBLISHED = "f", "p"
"""What the names of compound designs begin with: at a cost that phi decides, or at a size that it decides."""


@dataclass(frozen=True)
class StudyDesigns:
    """The named designs of a study, each with its seeds."""

    name: str
    groups: Mapping[str, Group]

    @cached_property
    def unsteady(self) -> tuple[str, ...]:
        """The designs whose seeds differ too much to be pooled with the others."""
        return unsteady({name: spread.values for name, group in self.groups.items() if (spread := group.spread())})

    @cached_property
    def noise(self) -> NoiseFloor:
        """Of one training, pooled over the designs but the unsteady ones."""
        floor = floor_of(group for name, group in self.groups.items() if name not in self.unsteady)
        assert floor, "designs are trained with several seeds"
        return floor

    @property
    def centre(self) -> Group:
        """The design about which the stars are."""
        return self.groups["base"]

    def mean(self, group: Group) -> float:
        """Return the mean AP over seeds."""
        spread = group.spread()
        assert spread
        return spread.mean

    def half(self, group: Group) -> float:
        """Return half the 95 % interval of the mean, from the pooled noise."""
        return float(stdtrit(self.noise.freedom, 0.975)) * self.noise.sd / math.sqrt(len(group.rows))

    def shown(self, group: Group) -> str:
        """Return the mean with half its interval."""
        return f"{self.mean(group):.3f} ± {self.half(group):.3f}"

    def against(self, group: Group, other: Group) -> str:
        """Return the difference of `group` to `other`, whether seeds tell it, and how many would."""
        difference = self.mean(group) - self.mean(other)
        least = self.noise.significant(len(group.rows), len(other.rows))
        if abs(difference) > least:
            return f"**{difference:+.3f}** (told: beyond {least:.3f})"
        seeds = self.noise.runs_for(abs(difference))
        return f"{difference:+.3f} (not told; {f'{seeds:,} seeds would' if seeds else 'no difference'})"

    def compound(self, factor: float, phi: int, kind: str = MATCHED) -> Group | None:
        """Return the compound design of a width factor, which several factors may share."""
        width, repeats = round_width(self.centre.first.spec.width * factor**phi), self.centre.first.spec.repeats + phi
        for name, group in self.groups.items():
            if re.fullmatch(rf"{kind}[0-9_]+phi{phi}", name) and group.first.spec.width == width:
                assert group.first.spec.repeats == repeats
                return group
        return None


def read_designs(folder: Path) -> StudyDesigns:
    """Return the named designs of the study in `folder`."""
    return StudyDesigns(folder.name, {group.first.name: group for group in by_seed(read_rows(folder), ["baseline"])})


def star_of(study: StudyDesigns, dimension: str) -> list[Group]:
    """Return the centre and the designs that differ from it in one dimension, by cost."""
    found = [
        group
        for name, group in study.groups.items()
        if name == "base" or re.fullmatch(rf"{dimension}(\d+|_only\dx)", name)
    ]
    return sorted(found, key=lambda group: group.first.cost["macs"])


def slope_of(study: StudyDesigns, star: Sequence[Group]) -> tuple[float, float]:
    """Return the slope of mean AP over log2 FLOPs, and half its 95 % interval, scatter about the line included."""
    x = np.array([math.log2(group.first.cost["macs"]) for group in star])
    y = np.array([study.mean(group) for group in star])
    x = x - x.mean()
    slope = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - slope * x
    freedom = len(star) - 2
    scatter = max(float((rest**2).sum() / freedom), study.noise.sd**2 / min(len(group.rows) for group in star))
    return slope, float(stdtrit(freedom, 0.975)) * math.sqrt(scatter / float((x * x).sum()))


def found_compounds(study: StudyDesigns, phi: int, kind: str = MATCHED) -> list[tuple[float, Group]]:
    """Return the compound designs of a kind, by factor."""
    return [(factor, group) for factor in FACTORS if (group := study.compound(factor, phi, kind))]
