"""The commands and their options; what they do is in the modules beside this one, imported when it is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simpleml.cli.face import Face, examples
from simpleml.cli.labels import labels
from simpleml.cli.legacy import legacy
from simpleml.cli.lineage import lineages
from simpleml.cli.options import AsJson, DatabaseUrl, DryRun, Kind, Of, StorePlace, faced
from simpleml.cli.running import running
from simpleml.cli.scanning import scanning
from simpleml.cli.sharing import sharing
from simpleml.cli.stores import stores

app = typer.Typer(
    name="simpleml",
    help="Save what you fitted; get it back by name and version, bit for bit, or be told exactly why not.",
    epilog=examples(
        "simpleml demo",
        "simpleml ls",
        "simpleml show churn:3",
        "simpleml --json ls model",
        "simpleml --import mykinds ls",
    )
    + "\n\n\b\nExit codes: 0 all is well; 1 a check failed, or it could not be done; 2 wrong usage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
db = typer.Typer(
    help="Make, upgrade and check the schema of the database.",
    epilog=examples("simpleml db check", "simpleml db upgrade"),
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(labels)
app.add_typer(sharing)
app.add_typer(legacy)
app.add_typer(lineages)
app.add_typer(running)
app.add_typer(scanning)
app.add_typer(stores, name="store")
app.add_typer(db, name="db")


def _print_version(wanted: bool) -> None:
    if wanted:
        from simpleml.persistables.environment import version_of

        print(f"simpleml {version_of('simpleml') or 'unknown (not installed)'}")
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="MODULE", help="Import this first: it maps kinds of your own. May be repeated."
        ),
    ] = None,
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where an error came from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = Face(as_json, database, store, tuple(modules or ()))


@app.command(epilog=examples("simpleml demo", "simpleml demo --database sqlite:///demo.db --store ./demo-store"))
@faced
def demo(face: Face) -> None:
    """Fit, save, load in a second process and compare, on real data; exit code 1 if anything differs."""
    from simpleml.cli.demo import run_demo

    _leave(run_demo(face))


@app.command(hidden=True, epilog=examples('echo \'{"name": "demo-classifier", "version": 1}\' | simpleml demo-reader'))
def demo_reader() -> None:
    """Load what the demo saved and print its predictions: the second process of the demo."""
    from simpleml.cli.demo_reader import run_reader

    run_reader()


@app.command(epilog=examples("simpleml ls", "simpleml ls model", "simpleml ls --json"))
@faced
def ls(
    face: Face,
    kind: Annotated[str | None, typer.Argument(help="Only this kind: dataset, pipeline, model, metric, …")] = None,
) -> None:
    """List every name: how many versions it has, and the class, size and time of the latest."""
    from simpleml.cli.listing import run_ls

    run_ls(face, kind)


@app.command(epilog=examples("simpleml show demo-classifier", "simpleml show demo-classifier:1 --kind model"))
@faced
def show(
    face: Face,
    what: Annotated[
        str, typer.Argument(metavar="NAME[:VERSION]", help="Or NAME@ALIAS. Without either, the latest is shown.")
    ],
    kind: Kind = None,
    of: Of = None,
) -> None:
    """Show one version: identity, aliases, tags, config, lineage, artifacts, library versions."""
    from simpleml.cli.listing import run_show

    run_show(face, what, kind, of)


@app.command(epilog=examples("simpleml verify --all", "simpleml verify demo-classifier:1 demo-scaler"))
@faced
def verify(
    face: Face,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME[:VERSION]", help="Check these; without a version, all of a name."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Check every name, and the rows that announce stored bytes.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Do not read again what a run that was cut short on this machine found whole."),
    ] = False,
) -> None:
    """Read every stored byte and compare it with what was saved; exit code 1 if anything is missing or damaged."""
    from simpleml.cli.upkeep import run_verify

    if bool(names) == everything:
        raise typer.BadParameter("say what to verify: either names, or --all")
    _leave(run_verify(face, names or [], everything, resume=resume))


@app.command(epilog=examples("simpleml gc --dry-run", "simpleml gc", "simpleml gc --temporary-after 3600"))
@faced
def gc(
    face: Face,
    dry_run: DryRun = False,
    temporary_after: Annotated[
        float | None,
        typer.Option(
            "--temporary-after",
            min=0,
            metavar="SECONDS",
            help="Remove temporary files that nobody touched for so long.",
        ),
    ] = None,
) -> None:
    """Remove stored bytes that nothing refers to and whose lease is over; it may run beside writers.

    A lease runs for `grace` seconds (a week, unless the settings say otherwise) after a save, and again after a deletion: with
    a smaller one, what is saved and deleted from then on may go earlier.
    """
    from simpleml.cli.upkeep import run_gc

    run_gc(face, dry_run=dry_run, temporary_after=temporary_after)


@app.command(epilog=examples("simpleml backup ./backup-today"))
@faced
def backup(
    face: Face, to: Annotated[Path, typer.Argument(metavar="TO", help="A folder that is not there yet, or is empty.")]
) -> None:
    """Copy the database and everything it refers to into a folder, consistent with each other, while writers go on."""
    from simpleml.cli.upkeep import run_backup

    run_backup(face, to)


@app.command(
    epilog=examples("simpleml restore ./backup-today --database sqlite:///restored.db --store ./restored-store")
)
@faced
def restore(
    face: Face, source: Annotated[Path, typer.Argument(metavar="FROM", help="The folder that `simpleml backup` wrote.")]
) -> None:
    """Bring a backup back into an empty database and its stores."""
    from simpleml.cli.upkeep import run_restore

    run_restore(face, source)


@app.command(epilog=examples("simpleml settings", "simpleml settings --json"))
@faced
def settings(face: Face) -> None:
    """Show every setting in force and where it came from; passwords are masked."""
    from simpleml.cli.upkeep import run_settings

    run_settings(face)


@db.command(epilog=examples("simpleml db init", "simpleml db init --database sqlite:///new.db"))
@faced
def init(face: Face) -> None:
    """Make the schema in an empty database; one that has it stays as it is."""
    from simpleml.cli.schema import run_init

    run_init(face)


@db.command(epilog=examples("simpleml db upgrade"))
@faced
def upgrade(face: Face) -> None:
    """Bring the schema to the revision that this version works with; one process at a time."""
    from simpleml.cli.schema import run_upgrade

    run_upgrade(face)


@db.command(epilog=examples("simpleml db check"))
@faced
def check(face: Face) -> None:
    """Compare the schema with the one that this version declares; exit code 1 if they differ."""
    from simpleml.cli.schema import run_check

    _leave(run_check(face))


@db.command(epilog=examples("simpleml db current"))
@faced
def current(face: Face) -> None:
    """Show the revision of the schema, and those that this version knows; changes nothing."""
    from simpleml.cli.schema import run_current

    run_current(face)


@db.command(epilog=examples("simpleml db adopt --yes"))
@faced
def adopt(face: Face, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Say that the database which this one was copied from is gone (or that this one was moved): its objects are ours."""
    from simpleml.cli.schema import run_adopt

    if not yes:
        question = f"Let gc of {face.settings().database_shown} remove objects of the database that it was copied from?"
        typer.confirm(question, abort=True, err=True)
    run_adopt(face)


@db.command(epilog=examples("simpleml db downgrade base --yes"))
@faced
def downgrade(
    face: Face,
    revision: Annotated[str, typer.Argument(help="A revision, or `base`, which drops every table of ours.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the schema back to an older revision; what only the newer one can hold is lost."""
    from simpleml.cli.schema import run_downgrade
    from simpleml.migrations import known_revisions

    if not yes and revision in ("base", *known_revisions()):  # any other is refused without a question
        question = f"Take {face.settings().database_shown} back to {revision!r}? What its tables hold may be lost."
        typer.confirm(question, abort=True, err=True)
    run_downgrade(face, revision)


def _leave(all_well: bool) -> None:
    if not all_well:
        raise typer.Exit(1)
