"""Seeded mutations of files for check_fuzz.py: structured ones, of text and of bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save_file

from scalesearch.nn.model_file import KEY

RAW = {"@NAN": "NaN", "@INF": "-Infinity", "@HUGE": "1e999", "@LONG": "9" * 5000, "@DEEP": "[" * 100_000}
"""What no library writes, by the word that stands for it while a mutated tree is written."""
NASTY: list[Any] = [None, True, False, 0, -1, 1, 3.5, -0.0, 1e308, 2**63, 10**30, list(range(3000)), "a" * 20_000, *RAW]
NASTY += [
    "",
    "x",
    "1",
    "\u0661\u0662",
    "\ud800",
    "\x1b[31m<b>",
    "../../x",
    "0x10",
    "nan",
    [],
    {},
    [[]],
    [1, 2],
    {"a": 1},
]
NASTY += [[[[[[[1]]]]]]]


def _paths(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(found for key, child in children for found in _paths(child, (*path, key)))]


def mutated(data: Any, rng: random.Random) -> Any:
    """A tree with one to three nodes replaced, removed, renamed, doubled or wrapped."""
    root = [json.loads(json.dumps(data))]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        path = rng.choice(_paths(root[0]))
        holder: Any = root
        key: Any = 0
        for step in path:
            holder, key = holder[key], step
        match rng.randrange(8):
            case 0 if path:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[rng.choice([f"{key}x", "", "spec", str(key).upper()])] = holder.pop(key)
            case 2:
                holder[key] = [holder[key]]
            case 3 if isinstance(holder, list) and path:
                holder += [holder[key]] * rng.choice([1, 50])
            case 4:
                holder[key] = str(holder[key])
            case _:
                holder[key] = rng.choice(NASTY)
    return root[0]


def _written(data: Any) -> str:
    text = json.dumps(data)
    for word, raw in RAW.items():
        text = text.replace(f'"{word}"', raw)
    return text


def mutate_json(file: Path, rng: random.Random) -> None:
    """A mutated tree, or mutated text."""
    if rng.random() < 0.25:
        mutate_text(file, rng)
        return
    lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
    at = rng.randrange(len(lines))
    lines[at] = _written(mutated(json.loads(lines[at]), rng))
    file.write_text("\n".join(lines), encoding="utf-8")


def mutate_yaml(file: Path, rng: random.Random) -> None:
    """A mutated tree (written as flow style, which is JSON's), or mutated text."""
    if rng.random() < 0.4:
        mutate_text(file, rng)
        return
    data = mutated(yaml.safe_load(file.read_text()), rng)
    file.write_text(_written(data) if rng.random() < 0.5 else yaml.safe_dump(data), encoding="utf-8")


_BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
_INSERTED = [
    "\t",
    "\x00",
    "\r",
    "\ufeff",
    "\u2028",
    "\x85",
    "{",
    "[",
    "]",
    '"',
    "&a *a",
    "? [a]",
    "<<: {x: 1}",
    "---\n",
    "...\n",
]
_INSERTED += ["!!python/object/apply:os.system [ls]", "!!binary xx", "%YAML 9.9\n", "1e999", "9" * 5000, "[" * 5000]
_INSERTED += ["\n a:" * 500, _BOMB]


def mutate_text(file: Path, rng: random.Random) -> None:
    """Cut, emptied, filled with other bytes, or with something strange in it; bytes are as in other files."""
    raw = file.read_bytes()
    at = rng.randrange(len(raw) + 1)
    match rng.randrange(8):
        case 0:
            raw = raw[:at]
        case 1:
            raw = rng.choice([b"", b"\n" * 10, b"\xff\xfe\x00", b"\x89PNG\r\n", b"[" * 100_000, rng.randbytes(300)])
        case 2:
            raw = raw[:at] + rng.randbytes(rng.choice([1, 8])) + raw[at + 1 :]
        case 3:
            raw = raw + raw
        case 4:
            lines = raw.splitlines(keepends=True)
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines or [b""]))
            raw = b"".join(lines)
        case _:
            raw = raw[:at] + rng.choice(_INSERTED).encode() + raw[at:]
    file.write_bytes(raw)


