"""`simpleml verify`, `gc`, `backup`, `restore` and `settings`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simpleml.cli.face import Face, counted, shown
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
    found = counted(len(result.findings), "finding") if result.findings else "all is as it was saved"
    face.say(
        f"{counted(result.records, 'record')}, {counted(result.blobs, 'stored object')}, {human_size(result.bytes_)} read: {found}"
    )
    for each in result.unmapped if everything else ():
        face.note(f"{each}; until then only the stored objects of these records are verified")
    return not result.findings


def _known(database: Database, names: list[str]) -> list[str | tuple[str, int]]:
    """Return what each `NAME` or `NAME:VERSION` means: one that was mistyped must not count as verified."""
    from simpleml.cli.naming import not_found, sought, split_version

    places = sought(database, None, None)

    def there(**wanted: object) -> bool:
        return any(database.count(one.kind, wanted) for one in places)

    found: list[str | tuple[str, int]] = []
    for what in names:
        name, version = split_version(what)
        if version is not None and there(name=name, version=version):
            found.append((name, version))
        elif there(name=what):
            found.append(what)
        else:
            raise not_found(database, name, version, places)
    return found


def run_gc(face: Face, *, dry_run: bool, temporary_after: float | None, stores: Sequence[str] = ()) -> None:
    """Collect what nothing refers to, in these stores or in all."""
    from simpleml.orm.housekeeping import collect

    with face.opened() as database:
        result = collect(database, dry_run=dry_run, leftovers_after=temporary_after, stores=stores)
    face.data({**shown(result), "dry_run": dry_run})
    for key in result.keys if dry_run else ():
        face.say(key)
    objects = f"{counted(result.removed, 'unreferenced object')} ({human_size(result.freed)}), {counted(result.swept, 'object')} without a row"
    temporary = counted(result.leftovers, "temporary file")
    face.say(
        f"{objects} would be removed; temporary files are not looked for"
        if dry_run
        else f"{objects} and {temporary} removed"
    )
    if result.waiting:
        face.say(
            f"{counted(result.waiting, 'unreferenced object')} ({human_size(result.waiting_bytes)}) may go later, the first from "
            f"{result.waiting_from:%Y-%m-%d %H:%M:%S %Z}: `grace` after they were given up"
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
        f"{what}: {counted(made.records, 'record')}, {counted(made.blobs, 'stored object')}, {human_size(made.bytes_)}, as of {made.taken}"
    )


def run_settings(face: Face) -> None:
    """Show every setting and its source."""
    rows = face.settings().rows()
    face.data([{"key": key, "value": value, "source": source} for key, value, source in rows])
    face.table(("key", "value", "source"), rows)
