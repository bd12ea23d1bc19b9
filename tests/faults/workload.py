"""The work that is disturbed: saves, a delete, a collection and a sweep, each announced before and reported after.

The content of an artifact follows from the config of its object, so that whoever finds a record can tell whether the
whole of it is there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from blake3 import blake3
from sqlalchemy import update

from simpleml import Artifact, Persistable
from simpleml.orm import Database, open_database
from simpleml.orm.housekeeping import collect
from simpleml.orm.tables import Blob
from simpleml.save_patterns import chunks
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from tests.faults.stages import Say

SMALL = 2_000  # stays in the spool's memory until it is put
LARGE = 300_000  # goes to the spool's file while it is serialized
CHUNKED = 400_000  # has two chunks at least, as the longest is shorter
HOUR = 3600.0


class Sample(Persistable):
    """An object whose artifact can be computed from its config."""

    data: Artifact[bytes] = Artifact(save_patterns="pickled")

    def __init__(self, *, seed: str = "", size: int = 0, **identity) -> None:
        super().__init__(**identity, config={"seed": seed, "size": size})


def content(seed: str, size: int) -> bytes:
    """Return the bytes that belong to a seed: never the same for two seeds."""
    return blake3(seed.encode()).digest(length=size)


@dataclass(frozen=True)
class Place:
    """Where the work is done: a database and a store."""

    url: str
    store: str
    home: str
    durability: str = "full"

    @contextmanager
    def open(self) -> Iterator[Database]:
        """Open both afresh, as the current database of the block."""
        database = open_database(
            self.url, store=self.store, home=self.home, durability=self.durability, lock_timeout=10.0
        )
        try:
            with database:
                yield database
        finally:
            database.close()


def save(say: Say, name: str, seed: str, size: int) -> Sample:
    """Save a new version and say so."""
    sample = Sample(name=name, seed=seed, size=size)
    sample.data = content(seed, size)
    say(("saving", name, seed, size))
    sample.save()
    say(("saved", name, seed, size, sample.version))
    return sample


def delete(say: Say, sample: Sample) -> None:
    """Delete a version and say so."""
    name, version = sample.name, sample.version
    say(("deleting", name, version))
    sample.delete()
    say(("deleted", name, version))


def work(say: Say, database: Database, name: str) -> None:
    """Take every step: small, equal and large content saved, one deleted, its bytes collected, strays swept, chunks saved."""
    save(say, name, f"{name}/a", SMALL)
    save(say, name, f"{name}/a", SMALL)  # the same bytes, which are stored once
    delete(say, save(say, name, f"{name}/b", LARGE))
    strand(database)
    expire(database)
    collect(database, leftovers_after=HOUR)
    with in_chunks(database):
        save(say, name, f"{name}/c", CHUNKED)


@contextmanager
def in_chunks(database: Database) -> Iterator[None]:
    """Keep what is saved in the block in chunks, which are put together; it has far less than anybody would cut."""
    store, least = database.places.store("default"), chunks.LEAST
    store.chunked, chunks.LEAST = True, CHUNKED
    try:
        yield
    finally:
        store.chunked, chunks.LEAST = False, least


def strand(database: Database) -> None:
    """Leave what a power cut and a kill may leave: an object whose announcement is lost, a temporary file of long ago."""
    store = database.places.store("default")
    assert isinstance(store, LocalStore)
    digest = blake3(os.urandom(8)).hexdigest()
    stray = store.root / make_key(database.ledger_id, f"blake3:{digest}", uuid4().hex)
    stray.write_bytes(b"stray")
    leftover = store.root / "tmp" / f"{uuid4().hex}.part"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))


def expire(database: Database) -> None:
    """Let every lease be over."""
    database.run(lambda connection: connection.execute(update(Blob).values(lease_until=0.0)) and None)
