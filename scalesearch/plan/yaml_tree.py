"""YAML text as a tree in which every value has its file and line. Imports PyYAML and `inputs`.

The tree keeps scalars as they were written: `on`, `012` and `2.5e9` get a type from the field that reads
them (`reader.py`), not from YAML's guess. Features that a plan does not need are refused: aliases, tags, repeated keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scalesearch.inputs.files import read_start
from scalesearch.inputs.quoting import quoted

MOST_BYTES = 2**20
"""The largest file of a plan: the longest of ours has 4 kB, and PyYAML reads some 100 kB a second."""
DEPTH = 16
"""The most levels of lists and mappings in a plan; a node of a graph in a baseline is at level seven."""


class PlanError(ValueError):
    """An error in a plan, in one line: `file:line: rule, value, mend`."""


@dataclass(frozen=True)
class Scalar:
    """One value as written; `plain` if it had no quotes."""

    place: str
    text: str
    plain: bool = True


@dataclass(frozen=True)
class Items:
    """A list."""

    place: str
    nodes: tuple[YamlNode, ...]


@dataclass(frozen=True)
class Entries:
    """A mapping of keys to values."""

    place: str
    nodes: Mapping[str, YamlNode]


YamlNode = Scalar | Items | Entries


def read_nodes(path: Path | None, overrides: Sequence[str] = ()) -> Entries:
    """Read the plan in `path` (None: an empty one), with each override `dotted.key=YAML value`.

    PlanError if the file cannot be read or is not a mapping.
    """
    root = _read(path) if path else Entries("the overrides", {})
    for override in overrides:
        root = _overridden(root, override)
    return root


def _read(path: Path) -> Entries:
    try:
        raw = read_start(path, MOST_BYTES + 1)
        text = raw[:MOST_BYTES].decode("utf-8-sig", errors="strict" if len(raw) <= MOST_BYTES else "ignore")
    except OSError as error:
        raise PlanError(f"{path}: a plan is a file, but reading it failed ({error.strerror}); check the path") from None
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: a plan is UTF-8 text, but byte {error.start} is not; save it as UTF-8") from None
    if len(raw) > MOST_BYTES:
        raise PlanError(f"{path}: a plan has at most {MOST_BYTES // 2**20} MiB of text, but this file is longer")
    root = _parsed(text, str(path), lines=True)
    if not isinstance(root, Entries):
        what = "is empty" if root == _nothing(root.place) else "is not"
        raise PlanError(f"{root.place}: a plan is a mapping of `key: value` lines, but this {what}; see search_spaces/")
    return root


def _overridden(root: Entries, override: str) -> Entries:
    key, equals, text = override.partition("=")
    place = f"override {override!r}"
    path = key.strip().split(".")
    if not equals or not all(path):
        raise PlanError(f"{place}: an override is dotted.key=value, for example trials=6 or space.width=[16,32]")
    return _put(root, path, _parsed(text, place, lines=False), place)


def _put(section: Entries, path: Sequence[str], value: YamlNode, place: str, done: str = "") -> Entries:
    """Return `section` with `value` at `path`; the places of the sections on the way name the override, too."""
    name, *rest = path
    if rest:
        inner = section.nodes.get(name) or Entries(place, {})
        if not isinstance(inner, Entries):
            raise PlanError(f"{place}: {done}{name} has no keys in {inner.place}; give it a whole value instead")
        touched = inner if place in inner.place else replace(inner, place=f"{inner.place}, {place}")
        value = _put(touched, rest, value, place, f"{done}{name}.")
    return replace(section, nodes={**section.nodes, name: value})


def _nothing(place: str) -> Scalar:
    return Scalar(place, "")


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused("aliases (*name) are not read; write the value out", event)
        if getattr(event, "tag", None) is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise _refused(f"tags are not read, but got {tag!r}; leave it out, its field knows the type", event)
        if self.depth > DEPTH:
            raise _refused(f"lists and mappings are at most {DEPTH} levels deep, but here are more", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _refused(rule: str, event: Any) -> yaml.MarkedYAMLError:
    return _RefusedError(None, None, rule, event.start_mark)


def _parsed(text: str, source: str, *, lines: bool) -> YamlNode:
    """Parse `text` to a tree; places are `source:line`, or `source` alone for an override."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}" if lines and mark else source
        raise PlanError(f"{place}: {_not_yaml(error, lines)}") from None
    except yaml.YAMLError as error:
        raise PlanError(f"{source}: not YAML: {_one_line(str(error))}") from None
    except RecursionError:  # PyYAML scans brackets ahead of the check of depth
        raise PlanError(f"{source}: lists and mappings are at most {DEPTH} levels deep, but here are more") from None
    start = f"{source}:1" if lines else source
    return _nothing(start) if node is None else _converted(node, source, start, lines)


class _RefusedError(yaml.MarkedYAMLError):
    """Valid YAML that a plan does not need; its `problem` has the remedy."""


def _not_yaml(error: yaml.MarkedYAMLError, lines: bool) -> str:
    """Return PyYAML's message, the line where the faulty construct began, and a remedy."""
    problem = _one_line(error.problem or error.context or "not YAML")
    if isinstance(error, _RefusedError):
        return problem
    if "'\\t'" in problem:
        return f"{problem}; indent by spaces, YAML takes no tabs there"
    if error.problem and error.context:
        context, mark = _one_line(error.context), error.context_mark
        begun = f" in line {mark.line + 1}" if lines and mark else ""
        problem = f"{context}{begun}, {problem}" if problem.startswith("but ") else f"{problem} {context}{begun}"
    return f"{problem}; check the indentation, colons, quotes and brackets there"


def _check_text(value: str, place: str) -> None:
    """Raise PlanError unless the text can be written as UTF-8: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PlanError(f"{place}: an unpaired surrogate, as in \\ud800, is no text") from None


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _converted(node: yaml.Node, source: str, place: str, lines: bool) -> YamlNode:
    def at(child: yaml.Node) -> str:
        return f"{source}:{child.start_mark.line + 1}" if lines else source

    if isinstance(node, yaml.ScalarNode):
        _check_text(node.value, place)
        return Scalar(place, node.value, plain=node.style is None)
    if isinstance(node, yaml.SequenceNode):
        return Items(place, tuple(_converted(item, source, at(item), lines) for item in node.value))
    entries: dict[str, YamlNode] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise PlanError(f"{at(key)}: a key is one word, but got a list or a mapping")
        _check_text(key.value, at(key))
        if key.value in entries:
            first = entries[key.value].place
            raise PlanError(f"{at(key)}: the key {quoted(key.value)} is given twice, first in {first}; keep one")
        # A section's place is the line of its key: a reader looks for it there.
        entries[key.value] = _converted(value, source, at(key), lines)
    return Entries(place, entries)
