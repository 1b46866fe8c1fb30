"""Who is to blame for lost workers: a task or a place."""

from __future__ import annotations

from pathlib import Path

from scalesearch.execute.losses import ENDLESS, WorkerLosses
from tests.trainings import tiny_task

ONE, TWO, THREE, FOUR = (tiny_task(Path(name)) for name in ("1", "2", "3", "4"))
NODES = {"a", "b", "c", "d"}


def test_a_task_that_loses_three_workers_in_three_places_is_to_blame_and_excuses_them() -> None:
    losses = WorkerLosses()
    for place in "ab":
        losses.add((ONE,), place, 0)
        assert not losses.to_blame(ONE, NODES)
    losses.add((ONE,), "b", 0)
    assert not losses.to_blame(ONE, NODES), "two places are not three"
    losses.add((ONE,), "c", 0)
    assert losses.to_blame(ONE, NODES)
    losses.excuse(ONE)
    assert [losses.suspicion(place) for place in "abc"] == [0, 0, 0]


def test_fewer_places_are_enough_where_there_are_no_more() -> None:
    losses = WorkerLosses()
    for place in ("a", "a", "a"):
        assert not losses.to_blame(ONE, {"a"})
        losses.add((ONE,), place, 0)
    assert losses.to_blame(ONE, {"a"}) and not losses.to_blame(ONE, {"a", "b"})
    losses.add((ONE,), "b", 0)
    assert losses.to_blame(ONE, {"a", "b"})


def test_a_place_is_unfit_after_three_losses_and_those_blame_no_task() -> None:
    losses = WorkerLosses()
    for task in (ONE, TWO, THREE):
        assert losses.fit(NODES) == NODES
        losses.add((task,), "a", 0)
    assert losses.fit(NODES) == NODES - {"a"}
    # Lost in two more places and once in the sick one: not in three that are fit.
    for place in "bc":
        losses.add((ONE,), place, 0)
    assert losses.count((ONE,)) == 3 and not losses.to_blame(ONE, NODES)
    losses.add((ONE,), "d", 0)
    assert losses.to_blame(ONE, NODES)


def test_what_a_place_completes_speaks_for_the_slot_alone() -> None:
    """One sick GPU of a node is found, though the others train."""
    losses = WorkerLosses()
    for task in (ONE, TWO, THREE):
        losses.add((task,), "a", 0)
        losses.completed((FOUR,), "a", 1)
    assert losses.fit(NODES) == NODES - {"a"}
    losses.completed((FOUR,), "a", 0)
    assert losses.fit(NODES) == NODES


def test_a_task_that_kills_workers_gives_back_the_places_that_it_cost() -> None:
    losses = WorkerLosses()
    for task in (ONE, TWO, THREE):
        for place in "abc":
            losses.add((task,), place, 0)
    assert losses.fit(NODES) == {"d"}
    for task in (ONE, TWO, THREE):
        losses.add((task,), "d", 0)
        if losses.to_blame(task, NODES):
            losses.excuse(task)
    assert losses.fit(NODES) == NODES


def test_where_all_places_are_suspected_all_are_fit() -> None:
    losses = WorkerLosses()
    for task in (ONE, TWO, THREE):
        for place in "ab":
            losses.add((task,), place, 0)
    assert losses.fit({"a", "b"}) == {"a", "b"}


def test_places_that_are_gone_blame_nobody_but_not_for_ever() -> None:
    losses = WorkerLosses()
    for i in range(ENDLESS):
        assert not losses.to_blame(ONE, NODES)
        losses.add((ONE,), f"spot {i}", 0)
    assert losses.to_blame(ONE, NODES)


def test_a_task_that_is_done_is_forgotten() -> None:
    losses = WorkerLosses()
    losses.add((ONE,), "a", 0)
    assert losses.places((ONE,)) == {"a"} and losses.places((ONE,), least=2) == set()
    losses.completed((ONE,), "b", 0)
    assert losses.places((ONE,)) == set() and losses.count((ONE,)) == 0
    assert losses.suspicion("a") == 1


def test_tasks_that_are_lost_together_are_one_loss_and_none_is_to_blame_alone() -> None:
    losses = WorkerLosses()
    for _ in range(2):
        losses.add((ONE, TWO), "a", 0)
    assert losses.suspicion("a") == 1 and losses.count((ONE, TWO, THREE)) == 2
    assert losses.places((TWO, THREE), least=2) == {"a"}
    losses.completed((ONE,), "a", 1)
    losses.add((TWO,), "a", 0)
    assert losses.to_blame(TWO, {"a"}) and not losses.to_blame(ONE, {"a"})
    losses.excuse(TWO)
    assert losses.suspicion("a") == 0