def mutate_torch(file: Path, rng: random.Random) -> None:
    """Text for numbers, tensors of other kinds, missing keys, another program's file, or broken bytes."""
    if rng.random() < 0.3:
        mutate_bytes(file, rng)
        return
    state = torch.load(file, weights_only=True)
    weights = state.get("evaluated", state)
    name = rng.choice(sorted(weights))
    strange = [
        *(
            "text",
            None,
            3,
            [1.0],
            {},
            torch.zeros(0),
            torch.tensor(1.0),
            torch.zeros(2, 3, 4),
            torch.ones(1, dtype=torch.bool),
        ),
        *(weights[name].to(torch.complex64), weights[name].int(), weights[name].double() * float("nan")),
        *(weights[name].to_sparse(), torch.empty(weights[name].shape, device="meta"), weights[name].half()),
    ]
    match rng.randrange(8):
        case 0:
            del weights[name]
        case 6:
            del state[rng.choice(list(state))]
        case 7:
            state[rng.choice(list(state))] = rng.choice([*strange, -1, 2**40, "[]", '{"curve": [[1]]}', float("nan")])
        case 1:
            weights[rng.choice([3, "x", "fpn.x", "class_net.predict.conv_pw.bias", name + ".y"])] = weights.pop(name)
        case 2:
            description = json.loads(state.get(KEY, "{}"))
            state[KEY] = rng.choice([_written(mutated(description, rng)), "[" * 100_000, "", 3, torch.zeros(2), ["x"]])
        case 3:
            state = rng.choice([[1, 2], {"epoch": "x"}, torch.zeros(3), {"model": 3}, "text", {}, {"evaluated": [1]}])
        case _:
            weights[name] = rng.choice(strange)
    torch.save(state, file, _use_new_zipfile_serialization=rng.random() < 0.7)


def mutate_safetensors(file: Path, rng: random.Random) -> None:
    """Its header mutated as JSON, its metadata, other tensors, or broken bytes."""
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    match rng.randrange(4):
        case 0:
            mutate_bytes(file, rng)
        case 1:
            save_file({"x": torch.zeros(2)}, file, metadata={KEY: rng.choice(["", "[" * 100_000, "{}", "null", "3"])})
        case _:
            head = json.loads(raw[8 : 8 + length])
            if rng.random() < 0.6:
                head["__metadata__"][KEY] = _written(mutated(json.loads(head["__metadata__"][KEY]), rng))
            else:
                head = mutated(head, rng)
            text = _written(head).encode(errors="surrogatepass")
            file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def mutate_bytes(file: Path, rng: random.Random) -> None:
    """Cut, flipped, zeroed or replaced bytes."""
    raw = bytearray(file.read_bytes())
    at = rng.randrange(len(raw))
    match rng.randrange(5):
        case 0:
            raw = raw[:at]
        case 1:
            raw[at : at + 64] = rng.randbytes(64)
        case 2:
            raw[:16] = rng.randbytes(16)
        case 3:
            raw[at:] = b"\0" * (len(raw) - at)
        case _:
            raw = bytearray(rng.choice([b"", b"PK\x03\x04", b"\x80\x02cos\nsystem\n(S'ls'\ntR.", rng.randbytes(1000)]))
    file.write_bytes(raw)


MUTATORS: dict[str, Callable[[Path, random.Random], None]] = {
    ".json": mutate_json,
    ".jsonl": mutate_json,
    ".yaml": mutate_yaml,
    ".pt": mutate_torch,
    ".pth": mutate_torch,
    ".safetensors": mutate_safetensors,
    ".png": mutate_bytes,
}
