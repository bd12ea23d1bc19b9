"""`simpleml run`: what a project file names is there afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, examples
from simpleml.cli.options import faced

if TYPE_CHECKING:
    from simpleml.jobs.plan import Plan
    from simpleml.jobs.report import Outcome, Report

running = typer.Typer(rich_markup_mode=None)


@running.command(
    epilog=examples(
        "simpleml run config/titanic-like.toml --dry-run",
        "simpleml run config/titanic-like.toml",
        "simpleml run config/titanic-like.toml --set model.params.C=0.5 --executor processes --workers 2",
    )
)
@faced
def run(
    face: Face,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A project file, TOML or YAML.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PLACE=VALUE", help="Change a value of the file for this run. May be repeated."),
    ] = None,
    executor: Annotated[
        str | None,
        typer.Option(help="Where to build: inline, threads, processes, dask, ray, or NAME:ADDRESS of a cluster."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many workers the executor starts.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and write nothing; say what would be built, and why.")
    ] = False,
) -> None:
    """Build what a project file names and the database has not, by content; exit code 1 if something failed."""
    from simpleml.jobs.plan import plan_project
    from simpleml.jobs.project import read_project
    from simpleml.jobs.running import run_project

    with face.planning() if dry_run else face.opened(creating=True) as opened:
        project = read_project(file, changes or ())
        project = replace(project, modules=(*face.modules, *project.modules))  # workers need them too
        if dry_run:
            plan = plan_project(project, opened)
            _show_plan(face, plan)
            face.data([_planned_row(each) for each in plan])
            all_well = not plan.doing("fail")
        else:
            try:
                report = run_project(
                    project,
                    executor=executor,
                    workers=workers,
                    database=opened,
                    planned=lambda plan: face.say(_counted(each.action for each in plan)),
                )
            except KeyboardInterrupt:
                face.say("interrupted: what was built so far is saved, and the same command goes on from there")
                raise
            _show_report(face, report)
            face.data([_outcome_row(each) for each in report.outcomes])
            all_well = report.all_well
    if not all_well:
        raise typer.Exit(1)


def _planned_row(planned: Any) -> dict[str, Any]:
    node = planned.node
    return {
        "kind": node.kind,
        "table": node.table,
        "name": node.name,
        "point": dict(node.varied),
        "action": planned.action,
        "hash": planned.hash_,
        "why": planned.why,
    }


def _outcome_row(outcome: Outcome) -> dict[str, Any]:
    return {
        **_planned_row(outcome.planned),
        "status": outcome.status,
        "id": None if outcome.id is None else str(outcome.id),
        "version": outcome.version,
        "hash": outcome.hash_,
        "values": outcome.values,
        "seconds": outcome.seconds,
        "why": outcome.why,
    }


def _show_plan(face: Face, plan: Plan) -> None:
    """Print what is there, what is to be built, and why."""
    rows = [[each.action, each.node.label, each.why] for each in plan]
    face.table(["", "what", "why"], rows, title=f"Plan of {plan.project.path}")
    face.say(_counted(each.action for each in plan))


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in Counter(words).items()) or "nothing"


def _show_report(face: Face, report: Report) -> None:
    """Print every model with what its metrics say, then what failed."""
    results = report.results()
    fixed = ("model", "version", "point", "status", "seconds")
    columns = list(dict.fromkeys(key for row in results for key in row if key not in fixed))
    rows = [
        [
            row["model"] if row["version"] is None else f"{row['model']}:{row['version']}",
            row["point"],
            row["status"],
            f"{row['seconds']:.2f}" if row["status"] == "built" else "",
            *(_number(row.get(column)) for column in columns),
        ]
        for row in results
    ]
    if rows:
        face.table(["model", "", "", "seconds", *columns], rows, title="Results")
    for each in report.having("failed", "skipped"):
        face.say(f"{each.status}: {each.label}: {each.why}")
    face.say(f"{report.counted} in {report.seconds:.1f} s")


def _number(value: Any) -> str:
    """Return the value of a metric, if it is one number, as a table shows it."""
    if isinstance(value, int | float):
        return f"{value:.4f}"
    return "" if value is None else "…"
