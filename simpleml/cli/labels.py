"""`simpleml alias`, `tag`, `untag`, `prune` and `delete`: what is given to saved versions, and which of them stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, counted, examples
from simpleml.cli.options import DryRun, Kind, Of, faced

if TYPE_CHECKING:
    from simpleml.cli.naming import Sought
    from simpleml.orm.database import Database
    from simpleml.orm.retention import Version
    from simpleml.persistables.ports import Row

labels = typer.Typer(rich_markup_mode=None)
"""The commands of this module, for the application to take in."""

What = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="Without a version, the latest is meant.")]


@labels.command(
    epilog=examples(
        "simpleml alias churn:2 production",
        "simpleml alias churn --list",
        "simpleml alias churn --history",
        "simpleml alias churn --drop production",
    )
)
@faced
def alias(
    face: Face,
    what: What,
    name: Annotated[str | None, typer.Argument(metavar="ALIAS", help="Let this alias point to that version.")] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the aliases of NAME, and where they point to.")] = False,
    history: Annotated[bool, typer.Option("--history", help="List every move, of ALIAS or of all of NAME.")] = False,
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="ALIAS", help="Let this alias of NAME point to nothing.")
    ] = None,
    kind: Kind = None,
    of: Of = None,
) -> None:
    """Let an alias of a name point to one of its versions; or list, follow and drop aliases."""
    asked = sum((listed, history, drop is not None, name is not None and not history))
    if asked != 1:
        raise typer.BadParameter("say one of: an ALIAS, --list, --history (with or without ALIAS), --drop ALIAS")
    with face.opened() as opened:
        if listed:
            _list_aliases(face, opened, *_named(opened, what, kind, of))
        elif history:
            _show_history(face, opened, *_named(opened, what, kind, of, also_gone=True), name)
        elif drop is not None:
            _drop_alias(face, opened, *_named(opened, what, kind, of), drop)
        elif name is not None:
            _point(face, opened, *_found(opened, what, kind, of), name)


@labels.command(epilog=examples("simpleml tag churn:2 candidate reviewed", "simpleml tag churn candidate"))
@faced
def tag(
    face: Face,
    what: What,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="One tag, or several.")],
    kind: Kind = None,
    of: Of = None,
) -> None:
    """Give a version tags; one that it has already is no error."""
    with face.opened() as opened:
        found, row = _found(opened, what, kind, of)
        opened.tags.add(found, row["id"], tags)
        _tell_tags(face, opened, found, row)


@labels.command(epilog=examples("simpleml untag churn:2 candidate"))
@faced
def untag(
    face: Face,
    what: What,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="One tag, or several.")],
    kind: Kind = None,
    of: Of = None,
) -> None:
    """Take tags from a version; one that it has not is no error."""
    with face.opened() as opened:
        found, row = _found(opened, what, kind, of)
        opened.tags.remove(found, row["id"], tags)
        _tell_tags(face, opened, found, row)


@labels.command(
    epilog=examples("simpleml prune churn --keep-last 2 --dry-run", "simpleml prune --all --keep-last 5 --json")
)
@faced
def prune(
    face: Face,
    keep_last: Annotated[
        int, typer.Option("--keep-last", min=1, metavar="N", help="Keep the latest N versions of each name.")
    ],
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Prune these names.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Prune every name.")] = False,
    keep_tagged: Annotated[
        bool, typer.Option("--keep-tagged/--no-keep-tagged", help="Keep every version that has a tag, or do not.")
    ] = True,
    dry_run: DryRun = False,
    kind: Annotated[str | None, typer.Option(help="Only names of this kind.")] = None,
) -> None:
    """Delete older versions, but for those with a tag or an alias and those that others were made from.

    Their bytes go with the next `simpleml gc`.
    """
    if bool(names) == everything:
        raise typer.BadParameter("say what to prune: either names, or --all")
    from simpleml.cli.naming import note_unmapped
    from simpleml.orm.retention import prune as prune_names

    with face.opened() as opened:
        wanted = None if everything else names
        done = prune_names(opened, wanted, kind, keep_last=keep_last, keep_tagged=keep_tagged, dry_run=dry_run)
        if everything and kind is None:
            note_unmapped(face, opened)
    face.data(
        {
            "deleted": [_version(each) for each in done.deleted],
            "kept": [{**_version(each), "why": each.why} for each in done.kept],
            "dry_run": dry_run,
        }
    )
    would = "would be deleted" if dry_run else "deleted"
    rows = [{**_version(each), "": would} for each in done.deleted]
    rows += [{**_version(each), "": f"kept: {each.why}"} for each in done.kept]
    if rows:
        _table(face, ("kind", "name", "of", "version", ""), rows)
    face.say(f"{counted(len(done.deleted), 'version')} {would}, {counted(len(done.kept), 'older one')} kept")


@labels.command(epilog=examples("simpleml delete churn:3"))
@faced
def delete(
    face: Face,
    what: Annotated[str, typer.Argument(metavar="NAME:VERSION", help="The version has to be said.")],
    kind: Kind = None,
    of: Of = None,
) -> None:
    """Delete one version, unless something was made from it or an alias points to it; its bytes go with a later `simpleml gc`."""
    from simpleml.cli.naming import told

    with face.opened() as opened:
        found, row = _found(opened, what, kind, of)
        if what != f"{row['name']}:{row['version']}":
            raise typer.BadParameter(f"say which version: {row['name']}:{row['version']} is the one that was found")
        opened.delete(found, row["id"])
        face.data({**_shown(opened, found, row), "id": str(row["id"])})
        face.say(f"deleted {told(opened, found, row)}")


def _version(version: Version) -> dict[str, Any]:
    shown = {**asdict(version), "id": str(version.id)}
    return {key: value for key, value in shown.items() if key != "why" and (key, value) != ("of", "")}


def _shown(database: Database, kind: str, row: Row) -> dict[str, Any]:
    from simpleml.cli.naming import owner_of

    of = owner_of(database, kind, row)
    return {"kind": kind, "name": row["name"], **({"of": of} if of else {}), "version": row["version"]}


def _found(database: Database, what: str, kind: str | None, of: str | None) -> tuple[str, Row]:
    from simpleml.cli.naming import find_version

    return find_version(database, what, kind, of)


def _point(face: Face, database: Database, kind: str, row: Row, alias_: str) -> None:
    from simpleml.cli.naming import told

    database.aliases.point(kind, row["id"], alias_)
    face.data({**_shown(database, kind, row), "alias": alias_})
    face.say(f"the alias {alias_!r} now points to {told(database, kind, row)}")


def _list_aliases(face: Face, database: Database, name: str, places: Sequence[Sought]) -> None:
    rows = [
        {"kind": one.kind, "name": name, "alias": alias_, "version": version, **_scope(database, one.kind, scope)}
        for one in places
        for alias_, version, scope in database.aliases.listed(one.kind, name, _id(one))
    ]
    face.data(rows)
    if rows:
        _table(face, ("kind", "name", "of", "alias", "version"), rows)
    else:
        face.say(f"{name!r} has no alias")


def _show_history(face: Face, database: Database, name: str, places: Sequence[Sought], alias_: str | None) -> None:
    rows: list[dict[str, Any]] = [
        {
            "kind": one.kind,
            "name": name,
            **_scope(database, one.kind, move.scope),
            "alias": move.alias,
            "from_version": move.from_version,
            "to_version": move.to_version,
            "author": move.author,
            "moment": move.moment.isoformat(),
        }
        for one in places
        for move in database.aliases.history(one.kind, name, alias_, _id(one))
    ]
    face.data(rows)
    if not rows:
        face.say(f"no alias of {name!r} was ever moved")
        return
    shown = [
        {
            **row,
            "moment": f"{datetime.fromisoformat(row['moment']):%Y-%m-%d %H:%M:%S %Z}",
            "from": row["from_version"] or "-",
            "to": row["to_version"] or "-",
        }
        for row in rows
    ]
    _table(face, ("moment", "author", "kind", "of", "alias", "from", "to"), shown)


def _drop_alias(face: Face, database: Database, name: str, places: Sequence[Sought], alias_: str) -> None:
    from simpleml.cli.naming import choose, no_alias, told
    from simpleml.persistables.labels import ALIASED

    found = choose(database, {"name": name, ALIASED: alias_}, places)
    if found is None:
        raise no_alias(database, name, alias_, places)
    kind, row = found
    database.aliases.drop(kind, row["id"], alias_)
    face.data({**_shown(database, kind, row), "dropped": alias_})
    face.say(f"the alias {alias_!r}, which pointed to {told(database, kind, row)}, is dropped")


def _named(
    database: Database, what: str, kind: str | None, of: str | None, *, also_gone: bool = False
) -> tuple[str, list[Sought]]:
    """Return the name, and where it is, or ever had an alias; an unknown name is an error."""
    from simpleml.cli.naming import not_found, sought
    from simpleml.persistables.identity import checked_text

    name = checked_text("name", what)
    asked = sought(database, kind, of)
    places = [
        one
        for one in asked
        if database.count(one.kind, {"name": name, **one.filters})
        or (also_gone and database.aliases.history(one.kind, name, scope=_id(one)))
    ]
    if not places:
        raise not_found(database, name, None, asked)
    return name, places


def _id(one: Sought) -> str | None:
    return None if one.scope is None else str(one.scope)


def _scope(database: Database, kind: str, scope: str) -> dict[str, str]:
    """Return the scope of an alias, if it has one, and the model that it is."""
    from simpleml.cli.naming import owners

    return {"scope": scope, "of": owners(database, kind, [scope])[scope]} if scope else {}


def _table(face: Face, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Print these columns; one that no row has is left out."""
    there = [column for column in columns if any(column in row for row in rows)]
    face.table(there, [[str(row.get(column, "")) for column in there] for row in rows])


def _tell_tags(face: Face, database: Database, kind: str, row: Row) -> None:
    from simpleml.cli.naming import told

    tags = list(database.tags.of(kind, row["id"]))
    face.data({**_shown(database, kind, row), "tags": tags})
    has = f"has the tags {', '.join(tags)}" if tags else "has no tag"
    face.say(f"{told(database, kind, row)} {has}")
