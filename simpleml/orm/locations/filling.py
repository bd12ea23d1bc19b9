"""Frames on their way into tables: measured block by block, then filled, and marked as whole if nothing changed meanwhile.

A frame comes from its library (`write`), or as the canonical bytes that it was elsewhere (`take`). Such bytes may be
anybody's: they become a table only if they are, to the last bit, those of the frame that they seem to be.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from sqlalchemy import exc

from simpleml.errors import DatabaseError, MissingDependencyError, SerializationError, SimpleMLError, known_names
from simpleml.hashing.digester import digester
from simpleml.orm import dialects, failures
from simpleml.orm.locations import canonical, frames
from simpleml.orm.locations.columns import Facts, Form, lay_out
from simpleml.orm.transactions import Transactions
from simpleml.progress import Progress
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.save_patterns.serializers.frames import arrow
from simpleml.save_patterns.serializers.plan import Refused

_log = logging.getLogger(__name__)

_LONGEST_HEAD = 16 * 1024 * 1024
_LONGEST_BLOCK = 4 * canonical.BLOCK_BYTES  # some blocks are longer than the mean
_SHORTEST_BLOCK = canonical.BLOCK_BYTES // 512  # of those with fewer rows than usual


class Meter:
    """Counts and digests canonical bytes."""

    def __init__(self, head: canonical.Head) -> None:
        opening = head.opening()
        self._hash = digester(0)  # a column of a block at a time
        self._hash.update(opening)
        self.size = len(opening)

    def add(self, block: Any) -> None:
        """Take the next block."""
        for part in canonical.encode(block):
            self._hash.update(part)
            self.size += len(part)

    @property
    def digest(self) -> str:
        """The digest of what was added so far."""
        return digest_of(self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Measured:
    """What the first pass over a frame finds out; `widest` are the bytes of text and the like that its longest row has."""

    digest: str
    size: int
    facts: Sequence[Facts]
    widest: int


def measure(source: canonical.Source) -> Measured:
    """Return what has to be known of a frame before a table is made for it."""
    meter, facts, widest = Meter(source.head), [Facts() for _ in source.head.schema], 0
    for start, stop in source.head.blocks():
        block = source.block(start, stop)
        meter.add(block)
        for fact, column in zip(facts, block.columns, strict=True):
            fact.observe(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
        widest = max(widest, canonical.widest(block))
    return Measured(meter.digest, meter.size, facts, widest)


def write(
    database: Transactions, key: str, source: canonical.Source, measured: Measured, indexes: Sequence[str] = ()
) -> None:
    """Make, fill and finish the table of a key that nobody has announced as a table; on failure nothing of it stays.

    `Refused` says why this database cannot hold the frame, `exc.IntegrityError` that somebody has announced the key.
    """
    head = source.head
    forms = _layout(database, head, measured)
    columns = indexed(forms, indexes)
    table = frames.announce(database, key, measured.size, head, forms)
    try:
        frames.make(database, table, forms)
        meter = Meter(head)
        with Progress("writing rows", head.rows) as bar:
            for rows in frames.fill(database, table, source, forms, meter.add):
                bar.advance(rows)
        if meter.digest != measured.digest:
            raise SerializationError("the frame was changed while it was saved; save it again")
        frames.finish(database, key, table, head.rows, columns)
    except BaseException as error:
        with suppress(SimpleMLError):  # what went wrong first is told; a collection removes the rest
            frames.remove(database, key)
        if failures.is_too_wide(error.__cause__):
            raise Refused(f"its rows are wider than this database takes ({error})") from error
        raise


def _layout(database: Transactions, head: canonical.Head, measured: Measured) -> list[Form]:
    """Return how this database will hold the columns; `Refused` names the one that it cannot."""
    abilities = database.run(lambda connection: dialects.bulk(connection).abilities, read=True)
    for what, size in (("a row", measured.widest), ("what is told of its columns", 4 * len(head.text))):
        if size > abilities.row:
            raise Refused(f"{what} has {size} bytes, and this database takes {abilities.row} at once")
    return lay_out(head.schema, measured.facts, abilities)


def indexed(forms: Sequence[Form], wanted: Sequence[str]) -> list[str]:
    """Return which columns of the table are to be indexed, by the frame's own names; `Refused` if there is no such column."""
    names = {form.label: form.name for form in forms}
    missing = [name for name in wanted if name not in names]
    if missing:
        raise Refused(
            f"there is no column {missing[0]!r:.80} to be indexed; {known_names(names, near=str(missing[0]))}"
        )
    return [names[name] for name in wanted]


