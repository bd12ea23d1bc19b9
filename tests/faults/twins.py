"""Known-bad twins: each takes one promise out of the save protocol, in the process that calls it.

A check that does not catch its twin proves nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select

from simpleml.failpoints import reach
from simpleml.orm import versions
from simpleml.orm.database import Database
from simpleml.orm.housekeeping import collection
from simpleml.orm.persistable import ORMPersistable
from simpleml.orm.tables import Blob, BlobState
from simpleml.persistables.ports import Draft
from simpleml.save_patterns import pattern
from simpleml.save_patterns.locations import local, spool
from simpleml.save_patterns.locations.keys import FANOUT, make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.spool import Spool

_PIECE = 64 * 1024


def _bytes_of(spooled: Spool) -> bytes:
    path, _ = spooled.materialize()
    return path.read_bytes()


def row_first() -> None:
    """The record is committed before its bytes are put."""
    waiting: list[tuple[Any, bytes, str]] = []
    insert = Database.insert

    def place(spool: Spool, store: Any, places: Any) -> str:
        intent = places.ledger.intend(digest=spool.digest, size=spool.size, store=store.name)
        if not intent.stored:
            waiting.append((store, _bytes_of(spool), intent.key))
        return str(intent.key)

    def insert_then_put(self: Database, draft: Draft) -> None:
        insert(self, draft)
        for store, data, key in waiting:
            spool = store.spool()
            spool.write(data)
            store.put(spool, key)
        waiting.clear()

    pattern.place = place
    Database.insert = insert_then_put  # type: ignore[method-assign]


def in_place() -> None:
    """Bytes are written where they stay, under a name that is their digest alone; who finds the name takes them as stored."""

    def place(spool: Spool, store: LocalStore, places: Any) -> str:
        database = places.ledger.database
        key = make_key(database.ledger_id, spool.digest, "0" * 32)
        row = {"key": key, "digest": spool.digest, "size": spool.size, "store": store.name, "refs": 0}
        row |= {"state": BlobState.PENDING, "lease_until": 0.0}
        if not (store.root / key).exists():
            store._prepare(key.partition("/")[0], FANOUT)
            with (store.root / key).open("wb", buffering=0) as file:
                data = memoryview(_bytes_of(spool))
                for start in range(0, len(data), _PIECE):
                    piece = data[start : start + _PIECE]
                    file.write(piece[: len(piece) // 2])
                    reach("put.fsync.before")
                    file.write(piece[len(piece) // 2 :])
                os.fsync(file.fileno())

        def announce(connection: Connection) -> None:
            if connection.execute(select(Blob.key).where(Blob.key == key)).first() is None:
                connection.execute(insert(Blob).values(**row))

        database.run(announce)
        return key

    pattern.place = place  # type: ignore[assignment]


def bytes_deleted_first() -> None:
    """Deleting a record takes its bytes away before the record is gone."""
    delete = Database.delete

    def bytes_then_row(self: Database, kind: str, id: Any) -> None:
        for row in self.select(kind, {"id": id}):
            for patterns in row["filepaths"].values():
                for reference in patterns.values():
                    self.places.store(reference["store"]).delete(reference["key"])
        delete(self, kind, id)

    Database.delete = bytes_then_row  # type: ignore[method-assign]


def swallowed() -> None:
    """A put that fails is taken for one that did not."""
    put = LocalStore.put

    def hopeful(self: LocalStore, spool: Spool, key: str) -> None:
        try:
            put(self, spool, key)
        except OSError:
            return

    LocalStore.put = hopeful  # type: ignore[method-assign]


def torn_and_swallowed() -> None:
    """Writing takes whatever fits for everything."""

    def hopeful(descriptor: int, view: memoryview) -> None:
        try:
            write_all(descriptor, view)
        except OSError:
            return

    write_all = spool.write_all
    spool.write_all = hopeful


def highest_plus_one() -> None:
    """The next version is the highest there is, plus one: the number of a deleted version comes again."""

    def allocate(connection: Any, cls: type[ORMPersistable], row: dict[str, Any], *, suspicious: bool) -> int:
        highest = select(func.max(cls.version)).where(cls.name == row["name"])
        return int(connection.execute(highest).scalar() or 0) + 1

    versions.allocate = allocate


def never_swept() -> None:
    """Collecting looks at rows only: what no row announces stays for ever."""
    collection._sweep = lambda *_, **__: []


def torn_put() -> None:
    """The object appears under its key before all of it is written."""

    def put(self: LocalStore, spool: Spool, key: str) -> None:
        self._prepare(key.partition("/")[0], FANOUT)
        data = _bytes_of(spool)
        (self.root / key).write_bytes(data[: len(data) // 2])

    LocalStore.put = put  # type: ignore[method-assign]


def no_file_fsync() -> None:
    """The bytes are renamed into place before they are on the medium."""
    flush = local.flush_file

    def folders_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            flush(descriptor)

    local.flush_file = folders_only


def no_folder_fsync() -> None:
    """The names of new objects are not flushed (those of the folders above them are, when they are made)."""
    flush = local.flush_folder

    def above_only(folder: Path) -> None:
        if folder.name not in FANOUT:
            flush(folder)

    local.flush_folder = above_only


def never_settled() -> None:
    """The names of the chunks of an artifact are not flushed."""
    LocalStore.settle = lambda self, keys: _settle(self, keys) if len(keys) == 1 else None  # type: ignore[method-assign]


_settle = LocalStore.settle


def no_parent_fsync() -> None:
    """The folders of a new store are made, but their own names are not flushed."""
    local.make_folder = lambda folder: folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def faithful() -> None:
    """The protocol as it is."""


Twin = Callable[[], None]
