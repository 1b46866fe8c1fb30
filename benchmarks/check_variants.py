"""Does the suite pass on other processors, versions, Pythons and places? Writes results/checks/variants.txt.

    python benchmarks/check_variants.py                                   # all of them, about 8 minutes each on two cores
    python benchmarks/check_variants.py --only oldest --tests tests/nn tests/train
    python benchmarks/check_variants.py --only lowest --python ~/.pyenv/versions/3.11.7/bin/python3

Another processor is one with fewer instructions: every variable that hides instructions from a library is set at once,
and a failure is then tried with each alone. Versions are installed into an environment of their own (6 GB, removed afterwards):
the lowest that pyproject.toml admits, and whatever is newest. A line of the table is kept until its variant is run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
OUT = Path("results/checks/variants.txt")
BUSY = 2
"""Processes that compete for the cores."""


def newer_than_sse() -> tuple[str, ...]:
    """NumPy's names of the instructions of this processor that it chooses at run time."""
    return tuple(np.show_config(mode="dicts")["SIMD Extensions"].get("found", ()))


OLDEST = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "NPY_DISABLE_CPU_FEATURES": " ".join(newer_than_sse()),
    "MKL_CBWR": "COMPATIBLE",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-FMA,-FMA4",
}
"""torch's kernels, oneDNN's, NumPy's, MKL's and the C library's, without AVX."""
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": " ".join(name for name in newer_than_sse() if "V4" in name or "512" in name),
    "MKL_CBWR": "AVX2",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F",
}
"""The same, without AVX-512."""


WITH_TORCH = {
    "torch", "torchvision", "timm", "fvcore", "effdet", "faster-coco-eval", "pycocotools", "scikit-learn",
    "onnx", "onnxscript", "onnxruntime", "ray", "tensorboard", "optuna-dashboard", "psycopg",
}  # fmt: skip
FLOOR = ("tests/arch", "tests/cost", "tests/space", "tests/plan", "tests/records", "tests/evidence", "tests/inputs")
"""Tests that need nothing of WITH_TORCH."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """A machine that the suite is to pass on."""

    name: str
    what: str
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    versions: str = "here"
    """here: those of this environment; lowest, floor or newest: of an environment made for it."""
    tests: tuple[str, ...] = ()
    """What pytest runs; nothing is all."""
    folder: str = "scalesearch"
    busy: int = 0


VARIANTS = (
    Variant("here", "as it is"),
    Variant("oldest", "no AVX: " + ", ".join(OLDEST), variables=OLDEST),
    Variant("avx2", "AVX2, no AVX-512: " + ", ".join(AVX2), variables=AVX2),
    Variant("busy", f"beside {BUSY} busy processes", busy=BUSY),
    Variant("lowest", "the lowest versions that pyproject.toml admits", versions="lowest"),
    Variant("floor", "the lowest again, of the rooms that need no torch: two minutes", versions="floor", tests=FLOOR),
    Variant("newest", "the newest versions, from a path with a blank", versions="newest", folder="with a blank/it"),
)


class Line(NamedTuple):
    """The result of a run."""

    variant: str
    tests: str
    outcome: str
    minutes: float
    processor: float
    on: str
    failed: tuple[str, ...]

    def __str__(self) -> str:
        found = (
            f"{self.variant:<28} {self.outcome:<44} {self.minutes:6.1f} {self.processor:6.1f}  {self.on}; {self.tests}"
        )
        return "\n".join([found, *(f"    {name}" for name in self.failed)])


def copy_of_the_tree(to: Path) -> None:
    """What git knows of this folder, as it stands here."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def wanted(tree: Path, *, torch: bool) -> list[str]:
    """What pyproject.toml asks for to run the tests; without `torch`, only what the rooms that import none of it need."""
    project = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    found = [*project["dependencies"]]
    waiting = ["test"]
    while waiting:
        for text in extras[waiting.pop()]:
            asked = Requirement(text)
            if asked.name == project["name"]:
                waiting += sorted(asked.extras)
            else:
                found.append(text)
    return [text for text in found if torch or Requirement(text).name not in WITH_TORCH]


