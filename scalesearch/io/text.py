"""Escaping of text from outside (names of classes, files, plans), one function for each medium; hiding of secrets."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, unquote, unquote_plus

_JOINERS = "\u200c\u200d"
"""Invisible characters that Persian, Hindi and emoji need."""


LONGEST = 60
"""The most characters of the name of a class or file where there is little room."""


def for_terminal(text: object) -> str:
    """Return the text on one line without control characters: `\\n`, `\\x1b` and the like are written out."""
    return "".join(one if _shows(one) else _written_out(one) for one in str(text))


def for_markdown(text: object) -> str:
    """Return Markdown that shows the text itself, in a paragraph or table cell: no markup, HTML, link or picture."""
    line = for_terminal(text)
    line = re.sub(r"[\\`*\[\]|~$]", r"\\\g<0>", line)
    line = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", line)  # within a word it is no emphasis
    line = re.sub(r"&(?=#?\w+;)", "&amp;", line).replace("<", "&lt;").replace(">", "&gt;")
    # GitHub makes links of bare addresses.
    return re.sub(r"(?i)(?<=www)\.|:(?=//)", r"\\\g<0>", line)


def as_code(text: object) -> str:
    """Return the text as a Markdown code span, even if it has backticks."""
    line = for_terminal(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def for_picture(text: object) -> str:
    """Return the text as a label of Matplotlib, which reads text between two dollars as mathematics."""
    return for_terminal(text).replace("$", r"\$")


def for_file_name(text: str, longest: int = 200) -> str:
    """Return part of a file name, at most `longest` bytes; what is unsafe in a shell, page or Windows is %-encoded."""
    safe = "".join(
        one if _shows(one) and one not in '\\/:*?"<>|%' else quote(one.encode("utf-8", "surrogateescape"), safe="")
        for one in text
    )
    return safe.encode()[:longest].decode(errors="ignore") or "_"


def _shows(one: str) -> bool:
    return one.isprintable() or one in _JOINERS or unicodedata.category(one) == "Zs"


def _written_out(one: str) -> str:
    if "\udc80" <= one <= "\udcff":  # a byte of a file name that is not UTF-8
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape").decode("ascii")


# ---- secrets ----

_HIDDEN = "***"
_SECRET = re.compile(r"(?i)pass|pwd|token|secret|key|auth|credential|odbc_connect")
_USERINFO = re.compile(r"(?<=://)([^:/?#@]*):(.*)@", re.DOTALL)


def without_secrets(url: str) -> str:
    """Return the URL with its passwords hidden: that of the user, and those among its query parameters."""
    shown = _USERINFO.sub(rf"\1:{_HIDDEN}@", url)
    place, mark, query = shown.partition("?")
    return place + mark + "&".join(_hidden(part) for part in query.split("&"))


def hide_secrets(text: str, url: str) -> str:
    """Return the text, such as a driver's error, without the URL's passwords, as written or decoded."""
    found = _USERINFO.search(url)
    parts = [part.partition("=") for part in url.partition("?")[2].split("&")]
    raw = [found[2]] if found else []
    raw += [value for key, _, value in parts if _SECRET.search(unquote_plus(key))]
    raw += [inside for value in raw for inside in re.findall(r"(?i)\bpwd=([^;]+)", unquote_plus(value))]
    secrets = {form for one in raw for form in (one, unquote(one), unquote_plus(one)) if form}
    text = text.replace(url, without_secrets(url))
    for secret in sorted(secrets, key=len, reverse=True):
        # A short secret may be part of any word.
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)" if len(secret) < 4 else re.escape(secret), _HIDDEN, text)
    return text


def hide_in_line(line: str) -> str:
    """Return the line with the passwords of all its URLs hidden, as for an argument in the wrong place."""
    return re.sub(r"[A-Za-z][\w+.-]*://[^\s'\"]+", lambda found: without_secrets(found[0]), line)


def _hidden(parameter: str) -> str:
    key, mark, _ = parameter.partition("=")
    return f"{key}={_HIDDEN}" if mark and _SECRET.search(unquote_plus(key)) else parameter
