"""`simpleml store …`: what there is of stores, whether they work, what they hold, and copying one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, counted, examples, shown
from simpleml.cli.options import DryRun, faced
from simpleml.encoding.faults import short
from simpleml.errors import SimpleMLError, UnknownStoreError, known_names

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.save_patterns.locations.checking import Checked

stores = typer.Typer(
    help="List, try, measure, copy and clean the stores that the settings name.",
    epilog=examples("simpleml store ls", "simpleml store check default"),
    no_args_is_help=True,
    rich_markup_mode=None,
)

_Names = Annotated[list[str] | None, typer.Argument(metavar="STORE", help="Only these; otherwise all.")]


@stores.command("ls", epilog=examples("simpleml store ls", "simpleml store ls --json"))
@faced
def list_stores(face: Face) -> None:
    """List the stores: where each is, whether it is trusted, how much of this database it holds, and what was pushed to it.

    Bundles are counted where that asks no server; `simpleml pull --list` asks one.
    """
    from simpleml.orm.inventory import bundles_in, usage
    from simpleml.settings.stores import StorePlace, options_of

    with face.opened() as opened:
        settings = opened.settings
        held = {used.store: used for used in usage(opened)}
        rows = [
            {
                "store": name,
                "place": StorePlace(at, options_of(at)).shown,
                "trusted": name in settings.trusted_stores,
                "objects": held[name].objects,
                "bytes": held[name].stored,
                "bundles": bundles_in(opened, name),
                "source": settings.sources[f"stores.{name}"],
            }
            for name, at in sorted(settings.stores.items())
        ]
    face.data(rows)
    _table(face, rows)


@stores.command(epilog=examples("simpleml store check", "simpleml store check default"))
@faced
def check(face: Face, names: _Names = None) -> None:
    """Write, read back, list and remove a probe, put it a second time, and say what the place guarantees; exit code 1 if anything fails."""
    results: list[dict[str, Any]] = []
    with face.opened() as opened:
        for name in opened.places.chosen(names):
            checked = _checked(opened, name)
            results.append({**shown(checked), "ok": checked.ok})
            _tell(face, checked)
    face.data(results)
    if not all(result["ok"] for result in results):
        raise typer.Exit(1)


def _checked(database: Database, name: str) -> Checked:
    """Return what came of trying a store; one that cannot even be opened keeps no other from being tried."""
    from simpleml.save_patterns.locations.checking import Checked, Step, check
    from simpleml.settings.stores import StorePlace, options_of

    try:
        store = database.places.store(name)
    except SimpleMLError as error:
        at = database.settings.stores[name]
        return Checked(name, StorePlace(at, options_of(at)).shown, (Step("open", False, 0.0, str(error)),), {})
    return check(store, database.ledger_id)


def _tell(face: Face, checked: Checked) -> None:
    face.say(f"{checked.store} ({checked.place}): {'works' if checked.ok else 'does not work'}")
    for step in checked.steps:
        face.say(f"  {step.name}: {'ok' if step.ok else step.problem} ({step.seconds * 1000:.0f} ms)")
    for name, told in checked.guarantees.items():
        face.say(f"  {name}: {told}")


@stores.command(epilog=examples("simpleml store du", "simpleml store du --json"))
@faced
def du(face: Face) -> None:
    """Say what each store holds, and how much was saved by storing equal bytes once, in chunks, or compressed."""
    from simpleml.cli.naming import note_unmapped
    from simpleml.orm.inventory import usage
    from simpleml.persistables.display import human_size

    with face.opened() as opened:
        found = usage(opened)
        note_unmapped(face, opened)
    face.data([{**shown(used), "ratio": used.ratio} for used in found])
    columns = ("store", "artifacts", "saved", "objects", "stored", "unreferenced", "saved / stored")
    rows = [
        (
            used.store,
            str(used.artifacts),
            human_size(used.saved),
            str(used.objects),
            human_size(used.stored),
            human_size(used.idle),
            f"{used.ratio:.2f}" if used.ratio else "",
        )
        for used in found
    ]
    face.table(columns, rows)


@stores.command(
    epilog=examples("simpleml store copy default imported", "simpleml store copy default imported --dry-run")
)
@faced
def copy(
    face: Face,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The store to copy.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The store whose place gets the copies.")],
    dry_run: DryRun = False,
) -> None:
    """Copy every object of a store to the place of another one; run again, it copies what is new, or was damaged there.

    Records go on naming FROM: when the copy is there, change the place of FROM in the settings to that of TO.
    """
    from simpleml.orm.inventory import copy_store
    from simpleml.persistables.display import human_size
    from simpleml.settings.keys import STORE_NAME

    with face.opened() as opened:
        for name in (source, target):
            if STORE_NAME.fullmatch(name) is None:
                raise UnknownStoreError(
                    f"FROM and TO are names of stores in the settings, and {short(name)} is none; {known_names(opened.places.names())}. "
                    'A path or a URL gets a name in simpleml.toml: [stores] archive = "<path or URL>"'
                )
        opened.places.chosen([source, target])
        made = copy_store(opened, source, target, dry_run=dry_run)
    face.data({**shown(made), "dry_run": dry_run})
    would = "would be copied" if dry_run else "copied"
    face.say(f"{counted(made.copied, 'object')} ({human_size(made.bytes_)}) {would}, {made.there} were there already")


@stores.command(epilog=examples("simpleml store gc default", "simpleml store gc --dry-run"))
@faced
def gc(face: Face, names: _Names = None, dry_run: DryRun = False) -> None:
    """Remove what nothing refers to from these stores only; `simpleml gc` does it for all."""
    from simpleml.cli.upkeep import run_gc

    run_gc(face, dry_run=dry_run, temporary_after=None, stores=names or ())


def _table(face: Face, rows: list[dict[str, Any]]) -> None:
    from simpleml.persistables.display import human_size

    shown = [
        {
            **row,
            "trusted": "yes" if row["trusted"] else "no",
            "bytes": human_size(row["bytes"]),
            "bundles": "" if row["bundles"] is None else row["bundles"],
        }
        for row in rows
    ]
    columns = tuple(rows[0])
    face.table(columns, [[str(row[column]) for column in columns] for row in shown])
