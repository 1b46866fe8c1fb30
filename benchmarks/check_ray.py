"""Is a study on Ray whole when workers and nodes fail? Three nodes on this machine; writes results/checks/ray.txt.

    python benchmarks/check_ray.py [--trials 20] [--out results/checks/ray.txt]          # about five minutes on two cores

Small detectors are trained on the digits by the real driver, first eight undisturbed: each worker must import torch and
open the data once. Then a study in which a worker is killed, another is stopped (it does not answer any more), one node
falls sick (each training there raises a GPU's sticky error, as there is no GPU here) and another node is lost. Every
candidate must be complete.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from check_workers import PLAN

from scalesearch.app.search_study import make_study, open_plan_data, with_epochs
from scalesearch.data.sets import Data, open_data
from scalesearch.data.split import Split
from scalesearch.execute import pulse
from scalesearch.execute.ray_cluster import connect
from scalesearch.execute.ray_executor import RayExecutor
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import StudyFolder
from scalesearch.study.driver import run_study
from scalesearch.training.run_task import run_task

SHORT = ("recipe.epochs=2", "recipe.batch=8", "recipe.norm_batches=1")
IMAGES = 32
"""Of each split, so that a training takes seconds."""
NODE = {"node_ip_address": "127.0.0.1", "num_cpus": 1}
SILENT = 30.0
"""Seconds after which a worker that does not answer is ended; ten minutes outside this check."""
NAMES = ("head", "second", "third")


# ---- in a worker ----

_data: Data | None = None
_folder: Path | None = None


def here() -> str:
    """The node of this process."""
    import ray

    return str(ray.get_runtime_context().get_node_id())


def note(name: str, *words: object) -> None:
    """Append a line to a file of the check."""
    assert _folder is not None
    with open(_folder / name, "a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def prepare(folder: Path) -> None:
    """Open the data, and note it."""
    global _data, _folder
    torch.set_num_threads(1)
    _folder, _data = folder, cut(open_data("digits"))
    note("prepared", os.getpid(), here())


def cut(data: Data) -> Data:
    """The first images of each split."""
    few = {name: dataclasses.replace(split, images=split.images[:IMAGES]) for name, split in _splits(data).items()}
    return dataclasses.replace(data, **few)


def _splits(data: Data) -> dict[str, Split]:
    return {"train": data.train, "select": data.select, "val": data.val}


def train(task: Task) -> Outcome:
    """Train; on the node that is sick, fail as a GPU whose process is lost."""
    assert _folder is not None and _data is not None
    note("begun", os.getpid(), here())
    if (sick := _folder / "sick").exists() and sick.read_text() == here():
        note("failed", os.getpid())
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return run_task(task, _data)


# ---- the check ----


class Lines(logging.Handler):
    """Keeps the warnings of the driver, nodes by their names."""

    def __init__(self, nodes: dict[str, str]) -> None:
        super().__init__(logging.WARNING)
        self.nodes, self.lines = nodes, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for node, name in self.nodes.items():
            text = text.replace(f"node {platform.node()} ({node[:8]})", f"the {name} node")
        self.lines.append(text)


def noted(folder: Path, name: str) -> list[list[str]]:
    """The lines of a file of the check, as words."""
    file = folder / name
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def study(folder: Path, plan: Plan, address: str) -> list[str]:
    """Run a study on the cluster; the states of its rows."""
    slots = connect(address, cpus=None, gpus=None, workers=None)
    data = cut(open_plan_data(plan))
    plan = with_epochs(plan, data)
    with StudyFolder.open(folder / "study", plan, data=data.fingerprint) as opened:
        executor = RayExecutor(slots, *_work(), (folder,))
        try:
            run_study(make_study(plan, data, opened), executor)
        finally:
            executor.close()
        return [f"{row.state} {row.reason}".strip() for row in opened.rows()]


def _work() -> tuple[Any, Any]:
    """What the workers run, of this file as a module: a worker's own main module is Ray's."""
    import check_ray

    return check_ray.train, check_ray.prepare


def mischief(folder: Path, cluster: Any, nodes: Sequence[str], done: list[str]) -> None:
    """Kill, stop, lose and make sick, each in the middle of trainings."""

    def at(node: int, since: int) -> int:
        """The process of a training that began on the node after so many others had begun."""
        while True:
            found = [int(pid) for pid, where in noted(folder, "begun")[since:] if where == nodes[node]]
            if found:
                time.sleep(1)
                return found[-1]
            time.sleep(0.1)

    os.kill(at(1, 0), signal.SIGKILL)
    done.append("a worker of the second node was killed")
    stopped = at(0, len(noted(folder, "begun")))
    os.kill(stopped, signal.SIGSTOP)
    done.append("a worker of the head node was stopped")
    (folder / "sick").write_text(nodes[2])
    done.append("the third node fell sick")
    while len(noted(folder, "failed")) < 3:
        time.sleep(0.1)
    at(1, len(noted(folder, "begun")))
    lost = next(node for node in cluster.worker_nodes if node.node_id == nodes[1])
    cluster.remove_node(lost, allow_graceful=False)
    done.append("the second node was lost")


def check(folder: Path, trials: int) -> list[str]:
    """The lines of the report. SystemExit where something was lost."""
    import ray
    from ray.cluster_utils import Cluster

    # Else Ray takes 127.0.0.1 for the machine's outer address, where the nodes do not listen.
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    added = [cluster.add_node(**NODE) for _ in range(2)]
    nodes = [node.node_id for node in (cluster.head_node, *added)]
    lines = Lines(dict(zip(nodes, NAMES, strict=True)))
    logging.getLogger("scalesearch").addHandler(lines)
    report = []
    try:
        for name, count in (("quiet", 8), ("faults", trials)):
            place = folder / name
            place.mkdir()
            (place / "plan.yaml").write_text(PLAN)
            plan = read_plan(place / "plan.yaml", [f"trials={count}", *SHORT])
            lines.lines.clear()
            done: list[str] = []
            if name == "faults":
                threading.Thread(target=mischief, args=(place, cluster, nodes, done), daemon=True).start()
            start = time.perf_counter()
            states = Counter(study(place, plan, cluster.address))
            seconds = time.perf_counter() - start
            opened, begun = noted(place, "prepared"), noted(place, "begun")
            report += [
                f"{name}: {count} candidates in {seconds:.0f} s: "
                + ", ".join(f"{number} {state}" for state, number in states.items()),
                f"  {len(begun)} trainings begun by {len({pid for pid, _ in begun})} workers",
                f"  imports and data paid {len(opened)} times by {len({pid for pid, _ in opened})} workers",
                *(f"  {line}" for line in done),
                *(f"  said: {line}" for line in lines.lines),
            ]
            if states != {"complete": count}:
                raise SystemExit("\n".join([*report, "not all candidates are complete"]))
            if len(opened) != len({pid for pid, _ in opened}) or (name == "quiet" and len(opened) > 3):
                raise SystemExit("\n".join([*report, "a worker paid its imports and data twice"]))
            if name == "faults" and len(done) < 4:
                raise SystemExit("\n".join([*report, "the study was over before all faults: give more --trials"]))
    finally:
        cluster.shutdown()
    return report


def main(argv: Sequence[str] | None = None) -> None:
    """Run the check and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("results/checks/ray.txt"))
    args = parser.parse_args(argv)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    pulse.SILENT = SILENT
    import ray

    with tempfile.TemporaryDirectory() as place:
        lines = check(Path(place), args.trials)
    head = (
        f"python benchmarks/check_ray.py: three nodes of one CPU on this machine, python {platform.python_version()}, "
    )
    head += f"torch {torch.__version__}, ray {ray.__version__}"
    text = "\n".join([head, *lines, "All checks passed!"]) + "\n"
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
