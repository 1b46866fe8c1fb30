"""The front against its definition, on every small set of points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement, product

from scalesearch.records.front import best_trials
from scalesearch.records.pareto import non_dominated
from scalesearch.records.row import Row
from scalesearch.records.trials import trials

MakeRow = Callable[..., Row]
Point = tuple[float, ...]


def _brute(points: Sequence[Point]) -> list[int]:
    """Definition: i stays unless some j is no worse in all and better in one (first number up, others down)."""

    def better(a: Point, b: Point) -> bool:
        ups = [a[0] >= b[0], *(x <= y for x, y in zip(a[1:], b[1:], strict=True))]
        return all(ups) and a != b

    return [i for i, mine in enumerate(points) if not any(better(other, mine) for other in points)]


def _front(points: Sequence[Point], objectives: Sequence[str]) -> list[int]:
    return non_dominated(range(len(points)), lambda i: points[i], objectives)


def test_two_objectives_on_every_grid_of_up_to_four_points() -> None:
    grid = list(product((0.0, 1.0, 2.0), repeat=2))
    for count in range(5):
        for points in combinations_with_replacement(grid, count):
            assert _front(points, ("ap", "macs")) == _brute(points)


def test_three_objectives_on_every_pair_and_triple() -> None:
    grid = list(product((0.0, 1.0, 2.0), repeat=3))
    for count in (2, 3):
        for points in combinations_with_replacement(grid, count):
            assert _front(points, ("ap", "macs", "params")) == _brute(points)


def test_the_order_of_the_points_changes_nothing() -> None:
    points = [(0.1, 5.0), (0.3, 9.0), (0.3, 9.0), (0.2, 5.0), (0.2, 9.0), (0.0, 1.0)]
    kept = [points[i] for i in _front(points, ("ap", "macs"))]
    assert kept == [(0.3, 9.0), (0.3, 9.0), (0.2, 5.0), (0.0, 1.0)]
    assert sorted(points[::-1][i] for i in _front(points[::-1], ("ap", "macs"))) == sorted(kept)


def _row(make_row: MakeRow, ap: float | None, macs: int, params: int = 0, **fields: object) -> Row:
    return make_row(ap=ap, cost={"macs": macs, "params": params, "activations": 1}, **fields)


def _best(rows: Sequence[Row], objectives: Sequence[str] = ("ap", "macs")) -> list[int]:
    return [trial.ordinal for trial in best_trials(trials(rows), objectives)]


def test_trials_without_an_ap_or_not_complete_are_left_out(make_row: MakeRow) -> None:
    best = _row(make_row, 0.2, 10, ordinal=0)
    dearer = _row(make_row, 0.2, 11, ordinal=1)
    failed = _row(make_row, 0.9, 1, ordinal=2, state="failed")
    unknown = _row(make_row, None, 1, ordinal=3)
    tie = _row(make_row, 0.2, 10, ordinal=7)
    assert _best([dearer, failed, best, unknown, tie]) == [0, 7]
    assert _best([failed, unknown]) == []


def test_the_objectives_decide(make_row: MakeRow) -> None:
    rows = [_row(make_row, 0.2, 10, params=9, ordinal=0), _row(make_row, 0.2, 20, params=3, ordinal=1)]
    assert _best(rows, ("ap", "macs")) == [0]
    assert _best(rows, ("ap", "params")) == [1]
    assert _best(rows, ("ap", "macs", "params")) == [0, 1]
    assert _best(rows, ("ap",)) == [0, 1]
