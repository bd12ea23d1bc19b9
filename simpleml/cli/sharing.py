"""`simpleml export`, `import`, `push` and `pull`: saved objects on their way to somebody else's database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, counted, examples, shown
from simpleml.cli.options import DryRun, Kind, Of, faced
from simpleml.errors import IdentityError, RecordNotFoundError

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
Every = Annotated[bool, typer.Option("--all-versions", help="Take every version of the names that come without one.")]
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
@faced
def export_(
    face: Face,
    names: Names,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The file to write.")],
    kind: Kind = None,
    of: Of = None,
    all_versions: Every = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Write objects, all that they were made from, and their bytes into one file, for `simpleml import`."""
    from simpleml.orm.bundles import export_bundle
    from simpleml.persistables.display import human_size

    with face.opened() as opened:
        made = export_bundle(
            opened, _saved(opened, names, kind, of, every=all_versions), file, force=force, dry_run=dry_run
        )
    face.data({**shown(made), "file": str(file), "dry_run": dry_run})
    _tell_lines(face, made.records)
    would = "would be exported" if dry_run else "exported"
    face.say(
        f"{would} to {file}: {counted(len(made.records), 'record')}, {counted(made.objects, 'stored object')}, "
        f"{human_size(made.bytes_)}, signed {made.digest}"
    )


@sharing.command("import", epilog=examples("simpleml import churn.zip --dry-run", "simpleml import churn.zip"))
@faced
def import_(
    face: Face,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="The file that `simpleml export` wrote.")],
    into: Into = "imported",
    dry_run: DryRun = False,
) -> None:
    """Bring the objects of a file into the database; twice is once, and a version that was given out here already gets the next number."""
    from simpleml.orm.bundles import import_bundle

    with face.planning() if dry_run else face.opened(creating=True) as opened:
        made = import_bundle(opened, file, store=into, dry_run=dry_run)
        trusted = opened.settings.trusted_stores
    _tell_import(face, made, trusted, dry_run=dry_run)


