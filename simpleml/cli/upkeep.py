"""`simpleml verify`, `gc`, `backup`, `restore` and `settings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simpleml.cli.face import Face, shown
from simpleml.errors import RecordNotFoundError, known_names
from simpleml.persistables.display import human_size

if TYPE_CHECKING:
    from simpleml.orm.backup import BackedUp
    from simpleml.orm.database import Database


def run_verify(face: Face, names: list[str], everything: bool, *, resume: bool = False) -> bool:
    """Verify stored bytes; return whether all is well."""
    from simpleml.orm.housekeeping import verify

    with face.opened() as database:
        result = verify(database, names=_known(database, names), everything=everything, resume=resume)
    face.data(shown(result))
    columns = ("problem", "record", "artifact", "store", "key", "message")
    if result.findings:
        face.table(columns, [[getattr(finding, column) for column in columns] for finding in result.findings])
    found = f"{len(result.findings)} findings" if result.findings else "all is as it was saved"
    face.say(f"{result.records} records, {result.blobs} stored objects, {human_size(result.bytes_)} read: {found}")
    return not result.findings


def _known(database: Database, names: list[str]) -> list[str | tuple[str, int]]:
    """Return what each `NAME` or `NAME:VERSION` means: one that was mistyped must not count as verified."""
    from simpleml.cli.listing import split_version
    from simpleml.orm.persistable import kinds_in

    kinds = database.run(kinds_in, read=True)

    def there(**wanted: object) -> bool:
        return any(database.count(kind, wanted) for kind in kinds)

    found: list[str | tuple[str, int]] = []
    unknown: list[str] = []
    for what in names:
        name, version = split_version(what)
        if version is not None and there(name=name, version=version):
            found.append((name, version))
        elif there(name=what):
            found.append(what)
        else:
            unknown.append(what)
    if unknown:
        known = known_names({name for kind in kinds for name in database.names(kind)}, near=unknown[0])
        raise RecordNotFoundError(f"nothing is saved as {', '.join(map(repr, unknown))} in {database!r}; {known}")
    return found


def run_gc(face: Face, *, dry_run: bool, temporary_after: float | None, stores: Sequence[str] = ()) -> None:
    """Collect what nothing refers to, in these stores or in all."""
    from simpleml.cli.stores import chosen
    from simpleml.orm.housekeeping import collect

    with face.opened() as database:
        chosen(database, stores)
        result = collect(database, dry_run=dry_run, leftovers_after=temporary_after, stores=stores)
    face.data({**shown(result), "dry_run": dry_run})
    for key in result.keys if dry_run else ():
        face.say(key)
    would = "would be removed" if dry_run else "removed"
    face.say(
        f"{result.removed} unreferenced objects ({human_size(result.freed)}), {result.swept} objects without a row and "
        f"{result.leftovers} temporary files {would}"
    )
    if result.unreachable:
        face.say(f"left alone, because they cannot be opened here: the stores {', '.join(result.unreachable)}")


def run_backup(face: Face, to: Path) -> None:
    """Write a backup."""
    from simpleml.orm.backup import backup

    with face.opened() as database:
        made = backup(database, to)
    _tell_backup(face, made, f"backed up to {to}")


def run_restore(face: Face, source: Path) -> None:
    """Bring a backup back."""
    from simpleml.orm.backup import restore

    with face.opened(creating=True) as database:
        made = restore(database, source)
        _tell_backup(face, made, f"restored into {database!r}")


def _tell_backup(face: Face, made: BackedUp, what: str) -> None:
    face.data(shown(made))
    face.say(
        f"{what}: {made.records} records, {made.blobs} stored objects, {human_size(made.bytes_)}, as of {made.taken}"
    )


def run_settings(face: Face) -> None:
    """Show every setting and its source."""
    rows = face.settings().rows()
    face.data([{"key": key, "value": value, "source": source} for key, value, source in rows])
    face.table(("key", "value", "source"), rows)
