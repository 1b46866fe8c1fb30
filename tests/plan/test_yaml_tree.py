"""YAML as a tree: scalars as written, files and lines, overrides, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.plan.yaml_tree import Entries, PlanError, Scalar, read_nodes


def _read(tmp_path: Path, text: str, *overrides: str) -> Entries:
    file = tmp_path / "p.yaml"
    file.write_text(text, encoding="utf-8")
    return read_nodes(file, overrides)


def _places(tmp_path: Path, node: Entries) -> dict[str, str]:
    return {key: value.place.replace(f"{tmp_path}/", "") for key, value in node.nodes.items()}


@pytest.mark.parametrize("text", ["on", "012", "2.5e9", "~", "null", "1_000", "0x10", "1:30", "yes", "2020-01-01"])
def test_a_scalar_stays_as_written(tmp_path: Path, text: str) -> None:
    value = _read(tmp_path, f"key: {text}").nodes["key"]
    assert value == Scalar(f"{tmp_path}/p.yaml:1", text, plain=True)


def test_values_know_their_lines_and_overrides(tmp_path: Path) -> None:
    text = "a: 1\n\nb:\n  c: 2\n  d: [3,\n      4]\n"
    root = _read(tmp_path, text, "b.c=5", "e.f=6", "e.g=7")
    assert _places(tmp_path, root) == {
        "a": "p.yaml:1",
        "b": "p.yaml:3, override 'b.c=5'",
        "e": "override 'e.f=6', override 'e.g=7'",
    }
    section = root.nodes["b"]
    assert isinstance(section, Entries)
    assert _places(tmp_path, section) == {"c": "override 'b.c=5'", "d": "p.yaml:5"}
    assert section.nodes["c"] == Scalar("override 'b.c=5'", "5")


def test_overrides_alone_make_a_plan() -> None:
    assert read_nodes(None, ["a=1"]).nodes == {"a": Scalar("override 'a=1'", "1")}


def test_the_later_override_wins(tmp_path: Path) -> None:
    assert _read(tmp_path, "a: 1", "a=2", "a=3").nodes["a"] == Scalar("override 'a=3'", "3")


BAD = {
    "": "p.yaml:1: a plan is a mapping of `key: value` lines, but this is empty; see search_spaces/",
    "trials:6": "p.yaml:1: a plan is a mapping of `key: value` lines, but this is not; see search_spaces/",
    "- a": "p.yaml:1: a plan is a mapping of `key: value` lines, but this is not; see search_spaces/",
    "a: 1\nb: 2\na: 3": "p.yaml:3: the key 'a' is given twice, first in p.yaml:1; keep one",
    "b:\n  on: 1\n  on: 1": "p.yaml:3: the key 'on' is given twice, first in p.yaml:2; keep one",
    "a: &x 1\nb: *x": "p.yaml:2: aliases (*name) are not read; write the value out",
    "a: &x [*x]": "p.yaml:1: aliases (*name) are not read; write the value out",
    "a: 1\nb: !!int 3": "p.yaml:2: tags are not read, but got '!!int'; leave it out, its field knows the type",
    'a: "\\ud800"': "p.yaml:1: an unpaired surrogate, as in \\ud800, is no text",
    "? [1, 2]\n: 3": "p.yaml:1: a key is one word, but got a list or a mapping",
    "a: [1": "p.yaml:1: expected ',' or ']', but got '<stream end>' while parsing a flow sequence in line 1"
    "; check the indentation, colons, quotes and brackets there",
    "a: 1\nb 2\n": "p.yaml:3: could not find expected ':' while scanning a simple key in line 2"
    "; check the indentation, colons, quotes and brackets there",
    "a: 1\n\tb: 2": "p.yaml:2: found character '\\t' that cannot start any token; indent by spaces, YAML takes no tabs "
    "there",
    "a: 1\n---\nb: 2": "p.yaml:2: expected a single document in the stream in line 1, but found another document"
    "; check the indentation, colons, quotes and brackets there",
    "a: " + "[" * 1200: "p.yaml:1: lists and mappings are at most 16 levels deep, but here are more",
}


@pytest.mark.parametrize("text", BAD, ids=[text[:20] for text in BAD])
def test_what_is_no_plan_is_refused_at_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        _read(tmp_path, text)
    assert str(caught.value).replace(f"{tmp_path}/", "") == BAD[text]


BAD_OVERRIDES = {
    "trials": "override 'trials': an override is dotted.key=value, for example trials=6 or space.width=[16,32]",
    "=3": "override '=3': an override is dotted.key=value, for example trials=6 or space.width=[16,32]",
    "a..b=3": "override 'a..b=3': an override is dotted.key=value, for example trials=6 or space.width=[16,32]",
    "a=[1": "override 'a=[1': expected ',' or ']', but got '<stream end>' while parsing a flow sequence"
    "; check the indentation, colons, quotes and brackets there",
    "s.a.b=3": "override 's.a.b=3': s.a has no keys in p.yaml:1; give it a whole value instead",
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_a_bad_override_is_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(PlanError) as caught:
        _read(tmp_path, "s: {a: 1}", override)
    assert str(caught.value).replace(f"{tmp_path}/", "") == BAD_OVERRIDES[override]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no\.yaml: a plan is a file, but reading it failed \(No such file"):
        read_nodes(tmp_path / "no.yaml")
    with pytest.raises(PlanError, match="reading it failed"):
        read_nodes(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(PlanError, match="UTF-8 text, but byte 6 is not"):
        read_nodes(tmp_path / "latin.yaml")