# from canonical bytes


class _Brought:
    """A frame whose canonical bytes somebody brought, in a file that is read from its first block on, and again."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        file = arrow().PythonFile(stream, "r")
        file.seek(0)
        self._reader, self._file, self._size = canonical.Reader(file), file, size
        self._reader.end = min(size, _LONGEST_HEAD)
        self.head = self._reader.head()
        self._first = self._reader.at
        _refuse_more_than_it_says(self.head, size)

    def block(self, start: int, stop: int) -> Any:
        """Return the next block, or the first, every value of which is what its type allows."""
        reader = self._reader
        if start == 0:
            reader.at = self._file.seek(self._first)
        reader.end = min(self._size, reader.at + _LONGEST_BLOCK)
        block = reader.block(self.head.schema, stop - start)
        block.validate(full=True)
        return block


def _refuse_more_than_it_says(head: canonical.Head, size: int) -> None:
    """Refuse what would take far more rows, memory or transactions than its bytes: no writer of ours makes such a head."""
    types = arrow().types
    rows = min(head.rows, head.block)
    widths = (field.type.byte_width for field in head.schema if types.is_fixed_size_binary(field.type))
    free = sum(types.is_null(field.type) for field in head.schema)
    short = head.block < canonical.BLOCK_ROWS and head.rows // head.block > size // _SHORTEST_BLOCK
    if head.block > canonical.BLOCK_ROWS or short or rows * sum(widths) > canonical.BLOCK_BYTES:
        raise Refused(f"{head.rows} rows in blocks of {head.block} are not how frames are saved")
    if head.rows * max(free, 1) > size:
        raise Refused(f"{head.rows} rows are too many for {size} bytes")


def seems_frame(stream: BinaryIO) -> bool:
    """Whether a seekable stream begins as the canonical bytes of a frame do."""
    stream.seek(0)
    return stream.read(len(canonical.MAGIC)) == canonical.MAGIC


def take(database: Transactions, key: str, stream: BinaryIO, size: int, digest: str) -> bool:
    """Fill a table under `key` with the frame whose canonical bytes a seekable stream has; False if it is not to be one.

    Then nothing is left of the attempt: the bytes are not exactly those of a frame, this database cannot hold it, or
    somebody has announced a table for this key and not finished it. What else fails is raised.
    """
    try:
        source = _Brought(stream, size)
        measured = measure(source)
        if (measured.digest, measured.size) != (digest, size):
            raise Refused("they are not what a frame of theirs would be saved as")
        write(database, key, source, measured)
    except Exception as error:
        if not _is_refusal(error):
            raise
        _log.info("the object %s is kept as bytes, and not as a table: %s", key, error)
        return False
    return True


def _is_refusal(error: Exception) -> bool:
    """Whether bytes may do where a table does not: what of the database or the disk fails for both is none."""
    if isinstance(error, SimpleMLError):
        cause = error.__cause__
        if not isinstance(error, DatabaseError):
            return isinstance(error, MissingDependencyError)
        if not isinstance(cause, exc.DBAPIError):
            return isinstance(cause, exc.StatementError)  # a value that cannot be sent
        return not (failures.is_gone(cause) or failures.is_retryable(cause))
    pa = arrow()
    known = (Refused, exc.IntegrityError, pa.ArrowException, ValueError, TypeError, LookupError, OverflowError)
    return isinstance(error, known) and not isinstance(error, OSError)
