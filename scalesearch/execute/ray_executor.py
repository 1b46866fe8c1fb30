"""Workers on a Ray cluster: an actor for each slot, which keeps its data and imports from task to task.

Ray starts processes, gives them CPUs and GPUs, detects lost ones and lost machines, and ends all with their driver. It
retries nothing, and the executor chooses the nodes. The study's folder must be visible to all machines.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from scalesearch.execute import attempts
from scalesearch.execute.executor import Payload, Reply, UnfitWorkerError, answer, prepared
from scalesearch.execute.pulse import BEAT, Beat, Pulse
from scalesearch.execute.ray_cluster import Slots, import_ray, room
from scalesearch.execute.site import Answered, Begun, Event, Gone, Place, WorkerReady
from scalesearch.execute.together import TaskGroup, Trainable, tasks_of
from scalesearch.execute.worker_executor import WorkerExecutor
from scalesearch.io.progress import displayed

_WATCH = "watch"
"""The concurrency group of an actor's reports, beside its training."""


class RayExecutor(WorkerExecutor[Payload, Reply]):
    """Trains tasks on the cluster that `connect` joined; `train` and `prepare` are module-level functions."""

    def __init__(
        self,
        slots: Slots,
        train: Callable[[Payload], Reply],
        prepare: Callable[..., None],
        arguments: tuple[Any, ...],
    ) -> None:
        super().__init__(_Cluster(slots, pickle.dumps((train, prepare, arguments))), slots.workers)


class _Cluster:
    """The nodes of the cluster; each is a place."""

    def __init__(self, slots: Slots, work: bytes) -> None:
        self._ray = import_ray()
        self._slots, self._work = slots, work
        self._asked = False

    def places(self) -> Sequence[Place]:
        """Return the nodes on which a task fits, by their ids: a node that comes back has a new one."""
        if not self._ray.is_initialized():  # else Ray would start a cluster of its own
            raise ConnectionError("the connection to the Ray cluster was closed")
        found = []
        for node in self._ray.nodes():
            here = room(node["Resources"], self._slots.cpus, self._slots.gpus) if node["Alive"] else 0
            if here:
                name = f"node {node.get('NodeManagerHostname') or node['NodeManagerAddress']} ({node['NodeID'][:8]})"
                found.append(Place(node["NodeID"], name, here, machine=node["NodeID"]))
        if not self._asked and sum(place.room for place in found) < self._slots.workers:
            self._asked = True
            self._ask()
        return found

    def _ask(self) -> None:
        """Ask a cluster that grows on demand for room; workers are started on nodes that are there."""
        bundle = {"CPU": self._slots.cpus} | ({"GPU": self._slots.gpus} if self._slots.gpus else {})
        with contextlib.suppress(Exception):  # no cluster of this kind
            from ray.autoscaler.sdk import request_resources

            request_resources(bundles=[bundle] * self._slots.workers)

    def start(self, place: Place, tell: Callable[[Event], None]) -> _RayWorker:
        """Start an actor on the node."""
        return _RayWorker(self._ray, self._slots, self._work, place, tell)

    def close(self) -> None:
        """Leave the cluster; a local cluster ends."""
        self._ray.shutdown()


