"""Ray: tasks on a cluster of three nodes, workers and nodes that go, attempts that keep to their own folders."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scalesearch.execute import attempts
from scalesearch.execute.executor import UnfitWorkerError
from scalesearch.execute.ray_cluster import Slots, connect, fit_slots
from scalesearch.execute.ray_executor import RayExecutor
from scalesearch.execute.together import Together
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from tests.execute.workers import Trials, assert_nothing_lost_or_twice, assert_refused, worker_facts
from tests.trainings import (
    count,
    count_all,
    count_sick,
    die_once,
    prepare_counted,
    prepared,
    refuse,
    tiny_task,
    unfit,
    who,
)

# Ray 2.40 leaves the logs of its processes open (ray/_private/node.py), and warnings are errors here.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file .*/session_.*/logs/:ResourceWarning")

# ---- how tasks fit into nodes: no Ray needed ----


@pytest.mark.parametrize(
    ("nodes", "asked", "found"),
    [
        ([{"CPU": 4}, {"CPU": 2}], {}, (6, 1, 0)),
        ([{"CPU": 4}, {"CPU": 3}], {"cpus": 2}, (3, 2, 0)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 8}], {}, (2, 8, 1)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 8}], {"gpus": 0.5}, (4, 4, 0.5)),
        ([{"CPU": 16, "GPU": 2}], {"gpus": 0.4}, (4, 3, 0.4)),  # two in a GPU: a third does not fit whole
        ([{"CPU": 16, "GPU": 2}], {"gpus": 0, "cpus": 4}, (4, 4, 0)),
        ([{"CPU": 16, "GPU": 4}], {"gpus": 2}, (2, 4, 2)),
        ([{"CPU": 4}], {"workers": 9}, (9, 1, 0)),
        ([], {"workers": 3, "gpus": 1}, (3, 1, 1)),
    ],
)
def test_workers_are_the_tasks_that_fit(
    nodes: list[dict[str, float]], asked: dict[str, Any], found: tuple[int, int, float]
) -> None:
    slots = fit_slots(nodes, "here", **({"cpus": None, "gpus": None, "workers": None} | asked))
    assert (slots.workers, slots.cpus, slots.gpus) == found


def test_a_task_that_fits_nowhere_is_refused() -> None:
    message = "needs 8 CPU and 1 GPU of one node, but none of the 2 nodes at here has them"
    with pytest.raises(ValueError, match=message):
        fit_slots([{"CPU": 4, "GPU": 1}, {"CPU": 16}], "here", cpus=8, gpus=1, workers=None)


def test_without_ray_the_mend_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match=r"--ray needs the package ray: pip install 'scalesearch\[ray\]'"):
        connect("auto", cpus=None, gpus=None, workers=None)


# ---- attempts: no Ray needed ----


def attempt(task: Task, name: str) -> Task:
    return replace(task, folder=task.folder / f"{attempts.span(task)}{name}")


def written(task: Task, **files: str) -> None:
    for name, text in files.items():
        (task.folder / f"{name}.pt").write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {file.stem: file.read_text() for file in folder.iterdir() if file.is_file()}


def test_an_attempt_begins_where_the_latest_one_is_and_writes_nowhere_else(tmp_path: Path) -> None:
    task = tiny_task(tmp_path / "task", epochs=4)
    one, two, three = (attempt(task, name) for name in "123")
    attempts.begin(one)
    assert content(one.folder) == {}
    written(one, last="epoch 1", best="epoch 1")
    (one.folder / "half.part").write_text("torn")
    attempts.begin(two)
    assert content(two.folder) == {"last": "epoch 1", "best": "epoch 1"}
    written(two, last="epoch 3")
    # The first was taken for dead, wakes, and goes on: its successor's successor does not see it.
    written(one, last="epoch 2")
    attempts.begin(three)
    assert content(three.folder) == {"last": "epoch 3", "best": "epoch 1"}
    written(three, last="epoch 4")
    attempts.publish(three)
    assert content(task.folder) == {"last": "epoch 4", "best": "epoch 1"}
    assert [path.name for path in task.folder.iterdir() if path.is_dir()] == []


def test_a_later_part_of_the_training_does_not_look_at_attempts_at_an_earlier(tmp_path: Path) -> None:
    whole = tiny_task(tmp_path / "task", epochs=4)
    first, second = replace(whole, to_epoch=2), replace(whole, from_epoch=2)
    done, woken = attempt(first, "1"), attempt(first, "2")
    attempts.begin(done)
    written(done, last="epoch 2")
    attempts.publish(done)
    attempts.begin(woken)
    written(woken, last="epoch 1")
    later = attempt(second, "3")
    attempts.begin(later)
    assert content(later.folder) == {"last": "epoch 2"}


# ---- a cluster ----

NODE = {"node_ip_address": "127.0.0.1", "num_cpus": 1}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes of one CPU each, of which a test may remove any but the head."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Else Ray takes 127.0.0.1 for the machine's outer address, where the nodes do not listen.
        patch.setattr(ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False)
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
        for _ in range(2):
            made.add_node(**NODE)
        yield made
        made.shutdown()


@pytest.fixture
def slots(cluster: Any) -> Slots:
    return connect(cluster.address, cpus=None, gpus=None, workers=None)


Make = Callable[..., RayExecutor]


@pytest.fixture
def make(slots: Slots) -> Iterator[Make]:
    """An executor on the cluster."""
    made: list[RayExecutor] = []

    def executor(train: Callable[[Task], Outcome], prepare: Callable[..., None], *arguments: Any) -> RayExecutor:
        made.append(RayExecutor(slots, train, prepare, arguments))
        return made[-1]

    yield executor
    for one in made:
        one.close()


def test_a_task_sees_what_it_was_given(make: Make, slots: Slots, tmp_path: Path) -> None:
    executor = make(who, prepared, 0.0)
    assert executor.workers == 3
    assert slots.summary.endswith("3 nodes, 3 trainings at a time, 1 CPU each")
    seen = worker_facts(executor, tiny_task(tmp_path))
    assert seen["pid"] != str(os.getpid())
    assert (seen["gpus"], seen["threads"]) == ("empty", "1")


def test_errors_of_the_training_and_of_the_worker_are_distinguished(make: Make, tmp_path: Path) -> None:
    assert_refused(make(refuse, prepared, 0.0), tmp_path)


def test_a_worker_that_cannot_be_prepared_says_so(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UnfitWorkerError, match="a worker cannot be prepared: OSError: no such disk"):
        make(count, unfit).submit(tiny_task(tmp_path), "").result(timeout=300)


def removable(cluster: Any) -> Any:
    """A node that the driver is not connected to: Ray 2.40 chooses any of this machine's."""
    from ray._private import worker

    own = worker._global_node.raylet_socket_name
    return next(node for node in cluster.worker_nodes if node.raylet_socket_name != own)


