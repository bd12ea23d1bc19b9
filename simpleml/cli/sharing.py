"""`simpleml export`, `import`, `push` and `pull`: saved objects on their way to somebody else's database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from simpleml.cli.face import AsJson, DatabaseUrl, Face, StorePlace, examples

if TYPE_CHECKING:
    from simpleml.orm.bundles import Imported, Line, Offer, Wanted
    from simpleml.orm.database import Database

sharing = typer.Typer(rich_markup_mode=None)
"""The commands of this module, for the application to take in."""

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME[:VERSION]", help="One object, or several; NAME@ALIAS too. Without a version, the latest."
    ),
]
Kind = Annotated[str | None, typer.Option(help="The kind, if several have this name.")]
Every = Annotated[bool, typer.Option("--all-versions", help="Take every version of the names that come without one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write nothing; say what would be.")]
Into = Annotated[
    str,
    typer.Option(
        "--into",
        metavar="STORE",
        help="The store for what comes in. `imported` is not trusted: what runs code when it is read is not read from there.",
    ),
]


@sharing.command(
    "export",
    epilog=examples("simpleml export churn churn.zip", "simpleml export churn churn.zip --all-versions --force"),
)
def export_(
    context: typer.Context,
    names: Names,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The file to write.")],
    kind: Kind = None,
    all_versions: Every = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Write objects, all that they were made from, and their bytes into one file, for `simpleml import`."""
    from simpleml.orm.bundles import export_bundle
    from simpleml.persistables.display import human_size

    face = Face.of(context, as_json, database, store)
    with face.opened() as opened:
        made = export_bundle(opened, _saved(opened, names, kind, all_versions), file, force=force, dry_run=dry_run)
    face.data({**_shown(made), "file": str(file), "dry_run": dry_run})
    _tell_lines(face, made.records)
    would = "would be exported" if dry_run else "exported"
    face.say(
        f"{would} to {file}: {len(made.records)} records, {made.objects} stored objects, {human_size(made.bytes_)}, signed "
        f"{made.digest}"
    )


@sharing.command("import", epilog=examples("simpleml import churn.zip --dry-run", "simpleml import churn.zip"))
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The file that `simpleml export` wrote.")],
    into: Into = "imported",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Bring the objects of a file into the database; twice is once, and a version that was given out here already gets the next number."""
    from simpleml.orm.bundles import import_bundle

    face = Face.of(context, as_json, database, store)
    with face.opened() as opened:
        made = import_bundle(opened, file, store=into, dry_run=dry_run)
        trusted = opened.settings.trusted_stores
    _tell_import(face, made, trusted, dry_run=dry_run)


@sharing.command(
    epilog=examples("simpleml push churn --to default", "simpleml push churn --all-versions --to default --dry-run")
)
def push(
    context: typer.Context,
    names: Names,
    to: Annotated[str, typer.Option("--to", metavar="STORE", help="The store, by its name in the settings.")],
    kind: Kind = None,
    all_versions: Every = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what is there already, and replace what is damaged.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Put objects, all that they were made from, and their bytes into a store, from where others pull them."""
    from simpleml.orm.bundles import push as push_
    from simpleml.persistables.display import human_size

    face = Face.of(context, as_json, database, store)
    with face.opened() as opened:
        made = push_(opened, _saved(opened, names, kind, all_versions), to, verify=verify, dry_run=dry_run)
    face.data({**_shown(made), "dry_run": dry_run})
    _tell_lines(face, made.records)
    would = "would be pushed" if dry_run else "pushed"
    face.say(
        f"{would} to {to}: {len(made.digests)} bundles, {len(made.records)} records; {made.copied} of {made.objects} stored "
        f"objects were not there{' whole' if verify else ''} ({human_size(made.bytes_)})"
    )