class _RayWorker:
    """The driver's end of an actor."""

    def __init__(self, ray: Any, slots: Slots, work: bytes, place: Place, tell: Callable[[Event], None]) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._place, self._tell = ray, place, tell
        self._here = NodeAffinitySchedulingStrategy(place.key, soft=False)
        actor = ray.remote(concurrency_groups={_WATCH: 1})(_Actor)
        # Ray must not retry: it does not know the attempts' folders, and the driver would not learn of the loss.
        options = {"num_cpus": slots.cpus, "num_gpus": slots.gpus, "max_restarts": 0, "max_task_retries": 0}
        self._actor = actor.options(scheduling_strategy=self._here, **options).remote()
        self._task: Trainable | None = None
        self._pid = 0
        self._when(self._actor.begin.remote(), self._begun)
        self._when(self._actor.prepare.remote(work, slots.gpus > 0), lambda unfit: tell(WorkerReady(unfit)))

    def train(self, task: Trainable) -> None:
        anew = tuple(attempts.new_attempt(one) for one in tasks_of(task))
        self._task = TaskGroup(anew) if isinstance(task, TaskGroup) else anew[0]
        self._when(self._actor.train.remote(self._task), lambda result: self._tell(Answered(result)))

    def listen(self) -> None:
        """Ask for the next report, whose failure tells at once that an idle actor is gone, too."""
        self._when(self._actor.beat.options(concurrency_group=_WATCH).remote(BEAT), self._tell)

    def keep(self) -> None:
        assert self._task is not None, "what is kept has been trained"
        for one in tasks_of(self._task):
            attempts.publish(one)

    def end(self, *, hangs: bool = False) -> None:
        with contextlib.suppress(Exception):  # the cluster may be gone already
            assert self._ray.is_initialized(), "else Ray would start a cluster of its own"
            self._ray.kill(self._actor, no_restart=True)
            if hangs and self._pid:  # the call above is carried out by the process itself
                end = self._ray.remote(num_cpus=0, max_retries=0)(_end_process)
                end.options(scheduling_strategy=self._here).remote(self._pid)
        self._tell(Gone(f"its worker on {self._place.name} was ended"))

    def _begun(self, pid: int) -> None:
        self._pid = pid
        self._tell(Begun())

    def _when(self, reference: Any, then: Callable[[Any], None]) -> None:
        """Call `then` with the result of an actor's method, in a thread of Ray's; tell where there will be none."""

        def done(future: Future[Any]) -> None:
            try:
                then(future.result())
            except Exception as error:  # noqa: BLE001  whatever it is, the executor must be told
                self._tell(self._meaning(error))

        reference.future().add_done_callback(done)

    def _meaning(self, error: Exception) -> Event:
        """Return what an error of Ray says of the actor: that it is gone, that it cannot start, or that a call failed."""
        errors = self._ray.exceptions
        name, lines = self._place.name, str(error).strip().splitlines() or [""]
        if isinstance(error, errors.OutOfMemoryError):
            return Gone(f"Ray ended its worker on {name} for the node's lack of memory: {lines[0].split('. ')[0]}")
        cannot_start = isinstance(error, errors.RuntimeEnvSetupError) or "creation task" in str(error)
        if cannot_start or (isinstance(error, errors.RayTaskError) and self._task is None):
            text = f"a Ray worker on {name} cannot start: {lines[-1]}; install scalesearch on every node"
            return WorkerReady(UnfitWorkerError(text))
        if isinstance(error, errors.RayError) and not isinstance(error, errors.RayTaskError):
            return Gone(f"its worker on {name} was lost: {type(error).__name__}: {lines[0].split('. ')[0]}")
        return Answered(error)


# ---- on a node ----


class _Actor:
    """A worker's process on the cluster. It works in one thread of Python's.

    Ray calls each method in a thread of its own making with a new state of the interpreter, in which torch 2.11 waited for
    ever for the interpreter's lock that it held (`torch.get_rng_state`, by pybind11's state of an earlier call).
    """

    def __init__(self) -> None:
        self._pulse = Pulse()
        self._train: Callable[[Any], Any] | None = None
        self._thread = ThreadPoolExecutor(1)

    def begin(self) -> int:
        """Return the process's id, when it has one."""
        return os.getpid()

    def prepare(self, work: bytes, on_gpu: bool) -> UnfitWorkerError | None:
        """Import what trains, and open the data; return why this worker is not fit."""
        return self._thread.submit(self._prepared, work, on_gpu).result()

    def train(self, task: Trainable) -> Any:
        """Train the task, or several together, which are attempts at them."""
        return self._thread.submit(self._trained, task).result()

    def _prepared(self, work: bytes, on_gpu: bool) -> UnfitWorkerError | None:
        if not on_gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray restricts the GPUs of actors that have some, not of others
        try:
            self._train, prepare, arguments = pickle.loads(work)
        except Exception as error:  # noqa: BLE001  another version of scalesearch, or of what it imports
            return UnfitWorkerError(f"a worker cannot be prepared: {type(error).__name__}: {error}")
        return prepared(prepare, arguments)

    def _trained(self, task: Trainable) -> Any:
        assert self._train is not None, "a worker is prepared before it trains"
        train = self._train

        def attempt(task: Trainable) -> Any:
            for one in tasks_of(task):
                attempts.begin(one)
            return train(task)

        self._pulse.begin()
        try:
            with displayed(self._pulse):
                return answer(attempt, task)
        finally:
            self._pulse.end()

    def beat(self, seconds: float) -> Beat:
        """Return the pulse after so many seconds."""
        time.sleep(seconds)
        return self._pulse.beat()


def _end_process(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