def environment(variant: Variant, python: str, tree: Path, home: Path) -> str:
    """Makes an environment for `variant`, installs the tree and what its tests need: the environment's Python."""
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    inside, uv = str(home / "bin" / "python"), str(home / "bin" / "uv")
    subprocess.run([inside, "-m", "pip", "install", "--quiet", "--no-cache-dir", "uv"], check=True)
    asked, exact = home / "asked.txt", home / "exact.txt"
    asked.write_text("\n".join(wanted(tree, torch=variant.versions != "floor")) + "\n")
    # uv, for pip takes the highest version alone.
    resolution = "highest" if variant.versions == "newest" else "lowest-direct"
    compile_ = [
        uv,
        "pip",
        "compile",
        "--quiet",
        "--python",
        inside,
        "--resolution",
        resolution,
        str(asked),
        "-o",
        str(exact),
    ]
    install = [uv, "pip", "install", "--quiet", "--python", inside, "--no-cache"]
    for command in (compile_, [*install, "-r", str(exact)], [*install, "--no-deps", "-e", str(tree)]):
        subprocess.run(command, check=True, cwd=tree)
    return inside


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """`count` processes that never rest."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def tested(name: str, variables: Mapping[str, str], python: str, tree: Path, tests: Sequence[str]) -> Line:
    """pytest over `tests` in the tree."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", *tests]
    start, before = time.monotonic(), processor_seconds()
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    print(done.stdout, flush=True)
    *_, last = done.stdout.strip().splitlines() or ["no output"]
    outcome = re.sub(r" in [0-9.]+s.*", "", last.strip("= "))
    if done.returncode and "failed" not in outcome and "error" not in outcome:
        outcome = f"exit {done.returncode}: {outcome}"
    failed = tuple(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
    return Line(
        variant=name,
        tests=" ".join(tests) or "all tests",
        outcome=outcome,
        minutes=(time.monotonic() - start) / 60,
        processor=(processor_seconds() - before) / 60,
        on=versions_of(python),
        failed=failed,
    )


def processor_seconds() -> float:
    """Of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def versions_of(python: str) -> str:
    """Of Python, torch, NumPy and Optuna."""
    code = """
import platform
from importlib.metadata import distributions
known = {one.name: one.version for one in distributions()}
print(f"python {platform.python_version()}", *(f"{n} {known[n]}" for n in ("torch", "numpy", "optuna") if n in known), sep=", ")
"""
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def check(variant: Variant, python: str, tests: Sequence[str]) -> list[Line]:
    """The variant's line; below it, where it failed under several variables, those tests with each variable alone."""
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place, variant.folder)
        copy_of_the_tree(tree)
        if variant.versions == "here":
            inside, paths = sys.executable, {"PYTHONPATH": str(tree)}
        else:
            inside, paths = environment(variant, python, tree, Path(place, "environment")), {}
        with neighbours(variant.busy):
            lines = [tested(variant.name, variant.variables | paths, inside, tree, tests)]
        if lines[0].failed and len(variant.variables) > 1:
            for name, value in variant.variables.items():
                lines.append(tested(f"  {name}", {name: value} | paths, inside, tree, lines[0].failed))
        return lines


def kept(file: Path, known: Sequence[str]) -> dict[str, list[str]]:
    """The lines of each variant that the table has."""
    found: dict[str, list[str]] = {}
    here: list[str] = []
    for line in file.read_text().splitlines() if file.exists() else ():
        name = line.split(" ")[0]
        if name in known:
            here = found[name] = []
        if name in known or line.startswith(" "):
            here.append(line)
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the variants and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--tests", nargs="+", default=[], help="what pytest runs, in place of all")
    parser.add_argument("--python", default=sys.executable, help="whose environment lowest and newest are made with")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args(argv)
    failed = False
    for variant in VARIANTS:
        if variant.name not in args.only:
            continue
        found = check(variant, args.python, args.tests or variant.tests)
        failed |= bool(found[0].failed) or "passed" not in found[0].outcome or found[0].outcome.startswith("exit")
        lines = kept(args.out, names) | {variant.name: [text for line in found for text in str(line).splitlines()]}
        head = [
            f"python benchmarks/check_variants.py: {platform.machine()}, {os.cpu_count()} cores; minutes: on the clock, of processors",
            *(f"{one.name}: {one.what}" for one in VARIANTS),
            "",
        ]
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text("\n".join([*head, *(text for name in names for text in lines.get(name, []))]) + "\n")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
