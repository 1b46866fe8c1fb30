"""Text from outside is inert where it is shown, and passwords are shown nowhere."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from scalesearch.io.text import (
    for_file_name,
    for_markdown,
    for_picture,
    for_terminal,
    hide_in_line,
    hide_secrets,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stop sign", "stop sign"),
        ("ключ 日本\u3000語 é", "ключ 日本\u3000語 é"),
        ("a\nb\r\tc\0", r"a\nb\r\tc\x00"),
        ("\x1b[31mred\x9b0m\x7f", r"\x1b[31mred\x9b0m\x7f"),
        ("user\u202egnp.exe\u2028", r"user\u202egnp.exe\u2028"),
        ("\udcff.png", r"\xff.png"),
    ],
)
def test_a_terminal_gets_one_line_that_it_does_not_obey(text: str, shown: str) -> None:
    assert for_terminal(text) == shown


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    line = for_terminal(text)
    assert len(f"x{line}x".splitlines()) == 1
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", line)
    line.encode()


def test_markdown_shows_markup_and_takes_none() -> None:
    hostile = (
        "![x](http://evil/a.png) <script>alert(1)</script> a|b `c` **d** _e_ ~~f~~ [g](h) &lt; \\ \\| <http://i> j_k"
    )
    page = f"| a | b |\n| --- | --- |\n| {for_markdown(hostile)} | 1 |\n"
    html = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(page)
    assert html.count("<td") == 2
    cell = re.search(r"<td>(.*?)</td>", html)
    assert cell and not re.search(r"<(?!/?td)", cell[1]), "no element within it"
    shown = cell[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == hostile


@pytest.mark.parametrize(
    "text", ["head_depth 3, min_level 2", "topology bifpn", "12 M", "AP 0.412 (0.1 .. 0.2)", "0.4 ± 0.1"]
)
def test_plain_text_stays_as_it_is_in_markdown(text: str) -> None:
    assert for_markdown(text) == text


def test_a_label_of_a_picture_is_no_mathematics() -> None:
    assert for_picture("a $x^$ b\n") == r"a \$x^\$ b\n"


def test_a_file_is_named_without_what_a_shell_or_windows_trips_over() -> None:
    assert for_file_name("street 7-é") == "street 7-é"
    assert for_file_name("a/b\\c\n<d>\udcff") == "a%2Fb%5Cc%0A%3Cd%3E%FF"
    assert len(for_file_name("日" * 500).encode()) <= 200
    assert for_file_name("") == "_"


URLS = [
    "postgresql://me:{}@host/db",
    "postgresql+psycopg://me:{}@host:5432/db?sslmode=require",
    "postgresql://me@127.0.0.1:1/db?password={}",
    "postgresql://host/db?sslmode=verify-full&sslpassword={}&connect_timeout=1",
    "mysql://host/db?passwd={}",
    "mysql://host/db?PassWord={}",
    "mysql://host/db?pass%77ord={}",
    "https://host/?token={}",
    "no scheme at all?password={}",
]


@pytest.mark.parametrize("secret", ["s3cretpw", "p@ss/w0rd", "with blank", "a%20b%40c", "é#ü;x=y"])
@pytest.mark.parametrize("url", URLS)
def test_a_password_is_not_shown(url: str, secret: str) -> None:
    shown = without_secrets(url.format(secret))
    assert secret not in shown and "***" in shown
    assert shown.partition("://")[0] == url.partition("://")[0].format(secret) or "://" not in url
    error = hide_secrets(f"cannot open {url.format(secret)}: no user for {secret!r}", url.format(secret))
    assert secret not in error


def test_a_password_within_a_parameter_is_not_shown() -> None:
    url = "mssql://?odbc_connect=DRIVER%3Dx%3BUID%3Dme%3BPWD%3Ds3cretpw"
    assert without_secrets(url) == "mssql://?odbc_connect=***"
    assert "s3cretpw" not in hide_secrets(f"{url}: login failed for DRIVER=x;UID=me;PWD=s3cretpw", url)
    assert "s3cretpw" not in hide_secrets("the password s3cretpw is wrong", url)


def test_an_address_without_secrets_stays_as_it_is() -> None:
    for url in ("sqlite:///a/b.db", "postgresql://me@host:5432/db?sslmode=require", "results/x"):
        assert without_secrets(url) == url == hide_secrets(url, url)


def test_a_password_in_the_wrong_place_of_a_command_is_not_shown() -> None:
    line = "Got unexpected extra arguments (postgresql://me:s3cretpw@h/db 'mysql://h/db?passwd=s3cretpw' results/x)"
    shown = hide_in_line(line)
    assert "s3cretpw" not in shown and shown.endswith(" results/x)")
