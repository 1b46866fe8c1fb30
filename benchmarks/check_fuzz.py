"""Does malformed input end in one line? All verbs over mutated files and command lines; writes results/checks/fuzz.txt.

    python benchmarks/check_fuzz.py                       # 1,400 inputs, minutes on two quiet cores; needs pyarrow
    python benchmarks/check_fuzz.py --only 17,230 --show  # these again, with what they said
    python benchmarks/check_fuzz.py --verbs fit,audit --count 300 --out /tmp/fuzz.txt   # other inputs, of these verbs alone

Each input is a fresh folder of valid files of which one is mutated, or a command line with one argument mutated, and runs
in a process of its own, forked from one that has everything imported. It must end within 30 s of processor time (of two
tries), and never stand still for so long, with status 0, or with 2 and one line of at most 1,000 printable characters on
standard error, beside notes; no traceback, no signal, and no file changed but what the command is to write.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import multiprocessing
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import psutil
import torch
from fuzz_arguments import mutate_arguments
from fuzz_commands import COMMANDS, OURS, SHARE
from fuzz_folders import mutate_folder, no_file
from fuzz_mutations import MUTATORS
from fuzz_seeds import make_inputs
from fuzz_tables import TABLES

SECONDS, LONGEST = 30, 1000
PATIENCE = 10 * SECONDS
"""Elapsed seconds after which a process that works now and then is stopped, too."""
RESULTS = Path(__file__).parents[1] / "results" / "checks" / "fuzz.txt"

CHANGES = {**MUTATORS, **TABLES, "": mutate_folder}
"""By the suffix of what is mutated; a folder has none."""
VALID = [(verb, line) for verb, some in COMMANDS.items() for line, _ in some]
"""Inputs -1, -2, ...: the command lines on valid files, most of which succeed."""


@dataclass(frozen=True)
class Case:
    """One input: its number is its seed."""

    number: int
    verb: str
    arguments: tuple[str, ...]
    mutated: str
    """The file, or the command line."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of an input; `fault` is empty where there is none."""

    case: Case
    status: int
    fault: str
    seconds: float
    """Of processor time."""
    said: str


def prepare(number: int, valid: Path, folder: Path, verbs: Sequence[str]) -> Case:
    """The mutated input of this number, of one of the verbs, in `folder`, a copy of the `valid` ones."""
    if number < 0:
        shutil.copytree(valid, folder, symlinks=True)
        verb, line = VALID[-1 - number]
        return Case(number, verb, tuple(line.split()), "nothing")
    rng = random.Random(f"fuzz {number}")
    verb = rng.choices(verbs, [SHARE.get(verb, 1) for verb in verbs])[0]
    line, files = rng.choice(COMMANDS[verb])
    arguments = line.split()
    shutil.copytree(valid, folder, symlinks=True)
    if files and rng.random() < 0.7:
        name = rng.choice(files)
        change = CHANGES[(folder / name).suffix]
        (no_file if rng.random() < 0.05 and change is not mutate_folder else change)(folder / name, rng)
        return Case(number, verb, tuple(arguments), name)
    return Case(number, verb, tuple(mutate_arguments(arguments, rng)), "command line")


# ---- one input in a process of its own ----


