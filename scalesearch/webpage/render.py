"""The report's Markdown as HTML: nothing but its own markup, so that what comes from outside stays text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?( ?[kMGT]?B?)?( ± [\d.]+| \.\. -?[\d.]+)?( \(one seed\))?")


def html_of(markdown: str) -> Markup:
    """Return the text without its first heading of level 2 as HTML; tables can be scrolled, and numbers stand right."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "link", "autolink"])
    tokens = parser.parse(re.sub(r"\A## .*\n+", "", markdown))
    _align(tokens)
    html = parser.renderer.render(tokens, parser.options, {})
    html = html.replace("<table>", '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>')
    return Markup(html.replace("</table>", "</table></div>"))


def _align(tokens: Sequence[Token]) -> None:
    """Mark the cells of each column that has only numbers."""
    column, cells = 0, dict[int, list[tuple[Token, str]]]()
    for token, inside in zip_longest(tokens, tokens[1:]):
        if token.type == "tr_open":
            column = 0
        elif token.type in ("th_open", "td_open"):
            cells.setdefault(column, []).append((token, inside.content if inside else ""))
            column += 1
        elif token.type == "table_close":
            for own in cells.values():
                texts = [text for cell, text in own if cell.type == "td_open" and text]
                if texts and all(_NUMBER.fullmatch(text) for text in texts):
                    for cell, _ in own:
                        cell.attrSet("class", "number")
            cells.clear()
