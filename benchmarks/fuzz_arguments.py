"""Seeded mutations of command lines for check_fuzz.py."""

from __future__ import annotations

import random
import re

VALUES = [
    *("", " ", "9" * 5000, "a" * 10_000, "\u0661\u0662", "\x1b[31m", "\ud800", "[1,", "a=b", "a.b.c=1", "train,train"),
    *[
        "-1",
        "0",
        "1",
        "2.5",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "10**9",
        "1000000000",
        "100000000",
        "100000",
        "true",
        "null",
        "None",
        "{",
        "*",
        ",",
        "=",
        "--",
        "0,0",
        "../..",
        "/",
    ],
    *[
        "16000x16000",
        "16384x16384",
        "64x",
        "x64",
        "0x0",
        "64X64",
        "64x64x64",
        "d0",
        "lite9",
        "Digits",
        "cuda",
        "fp64",
        "dynamic",
        "coco",
        "design.yaml",
    ],
    *["nothing.yaml", "/dev/null", "/dev/zero"],
]
_SETS = [
    *(
        "space.size={low: 0, high: 1e9, step: 1}",
        "band={macs: {max: -1}}",
        "space.width=[8,8]",
        "a: b",
        "a=" + "[" * 5000,
    ),
    *[
        "trials=0",
        "trials=10**9",
        "workers=100000",
        "threads=100000",
        "space={}",
        "recipe.batch=100000000",
        "recipe.epochs=x",
        "epochs=x",
    ],
    *[
        "batch=65536",
        "space.width=9999999999",
        "data.source=/",
        "sampler.name=magic",
        "seed=-1",
        "name=../x",
        "winners.top=1e9",
    ],
]


_TARGETS = [
    "design.yaml",
    "points.csv",
    "study",
    "study/plan.yaml",
    "coco",
    "coco/train/0.png",
    "coco/new.yaml",
    "link.yaml",
]
_TARGETS += [
    "/dev/full",
    "/proc/self/x.yaml",
    "design.yaml/x.yaml",
    "out/a b#c.yaml",
    "out/.yaml",
    "out/x" * 200,
    "out",
    ".",
]
_QUANTITIES = [
    "1G,2G",
    "2M,,4M",
    "2M;4M",
    "2M 4M",
    "0",
    "-2M",
    "1e999",
    "nan,2M",
    "1e3",
    "1e18",
    "1e-9G",
    "2m",
    "2MB",
    ",",
]
_QUANTITIES += [
    "\u0662M",
    "2M," * 101,
    "2M," * 99 + "4M",
    "4M,2M,2M",
    "2.0000001M,2M",
    "9" * 400,
    "2e6M",
    "0x10",
    "1T,2T",
]
_BANDS = [
    "latency=20%",
    "latency=80%..20%",
    "latency=..",
    "=..",
    "macs=nan%..",
    "params=..101%",
    "macs=0%..0%",
    "AP=0..1",
]
_BANDS += [
    "macs=1e999..",
    "latency=1us..2",
    "latency=20%..40%..60%",
    "latency=-5%..",
    "gflops=1..2",
    "x" * 5000,
    "macs=..-1",
]
OWN_VALUES = {
    "-o": _TARGETS,
    "--out": _TARGETS,
    "--budgets": _QUANTITIES,
    "--band": _BANDS,
    "--minutes": ["1", "1e5", "0.99", "1e999", "45m", "\u0661"],
    "--splits": ["val,train", "train,", ",val", "train,val,test", "Train,Val", "test,val", "../train,val", "train;val"],
    "--against": [
        "nothing.csv",
        "points.csv",
        "coco",
        "study",
        "laws.csv",
        "laws/results.jsonl",
        "study/rows",
        "plan.yaml",
    ],
    "--design": ["d0", "plan.yaml", "plan.yaml#plain", "plan.yaml#", "row.json", "bifpn", "graph.yaml", "laws"],
    "--flops-are": ["once", "twice", "multiply-adds", ""],
    "--samplers": ["random,", "grid", "ehvi,random", "random" * 100, "Random", "cmaes"],
}
"""What may be wrong with one option's value."""


def mutate_arguments(arguments: list[str], rng: random.Random) -> list[str]:
    """The command line with one argument replaced, dropped, doubled or added."""
    found = list(arguments)
    at = rng.randrange(1, len(found)) if len(found) > 1 else 0
    own = [place for place, word in enumerate(found[:-1]) if word in OWN_VALUES]
    if own and rng.random() < 0.4:
        place = rng.choice(own)
        found[place + 1] = rng.choice(OWN_VALUES[found[place]])
        return found
    match rng.randrange(7):
        case 0 if at:
            del found[at]
        case 1:
            found.insert(at, found[at])
        case 2:
            found += ["--set", rng.choice(_SETS)]
        case 3:
            options = [
                "--size",
                "--seed",
                "--classes",
                "--count",
                "--seeds",
                "--trials",
                "--threads",
                "--batch",
                "--score",
            ]
            options += ["--nothing", "--top", "--data", "--split", "--levels", *OWN_VALUES]
            option = rng.choice(options)
            found += [option, rng.choice([*VALUES, *OWN_VALUES.get(option, ())])]
        case _ if at:
            found[at] = rng.choice(VALUES)
    # A path that only a process with such a name could be given.
    return [re.sub("\x00", "", text) for text in found]
