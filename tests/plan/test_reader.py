"""Typed reading: every scalar by the type of its field, every leftover refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from scalesearch.plan.reader import PlanError, Section, Value, read_section


def _section(tmp_path: Path, text: str) -> Section:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    return read_section(file)


READ: list[tuple[str, Callable[[Value], Any], Any]] = [
    ("on", Value.text, "on"),
    ("012", Value.text, "012"),
    ("2.5e9", Value.text, "2.5e9"),
    ("~", Value.text, "~"),
    ("'quoted: #'", Value.text, "quoted: #"),
    ("12", Value.integer, 12),
    ("-3", Value.integer, -3),
    ("+0", Value.integer, 0),
    ("2.5e9", Value.number, 2.5e9),
    ("1e-3", Value.number, 1e-3),
    (".5", Value.number, 0.5),
    ("3", Value.number, 3.0),
    ("012", Value.number, 12.0),
    ("3G", Value.quantity, 3e9),
    ("0.9G", Value.quantity, 0.9e9),
    ("25 M", Value.quantity, 25e6),
    ("2.5e9", Value.quantity, 2.5e9),
    ("true", Value.flag, True),
    ("False", Value.flag, False),
    ("[1, 2.5]", lambda v: v.of(tuple[float, float]), (1.0, 2.5)),
    ("[[1, 2], [3, 4]]", lambda v: v.of(tuple[tuple[float, float], ...]), ((1.0, 2.0), (3.0, 4.0))),
    ("val", lambda v: v.of(Literal["val", "train"]), "val"),
    ("no", lambda v: v.of(str), "no"),
]


@pytest.mark.parametrize(("text", "read", "wanted"), READ, ids=[f"{text}-{wanted!r}" for text, _, wanted in READ])
def test_a_value_is_read_by_its_fields_type(
    tmp_path: Path, text: str, read: Callable[[Value], Any], wanted: Any
) -> None:
    value = read(_section(tmp_path, f"key: {text}").need("key"))
    assert value == wanted
    assert type(value) is type(wanted)


OCTAL = "a whole number without leading zeros (YAML reads them as octal)"
NOTHING = "nothing; write a value after the colon, or leave the key out"
REFUSED: list[tuple[str, Callable[[Value], Any], str]] = [
    ("", Value.text, f"must be text, but got {NOTHING}"),
    ("[a]", Value.text, "must be text, but got a list"),
    ("{a: b}", Value.text, "must be text, but got a mapping"),
    ("012", Value.integer, f"must be {OCTAL}, but got '012'"),
    ("ten", Value.integer, "must be a whole number, but got 'ten'"),
    ("1.0", Value.integer, "must be a whole number, but got '1.0'"),
    ("1_000", Value.integer, "must be a whole number, but got '1_000'"),
    ("0x10", Value.integer, "must be a whole number, but got '0x10'"),
    ("on", Value.integer, "must be a whole number, but got 'on'"),
    ("'12'", Value.integer, "must be a whole number, but got the quoted text '12'"),
    ("0", lambda v: v.integer(low=1), "must be a whole number of at least 1, but got '0'"),
    (".nan", Value.number, "must be a number, but got '.nan'"),
    (".inf", Value.number, "must be a number, but got '.inf'"),
    ("1e999", Value.number, "must be a number, but got '1e999'"),
    ("1:30", Value.number, "must be a number, but got '1:30'"),
    ("3 apples", Value.quantity, "must be a positive number such as 25M, 0.9G or 2.5e9, but got '3 apples'"),
    ("-3G", Value.quantity, "must be a positive number such as 25M, 0.9G or 2.5e9, but got '-3G'"),
    ("1e999", Value.quantity, "must be a positive number such as 25M, 0.9G or 2.5e9, but got '1e999'"),
    ("on", Value.flag, "must be true or false, but got 'on'"),
    ("1", Value.flag, "must be true or false, but got '1'"),
    ("treu", lambda v: v.word(("true", "false")), "must be one of true, false, but got 'treu'; did you mean 'true'?"),
    ("x", lambda v: v.word(("true", "false")), "must be one of true, false, but got 'x'"),
    ("3", Value.items, "must be a list, as [a, b], but got '3'"),
    ("[]", Value.items, "must be a list of at least one value, but got an empty one"),
    ("3", Value.section, "must be a mapping of keys to values, but got '3'"),
    ("[1]", lambda v: v.of(tuple[float, float]), "must be a list of 2 values, but got 1"),
]


@pytest.mark.parametrize(("text", "read", "rule"), REFUSED, ids=[f"{text}-{rule[:24]}" for text, _, rule in REFUSED])
def test_a_value_of_another_type_is_refused(tmp_path: Path, text: str, read: Callable[[Value], Any], rule: str) -> None:
    section = _section(tmp_path, f"\nkey: {text}")
    with pytest.raises(PlanError) as caught:
        read(section.need("key"))
    assert str(caught.value) == f"{tmp_path}/p.yaml:2: key {rule}"


def test_an_item_is_named_by_its_place_in_the_list(tmp_path: Path) -> None:
    items = _section(tmp_path, "a:\n  - 1\n  - x").need("a").items()
    assert items[0].integer() == 1
    with pytest.raises(PlanError, match=r"p\.yaml:3: a\[1\] must be a whole number, but got 'x'"):
        items[1].integer()


def test_a_key_left_out_has_its_default_and_a_needed_one_is_missed(tmp_path: Path) -> None:
    section = _section(tmp_path, "a: 1")
    assert (section.integer("b", 7), section.text("c", "x"), section.word("d", ("u", "v"), "v")) == (7, "x", "v")
    assert section.section("e").integer("f", 3) == 3
    with pytest.raises(PlanError, match=r"p\.yaml:1: the key b is missing; add it"):
        section.integer("b")


def test_leftover_keys_are_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    section = _section(tmp_path, "trials: 1\ndata:\n  sorce: x\n  zzz: 1")
    section.integer("trials")
    data = section.section("data")
    section.done()
    data.text("source", "")
    data.integer("seed", 0)
    with pytest.raises(PlanError, match=r"p\.yaml:3: unknown key 'data\.sorce'; did you mean 'source'\?"):
        data.done()
    data.get("sorce")
    with pytest.raises(PlanError, match=r"p\.yaml:4: unknown key 'data\.zzz'; the keys here are source, seed, sorce"):
        data.done()


def test_a_missing_key_that_was_misspelt_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"p\.yaml:2: unknown key 'bnad'; did you mean 'band'\?"):
        _section(tmp_path, "a: 1\nbnad: 2").need("band")


def test_an_error_from_elsewhere_is_put_at_the_key_that_it_names(tmp_path: Path) -> None:
    section = _section(tmp_path, "\nr:\n  eps: 1\n  norm_eps: 2").section("r")
    for said, wanted in {
        "norm_eps must be small": "4: r.norm_eps must be small",
        "one of norm_eps, eps": "4: r.norm_eps: one of norm_eps, eps",
        "nothing known": "2: r: nothing known",
    }.items():
        assert str(section.blamed(ValueError(said))) == f"{tmp_path}/p.yaml:{wanted}"
