"""A sample of benchmarks/check_together.py; the whole run is committed in results/checks/."""

from __future__ import annotations

from tests.benchmarks.scripts import script


def test_a_batch_at_once_is_what_it_is_one_by_one() -> None:
    checks = script("check_together")
    for seed in range(20):
        assert (checks.pixels(seed, (0.25, 4.0)) == 0).all() and (checks.pixels(seed, None) == 0).all()
        assert (checks.pixels(seed, (0.01, 0.25)) <= 1).all()
    pairs = [pair for seed in range(40) for pair in checks.detections(seed)]
    assert all(checks.same(*pair) for pair in pairs)
    counts = {len(one.scores) for one, _ in pairs}
    assert 0 in counts and max(counts) > 50
