"""A sample of timm's families as backbones, on the meta device; `benchmarks/check_backbones.py` has all of them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.benchmarks.scripts import script

check = script("check_backbones")
SAMPLE = random.Random(0).sample(sorted(check.ACCEPTED), 8)


@pytest.mark.parametrize("family", SAMPLE)
def test_a_family_serves_with_maps_of_the_right_channels(family: str, tmp_path: Path) -> None:
    for name, channels in check.ACCEPTED[family].items():
        assert check.differs(name, channels, tmp_path) == ""


@pytest.mark.parametrize("name", check.REFUSED)
def test_a_model_that_cannot_serve_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    assert re.search(check.REFUSED[name], check.refusal(name, tmp_path))


def test_there_are_enough() -> None:
    assert len(check.ACCEPTED) >= 15
    assert sum(map(len, check.ACCEPTED.values())) >= 40
