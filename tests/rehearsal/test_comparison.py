"""What is said of rehearsals: means, intervals, and differences over the same seeds."""

from __future__ import annotations

import pytest

from scalesearch.evidence.noise import Spread
from scalesearch.rehearsal.comparison import compare_runs, curve
from scalesearch.rehearsal.result import FrontUpdate, Rehearsed


def run(
    sampler: str, seed: int, above: float, *, ladder: bool = False, trials: int = 10, epochs: int = 100
) -> Rehearsed:
    """A search that found half of what it found after half of its epochs."""
    steps = (FrontUpdate(epochs // 2, 1.0, 0.4, above / 2), FrontUpdate(epochs, 2.0, 0.8, above))
    return Rehearsed(
        setup="x",
        sampler=sampler,
        ladder=ladder,
        seed=seed,
        trials=trials,
        candidates=trials,
        ended=trials,
        full=trials * 10,
        epochs=epochs,
        seconds=2.0,
        steps=steps,
    )


def test_differences_are_over_the_same_seeds() -> None:
    runs = [run("random", seed, above) for seed, above in enumerate((0.2, 0.4, 0.6))]
    runs += [run("tpe", seed, above) for seed, above in enumerate((0.3, 0.5))]
    runs += [run("tpe", seed, above, ladder=True, epochs=30) for seed, above in enumerate((0.15, 0.5))]
    random, tpe, climbed = compare_runs(runs)
    assert random.over_random is None and random.of_full is None
    assert tpe.over_random is not None and tpe.over_random.values == pytest.approx((0.1, 0.1))
    assert climbed.over_random is None  # random was not on the ladder
    assert climbed.of_full_above is not None and climbed.of_full_above.values == pytest.approx((0.5, 1.0))
    assert climbed.of_full is not None and climbed.of_full.values == pytest.approx((1.0, 1.0))
    assert climbed.full_then is not None and climbed.full_then.values == (0.0, 0.0) and tpe.full_then is None
    assert climbed.share.mean == pytest.approx(0.3)


def test_fewer_candidates_are_held_against_what_as_many_epochs_gave() -> None:
    found = compare_runs([run("random", 0, 0.6), run("gp", 0, 0.5, trials=5, epochs=50)])
    assert found[1].over_random is not None and found[1].over_random.values == pytest.approx((0.2,))


def test_random_of_as_many_candidates_comes_first_and_of_fewer_never() -> None:
    other = [run("random", 0, 0.6), run("random", 0, 0.3, trials=5, epochs=50)]
    for runs in (other, other[::-1]):
        *_, tpe = compare_runs([*runs, run("tpe", 0, 0.5, trials=5, epochs=50)])
        assert tpe.over_random is not None and tpe.over_random.values == pytest.approx((0.2,))
    *_, more = compare_runs([*other, run("tpe", 0, 0.5, trials=20, epochs=200)])
    assert more.over_random is None


def test_a_curve_is_of_what_all_runs_have_trained() -> None:
    points = curve([run("tpe", 0, 0.4), run("tpe", 1, 0.8, epochs=60)], 6)
    assert [point.epochs for point in points] == [10, 20, 30, 40, 50, 60]
    assert points[0].above.mean == 0 and points[2].above.values == (0.0, 0.4) and points[5].above.values == (0.2, 0.8)


def test_student_t_for_twenty_values() -> None:
    interval = Spread(tuple(float(i) for i in range(20))).interval
    assert interval is not None
    assert interval[1] - 9.5 == pytest.approx(2.093 * 5.9161 / 20**0.5, rel=1e-4)


@pytest.mark.parametrize(("count", "t"), [(22, 2.0796), (31, 2.0423), (41, 2.0211), (121, 1.9799)])
def test_student_t_beyond_its_table(count: int, t: float) -> None:
    """The values of printed tables for 21, 30, 40 and 120 degrees of freedom."""
    spread = Spread(tuple(float(i) for i in range(count)))
    assert spread.interval and spread.sd
    assert (spread.interval[1] - spread.mean) * count**0.5 / spread.sd == pytest.approx(t, abs=3e-4)
