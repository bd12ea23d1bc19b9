"""The pattern `database_table`: a frame of pandas, polars or arrow as a real table, of which anyone can SELECT.

Saving follows the protocol of every object: the digest and size of the frame's canonical bytes are announced (T1), the table
is filled under a name that was never used and marked as whole durably, and only then a record may refer to it (T3). Equal
frames are stored once. Loading compares the rows, the digest and the size of what the table holds now with what was saved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from simpleml.errors import ArtifactDamagedError, EncodingError, SavePatternError, SerializationError, SimpleMLError
from simpleml.failpoints import reach
from simpleml.orm.locations import canonical, filling, frames
from simpleml.orm.locations.canonical import TABLE
from simpleml.orm.locations.database import DatabaseStore
from simpleml.progress import Progress
from simpleml.save_patterns.pattern import load_object
from simpleml.save_patterns.protocols import Places
from simpleml.types import Reference

_TRIES = 8


@dataclass(frozen=True, slots=True)
class TablePattern:
    """Keeps a frame as a table of the database of `store`, with an index on each column that `indexes` names.

    Registered as a class without arguments: `class Sales(TablePattern)` with an `__init__` that gives them.
    """

    name: str = "database_table"
    store: str = "database"
    indexes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a text, which is a sequence of letters."""
        given: object = self.indexes
        if isinstance(given, str):
            raise SavePatternError(f"indexes is {given!r:.80}, but must be a tuple of names: indexes=({given!r:.80},)")

    def save(self, value: object, places: Places) -> Reference:
        """Fill a table with the frame, unless one with the same values is there; `SerializationError` names what does not fit."""
        store = places.store(self.store)
        if not isinstance(store, DatabaseStore):
            raise SavePatternError(
                f"{self.name!r} keeps tables in a database, but the store {self.store!r} is at {store.describe()}: give it the URL "
                f'of a database, [stores] {self.store} = "database://" in simpleml.toml'
            )
        places.allow_writing(TABLE, self.store)
        with canonical.refusing(value):
            source = canonical.source_of(value, self.name)
            measured = filling.measure(source)
            return self._reference(source, measured, self._place(source, measured, store, places))

    def _place(self, source: canonical.Source, measured: filling.Measured, store: DatabaseStore, places: Places) -> str:
        for _ in range(_TRIES):
            reach("save.intend.before")
            intent = places.ledger.intend(digest=measured.digest, size=measured.size, store=store.name)
            reach("save.intend.after")
            if not intent.stored:
                store.prepare()
                with store.failures("write"):
                    filling.write(store.database, intent.key, source, measured, self.indexes)
                return intent.key
            damaged = places.found_damaged(intent.key, measured.size, measured.digest)
            if not damaged and _is_whole(store, intent.key, measured.size, self.indexes):
                return intent.key
            places.ledger.distrust(intent.key)
        raise ArtifactDamagedError(
            f"{_TRIES} tables with the digest {measured.digest} in the store {store.name!r} are missing or have lost rows; run "
            "`simpleml verify --all`"
        )

    def _reference(self, source: canonical.Source, measured: filling.Measured, key: str) -> Reference:
        return Reference(
            store=self.store,
            key=key,
            digest=measured.digest,
            size=measured.size,
            serializer=TABLE.name,
            format=TABLE.format,
            details={"library": source.head.library, "rows": source.head.rows},
        )

    def load(self, reference: Reference, places: Places) -> object:
        """Return the frame, after its rows and the digest of its values were compared with those that were saved.

        What is kept on another machine is read through this one's cache.
        """
        store = places.store(reference["store"])
        if store.remote:  # mapped, so that a pandas frame is the only copy in memory
            return load_object(reference, TABLE, places.mapped())
        if not isinstance(store, DatabaseStore) or reference["format"] > TABLE.format:
            return load_object(reference, TABLE, places)
        kept = store.kept(reference["key"])
        if kept is None:  # missing, or bytes
            return load_object(reference, TABLE, places)
        return _read(store, kept, reference)


DATABASE_TABLE = TablePattern()


def _is_whole(store: DatabaseStore, key: str, size: int, indexes: Sequence[str]) -> bool:
    """Whether the object is there, and a table has as many rows as it was given; one that is gets the indexes it lacks."""
    if store.size(key) != size:
        return False
    kept = store.kept(key)
    if kept is None:
        return True
    if store.count(kept) != kept.rows:
        return False
    columns = filling.indexed(kept.forms, indexes)
    with store.failures("write"):
        frames.add_indexes(store.database, kept.table, columns)
    return True


def _read(store: DatabaseStore, kept: frames.Kept, reference: Reference) -> object:
    """Return the frame, made of the very blocks whose digest is compared."""
    meter = filling.Meter(kept.head)

    def blocks() -> Iterator[Any]:
        with Progress("reading rows", kept.rows) as bar:
            for block in frames.blocks(store.database, kept):
                meter.add(block)
                bar.advance(block.num_rows)
                yield block

    fault: Exception | None = None
    frame: object = None
    with store.failures("read"):
        try:
            frame = kept.head.restore(blocks())
        except (EncodingError, OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            if isinstance(error, SimpleMLError):
                raise
            fault = error
    if (meter.digest, meter.size) != (reference["digest"], reference["size"]):
        raise ArtifactDamagedError(
            f"the table {kept.table.fullname} of the object {kept.key} in the store {store.name!r} ({store.describe()}) is damaged: "
            f"the digest of its values is {meter.digest}, but {reference['digest']} was saved. Restore it from a backup "
            "(`simpleml verify --all` lists all such)."
        ) from fault
    if fault is not None:
        raise SerializationError(f"the frame in {kept.table.fullname} cannot be made again: {fault}") from fault
    return frame
