"""The page in a headless Chromium, where there is one: a browser alone can run its script. A start takes seconds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scalesearch.mirror.importance import importances
from scalesearch.report.facts import gather
from scalesearch.webpage.write_page import write_page
from tests.webpage.conftest import finished

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with driver.sync_playwright() as player:
        started = player.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


def opened(browser: Browser, file: Path, faults: list[str], *, width: int, theme: str) -> Page:
    """The page in a window, drawn; `faults` receives errors, and requests that leave the file."""
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(request.url)
    )
    page.goto(file.resolve().as_uri())
    page.wait_for_selector("html[data-drawn]", timeout=120_000)
    return page


def test_the_page_is_drawn_and_answers(browser: Browser, tmp_path: Path) -> None:
    study = finished(tmp_path, "ladder")
    facts = gather(study.plan, study.folder.rows())
    file = write_page(study.folder.path, facts, importances(facts.trials))
    faults: list[str] = []
    page = opened(browser, file, faults, width=1280, theme="light")

    # A switch of the cost moves the marks, and keeps their AP.
    marks = "[...document.getElementById('front-plot').data].map((one) => [one.x, one.y])"
    before = page.evaluate(marks)
    page.get_by_text("parameters", exact=True).first.click()
    after = page.evaluate(marks)
    assert [y for _, y in before[:3]] == [y for _, y in after[:3]] and before != after

    # A click on a mark shows its candidate.
    page.evaluate("document.getElementById('front-plot').scrollIntoView({ block: 'center' })")
    asked = page.evaluate("document.getElementById('front-plot').data.findIndex((one) => one.customdata?.length)")
    place = page.evaluate(
        "(trace) => { const plot = document.getElementById('front-plot'), { xaxis, yaxis } = plot._fullLayout,"
        " { x, y, customdata } = plot.data[trace], box = plot.getBoundingClientRect();"
        " return [box.x + xaxis._offset + xaxis.d2p(x[0]), box.y + yaxis._offset + yaxis.d2p(y[0]), customdata[0]]; }",
        asked,
    )
    page.mouse.move(place[0], place[1])
    page.wait_for_selector("#front-plot .hoverlayer .hovertext")
    page.mouse.click(place[0], place[1])
    page.wait_for_selector(f'#all tr[data-candidate="{place[2]}"][aria-current=true]')
    assert page.locator("#candidate").input_value() == str(place[2])

    # A heading sorts: numbers by value, once down and once up.
    heading = page.locator("#all th", has_text="memory")
    column = page.evaluate("(head) => head.cellIndex", heading.element_handle())
    for direction, sign in (("descending", -1), ("ascending", 1)):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == direction
        keys = page.locator(f"#all tbody td:nth-child({column + 1})").evaluate_all(
            "(cells) => cells.map((cell) => Number(cell.dataset.key))"
        )
        assert keys == sorted(keys, key=lambda key: sign * key)

    for name in ("curves", "importance", "progress"):  # drawn when they come near
        page.locator(f"#{name}-plot").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{name}-plot .main-svg")
    assert faults == []
    page.close()


@pytest.mark.parametrize("kind", ["spec", "family"])
def test_a_narrow_dark_window_shows_all_of_it(browser: Browser, tmp_path: Path, kind: str) -> None:
    study = finished(tmp_path, kind)
    file = write_page(study.folder.path, gather(study.plan, study.folder.rows()))
    faults: list[str] = []
    page = opened(browser, file, faults, width=390, theme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shades = (
        "[document.querySelector('#front-plot .xtick text').style.fill, getComputedStyle(document.body).backgroundColor]"
        ".map((colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part), 0))"
    )
    ink, ground = page.evaluate(shades)
    assert ink > 350 and ground < 150  # light on dark
    page.emulate_media(color_scheme="light")
    page.wait_for_timeout(50)
    for _ in range(200):  # the script draws again
        ink, ground = page.evaluate(shades)
        if ink < 350:
            break
        page.wait_for_timeout(50)
    assert ink < 350 and ground > 600
    assert faults == []
    page.close()
