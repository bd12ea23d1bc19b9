"""`simpleml alias`, `tag`, `untag` and `prune`: what is given to saved versions, and which of them stay."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simpleml.cli.face import Face, examples
from simpleml.cli.options import DryRun, Kind, faced
from simpleml.errors import IdentityError, RecordNotFoundError

if TYPE_CHECKING:
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
) -> None:
    """Let an alias of a name point to one of its versions; or list, follow and drop aliases."""
    asked = sum((listed, history, drop is not None, name is not None and not history))
    if asked != 1:
        raise typer.BadParameter("say one of: an ALIAS, --list, --history (with or without ALIAS), --drop ALIAS")
    with face.opened() as opened:
        if listed:
            _list_aliases(face, opened, what, kind)
        elif history:
            _show_history(face, opened, what, kind, name)
        elif drop is not None:
            _drop_alias(face, opened, what, kind, drop)
        elif name is not None:
            _point(face, opened, what, kind, name)


@labels.command(epilog=examples("simpleml tag churn:2 candidate reviewed", "simpleml tag churn candidate"))
@faced
def tag(
    face: Face,
    what: What,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="One tag, or several.")],
    kind: Kind = None,
) -> None:
    """Give a version tags; one that it has already is no error."""
    with face.opened() as opened:
        found, row = _found(opened, what, kind)
        opened.tags.add(found, row["id"], tags)
        _tell_tags(face, opened, found, row)


@labels.command(epilog=examples("simpleml untag churn:2 candidate"))
@faced
def untag(
    face: Face,
    what: What,
    tags: Annotated[list[str], typer.Argument(metavar="TAG", help="One tag, or several.")],
    kind: Kind = None,
) -> None:
    """Take tags from a version; one that it has not is no error."""
    with face.opened() as opened:
        found, row = _found(opened, what, kind)
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
    from simpleml.orm.retention import prune as prune_names

    with face.opened() as opened:
        wanted = None if everything else names
        done = prune_names(opened, wanted, kind, keep_last=keep_last, keep_tagged=keep_tagged, dry_run=dry_run)
    face.data(
        {
            "deleted": [_version(each) for each in done.deleted],
            "kept": [{**_version(each), "why": each.why} for each in done.kept],
            "dry_run": dry_run,
        }
    )
    would = "would be deleted" if dry_run else "deleted"
    rows = [(each.kind, each.name, str(each.version), would) for each in done.deleted]
    rows += [(each.kind, each.name, str(each.version), f"kept: {each.why}") for each in done.kept]
    if rows:
        face.table(("kind", "name", "version", ""), rows)
    face.say(f"{len(done.deleted)} versions {would}, {len(done.kept)} older ones kept")


def _version(version: Version) -> dict[str, Any]:
    return {key: value for key, value in asdict(version).items() if key != "why"} | {"id": str(version.id)}


def _found(database: Database, what: str, kind: str | None) -> tuple[str, Row]:
    from simpleml.cli.listing import find_version

    return find_version(database, what, kind)


def _point(face: Face, database: Database, what: str, kind: str | None, alias_: str) -> None:
    found, row = _found(database, what, kind)
    database.aliases.point(found, row["id"], alias_)
    face.data({"kind": found, "name": row["name"], "version": row["version"], "alias": alias_})
    face.say(f"the alias {alias_!r} of {found} {row['name']!r} points to version {row['version']}")


def _list_aliases(face: Face, database: Database, what: str, kind: str | None) -> None:
    name, kinds = _named(database, what, kind)
    found = [(one, *each) for one in kinds for each in database.aliases.listed(one, name)]
    face.data(
        [
            {"kind": one, "name": name, "alias": alias_, "version": version, **({"scope": scope} if scope else {})}
            for one, alias_, version, scope in found
        ]
    )
    if found:
        face.table(
            ("kind", "name", "alias", "version"), [(one, name, alias_, str(there)) for one, alias_, there, _ in found]
        )
    else:
        face.say(f"{name!r} has no alias")


def _show_history(face: Face, database: Database, what: str, kind: str | None, alias_: str | None) -> None:
    name, kinds = _named(database, what, kind, also_gone=True)
    moves = [(one, move) for one in kinds for move in database.aliases.history(one, name, alias_)]
    face.data(
        [
            {
                "kind": one,
                "name": name,
                **({"scope": move.scope} if move.scope else {}),
                "alias": move.alias,
                "from_version": move.from_version,
                "to_version": move.to_version,
                "author": move.author,
                "moment": move.moment.isoformat(),
            }
            for one, move in moves
        ]
    )
    if not moves:
        face.say(f"no alias of {name!r} was ever moved")
        return
    face.table(
        ("moment", "author", "kind", "alias", "from", "to"),
        [
            (
                f"{move.moment:%Y-%m-%d %H:%M:%S %Z}",
                move.author,
                one,
                move.alias,
                str(move.from_version or "-"),
                str(move.to_version or "-"),
            )
            for one, move in moves
        ],
    )


def _drop_alias(face: Face, database: Database, what: str, kind: str | None, alias_: str) -> None:
    from simpleml.persistables.labels import ALIASED, known_aliases

    name, kinds = _named(database, what, kind)
    found = [(one, row) for one in kinds for row in database.select(one, {"name": name, ALIASED: alias_})]
    if not found:
        known = "; ".join(told for one in kinds if (told := known_aliases(database, one, name)))
        raise RecordNotFoundError(f"{name!r} has no alias {alias_!r} in {database!r}; {known or 'it has none at all'}")
    if len(found) > 1:
        there = ", ".join(f"{one} version {row['version']} ({row['id']})" for one, row in found)
        raise IdentityError(
            f"the alias {alias_!r} of {name!r} points to several: {there}; say which kind by --kind, or load one by its id and call "
            "drop_alias()"
        )
    [(one, row)] = found
    database.aliases.drop(one, row["id"], alias_)
    face.data({"kind": one, "name": name, "version": row["version"], "dropped": alias_})
    face.say(f"the alias {alias_!r} of {one} {name!r}, which pointed to version {row['version']}, is dropped")


def _named(database: Database, what: str, kind: str | None, *, also_gone: bool = False) -> tuple[str, list[str]]:
    """Return the name, and the kinds that have it, or ever had an alias of it; an unknown name is an error."""
    from simpleml.cli.listing import kinds_asked, not_found
    from simpleml.persistables.identity import checked_text

    name = checked_text("name", what)
    asked = kinds_asked(database, kind)
    kinds = [
        one
        for one in asked
        if database.count(one, {"name": name}) or (also_gone and database.aliases.history(one, name))
    ]
    if not kinds:
        raise not_found(database, name, None, asked)
    return name, kinds


def _tell_tags(face: Face, database: Database, kind: str, row: Row) -> None:
    tags = list(database.tags.of(kind, row["id"]))
    face.data({"kind": kind, "name": row["name"], "version": row["version"], "tags": tags})
    has = f"has the tags {', '.join(tags)}" if tags else "has no tag"
    face.say(f"{kind} {row['name']!r} version {row['version']} {has}")
