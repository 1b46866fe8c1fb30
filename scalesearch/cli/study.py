"""Commands on a study: search, report."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import click

from scalesearch.cli.options import COUNT, PATH, WORKERS, Finite, need_data

logger = logging.getLogger(__name__)


@click.command()
@click.argument("plan", type=PATH)
@click.option(
    "--data", type=PATH, help="Folder of an export (docs/data.md), or digits, in place of the plan's data.source."
)
@click.option("--out", type=PATH, help="The study's folder; results/<name of the plan> by default.")
@click.option("--trials", type=COUNT, help="Candidates to train, in place of the plan's number.")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Override a key of the plan; may be repeated."
)
@click.option("--finish", is_flag=True, help="Then score each winner on val and export it to ONNX.")
@click.option("--workers", type=WORKERS, help="Trainings at a time, in place of the plan's number.")
@click.option(
    "--ray", metavar="ADDRESS", help="Train on a Ray cluster: auto, local, or host:port. See docs/clusters.md."
)
@click.option("--cpus-per-task", type=click.IntRange(1, 1024), help="On the cluster; the plan's threads by default.")
@click.option("--gpus-per-task", type=Finite(0, 1024), help="On the cluster; 1 by default where there are any.")
@click.option(
    "--storage", metavar="URL", help="Optuna storage of the trials: sqlite:///..., postgresql://..., or a journal file."
)
def search(
    plan: Path,
    data: Path | None,
    out: Path | None,
    trials: int | None,
    changes: tuple[str, ...],
    workers: int | None,
    ray: str | None,
    cpus_per_task: int | None,
    gpus_per_task: float | None,
    storage: str | None,
    finish: bool,
) -> None:
    """Search by PLAN, train the winners, and report.

    The same command continues what was interrupted, with any number of workers, here or on a cluster.

    \b
    Examples:
      scalesearch search search_spaces/quickstart.yaml --out first
      scalesearch search search_spaces/topology.yaml --data coco/ --trials 6
      scalesearch search search_spaces/topology.yaml --set recipe.epochs=10 --out results/short
      scalesearch search search_spaces/quickstart.yaml --out first --finish
      scalesearch search search_spaces/topology.yaml --workers 4 --storage sqlite:///studies.db
      scalesearch search search_spaces/topology.yaml --ray auto --gpus-per-task 0.5 --out /shared/topology
    """
    from scalesearch.io.cache import cache_folder
    from scalesearch.io.target import claim_folder
    from scalesearch.plan.plan import read_plan
    from scalesearch.records.folder import claim_study

    overrides = list(changes)
    overrides += [f"data.source={json.dumps(str(data))}"] if data else []
    overrides += [f"trials={trials}"] if trials is not None else []
    overrides += [f"workers={workers}"] if workers is not None else []
    study = read_plan(plan, overrides)
    need_data(study.data.source, (study.data.train, study.data.val))
    folder = out or Path("results") / study.name
    claim_study(folder)
    claim_folder(cache_folder(), "the cache")
    if storage is not None:
        from scalesearch.mirror.storage import trial_storage

        trial_storage(storage).open()
    # Slow imports (seconds) come after the checks that can fail at once.
    from scalesearch.app.finish_study import finish as finish_winners
    from scalesearch.app.search_study import search as run
    from scalesearch.app.workers import Where
    from scalesearch.console.progress import RichConsole
    from scalesearch.nn.onnx_file import need_onnx
    from scalesearch.webpage.write_page import NAME

    if finish:
        need_onnx()  # fail now rather than after the search
    where = Where(workers=workers, ray=ray, cpus=cpus_per_task, gpus=gpus_per_task)
    with RichConsole():
        for note in study.notes:
            logger.warning(note)
        report_path = run(study, folder, where, storage)
        if finish:
            finish_winners(folder, study)
        logger.info(f"report: {report_path}, and as a page {NAME}")


@click.command()
@click.argument("study", type=PATH)
@click.option(
    "--check", is_flag=True, help="Write nothing: derive every proposal again from the rows; status 2 if one differs."
)
def report(study: Path, check: bool) -> None:
    """Write the report of the folder STUDY again from its rows: tables, plot, report.md, and report.html, a page for the
    browser that needs no network.

    \b
    Examples:
      scalesearch report results/quickstart
      scalesearch report results/quickstart --check
    """
    from scalesearch.io.target import claim_folder
    from scalesearch.records.folder import check_study

    check_study(study)
    if check:
        from scalesearch.app.check_study import check_study_proposals

        derived, unknown = check_study_proposals(study)
        click.echo(
            f"{study}: {derived} proposals follow from the rows that they were told"
            + (f"; {unknown} rows do not say what they were told" if unknown else "")
        )
        return
    claim_folder(study, "a report")
    from scalesearch.app.report_study import report_study
    from scalesearch.report.study_results import read_study

    click.echo(report_study(study, read_study(study).facts))
