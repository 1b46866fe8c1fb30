"""When a worker counts as hung."""

from __future__ import annotations

import pytest

from scalesearch.execute.pulse import Beat, Pulse, overdue


@pytest.mark.parametrize(
    ("limit", "beat", "silent", "said"),
    [
        (None, Beat(1e6, 1e6), 599, ""),
        (None, Beat(), 601, "did not answer for 601 s"),
        (600.0, Beat(601, 601), 5, ""),  # past its limit, and still: not yet past the grace
        (600.0, Beat(899, 299), 0, ""),
        (600.0, Beat(2000, 299), 0, ""),  # decodes for long: it makes progress
        (600.0, Beat(901, 301), 0, "hung: no progress for 301 s, 301 s past its time_limit of 600 s"),
        (600.0, Beat(801, 201), 100, "hung: no progress for 301 s, 301 s past its time_limit of 600 s"),
        (1.0, Beat(121, 121), 0, ""),  # two minutes at least
        (1.0, Beat(122, 121), 0, "hung: no progress for 121 s, 121 s past its time_limit of 1 s"),
        (36000.0, Beat(50000, 10000), 0, ""),
    ],
)
def test_a_worker_is_overdue(limit: float | None, beat: Beat, silent: float, said: str) -> None:
    assert overdue(limit, beat, silent) == said


def test_progress_of_any_bar_is_a_sign_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pulse = Pulse()
    assert pulse.beat() == (0, 0)
    pulse.begin()
    now = 160.0
    assert pulse.beat() == (60, 60)
    pulse.bar("decoding images")(1, 2, "images")
    now = 170.0
    assert pulse.beat() == (70, 10)
    pulse.end()
    assert pulse.beat() == (0, 0)
