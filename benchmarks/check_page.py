"""How large is the page of a study of 200 trials, how long is it written and drawn? Writes results/checks/page.txt.

    python benchmarks/check_page.py                  # a minute; needs Chromium and `pip install 'scalesearch[test]'`
    python benchmarks/check_page.py --trials 1000 --out /tmp/page.txt --keep /tmp/page

The study is searched on a made-up landscape, whose trainings are answered at once: 200 candidates on a ladder of three
rungs with a loss for each epoch, free graphs in one study and named ones in the other, winners and a named design with three
seeds each, a picture of detections. The browser is a headless Chromium, at two widths and in both themes; a console error or
a request that leaves the file fails the check. The limits are on the clock, so the machine must be quiet; a line has processor
seconds, too. `--keep` keeps the studies and a picture of each page.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import optuna
from PIL import Image

from scalesearch.app.report_study import report_study
from scalesearch.arch.spec import Anchors
from scalesearch.cost.price import price
from scalesearch.execute.executor import InProcess
from scalesearch.mirror.ledger import OptunaLedger
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.latency_setting import processor
from scalesearch.records.folder import StudyFolder
from scalesearch.report.study_results import read_study
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.find_band import find_band
from scalesearch.study.driver import run_study
from scalesearch.study.study import Provenance, Study
from scalesearch.webpage.detections import PICTURE, DrawnBy, write_picture

if TYPE_CHECKING:
    from playwright.sync_api import CDPSession

PLANS = {
    "named": "topology: [fpn, panet, bifpn, qufpn]",
    "free": "topology: {genes: {nodes: 8}}",
}
"""The axis that differs between the two studies."""
PLAN = """
data: {{source: made-up}}
space:
  backbone: [efficientnet-w0.25-d0.3, efficientnet-w0.5-d0.3]
  {topology}
  size: {{low: 128, high: 256, step: 32}}
  width: {{low: 16, high: 64, step: 8}}
  repeats: [1, 2, 3]
  head_depth: [1, 2]
