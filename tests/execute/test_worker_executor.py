"""The executor's decisions, on a cluster of threads: which place gets a task, which gets no more, and what ends a study."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from scalesearch.execute.executor import Answer, UnfitWorkerError, WorkerLostError
from scalesearch.execute.pulse import Beat
from scalesearch.execute.site import Answered, Begun, Event, Gone, Place, WorkerReady
from scalesearch.execute.worker_executor import WorkerExecutor
from scalesearch.plan.task import Outcome, Task, TaskError
from tests.trainings import outcome, tiny_task

Conduct = Callable[[str, Task], Answer | Gone]
"""What comes of a task at a place."""


class Threads:
    """A cluster whose workers are threads. It counts what was done where."""

    def __init__(self, nodes: Sequence[str], conduct: Conduct, *, room: int = 1) -> None:
        self.nodes, self.room, self.conduct = list(nodes), room, conduct
        self.unfit: dict[str, str] = {}
        self.dead: set[str] = set()
        """Nodes on which no worker starts."""
        self.full: set[str] = set()
        """Nodes on which no process can be made."""
        self.started: Counter[str] = Counter()
        self.trained: Counter[str] = Counter()
        self.closed = False

    def places(self) -> Sequence[Place]:
        return [Place(name, f"node {name}", self.room, machine=name) for name in self.nodes]

    def start(self, place: Place, tell: Callable[[Event], None]) -> ThreadWorker:
        self.started[place.key] += 1
        if place.key in self.full:
            raise BlockingIOError("no more processes")
        return ThreadWorker(self, place.key, tell)

    def close(self) -> None:
        self.closed = True


class ThreadWorker:
    def __init__(self, site: Threads, node: str, tell: Callable[[Event], None]) -> None:
        self.site, self.node, self.tell = site, node, tell
        if node in site.dead:
            tell(Gone("no such program"))
            return
        tell(Begun())
        error = site.unfit.get(node)
        tell(WorkerReady(UnfitWorkerError(error) if error else None))

    def train(self, task: Task) -> None:
        def run() -> None:
            self.site.trained[self.node] += 1
            found = self.site.conduct(self.node, task)
            self.tell(found if isinstance(found, Gone) else Answered(found))

        threading.Thread(target=run).start()

    def listen(self) -> None:
        """They do not hang."""

    def keep(self) -> None:
        """They write nothing."""

    def end(self, *, hangs: bool = False) -> None:
        self.tell(Gone("it was ended"))


def well(node: str, task: Task) -> Answer | Gone:
    time.sleep(0.002)
    return outcome(node)


class Study:
    """Sends tasks as the driver does, as many at a time as there are workers, and lost ones again."""

    def __init__(self, pool: WorkerExecutor[Task, Outcome]) -> None:
        self.pool, self.lost = pool, 0

    def run(self, tasks: Sequence[Task]) -> dict[str, Outcome | Exception]:
        found: dict[str, Outcome | Exception] = {}
        waiting, out = list(reversed(tasks)), dict[Future[Outcome], Task]()
        while waiting or out:
            while waiting and len(out) < self.pool.workers:
                task = waiting.pop()
                out[self.pool.submit(task, task.folder.name)] = task
            future = next(iter(out))
            task = out.pop(future)
            try:
                found[task.folder.name] = future.result(timeout=30)
            except WorkerLostError as lost:
                if lost.final:
                    found[task.folder.name] = lost
                else:
                    self.lost += 1
                    waiting.append(task)
            except Exception as error:  # noqa: BLE001  what the driver would judge
                found[task.folder.name] = error
        return found


Make = Callable[..., Study]


@pytest.fixture
def study() -> Iterator[Make]:
    pools: list[WorkerExecutor[Task, Outcome]] = []

    def make(site: Threads, workers: int = 0) -> Study:
        pools.append(WorkerExecutor[Task, Outcome](site, workers or len(site.nodes) * site.room))
        return Study(pools[-1])

    yield make
    for pool in pools:
        pool.close()


def tasks(count: int) -> list[Task]:
    return [tiny_task(Path(f"t{i}")) for i in range(count)]


def names(found: dict[str, Outcome | Exception]) -> set[str]:
    return {name for name, one in found.items() if isinstance(one, Outcome)}


def test_a_worker_is_started_once_for_many_tasks(study: Make) -> None:
    site = Threads("abc", well)
    assert len(names(study(site).run(tasks(30)))) == 30
    assert sum(site.trained.values()) == 30 and all(site.started[node] <= 1 for node in "abc")


def test_a_sick_node_loses_three_tasks_and_no_more_and_is_named(study: Make, caplog: pytest.LogCaptureFixture) -> None:
    def conduct(node: str, task: Task) -> Answer | Gone:
        return WorkerLostError("CUDA error") if node == "b" else well(node, task)

    site = Threads("abc", conduct)
    driver = study(site)
    assert len(names(driver.run(tasks(40)))) == 40
    assert 3 <= driver.lost == site.trained["b"] <= 6
    (line,) = [record.getMessage() for record in caplog.records if "in a row" in record.getMessage()]
    assert line.startswith("node b has lost the workers of 3 trainings in a row and gets no new ones")


def test_a_task_that_kills_its_worker_fails_after_three_nodes_and_benches_none(study: Make) -> None:
    seen: list[str] = []

    def conduct(node: str, task: Task) -> Answer | Gone:
        if task.folder.name in ("t2", "t3", "t4", "t5", "t6"):
            seen.append(node)
            return Gone("it died")
        return well(node, task)

    site = Threads("abcd", conduct)
    found = study(site).run(tasks(24))
    assert len(names(found)) == 19
    lost = {name: str(error) for name, error in found.items() if isinstance(error, WorkerLostError)}
    assert set(lost) == {"t2", "t3", "t4", "t5", "t6"}
    assert all(text.endswith(" times, the last time: it died") for text in lost.values())
    assert set(seen) == set("abcd")


def test_on_one_machine_three_workers_are_enough(study: Make) -> None:
    site = Threads("a", lambda node, task: Gone("it died") if task.folder.name == "t1" else well(node, task), room=2)
    found = study(site).run(tasks(6))
    assert str(found["t1"]) == "its worker was lost 3 times, the last time: it died"
    assert len(names(found)) == 5


def test_an_unfit_node_is_named_and_costs_nothing(study: Make, caplog: pytest.LogCaptureFixture) -> None:
    site = Threads("abc", well)
    site.unfit["c"] = "a worker on c has torch 1"
    driver = study(site)
    assert len(names(driver.run(tasks(12)))) == 12 and driver.lost == 0
    assert site.trained["c"] == 0 and site.started["c"] == 1
    assert caplog.messages == ["node c gets no trainings: a worker on c has torch 1"]


def test_where_no_node_is_fit_the_study_ends_with_the_reason(study: Make) -> None:
    site = Threads("ab", well)
    site.unfit |= {"a": "no data", "b": "no data"}
    found = study(site).run(tasks(3))
    assert {repr(error) for error in found.values()} == {"UnfitWorkerError('no data')"}


def test_a_node_on_which_no_worker_starts_is_left_alone(study: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesearch.execute.worker_executor.LOOK", 0.05)
    site = Threads("abc", well)
    site.dead.add("a")
    driver = study(site)
    assert len(names(driver.run(tasks(9)))) == 9 and driver.lost == 0
    site.nodes = ["a"]
    (error,) = study(site).run(tasks(1)).values()
    assert str(error) == "3 workers on node a ended before they could begin, the last one so: no such program"
    assert isinstance(error, UnfitWorkerError)
    site.dead, site.full = set(), {"a"}
    (error,) = study(site).run(tasks(1)).values()
    assert str(error).endswith("the last one so: no more processes")


def test_an_error_of_the_disk_is_one_nodes_or_every_nodes(study: Make) -> None:
    full = {"b"}

    def conduct(node: str, task: Task) -> Answer | Gone:
        return TaskError(f"{node} is full") if node in full else well(node, task)

    site = Threads("abc", conduct)
    assert len(names(study(site).run(tasks(20)))) == 20
    full |= {"a", "c"}
    assert all(isinstance(error, TaskError) for error in study(site).run(tasks(3)).values())
    alone = study(Threads("b", conduct))
    assert str(alone.run(tasks(1))["t0"]) == "b is full"


def test_what_a_training_raises_is_the_trainings(study: Make) -> None:
    site = Threads("ab", lambda node, task: ValueError("no such shape"))
    driver = study(site)
    assert {repr(error) for error in driver.run(tasks(5)).values()} == {"ValueError('no such shape')"}
    assert driver.lost == 0 and sum(site.trained.values()) == 5


def test_a_node_that_comes_later_is_used_and_one_that_goes_blames_nobody(
    study: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalesearch.execute.worker_executor.LOOK", 0.05)

    def conduct(node: str, task: Task) -> Answer | Gone:
        """Nodes leave in the middle of a task, each of the first four."""
        if node in "abcd":
            site.nodes = [name for name in (*site.nodes, chr(ord(node) + 1)) if name != node]
            return Gone(f"{node} is gone")
        return well(node, task)

    site = Threads("", conduct)
    driver = study(site, workers=1)
    threading.Timer(0.2, lambda: site.nodes.append("a")).start()
    found = driver.run(tasks(2))
    assert names(found) == {"t0", "t1"} and driver.lost == 4


def test_two_workers_of_many_nodes_are_not_more_than_two(study: Make) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def conduct(node: str, task: Task) -> Answer | Gone:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.01)
        with lock:
            at_once -= 1
        return Gone("it died") if task.folder.name == "t3" else outcome()

    site = Threads("abcde", conduct)
    found = study(site, workers=2).run(tasks(8))
    assert most == 2 and len(names(found)) == 7
    assert str(found["t3"]).startswith("its worker was lost 3 times")


def test_a_cluster_that_is_gone_settles_every_task() -> None:
    class Headless(Threads):
        def places(self) -> Sequence[Place]:
            if self.trained:
                raise ConnectionError("the head is gone")
            return super().places()

    site = Headless("a", lambda node, task: WorkerLostError("it died"))
    pool = WorkerExecutor[Task, Outcome](site, 2)
    try:
        for _ in range(2):
            with pytest.raises(UnfitWorkerError, match="no workers any more: ConnectionError: the head is gone"):
                pool.submit(tiny_task(Path("t")), "").result(timeout=30)
    finally:
        pool.close()
    assert site.closed


def test_closing_settles_what_runs_and_what_waits() -> None:
    site = Threads("a", lambda node, task: (time.sleep(0.2), outcome())[1])
    pool = WorkerExecutor[Task, Outcome](site, 1)
    futures = [pool.submit(task, "") for task in tasks(3)]
    pool.close()
    for future in futures:
        with pytest.raises(WorkerLostError, match="the workers were stopped"):
            future.result(timeout=5)
    assert site.closed


def test_silence_of_a_worker_is_of_the_time_that_this_process_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that was suspended for an hour does not find its workers hung."""
    monkeypatch.setattr("scalesearch.execute.pulse.SILENT", 30.0)
    later = 0.0
    before = time.monotonic
    monkeypatch.setattr("scalesearch.execute.worker_executor.time.monotonic", lambda: before() + later)

    def conduct(node: str, task: Task) -> Answer | Gone:
        nonlocal later
        later = 3600.0
        time.sleep(1.5)  # the pool looks each second
        return outcome()

    pool = WorkerExecutor[Task, Outcome](Threads("a", conduct), 1)
    try:
        assert pool.submit(tiny_task(Path("t")), "").result(timeout=30) == outcome()
    finally:
        pool.close()
    assert Beat() == (0.0, 0.0)