@sharing.command(
    epilog=examples("simpleml push churn --to default", "simpleml push churn --all-versions --to default --dry-run")
)
@faced
def push(
    face: Face,
    names: Names,
    to: Annotated[str, typer.Option("--to", metavar="STORE", help="The store, by its name in the settings.")],
    kind: Kind = None,
    of: Of = None,
    all_versions: Every = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what is there already, and replace what is damaged.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Put objects, all that they were made from, and their bytes into a store, from where others pull them."""
    from simpleml.orm.bundles import push as push_
    from simpleml.persistables.display import human_size

    with face.opened() as opened:
        made = push_(opened, _saved(opened, names, kind, of, every=all_versions), to, verify=verify, dry_run=dry_run)
    face.data({**shown(made), "dry_run": dry_run})
    _tell_lines(face, made.records)
    would = "would be pushed" if dry_run else "pushed"
    face.say(
        f"{would} to {to}: {counted(len(made.digests), 'bundle')}, {counted(len(made.records), 'record')}; {made.copied} of "
        f"{counted(made.objects, 'stored object')} were not there{' whole' if verify else ''} ({human_size(made.bytes_)})"
    )


@sharing.command(
    epilog=examples(
        "simpleml pull --from default --list",
        "simpleml pull churn --from default",
        "simpleml pull churn --from default --dry-run",
    )
)
@faced
def pull(
    face: Face,
    source: Annotated[str, typer.Option("--from", metavar="STORE", help="The store, by its name in the settings.")],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME[:VERSION]", help="Without a version, the latest is pulled.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only list what can be pulled.")] = False,
    kind: Kind = None,
    of: Of = None,
    into: Into = "imported",
    dry_run: DryRun = False,
) -> None:
    """Bring an object that somebody pushed to a store into the database, with all that it was made from."""
    from simpleml.orm.bundles import offers

    if listed == (name is not None):
        raise typer.BadParameter("say what to pull: either a NAME, or --list")
    if listed and (kind or of):
        raise typer.BadParameter("--list lists all: --kind and --of say which NAME is pulled")
    with face.planning() if listed or dry_run else face.opened(creating=True) as opened:
        if name is None:
            _tell_offers(face, offers(opened, source))
            return
        made = _pulled(opened, name, kind, source, of=of, store=into, dry_run=dry_run)
        trusted = opened.settings.trusted_stores
    _tell_import(face, made, trusted, dry_run=dry_run)


def _pulled(database: Database, what: str, kind: str | None, source: str, **options: Any) -> Imported:
    """Pull what `NAME[:VERSION]` means: where nobody pushed such a version, the colon and the number may be of the name."""
    from simpleml.cli.naming import split_version
    from simpleml.orm.bundles import Wanted
    from simpleml.orm.bundles import pull as pull_

    name, version = split_version(what)
    try:
        return pull_(database, Wanted(name, version, kind), source, **options)
    except RecordNotFoundError:
        if version is not None:
            with suppress(RecordNotFoundError):  # the first error tells more
                return pull_(database, Wanted(what, None, kind), source, **options)
        raise


def _saved(database: Database, names: Sequence[str], kind: str | None, of: str | None, *, every: bool) -> list[Wanted]:
    """Return what these names mean in a database: each `NAME`, `NAME:VERSION` or `NAME@ALIAS`; `of` is for the metrics of them."""
    found = [_found(database, name, kind, of, every=every, mixed=len(names) > 1) for name in names]
    if of is not None and all(each.scope is None for each in found):
        raise IdentityError(f"--of {of}: none of these is of something else, so leave --of out")
    return found


def _found(database: Database, name: str, kind: str | None, of: str | None, *, every: bool, mixed: bool) -> Wanted:
    from simpleml.cli.naming import find_version
    from simpleml.orm.bundles import Wanted
    from simpleml.orm.persistable import record_class

    found, row = find_version(database, name, kind, of, mixed=mixed)
    bare = row["name"] == name
    scope = record_class(found).scope
    return Wanted(
        row["name"], None if bare else row["version"], found, every=every and bare, scope=row[scope] if scope else None
    )


def _tell_lines(face: Face, lines: Sequence[Line]) -> None:
    if lines:
        face.table(("kind", "name", "version"), [[line.kind, line.name, str(line.version)] for line in lines])


def _tell_import(face: Face, made: Imported, trusted: Sequence[str], *, dry_run: bool) -> None:
    from simpleml.persistables.display import human_size
    from simpleml.save_patterns.trust import trusting

    face.data({**shown(made), "dry_run": dry_run})
    _tell_lines(face, made.records)
    for each in made.renumbered:
        face.say(f"{each.kind} {each.name}: version {each.old} is {each.why}, so it is version {each.new}")
    would = "would be imported" if dry_run else "imported"
    face.say(
        f"{would}: {counted(len(made.records), 'record')} ({len(made.skipped)} here already), {made.copied} of "
        f"{counted(made.objects, 'stored object')} copied to the store {made.store} ({human_size(made.bytes_)}), signed {made.digest}"
    )
    if made.store not in trusted and made.executes:
        face.say(
            f"the store {made.store} is not trusted: what runs code when it is read ({', '.join(made.executes)}) is refused until you say in "
            f"simpleml.toml: {trusting(made.store, trusted)}"
        )


def _tell_offers(face: Face, found: Sequence[Offer]) -> None:
    from simpleml.persistables.display import human_size

    face.data([shown(offer) for offer in found])
    whole = [offer for offer in found if not offer.problem]
    if whole:
        scoped = any(each.of for each in whole)
        face.table(
            ("kind", "name", *(["of"] if scoped else []), "version", "class", "records", "size", "created"),
            [
                [
                    each.kind,
                    each.name,
                    *([each.of] if scoped else []),
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