band: {{macs: {{min: 30M, max: 120M}}, memory: {{max: 1GB}}}}
sampler: {{name: evolution, startup: 40}}
ladder: {{rungs: [0.1, 0.3]}}
trials: {trials}
recipe: {{epochs: 30}}
winners: {{top: 4, seeds: [0, 1, 2], recipe: {{epochs: 60}}}}
baselines: {{plain: {{backbone: efficientnet-w0.5-d0.3, topology: fpn, size: 192, width: 32, repeats: 1, head_depth: 1}}}}
"""
MADE_UP = Provenance(
    data="0" * 12,
    splits={
        "train": "train minus 20 % (seed 0)",
        "select": "20 % of train (seed 0)",
        "train+select": "train",
        "val": "val",
    },
    threads=1,
    machine={"cpu": "none"},
    versions={"python": "3"},
)
CASES = ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"))
LIMITS = {"MB": 8.0, "seconds to write": 20.0, "seconds to draw": 3.0}
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def learned(task: Task, label: str) -> Outcome:
    """An AP that rises with the epochs and the cost, falls off width 40, and wobbles with spec and seed."""
    noise = np.random.default_rng([int(task.spec.id, 16) % 2**32, task.seed]).normal(0, 0.008)
    level = 0.1 + math.log10(price(task.spec).macs / 1e7) / 5 - abs(task.spec.width - 40) / 400 + noise
    depth = 3 + task.spec.repeats * 2

    def ap(epoch: int) -> float:
        return max(0.0, level * (1 - math.exp(-epoch / depth)) + 0.1 * (1 - math.exp(-epoch / 20)))

    epochs = range(task.to_epoch // 5 * 5 or task.to_epoch, task.to_epoch + 1)
    evaluated = sorted({*range(3, task.to_epoch, 3), *epochs})
    curve = tuple((epoch, {"ap": ap(epoch), "ap50": min(1.0, 1.7 * ap(epoch))}) for epoch in evaluated)
    losses = tuple((epoch, 1.5 / (1 + epoch / 4), 1.0 / (1 + epoch / 4), 0.01) for epoch in range(1, task.to_epoch + 1))
    return Outcome(
        state="complete",
        curve=curve,
        losses=losses,
        steps=20 * task.to_epoch,
        per_class={"red cell": ap(task.to_epoch), "white cell": ap(task.to_epoch) / 2},
        seconds=task.to_epoch * price(task.spec).macs / 4e6,
        peak_memory=1,
        images_per_second=10.0,
    )


def made(folder: Path, name: str, trials: int) -> Path:
    """A finished study in `folder`, and its path."""
    file = folder / f"{name}.yaml"
    file.write_text(PLAN.format(topology=PLANS[name], trials=trials))
    plan: Plan = read_plan(file)
    unit = SpecUnit(plan.space(classes=2, anchors=Anchors()), plan.bands[0])
    opened = StudyFolder.open(folder / name, plan, data=MADE_UP.data)
    ledger = OptunaLedger(opened.path, plan.name, plan.objectives, unit.axes)
    run_study(
        Study(plan=plan, unit=unit, band=find_band(unit), folder=opened, provenance=MADE_UP, ledger=ledger),
        InProcess(learned),
    )
    opened.close()
    best = read_study(opened.path).facts.winners[0].first
    write_picture(opened.path / PICTURE, list(_photos()), DrawnBy(best.spec_id, best.recipe_id, str(best.seed), "0"))
    return opened.path


def _photos() -> Iterator[Image.Image]:
    """Eight pictures as hard to compress as photos."""
    rng = np.random.default_rng(0)
    for _ in range(8):
        rough = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize(
            (640, 480), Image.Resampling.BICUBIC
        )
        grain = rng.normal(0, 6, (480, 640, 3))
        yield Image.fromarray((np.asarray(rough) + grain).clip(0, 255).astype(np.uint8))


def drawn(page: Path, browser: str, pictures: Path | None) -> list[tuple[str, float, float]]:
    """(case, seconds from the request to the last figure of the first window, the renderer's processor seconds)."""
    from playwright.sync_api import sync_playwright

    found = []
    with sync_playwright() as player:
        chromium = player.chromium.launch(executable_path=browser, args=list(ARGUMENTS))
        for width, theme in CASES:
            place = chromium.new_page(viewport={"width": width, "height": 850}, color_scheme=theme)  # type: ignore[arg-type]
            faults: list[str] = []
            place.on(
                "console", lambda message, own=faults: own.append(message.text) if message.type == "error" else None
            )
            place.on("pageerror", lambda error, own=faults: own.append(str(error)))
            place.on(
                "request",
                lambda request, own=faults: own.append(request.url) if request.url.startswith("http") else None,
            )
            counters = place.context.new_cdp_session(place)
            counters.send("Performance.enable")
            before = _processor_time(counters)
            place.goto(page.resolve().as_uri())
            place.wait_for_selector("html[data-drawn]", timeout=60_000)
            busy = _processor_time(counters) - before
            wide = place.evaluate("document.documentElement.scrollWidth")
            if faults or wide > width:
                raise SystemExit(f"{page} at {width}, {theme}: {faults or f'{wide} pixels wide'}")
            seconds = place.evaluate("Number(document.documentElement.dataset.drawn)") / 1e3
            found.append((f"{width} px, {theme}", seconds, busy))
            if pictures:
                place.screenshot(path=pictures / f"{page.parent.name}-{width}-{theme}.png")
            place.close()
        chromium.close()
    return found


def _processor_time(counters: CDPSession) -> float:
    """Processor seconds that the page's process has taken."""
    found = counters.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in found if one["name"] == "ProcessTime"))


def main() -> None:
    """Writes the table; status 1 where a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path, default=Path("results/checks/page.txt"))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    worst = dict.fromkeys(LIMITS, 0.0)
    lines = [
        "python benchmarks/check_page.py",
        f"{processor()}, {os.cpu_count()} cores, load of other work {os.getloadavg()[0]:.1f}",
        "",
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = args.keep or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        for name in PLANS:
            study = made(folder, name, args.trials)
            start, begun = time.perf_counter(), time.process_time()
            facts = read_study(study).facts
            report_study(study, facts)
            seconds, busy = time.perf_counter() - start, time.process_time() - begun
            page = study / "report.html"
            size = page.stat().st_size / 1e6
            graphs = len({row.spec.topology for trial in facts.trials for row in trial.rows})
            lines.append(
                f"{name}: {len(facts.trials)} trials, {graphs} graphs: {size:.2f} MB, whole report written in {seconds:.1f} s ({busy:.1f} s of processor time)"
            )
            times = drawn(page, args.browser, args.keep)
            lines += [
                f"  {case}: drawn in {took:.2f} s ({own:.2f} s of processor time), no console error, no request, no overflow"
                for case, took, own in times
            ]
            values = (size, seconds, max(took for _, took, _ in times))
            worst = {limit: max(before, value) for (limit, before), value in zip(worst.items(), values, strict=True)}
    met = {limit: worst[limit] <= most for limit, most in LIMITS.items()}
    lines += [
        "",
        *(
            f"{limit}: {worst[limit]:.2f}, limit {LIMITS[limit]:g}: {'met' if ok else 'NOT MET'}"
            for limit, ok in met.items()
        ),
    ]
    print("\n".join(lines))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text("\n".join(lines) + "\n")
    if not all(met.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
