"""Studies and tables as comparisons: which trainings, which candidates, which noise."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scalesearch.app.audit_rows import against, comparisons, free_of, read_kinds
from scalesearch.arch.networks import fpn, panet
from scalesearch.execute.executor import InProcess
from scalesearch.plan.task import Outcome, Task
from scalesearch.study.driver import run_study
from tests.detectors import TINY
from tests.studies import PLAN, make_plan, make_study
from tests.trainings import learn

TABLE = """depth,kind,macs,params,seed,epoch,loss,ap
1,a,1e9,5,0,1,3.0,0.1
1,a,1e9,5,0,3,2.0,0.2
1,a,1e9,5,1,3,2.5,0.22
2,b,2e9,5,0,1,2.5,0.15
2,b,2e9,5,0,3,1.0,0.3
"""


def test_a_table_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(TABLE)
    (found,) = comparisons(file)
    assert (found.epochs, found.within, found.cost) == (3, True, "macs")
    one, two = found.candidates
    assert one.name == "depth 1, kind a" and one.full == (0.2, 0.22) and two.full == (0.3,)
    assert one.free == {"macs": 1e9, "params": 5.0, "depth": 1.0}
    assert one.short[0].aps == {1: 0.1, 3: 0.2}
    assert one.short[0].loss_sums == {1: 3.0, 3: 7.0}  # the loss of a line is that of the epochs since the line before
    assert found.noise and found.noise.sd == pytest.approx(0.01 * 2**0.5) and found.noise.freedom == 1


def test_an_unsteady_candidate_is_not_in_the_noise(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    lines = [f"{i},{1 + i}e9,{seed},{0.3 + 0.01 * i + 0.005 * seed}" for i in range(8) for seed in (0, 1, 2)]
    lines += [f"8,9e9,{seed},{ap}" for seed, ap in enumerate((0.1, 0.3, 0.2))]
    file.write_text("\n".join(["depth,macs,seed,ap", *lines]))
    (found,) = comparisons(file)
    assert found.noise and found.noise.sd == pytest.approx(0.005) and found.noise.freedom == 16
    assert found.notes == (
        "depth 8 is not in the noise: its seeds differ by more than the others' (Cochran's C test at 1 %), 0.100, 0.300, 0.200",
    )


def curved(task: Task, label: str) -> Outcome:
    """The toy's AP, of which an epoch teaches a quarter, and a loss of 4 minus the epoch."""
    outcome = learn(task, label)
    whole = outcome.curve[0][1]["ap"] or 0.0
    epochs = range(1, task.to_epoch + 1)
    curve = tuple((epoch, {"ap": whole * epoch / task.recipe.epochs}) for epoch in epochs)
    return dataclasses.replace(outcome, curve=curve, losses=tuple((epoch, 4.0 - epoch, 0.1, 0.1) for epoch in epochs))


def studied(folder: Path, *overrides: str) -> Path:
    """The folder of a finished study of 4 epochs with a ladder."""
    folder.mkdir()
    asked = ("recipe.epochs=4", "recipe.eval_every=1", "trials=16", *overrides)
    study = make_study(folder, make_plan(folder, PLAN, *asked))
    run_study(study, InProcess(curved))
    study.folder.close()
    return study.folder.path


def test_a_study_has_its_search_and_its_winners(tmp_path: Path) -> None:
    folder = studied(tmp_path / "one", "ladder={rungs: [0.5], keep: 0.5}", "winners.recipe.epochs=8")
    search, winners = read_kinds(folder)
    assert (search.searched, winners.searched) == (True, False)
    assert search.label == "the search (4 epochs, on b)" and winners.label == "winners and baselines (8 epochs, on c)"
    assert len(search.candidates) == 16 and search.noise is None and winners.noise
    assert "candidates were stopped on the ladder and are left out" in search.notes[0]
    within, between = comparisons(folder)
    assert within.within and len(within.candidates) == sum(bool(one.whole) for one in search.candidates.values()) < 16
    assert (
        within.noise == winners.noise and "is repeated; the noise is that of winners and baselines" in within.notes[-1]
    )
    first = within.candidates[0].short[0]
    assert list(first.aps) == [1, 2, 3, 4] and first.loss_sums == {1: 3.0, 2: 5.0, 3: 6.0, 4: 6.0}
    assert not between.within and len(between.candidates) == 2 and between.epochs == 8
    assert all(len(one.full) == 2 and len(one.short) == 1 for one in between.candidates)
    assert comparisons(folder / "results.jsonl") == [within, between]


def test_repeats_are_runs_of_their_candidates(tmp_path: Path) -> None:
    (search, *_) = read_kinds(studied(tmp_path / "one", "repeats=0.25"))
    assert len(search.candidates) == 12 and sum(len(one.runs) for one in search.candidates.values()) == 16
    assert search.noise and search.noise.freedom == 4


def test_one_study_against_another_of_the_same_candidates(tmp_path: Path) -> None:
    sampler = "sampler={name: random}"
    proxy = studied(tmp_path / "proxy", sampler, "recipe.epochs=2")
    full = studied(tmp_path / "full", sampler, "trials=10")
    found = against(proxy, full)
    assert (len(found.candidates), found.epochs, found.within) == (10, 4, False)
    assert [list(one.short[0].aps) for one in found.candidates] == [[1, 2]] * 10
    designs = "baselines={a: {topology: fpn}, b: {topology: bifpn}, c: {topology: panet}}"
    named = (
        "trials=1",
        "winners.top=0",
        designs,
        "space.size=96",
        "space.width=24",
        "space.repeats=1",
        "band={macs: {max: 1G}}",
    )
    short = studied(tmp_path / "named", sampler, *named, "recipe.epochs=2")
    found = against(short, studied(tmp_path / "whole", sampler, *named))
    assert sorted(one.name for one in found.candidates) == ["a", "b", "c"] and not found.notes
    single = against(short, studied(tmp_path / "single", sampler, *named, "winners.seeds=[0]"))
    assert single.noise == read_kinds(short)[1].noise is not None
    assert "is repeated; the noise is that of winners and baselines (2 epochs" in single.notes[-1]
    other = studied(
        tmp_path / "other", sampler, "trials=2", "space.size=256", "band={macs: {max: 100M}}", "baselines={}"
    )
    with pytest.raises(ValueError, match="share no candidate") as caught:
        against(proxy, other)
    assert "\n" not in str(caught.value)


def test_what_is_no_study_or_table_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an audit is of a study's folder or a .csv or .parquet file"):
        comparisons(tmp_path / "plan.yaml")
    with pytest.raises(ValueError, match=r"a study's folder has a plan\.yaml"):
        comparisons(tmp_path)


def test_paths_of_a_graph() -> None:
    """FPN over three levels: inputs 3, 4, 5; each output reads its own level and the coarser ones."""
    found = free_of(dataclasses.replace(TINY, topology=fpn(3, 5)))
    assert found["connected"] == pytest.approx(6 / 9)
    assert found["path length"] < free_of(dataclasses.replace(TINY, topology=panet(3, 5)))["path length"]
    assert free_of(dataclasses.replace(TINY, topology=panet(3, 5)))["connected"] == 1.0
    assert (found["width"], found["repeats"], found["head depth"]) == (8.0, 1.0, 1.0)
    assert found["size"] == pytest.approx((48 * 64) ** 0.5)