def test_a_killed_worker_and_a_removed_node_cost_one_task_each(make: Make, cluster: Any, tmp_path: Path) -> None:
    executor = make(count, prepared, 0.0)
    tasks = [tiny_task(tmp_path / str(i), epochs=12) for i in range(8)]
    trial = Trials(executor, tasks)
    trial.kill(trial.halted(3)[0])
    trial.lose(1)
    workers = trial.halted(3)
    node = removable(cluster)
    assert under(node, workers)
    cluster.remove_node(node, allow_graceful=False)
    try:
        trial.lose(2)
        done = trial.finish()
    finally:
        cluster.add_node(**NODE)
    assert trial.lost == 2
    assert len(done) == 8
    assert sum(began > 0 for began in done.values()) == 2, "the lost two went on from their last checkpoint"
    for i, task in enumerate(tasks):
        assert len(begun(task)) == 1 + (done[i] > 0)
        assert (task.folder / "last.pt").read_text() == "12"
        assert not list(task.folder.glob("*attempt-*"))


def test_tasks_of_one_trunk_have_an_attempt_each(slots: Slots, tmp_path: Path) -> None:
    executor = Together(RayExecutor(slots, count_all, prepared, (0.0,)), 4)
    try:
        first = replace(tiny_task(tmp_path), recipe=Recipe(epochs=1, freeze="backbone"))
        tasks = [replace(first, spec=replace(first.spec, width=8 * i), folder=tmp_path / str(i)) for i in range(1, 7)]
        futures = [executor.submit(task, "") for task in tasks]
        executor.start()
        assert [future.result(timeout=300).state for future in futures] == ["complete"] * 6
        for task in tasks:
            assert (task.folder / "last.pt").read_text() == "1" and not list(task.folder.glob("*attempt-*"))
            assert len(begun(task)) == 1
    finally:
        executor.close()


def test_a_sick_node_loses_three_tasks_and_an_unfit_one_none(
    make: Make, cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And data and imports are paid once a worker."""
    sick, unfit, _ = (node.node_id for node in (cluster.head_node, *cluster.worker_nodes))
    (tmp_path / "sick").write_text(sick)
    executor = make(count_sick, prepare_counted, tmp_path)
    trial = Trials(executor, [tiny_task(tmp_path / f"t{i}", epochs=3) for i in range(8)])
    trial.lose(3)
    assert len(trial.finish()) == 8 and trial.lost == 3
    executor.close()
    (line,) = caplog.messages
    assert f"({sick[:8]}) has lost the workers of 3 trainings in a row and gets no new ones" in line
    nodes = [line.split()[1] for line in (tmp_path / "prepared").read_text().splitlines()]
    assert (nodes.count(sick), len(nodes)) == (3, 5)

    (tmp_path / "unfit").write_text(unfit)
    caplog.clear()
    connect(cluster.address, cpus=None, gpus=None, workers=None)
    trial = Trials(make(count, prepare_counted, tmp_path), [tiny_task(tmp_path / f"u{i}", epochs=3) for i in range(4)])
    assert len(trial.finish()) == 4 and trial.lost == 0
    (line,) = caplog.messages
    assert line.endswith(f"({unfit[:8]}) gets no trainings: a worker lacks the data")


def test_a_study_whose_workers_are_killed_loses_nothing(
    make: Make, tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    assert_nothing_lost_or_twice(tmp_path, make(die_once, prepared, 0.0), said)


def begun(task: Task) -> list[str]:
    file = task.folder / "begun"
    return file.read_text().split() if file.exists() else []


def under(node: Any, workers: list[int]) -> bool:
    """Whether one of these processes is a worker of this node: a child of its raylet."""
    raylets = {info.process.pid for info in node.all_processes["raylet"]}
    parents = (int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]) for pid in workers)
    return not raylets.isdisjoint(parents)


def test_closing_ends_what_runs(make: Make, tmp_path: Path) -> None:
    executor = make(count, prepared, 0.0)
    task = tiny_task(tmp_path / "task", epochs=600)
    executor.submit(task, "")
    deadline = time.monotonic() + 300
    while not begun(task) and time.monotonic() < deadline:
        time.sleep(0.05)
    executor.close()
    worker = int(begun(task)[0])
    while time.monotonic() < deadline and Path(f"/proc/{worker}").exists():
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_an_address_where_nothing_answers(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ValueError, match="--ray is auto, local or the host:port of a running cluster"):
        connect("127.0.0.1:1", cpus=None, gpus=None, workers=None)
