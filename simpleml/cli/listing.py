"""`simpleml ls` and `simpleml show`: read from the rows alone, so that nothing of the user's is imported to look at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, func, select

from simpleml.cli.face import Face
from simpleml.cli.naming import find_version, kinds_asked, owners
from simpleml.orm import cells
from simpleml.orm.bundles.links import linked_columns
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.orm.unmapped import unmapped
from simpleml.persistables.display import human_size, size_of

if TYPE_CHECKING:
    from simpleml.orm.database import Database
    from simpleml.persistables.ports import Row

_COLUMNS = ("kind", "name", "of", "versions", "latest", "class", "size", "created")


def run_ls(face: Face, kind: str | None) -> None:
    """List every name of one kind, or of all kinds."""
    with face.opened() as database:
        kinds = kinds_asked(database, kind)
        found = [entry for one in kinds for entry in _names(database, one)]
        hidden = database.run(unmapped, read=True) if kind is None else []
        if not found and not hidden:
            face.say(f"nothing is saved yet in {database!r}; try: simpleml demo")
    face.data([_for_machines(entry) for entry in found])
    if found:
        columns = [column for column in _COLUMNS if any(column in entry for entry in found)]
        face.table(columns, [[_told(column, entry.get(column, "")) for column in columns] for entry in found])
    for each in hidden:
        face.note(str(each))


def _names(database: Database, kind: str) -> list[dict[str, Any]]:
    """Return one entry for each name of a kind, by one statement however many versions there are."""
    cls = record_class(kind)
    within = [cls.name, *([getattr(cls, cls.scope)] if cls.scope else [])]
    counted = (
        select(*within, func.count().label("versions"), func.max(cls.version).label("latest"))
        .group_by(*within)
        .subquery()
    )
    same = and_(*(column == counted.c[column.key] for column in within), cls.version == counted.c.latest)
    columns = (cls.registered_name, cls.filepaths, cls.created_timestamp)
    statement = select(counted, *columns).join(cls, same).order_by(*(counted.c[column.key] for column in within))

    every = select(cls.id).order_by(cls.name, cls.version)

    def work(connection: Connection) -> list[dict[str, Any]]:
        return [
            {
                "kind": kind,
                "name": row["name"],
                **({cls.scope: row[cls.scope]} if cls.scope else {}),
                "versions": row["versions"],
                "latest": row["latest"],
                "class": row["registered_name"],
                "size": sum(size_of(reference) for _, _, reference in _references(row["filepaths"])),
                "created": row["created_timestamp"],
            }
            for row in (each._mapping for each in cells.rows(connection, cls, statement, among=every))  # noqa: SLF001 - public
        ]

    found = database.run(work, read=True)
    if cls.scope is None:
        return found
    known = owners(database, kind, (entry[cls.scope] for entry in found))
    return [{**entry, cls.scope: (id_ := str(entry[cls.scope])), "of": known[id_]} for entry in found]


def run_show(face: Face, what: str, kind: str | None, of: str | None) -> None:
    """Show one version of a name."""
    with face.opened() as database:
        found_kind, row = find_version(database, what, kind, of)
        shown = _described(database, found_kind, row)
    face.data(_for_machines(shown))
    told = [(key, list(_lines(value))) for key, value in shown.items()]
    face.table(("", ""), [(key if place == 0 else "", line) for key, lines in told for place, line in enumerate(lines)])


def _described(database: Database, kind: str, row: Row) -> dict[str, Any]:
    """Return what the row says, in the order in which people ask."""
    metadata = row["metadata_"] if isinstance(row["metadata_"], dict) else {}
    plain = ("project", "author", "version_description")
    columns = {
        attribute.key: row[attribute.key]
        for attribute in record_class(kind).__mapper__.column_attrs
        if attribute.key not in ORMPersistable.__dict__
    }
    return {
        "kind": kind,
        "name": row["name"],
        "version": row["version"],
        "class": row["registered_name"],
        **{key: row[key] for key in plain if row[key]},
        "hash": row["hash_"],
        "id": str(row["id"]),
        "aliases": list(database.aliases.of(kind, row["id"])),
        **({} if database.is_copy else {"tags": list(database.tags.of(kind, row["id"]))}),
        "created": row["created_timestamp"],
        "modified": row["modified_timestamp"],
        "config": metadata.get("config", {}),
        "state": metadata.get("state", {}),
        **{key: value for key, value in columns.items() if value is not None and not key.endswith("_id")},
        "lineage": dict(_lineage(database, kind, row)),
        "artifacts": [
            {"artifact": artifact, "pattern": pattern, **reference}
            for artifact, pattern, reference in _references(row["filepaths"])
        ],
        "library_versions": metadata.get("library_versions", {}),
        "platform": metadata.get("platform", ""),
        "module": metadata.get("module", ""),
    }


def _lineage(database: Database, kind: str, row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the role and the identity of each record that this one was made from."""
    edges = [
        (column.removesuffix("_id"), above, row[column])
        for column, above in linked_columns(record_class(kind)).items()
        if above is not None and row[column] is not None
    ]
    edges += [(parent.role, parent.kind, parent.id) for parent in database.parents(kind, row["id"]) or ()]
    for role, above, id_ in edges:
        for parent in database.select(above, {"id": id_}, limit=1):
            yield (
                role,
                {
                    "kind": above,
                    "name": parent["name"],
                    "version": parent["version"],
                    "hash": parent["hash_"],
                    "id": str(id_),
                },
            )


def _references(filepaths: object) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the references with their artifacts and patterns; of a record that was edited, an empty one in the place of anything else."""
    for artifact, patterns in filepaths.items() if isinstance(filepaths, dict) else ():
        for pattern, reference in patterns.items() if isinstance(patterns, dict) else [("?", None)]:
            yield artifact, pattern, reference if isinstance(reference, dict) else {}


def _for_machines(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value.isoformat() if isinstance(value, datetime) else value for key, value in entry.items()}


def _told(column: str, value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}"
    return human_size(value) if column == "size" else str(value)


def _lines(value: Any) -> Iterator[str]:
    """Give the lines that tell people of a value."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, dict) and {"kind", "name", "version"} <= item.keys():
                yield f"{key}: {item['kind']} {item['name']}:{item['version']}"
            else:
                yield f"{key} = {_shortened(item)}"
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            yield ", ".join(value)
            return
        for item in value:
            head = f"{item['artifact']} by {item['pattern']}: "
            if {"digest", "store", "key"} <= item.keys():
                yield f"{head}{human_size(size_of(item))}, {item['digest']}"
                yield f"  in store {item['store']!r} at {item['key']}"
            else:
                yield f"{head}no reference that simpleml wrote: the record was edited"
    elif value not in (None, ""):
        yield _told("", value)


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
