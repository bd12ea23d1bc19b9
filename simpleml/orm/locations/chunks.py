"""Bytes in rows: the chunks of an object from number 1 on, and last its row 0, which says how many bytes there are.

Every transaction is short, so that other writers are not kept waiting; an object is there when its row 0 is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from sqlalchemy import Connection, delete, exc, insert, select, update

from simpleml.errors import DatabaseError, StoreError
from simpleml.orm.tables import BlobChunk
from simpleml.orm.transactions import Durability, Transactions

CHUNK = 1024 * 1024
"""Bytes in a row: far below what a server takes in one packet (MariaDB: 16 MB), large enough to be worth its cost."""

_BATCH = 8  # chunks written, read or removed in one transaction
_TRIES = 8  # of a writer whom others of the same key come in the way of
_chunks: Any = BlobChunk.__table__


class _Whole(Exception):  # noqa: N818 - a signal inside this module
    """An object is there under this key, with its row 0."""


class _Torn(Exception):  # noqa: N818 - a signal inside this module
    """A row that was there is gone: another writer of this key failed, and took back what it had added."""


def write(database: Transactions, key: str, stream: BinaryIO, size: int) -> bool:
    """Store the `size` bytes of a seekable stream durably; False if an object is whole under this key, which is left as it is.

    Others may write the same bytes under this key at this moment, or may have died while they did: any row is as good as ours.
    """
    mine: set[int] = set()
    try:
        for _ in range(_TRIES):
            try:
                _write_rows(database, key, stream, size, mine)
            except _Whole:
                return False
            except _Torn:
                continue
            return True
        raise StoreError(f"others removed rows of the object {key} {_TRIES} times while it was written; try again")
    except BaseException:
        with suppress(DatabaseError, StoreError):  # what went wrong first is told; a collection removes the rest
            _take_back(database, key, sorted(mine))
        raise


def _write_rows(database: Transactions, key: str, stream: BinaryIO, size: int, mine: set[int]) -> None:
    stream.seek(0)
    number, done = 1, 0
    while True:
        rows: list[dict[str, Any]] = []
        while done < size and len(rows) < _BATCH:
            data = stream.read(min(CHUNK, size - done))
            if not data:
                raise OSError(0, f"the temporary file ended after {done} of {size} bytes")
            rows.append({"key": key, "number": number, "data": data})
            number, done = number + 1, done + len(data)
        if done == size:
            rows.append({"key": key, "number": 0, "data": str(size).encode()})
        mine |= _insert(database, key, rows, last=done == size)
        if done == size:
            return


def _insert(database: Transactions, key: str, rows: list[dict[str, Any]], *, last: bool) -> set[int]:
    """Add the next rows, with `last` those that complete the object; return the numbers of those that were not there."""
    numbers = {row["number"] for row in rows}
    before = min(numbers - {0}, default=1) - 1

    def landed(connection: Connection) -> set[int] | None:
        there = select(_chunks.c.number).where(_chunks.c.key == key, _chunks.c.number == rows[-1]["number"])
        return None if connection.execute(there).first() is None else numbers

    def add(connection: Connection) -> set[int]:
        if last and before:
            _complete(connection, key, before, max(numbers))
        connection.execute(insert(_chunks), rows)
        return numbers

    def join(connection: Connection) -> set[int]:
        return _join(connection, key, rows, before=before if last else None)

    # A flush of the last transaction flushes those before it, which by then are worth something.
    durability: Durability = "full" if last else "relaxed"
    work, tries = add, 1
    while True:
        try:
            return database.run(work, durability=durability, landed=landed if work is add else None)
        except exc.IntegrityError:
            if tries == _TRIES:
                raise
            work, tries = join, tries + 1


def _join(connection: Connection, key: str, rows: list[dict[str, Any]], *, before: int | None) -> set[int]:
    """Add those rows that are not there, and make those equal that are; `before` rows precede them and the end."""
    there = _lock(connection, key, {row["number"] for row in rows}, _chunks.c.data)
    if _is_whole(connection, key):
        raise _Whole
    for row in rows:
        found = there.get(row["number"])
        if found is not None and bytes(found) != row["data"]:
            place = (_chunks.c.key == key) & (_chunks.c.number == row["number"])
            connection.execute(update(_chunks).where(place).values(data=row["data"]))
    if before is not None:
        _complete(connection, key, before, max(before, *(row["number"] for row in rows)))
    missing = [row for row in rows if row["number"] not in there]
    if missing:
        connection.execute(insert(_chunks), missing)
    return {row["number"] for row in missing}


def _complete(connection: Connection, key: str, before: int, end: int) -> None:
    """Make sure that the first rows are all there, and stay so until row 0 is committed; remove what lies beyond the end."""
    held = select(_chunks.c.number).where(_chunks.c.key == key, _chunks.c.number > 0)
    found = connection.execute(held.order_by(_chunks.c.number).with_for_update()).scalars().all()
    if sum(number <= before for number in found) != before:
        raise _Torn
    if found[-1:] and found[-1] > end:
        connection.execute(delete(_chunks).where(_chunks.c.key == key, _chunks.c.number > end))


def _lock(connection: Connection, key: str, numbers: Iterable[int], *more: Any) -> dict[int, Any]:
    """Return those of these rows that are there, which stay as they are until this transaction ends.

    Whether row 0 is there can be asked only after that, by a statement of its own: whoever adds it locks all rows first.
    """
    held = select(_chunks.c.number, *more).where(_chunks.c.key == key, _chunks.c.number.in_(list(numbers)))
    rows = connection.execute(held.order_by(_chunks.c.number).with_for_update()).all()
    return {row[0]: row[-1] for row in rows}


def _is_whole(connection: Connection, key: str) -> bool:
    end = select(_chunks.c.number).where(_chunks.c.key == key, _chunks.c.number == 0)
    return connection.execute(end).first() is not None


def _take_back(database: Transactions, key: str, numbers: list[int]) -> None:
    """Remove these rows, some at a time, unless another writer has made the object whole with them."""
    for start in range(0, len(numbers), _BATCH):
        some = numbers[start : start + _BATCH]

        def work(connection: Connection, some: list[int] = some) -> bool:
            _lock(connection, key, some)
            if _is_whole(connection, key):
                return False
            connection.execute(delete(_chunks).where(_chunks.c.key == key, _chunks.c.number.in_(some)))
            return True

        if not database.run(work):
            return


def size_of(connection: Connection, key: str) -> int | None:
    """Return how many bytes an object has, or None if it is not there, or not all of it."""
    told = connection.execute(select(_chunks.c.data).where(_chunks.c.key == key, _chunks.c.number == 0)).scalar()
    text = b"" if told is None else bytes(told)
    return int(text) if text.isdigit() else None


def pieces(database: Transactions, key: str) -> Iterator[bytes]:
    """Give the chunks in their order, up to the first that is missing; a few are in memory at a time."""
    last = 0
    while True:
        statement = select(_chunks.c.number, _chunks.c.data).where(_chunks.c.key == key, _chunks.c.number > last)
        page = statement.order_by(_chunks.c.number).limit(_BATCH)
        rows = database.run(lambda connection, page=page: connection.execute(page).all(), read=True)  # type: ignore[misc]
        for number, data in rows:
            if number != last + 1:
                return
            last = number
            yield data
        if len(rows) < _BATCH:
            return


def remove(database: Transactions, key: str) -> None:
    """Remove an object: first what says that it is there, then the rest, some chunks at a time."""
    mine = _chunks.c.key == key
    last = 0
    while True:
        page = select(_chunks.c.number).where(mine, _chunks.c.number > last).order_by(_chunks.c.number).limit(_BATCH)

        def work(connection: Connection, page: Any = page) -> list[int]:
            numbers = list(connection.execute(page).scalars())
            connection.execute(delete(_chunks).where(mine, _chunks.c.number.in_([0, *numbers])))
            return numbers

        numbers = database.run(work)
        if len(numbers) < _BATCH:
            return
        last = numbers[-1]


def keys(connection: Connection, prefix: str, after: str, limit: int) -> list[str]:
    """List keys below `prefix` in key order, also of objects whose writing was cut short: a sweep has to see them."""
    below = _chunks.c.key.startswith(prefix, autoescape=True) & (_chunks.c.key > after)
    return list(
        connection.execute(select(_chunks.c.key).where(below).distinct().order_by(_chunks.c.key).limit(limit)).scalars()
    )