@sharing.command(
    epilog=examples(
        "simpleml pull --from default --list",
        "simpleml pull churn --from default",
        "simpleml pull churn --from default --dry-run",
    )
)
def pull(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="STORE", help="The store, by its name in the settings.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME[:VERSION]", help="Without a version, the latest is pulled.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list what can be pulled.")] = False,
    kind: Kind = None,
    into: Into = "imported",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    database: DatabaseUrl = None,
    store: StorePlace = None,
) -> None:
    """Bring an object that somebody pushed to a store into the database, with all that it was made from."""
    from simpleml.orm.bundles import offers
    from simpleml.orm.bundles import pull as pull_

    if listed == (name is not None):
        raise typer.BadParameter("say what to pull: either a NAME, or --list")
    face = Face.of(context, as_json, database, store)
    with face.opened() as opened:
        if name is None:
            _tell_offers(face, offers(opened, source))
            return
        made = pull_(opened, _wanted(name, kind), source, store=into, dry_run=dry_run)
        trusted = opened.settings.trusted_stores
    _tell_import(face, made, trusted, dry_run=dry_run)


def _saved(database: Database, names: Sequence[str], kind: str | None, every: bool) -> list[Wanted]:
    """Return what these names mean in a database: each `NAME`, `NAME:VERSION` or `NAME@ALIAS`."""
    return [_aliased(database, name, kind) if "@" in name else _wanted(name, kind, every=every) for name in names]


def _aliased(database: Database, name: str, kind: str | None) -> Wanted:
    from simpleml.cli.listing import find_version
    from simpleml.orm.bundles import Wanted

    found, row = find_version(database, name, kind)
    return Wanted(row["name"], row["version"], found)


def _wanted(name: str, kind: str | None, *, every: bool = False) -> Wanted:
    from simpleml.cli.listing import split_version
    from simpleml.orm.bundles import Wanted

    head, version = split_version(name)
    return Wanted(head, version, kind, every=every and version is None)


def _tell_lines(face: Face, lines: Sequence[Line]) -> None:
    if lines:
        face.table(("kind", "name", "version"), [[line.kind, line.name, str(line.version)] for line in lines])


def _tell_import(face: Face, made: Imported, trusted: Sequence[str], *, dry_run: bool) -> None:
    from simpleml.persistables.display import human_size

    face.data({**_shown(made), "dry_run": dry_run})
    _tell_lines(face, made.records)
    for each in made.renumbered:
        face.say(
            f"{each.kind} {each.name}: version {each.old} is not above the last that was given out here, so it is version {each.new}"
        )
    would = "would be imported" if dry_run else "imported"
    face.say(
        f"{would}: {len(made.records)} records ({len(made.skipped)} were here already), {made.copied} of {made.objects} stored "
        f"objects copied to the store {made.store} ({human_size(made.bytes_)}), signed {made.digest}"
    )
    if made.store not in trusted and made.records:
        face.say(
            f"the store {made.store} is not trusted: what runs code when it is read (pickles) is refused until you add "
            f'"{made.store}" to trusted_stores in the settings'
        )


def _tell_offers(face: Face, found: Sequence[Offer]) -> None:
    from simpleml.persistables.display import human_size

    face.data([_shown(offer) for offer in found])
    whole = [offer for offer in found if not offer.problem]
    if whole:
        columns = ("kind", "name", "version", "class", "records", "size", "created")
        face.table(
            columns,
            [
                [
                    each.kind,
                    each.name,
                    str(each.version),
                    each.registered_name,
                    str(each.records),
                    human_size(each.bytes_),
                    f"{each.created:%Y-%m-%d %H:%M:%S %Z}" if each.created else "",
                ]
                for each in whole
            ],
        )
    for offer in found:
        if offer.problem:
            face.say(f"broken: {offer.problem}")
    if not found:
        face.say("nothing was pushed there yet; try: simpleml push NAME --to STORE")


def _shown(result: Any) -> dict[str, Any]:
    """Return a result for machines."""
    return {key.rstrip("_"): _plain(value) for key, value in asdict(result).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