def start(case: Case, folder: Path) -> int:
    """The process of the command, forked."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["SCALESEARCH_CACHE"] = str(folder / "cache")
        for stream, name in (
            (0, os.devnull),
            (1, folder.parent / f"{case.number}.out"),
            (2, folder.parent / f"{case.number}.err"),
        ):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC if stream else os.O_RDONLY, 0o600), stream)
        sys.argv = ["scalesearch", *case.arguments]
        status = _run()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _run() -> int:
    import traceback

    from scalesearch.cli import main

    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - whatever a new process would have died of
        traceback.print_exc()
        return 71
    return 0


def fault_of(case: Case, status: int, said: str, changed: Sequence[str]) -> str:
    """What is wrong with how the command ended; empty where nothing is."""
    if status < 0:
        return "hang" if -status == signal.SIGKILL else f"crash: signal {-status}"
    if "Traceback (most recent call last)" in said or status in (70, 71):
        return f"traceback: {said.strip().splitlines()[-1][:200] if said.strip() else ''}"
    if case.number < 0 and status and not {"tpu", "nothing", "99"} & set(case.arguments):
        return f"valid input refused: {said[-200:]!r}"
    if changed:
        return f"changed: {', '.join(map(ascii, changed))}"
    lines = [line for line in said.splitlines() if line.startswith("scalesearch: ")]
    if status == 2 and (len(lines) != 1 or not said.endswith(lines[0] + "\n")):
        return f"status 2 without one line at its end: {said[-200:]!r}"
    if lines and (len(lines[0]) > LONGEST + len("scalesearch: ") or not lines[0].isprintable()):
        return f"a line of {len(lines[0])} characters or with control characters"
    if status not in (0, 2) and not (status == 1 and case.verb == "predict" and "skipped: " in said):
        return f"status {status}"
    return ""


def hashes(folder: Path) -> dict[str, str]:
    """Of the files that no command may change."""
    found = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        top, *rest = name.split("/")
        kept = top not in OURS or (top == "study" and rest[:1] in (["rows"], ["plan.yaml"]))
        if file.is_file() and kept:
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def watch(pid: int) -> Iterator[bool]:
    """Yields whether the process hangs: by its processor time, which other work on the machine does not lengthen."""
    begun = looked = moved = time.monotonic()
    spent = 0.0
    while True:
        now = time.monotonic()
        if now - looked > 1:
            looked = now
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
                found = sum(sum(one) for one in times)
                spent, moved = found, now if found > spent else moved
        yield spent > SECONDS or now - moved > SECONDS or now - begun > PATIENCE


def check(number: int, valid: Path, work: Path, verbs: Sequence[str]) -> Iterator[Outcome | None]:
    """Yields None while the input of this number runs, then its outcome. A hung command is tried once more."""
    folder = work / str(number)
    for attempt in range(2):
        case = prepare(number, valid, folder, verbs)
        before = hashes(folder)
        pid = start(case, folder)
        hung = watch(pid)
        while not (ended := os.wait4(pid, os.WNOHANG))[0]:
            if next(hung):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
                ended = os.wait4(pid, 0)
                break
            yield None
        status, seconds = os.waitstatus_to_exitcode(ended[1]), ended[2].ru_utime + ended[2].ru_stime
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # workers that it left
        after = hashes(folder)
        # A new row or file is no change; the plan of a study is written again as it is resolved.
        changed = [name for name, value in before.items() if after.get(name) != value and not _rewritten(case, name)]
        said = (work / f"{number}.err").read_text(encoding="utf-8", errors="replace")
        shutil.rmtree(folder)
        if status == -signal.SIGKILL and not attempt:
            continue
        yield Outcome(case, status, fault_of(case, status, said, changed), seconds, said)
        return


def _rewritten(case: Case, name: str) -> bool:
    return case.verb in ("search", "train") and name.startswith("study/")


def run(numbers: Sequence[int], jobs: int = 2, verbs: Sequence[str] = tuple(COMMANDS)) -> list[Outcome]:
    """The outcomes in the order of the numbers, `jobs` at a time; the mutated inputs are of these verbs."""
    import scalesearch.app.audit_study
    import scalesearch.app.export
    import scalesearch.app.family_plan
    import scalesearch.app.finish_study
    import scalesearch.app.fit_scaling
    import scalesearch.app.predict
    import scalesearch.app.rehearse
    import scalesearch.app.search_study
    import scalesearch.app.starter_plan  # noqa: F401 - all that a command imports, once

    torch.set_num_threads(1)
    found, left = [], list(numbers)
    with tempfile.TemporaryDirectory() as place:
        valid, work = Path(place) / "valid", Path(place) / "work"
        work.mkdir()
        # Its training starts threads, which a process that forks must not have.
        maker = multiprocessing.get_context("fork").Process(target=make_inputs, args=(valid,))
        maker.start()
        maker.join()
        assert maker.exitcode == 0, "the valid inputs are made by the project itself"
        running: list[Iterator[Outcome | None]] = []
        while left or running:
            while left and len(running) < jobs:
                running.append(check(left.pop(0), valid, work, verbs))
            for one in list(running):
                if outcome := next(one):
                    found.append(outcome)
                    running.remove(one)
                    if outcome.fault:
                        print(f"{outcome.case.number} {outcome.case.verb}: {outcome.fault[:300]}", flush=True)
            time.sleep(0.02)
    return sorted(found, key=lambda outcome: outcome.case.number)


def summary(found: Sequence[Outcome], verbs: Sequence[str] = tuple(COMMANDS)) -> list[str]:
    """A row for each verb, then each fault."""
    lines = [f"{'verb':10} inputs  refused  done  tracebacks  crashes  hangs  files changed  other"]
    for verb in (*verbs, "all"):
        some = [one for one in found if verb in (one.case.verb, "all")]
        kinds = Counter(one.fault.split(":")[0] for one in some if one.fault)
        named = [kinds[kind] for kind in ("traceback", "crash", "hang", "changed")]
        good = [one for one in some if not one.fault]
        refused = sum(one.status == 2 for one in good)
        numbers = (len(some), refused, len(good) - refused, *named, sum(kinds.values()) - sum(named))
        lines.append(
            f"{verb:10}" + "".join(f"{n:{w}}" for n, w in zip(numbers, (7, 9, 6, 12, 9, 7, 15, 7), strict=True))
        )
    slowest = max(found, key=lambda one: one.seconds)
    took = f"the slowest took {slowest.seconds:.0f} s of processor time"
    lines.append(f"{took} (input {slowest.case.number}, {slowest.case.verb})")
    longest = max((len(line) for one in found for line in one.said.splitlines()[-1:] if one.status == 2), default=0)
    lines.append(f"the longest line of a refusal has {longest} characters")
    return lines + [
        f"input {one.case.number}: {one.case.verb}, {one.case.mutated}: {one.fault}" for one in found if one.fault
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1400)
    parser.add_argument("--verbs", help="with commas; all by default")
    parser.add_argument("--only", help="numbers with commas")
    parser.add_argument("--show", action="store_true", help="what each said")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args()
    verbs = asked.verbs.split(",") if asked.verbs else list(COMMANDS)
    if not asked.only and importlib.util.find_spec("pyarrow") is None:
        parser.error("the whole run needs pyarrow, which writes the Parquet files: pip install pyarrow")
    if not asked.only and asked.verbs and asked.out == RESULTS:
        parser.error("results/checks/fuzz.txt is of all verbs: name another file by --out")
    valid = [-1 - place for place, (verb, _) in enumerate(VALID) if verb in verbs]
    numbers = [int(n) for n in asked.only.split(",")] if asked.only else [*valid, *range(asked.count)]
    begun = time.monotonic()
    found = run(numbers, asked.jobs, verbs)
    if asked.show:
        for one in found:
            print(one.case.number, one.case.mutated, *map(repr, one.case.arguments), one.status, f"{one.seconds:.1f} s")
            print(f"    {one.said.strip()[-3000:]}")
    head = f"python benchmarks/check_fuzz.py: {len(valid)} valid inputs and {asked.count} mutated ones, python {platform.python_version()}, "
    head += f"torch {torch.__version__} [{time.monotonic() - begun:.0f} s, {asked.jobs} at a time]"
    text = "\n".join([head, *summary(found, verbs)]) + "\n"
    print(text)
    if not asked.only:
        asked.out.write_text(text)
    sys.exit(any(one.fault for one in found))


if __name__ == "__main__":
    main()
