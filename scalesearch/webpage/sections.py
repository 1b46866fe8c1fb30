"""The sections of the page: which there are, in which order, and what each says beside its figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

from scalesearch.evidence.importance import Importances, leading
from scalesearch.evidence.noise import Group
from scalesearch.io.text import for_markdown, for_terminal
from scalesearch.plan.ladder import epochs_at
from scalesearch.records.row import Row
from scalesearch.report.facts import Facts
from scalesearch.report.full_trainings import full_trainings, proxy_audit
from scalesearch.report.markdown import design_cell, point_cell, table
from scalesearch.report.page import failed_section, front_section, made_section, noise_section, random_section
from scalesearch.webpage.candidates import MOST, ShownDetector
from scalesearch.webpage.curve_figures import has_curves
from scalesearch.webpage.detections import PICTURE, SCORE, is_of, source_of
from scalesearch.webpage.progress import ProgressStep
from scalesearch.webpage.render import html_of


class PageSection(NamedTuple):
    """A section of the page: text, a figure with its description and caption, text."""

    id: str
    short: str
    """Its title in the navigation."""
    title: str
    before: Markup = Markup()
    plot: str = ""
    label: str = ""
    caption: str = ""
    after: Markup = Markup()


class ProxyNote(NamedTuple):
    """What an audit says of short trainings, in sentences; the first is the verdict."""

    title: str
    sentences: tuple[str, ...]


def sections(
    facts: Facts,
    found: Sequence[ShownDetector],
    axes: Importances | None,
    proxies: Sequence[ProxyNote],
    steps: Sequence[ProgressStep],
    folder: Path,
) -> list[PageSection]:
    """Return the sections that this study has something for."""
    parts = [
        _front(facts, found),
        _winners(facts),
        _detections(facts, folder),
        _curves(facts, found),
        _proxies(proxies),
        _importance(axes),
        _progress(facts, steps),
        _noise(facts),
        _all(facts, found),
        PageSection("failed", "Failed", "Failed trainings", html_of(text))
        if (text := failed_section(facts.failed))
        else None,
        PageSection("made", "Made", "How it was made", html_of(text)) if (text := made_section(facts)) else None,
    ]
    return [part for part in parts if part]


def _front(facts: Facts, found: Sequence[ShownDetector]) -> PageSection:
    if not found:
        return PageSection("front", "Front", "Accuracy against cost", html_of("No candidate has been trained yet."))
    caption = (
        "Point at a mark for its design; choose it for its graph and learning curve. Candidates stand at their AP on the "
        "selection split, winners and named designs at their mean on val. Bars reach over the seeds; a dotted line joins "
        "the two numbers of one detector. The shade is the band. What is not told apart has one beside it that costs no more "
        "and whose AP is not significantly lower (95 %)."
        f"{f' Input {facts.sizes}.' if facts.trials else ''}"
    )
    after = front_section(facts)
    body = Markup("<h3>Front of the search</h3>") + html_of(after) if after else Markup()
    return PageSection("front", "Front", "Accuracy against cost", Markup(), "front-plot", "", caption, body)


def _winners(facts: Facts) -> PageSection | None:
    if not (facts.winners or facts.baselines):
        return None
    own = [*facts.winners, *facts.baselines]
    text = full_trainings(facts).replace("\n### ", "\n#### ")
    audit = proxy_audit(facts).replace("\n### ", "\n#### ")
    after = html_of(text)
    if audit:
        after += Markup("<h3>Proxy against full training</h3>") + html_of(audit)
    return PageSection("winners", "Winners", "Fully trained", html_of(_both_numbers(facts, own)), after=after)


def _both_numbers(facts: Facts, groups: Sequence[Group]) -> str:
    """Return the AP of each winner on the images that it was selected by, beside that on val."""
    searched = {(row.ordinal, row.member): row for trial in facts.trials for row in trial.rows}
    pairs = [
        (group, searched.get((group.first.ordinal, group.first.member)))
        for group in groups
        if group.first.kind == "winner"
    ]
    lines = [_pair(group, row) for group, row in pairs if row and row.final.get("ap") is not None and group.spread()]
    if not lines:
        return ""
    text = (
        "Each winner has two numbers: the AP by which the search selected it, after a short training on other images, and "
        "its AP on val after the full training. Only the second one counts; the first one also chose."
    )
    return f"{text}\n\n" + table(
        ["design", "what it is", "AP of the selection", "on", "AP after full training", "on"], lines
    )


def _pair(group: Group, row: Row) -> list[str]:
    return [
        design_cell(group.first),
        point_cell(row.point),
        f"{row.final['ap']:.3f}",
        for_markdown(row.splits["evaluated"]),
        str(group.spread()),
        for_markdown(group.first.splits["evaluated"]),
    ]


def _detections(facts: Facts, folder: Path) -> PageSection | None:
    if not facts.winners:
        return None
    best, source = facts.winners[0], source_of(folder / PICTURE)
    if is_of(source, best):
        assert source
        text = (
            f"The best winner, {design_cell(best.first)} with seed {for_markdown(source.seed)}, on images of "
            f"{for_markdown(best.first.splits['evaluated'])} that it was not trained on: evenly spaced in their order, not "
            f"chosen by how well it does. Frames have a score of at least {SCORE}; without a frame nothing was found."
        )
    elif source:
        text = "The picture of detections is of an earlier winner; `scalesearch search ... --finish` draws it again."
    else:
        text = (
            "There is no picture of detections: `scalesearch search ... --finish` draws one, from the winner's weights."
        )
    return PageSection("detections", "Detections", "Detections of the best winner", html_of(text))


def _curves(facts: Facts, found: Sequence[ShownDetector]) -> PageSection | None:
    if not has_curves(found):
        return None
    before = html_of(_rungs(facts)) if facts.plan.ladder else Markup()
    caption = "Each line is a candidate, on the selection split; a cross is where it was stopped. The chosen detector is drawn dark."
    title = "Learning curves and the ladder" if facts.plan.ladder else "Learning curves"
    return PageSection("curves", "Curves", title, before, "curves-plot", "AP over epochs of all candidates", caption)


def _rungs(facts: Facts) -> str:
    """Return how many candidates each rung of the ladder let go on."""
    rungs = epochs_at(facts.plan.ladder, facts.plan.recipe.epochs)
    known = [trial for trial in facts.trials if not trial.failed]
    lines = []
    for epochs, after in zip(rungs, [*rungs[1:], None], strict=True):
        reached = [trial for trial in known if trial.epochs_done >= epochs]
        gone = [trial for trial in reached if after and trial.epochs_done >= after]
        lines.append(
            [
                str(epochs),
                str(len(reached)),
                str(len(gone)) if after else "",
                str(len(reached) - len(gone)) if after else "",
            ]
        )
    return table(["epochs", "candidates that reached them", "went on", "were stopped"], lines)


def _proxies(notes: Sequence[ProxyNote]) -> PageSection | None:
    if not notes:
        return None
    parts = []
    for note in notes:
        first, *rest = (sentence if "`" in sentence else for_markdown(sentence) for sentence in note.sentences)
        parts += [f"### {for_markdown(note.title[:1].upper() + note.title[1:])}", first, " ".join(rest)]
    body = html_of("\n\n".join(part for part in parts if part))
    return PageSection("proxy", "Proxy", "Can short trainings be trusted?", body)


def _importance(axes: Importances | None) -> PageSection | None:
    if axes is None:
        return None
    first, *others = leading(axes.axes)
    name = f"**{_axis(first.axis)}**"
    if others:
        near = ", ".join(_axis(one.axis) for one in others)
        text = f"Most seems to depend on {name} ({first.share:.0%} of its variance), but its interval overlaps that of {near}: "
        text += "which one matters most is not known."
    else:
        text = f"Most depends on {name}: {first.share:.0%} of its variance, more than on any other axis."
    before = html_of(f"How far the AP of a candidate depends on each axis alone. {text}")
    caption = (
        f"fANOVA by Optuna over {axes.trials} candidates, by their AP after {axes.epochs} epochs; a bar is the mean over 100 "
        "resamples of the candidates, its interval their middle 80 %. It holds for the candidates proposed, not for all of the band."
    )
    return PageSection(
        "importance",
        "Axes",
        "What matters: importance of each axis",
        before,
        "importance-plot",
        "Importance of each axis, with intervals",
        caption,
    )


def _axis(name: str) -> str:
    return for_markdown(for_terminal(name).replace("_", " "))


def _progress(facts: Facts, steps: Sequence[ProgressStep]) -> PageSection | None:
    random = html_of(random_section(facts)) if facts.random else Markup()
    if not steps:
        return PageSection("progress", "Compute", "Against random", random) if random else None
    nearly = next(step for step in steps if step.share >= 0.95)
    text = (
        f"95 % of the final hypervolume stood after {nearly.hours:.2f} of {steps[-1].hours:.2f} hours of training "
        f"(trial {nearly.ordinal})."
    )
    objectives = ", ".join(facts.plan.objectives)
    caption = (
        f"Hypervolume of the front over the objectives ({objectives}), costs as logarithms, AP from the lowest complete candidate "
        "on. Trainings are counted one after another, whatever the number of workers."
    )
    after = Markup("<h3>Against random</h3>") + random if random else Markup()
    return PageSection(
        "progress",
        "Compute",
        "Hypervolume against compute",
        html_of(text),
        "progress-plot",
        "Share of the final hypervolume over hours of training",
        caption,
        after,
    )


def _noise(facts: Facts) -> PageSection | None:
    text = noise_section(facts)
    return PageSection("noise", "Noise", "Noise", html_of(text)) if text else None


def _all(facts: Facts, found: Sequence[ShownDetector]) -> PageSection | None:
    if not found:
        return None
    trials = {one.row.ordinal for one in found if one.trial}
    text = "A click on a heading sorts; a click on a name shows that detector above."
    if len(trials) < len(facts.trials):
        text += f" These are the {len(trials):,} of {len(facts.trials):,} candidates that were trained longest and are best (at most {MOST:,}); `trials.csv` has all."
    return PageSection("candidates", "Candidates", "All candidates", html_of(text))
