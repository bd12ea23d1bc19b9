"""Frames as tables that anyone can select from: one table for each, called `sml_` and 32 digits that its key gives.

Its row in `data_tables` is there before the table, and goes after it; the number of rows in it is set last, when the table
is whole and durable. A table without it is what a crash left, and is dropped with its key.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Index, Table, delete, exists, func, insert, inspect, select, update
from sqlalchemy.schema import AddConstraint, CreateSchema

from simpleml.errors import ArtifactDamagedError, DatabaseReadOnlyError, StoreError
from simpleml.hashing.digester import digester
from simpleml.orm import dialects
from simpleml.orm.locations import canonical
from simpleml.orm.locations.bulk import carrier, table_of
from simpleml.orm.locations.columns import ROW, Form, form_of, held_schema, hold, release
from simpleml.orm.tables import BlobChunk, DataTable
from simpleml.orm.transactions import Transactions
from simpleml.save_patterns.serializers.frames import arrow
from simpleml.save_patterns.serializers.plan import Refused

NAMESPACE = "simpleml_data"
"""The schema that PostgreSQL keeps the tables in, so that they do not get in the way of others."""

_FORMAT = 1
_NAME = re.compile("sml_[0-9a-f]{32}")
_frames: Any = DataTable.__table__
_chunks: Any = BlobChunk.__table__


@dataclass(frozen=True, slots=True)
class Kept:
    """A frame that is whole: its table, how each column is held, and what the values cannot say."""

    key: str
    size: int
    rows: int
    head: canonical.Head
    forms: tuple[Form, ...]
    table: Table


def size_of(connection: Connection, key: str) -> int | None:
    """Return how many canonical bytes a frame has, or None if it is not there, or not all of it."""
    there = select(_frames.c.size, _frames.c.name, _frames.c.namespace).where(
        _frames.c.key == key, _frames.c.rows.is_not(None)
    )
    row = connection.execute(there).first()
    if row is None or row.name not in table_names(key):
        return None
    return int(row.size) if inspect(connection).has_table(row.name, schema=_namespace(row.namespace)) else None


def find(connection: Connection, key: str) -> Kept | None:
    """Return a whole frame, or None; `ArtifactDamagedError` if what is told of it makes no sense."""
    row = connection.execute(select(_frames).where(_frames.c.key == key, _frames.c.rows.is_not(None))).first()
    if row is None:
        return None
    try:
        if row.name not in table_names(key) or row.columns["format"] != _FORMAT:
            raise ValueError("its name or format is not ours")
        head = canonical.read_head(row.columns["head"])
        forms = tuple(form_of(form) for form in row.columns["columns"])
        if len(forms) != len(head.schema) or row.rows != head.rows:
            raise ValueError(f"{len(forms)} columns and {row.rows} rows")
        table = _describe(row.name, _namespace(row.namespace), forms)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ArtifactDamagedError(f"the row of the data table of {key} was edited or is damaged: {error}") from error
    if not inspect(connection).has_table(table.name, schema=table.schema):
        return None
    return Kept(key, row.size, row.rows, head, forms, table)


def table_names(key: str) -> tuple[str, str]:
    """Return what the table of a key is called, by its attempt, and what if a key of another ledger has that one.

    Nothing but a key of ours gives a name, and only names of this form.
    """
    hasher = digester(0)
    hasher.update(key.encode())
    names = f"sml_{key[-32:]}", f"sml_{hasher.hexdigest()[:32]}"
    if _NAME.fullmatch(names[0]) is None:
        raise StoreError(f"{key[:120]!r} is no key of a frame")
    return names


def _namespace(name: str | None) -> str | None:
    return NAMESPACE if name == NAMESPACE else None


def _describe(name: str, namespace: str | None, forms: Sequence[Form], *, key: bool = True) -> Table:
    return table_of(name, namespace, held_schema(list(forms)), ROW, key=key)


# reading


def count(connection: Connection, kept: Kept) -> int:
    """Return how many rows a table has."""
    return connection.execute(select(func.count()).select_from(kept.table)).scalar_one()


def blocks(database: Transactions, kept: Kept) -> Iterator[Any]:
    """Give the frame as its blocks; `ArtifactDamagedError` if the table holds other rows, or what no frame of ours holds."""
    pa = arrow()
    held = [pa.field(ROW, pa.int64()), *(pa.field(name, carrier(kind)) for name, kind in held_schema(list(kept.forms)))]
    schema = pa.schema([field.with_name(str(number)) for number, field in enumerate(held)])
    found = database.run(lambda connection: count(connection, kept), read=True)
    if found != kept.rows:
        raise _damaged(kept, f"has {found} rows, but {kept.rows} were saved")
    for start, stop in kept.head.blocks():

        def read(connection: Connection, start: int = start, stop: int = stop) -> Any:
            return dialects.bulk(connection).read(connection, kept.table, start, stop, schema)

        try:
            block = _release(database.run(read, read=True), kept, start, stop)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, Refused) as error:
            raise _damaged(kept, f"holds what was not saved: {error}") from error
        yield block


def _release(found: Any, kept: Kept, start: int, stop: int) -> Any:
    """Return a block of the frame, made of one of its table, whose rows must be numbered without a gap."""
    import numpy as np

    pa = arrow()
    numbers = found.column(0).to_numpy()
    if len(numbers) != stop - start or not np.array_equal(numbers, np.arange(start, stop)):
        raise ValueError(f"rows {start} to {stop - 1} are not all there")
    position, columns = 1, []
    for form, field in zip(kept.forms, kept.head.schema, strict=True):
        width = 1 + bool(form.codes)
        parts = [found.column(at).combine_chunks() for at in range(position, position + width)]
        columns.append(release(parts, form, field.type))
        position += width
    # Without a column only the row numbers tell how many rows there are.
    return pa.Table.from_arrays(columns, schema=kept.head.schema) if columns else found.select([])


def _damaged(kept: Kept, what: str) -> ArtifactDamagedError:
    return ArtifactDamagedError(f"the table {kept.table.fullname} of the object {kept.key} {what}")


def pieces(database: Transactions, kept: Kept) -> Iterator[Any]:
    """Give the canonical bytes that the values of the table stand for now."""
    yield kept.head.opening()
    for block in blocks(database, kept):
        yield from canonical.encode(block)


# writing


def announce(database: Transactions, key: str, size: int, head: canonical.Head, forms: Sequence[Form]) -> Table:
    """Add the row of a frame, and return what its table will be; `exc.IntegrityError` if somebody has announced the key."""
    usual, other = table_names(key)
    namespace = NAMESPACE if _made_namespace(database) else None
    columns = {"format": _FORMAT, "head": head.text, "columns": [form.to_json() for form in forms]}
    row = {"key": key, "namespace": namespace, "size": size, "columns": columns, "created": datetime.now(UTC)}

    def landed(connection: Connection) -> str | None:
        ours = (_frames.c.key == key) & (_frames.c.created == row["created"])
        return connection.execute(select(_frames.c.name).where(ours)).scalar()

    def add(connection: Connection) -> str:
        taken = connection.execute(select(_frames.c.key).where(_frames.c.name == usual)).scalar()
        name = usual if taken in {None, key} else other
        connection.execute(insert(_frames).values(**row, name=name))
        return name

    name = database.run(add, durability="relaxed", landed=landed)
    return _describe(name, namespace, forms)


def make(database: Transactions, table: Table, forms: Sequence[Form]) -> None:
    """Make the empty table of a frame that was announced."""

    def work(connection: Connection) -> None:
        keyed = not dialects.bulk(connection).key_last
        _describe(table.name, table.schema, forms, key=keyed).create(connection, checkfirst=True)

    database.run(work, durability="relaxed")


def _made_namespace(database: Transactions) -> bool:
    """Whether there is a schema for tables of frames that this user may make tables in; it is made if that is allowed."""
    usable = database.run(lambda connection: dialects.has_namespace(connection, NAMESPACE), read=True)
    if usable is not None:
        return usable

    def make(connection: Connection) -> bool:
        with dialects.schema_lock(connection, database.settings.lock_timeout):
            connection.execute(CreateSchema(NAMESPACE, if_not_exists=True))
        return True

    try:
        return database.run(make)
    except DatabaseReadOnlyError:  # no right to: the tables go where the others are
        return False


def fill(
    database: Transactions,
    table: Table,
    source: canonical.Source,
    forms: Sequence[Form],
    look: Callable[[Any], None],
) -> Iterator[int]:
    """Add all rows, a block per transaction, and give the number of rows of each when it is in; `look` sees every block.

    While one is written, another thread makes the next.
    """
    number, way = table.c[ROW], dialects.bulk(database.engine)
    spans = list(source.head.blocks())

    def pack(start: int, stop: int) -> Any:
        block = source.block(start, stop)
        look(block)
        return way.pack(_held(block, start, stop, forms))

    with ThreadPoolExecutor(1, "simpleml-rows") as pool:
        coming = [pool.submit(pack, *span) for span in spans[:1]]
        for position, (start, stop) in enumerate(spans):
            rows = coming.pop().result()
            coming += [pool.submit(pack, *span) for span in spans[position + 1 : position + 2]]

            def work(connection: Connection, rows: Any = rows) -> bool:
                way.write(connection, table, rows)
                return True

            def landed(connection: Connection, start: int = start) -> bool | None:
                return None if connection.execute(select(number).where(number == start)).first() is None else True

            database.run(work, durability="relaxed", landed=landed)
            yield stop - start


def _held(block: Any, start: int, stop: int, forms: Sequence[Form]) -> Any:
    """Return the rows of a table that hold a block of the frame, which need not have a column."""
    columns = [_numbers(start, stop)]
    for form, column in zip(forms, block.columns, strict=True):
        columns += hold(column.combine_chunks(), form, carrier(form.kind))
    return arrow().Table.from_arrays(columns, names=[str(position) for position in range(len(columns))])


def _numbers(start: int, stop: int) -> Any:
    import numpy as np

    return arrow().array(np.arange(start, stop, dtype="i8"))


def finish(database: Transactions, key: str, table: Table, rows: int, indexes: Sequence[str]) -> None:
    """Make the key and the indexes, and say durably that the table is whole."""

    def add_key(connection: Connection) -> None:
        if not dialects.bulk(connection).key_last:
            return
        if not inspect(connection).get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]:
            connection.execute(AddConstraint(table.primary_key))

    database.run(add_key, durability="relaxed")
    add_indexes(database, table, indexes)

    def work(connection: Connection) -> int:
        return connection.execute(update(_frames).where(_frames.c.key == key).values(rows=rows)).rowcount

    if database.run(work, durability="full") != 1:
        raise StoreError(
            f"the table of {key} was collected while it was filled: `grace` ({database.settings.grace} s) is shorter than that "
            "takes. The save did not happen; set a longer one and save again"
        )


def add_indexes(database: Transactions, table: Table, columns: Sequence[str]) -> None:
    """Make an index on each of these columns that has none of ours."""
    wanted = [
        dialects.index_of(f"ix_{table.name}_{position}", column)
        for position, column in enumerate(list(table.columns))
        if column.name in columns
    ]

    def look(connection: Connection) -> set[str | None]:
        return {index["name"] for index in inspect(connection).get_indexes(table.name, schema=table.schema)}

    def make(connection: Connection, index: Index) -> None:
        with dialects.schema_lock(
            connection, database.settings.lock_timeout
        ):  # whoever saves an equal frame may be at it
            index.create(connection, checkfirst=True)

    present = database.run(look, read=True) if wanted else set()
    for index in wanted:
        if index.name not in present:
            database.run(functools.partial(make, index=index), durability="relaxed")


def remove(database: Transactions, key: str) -> None:
    """Drop the table of a frame, then remove its row; a key without a frame is no error."""

    def work(connection: Connection) -> None:
        row = connection.execute(select(_frames.c.name, _frames.c.namespace).where(_frames.c.key == key)).first()
        if row is None:
            return
        names = table_names(key)
        table = _describe(row.name if row.name in names else names[0], _namespace(row.namespace), ())
        connection.execute(update(_frames).where(_frames.c.key == key).values(rows=None))
        table.drop(connection, checkfirst=True)
        connection.execute(delete(_frames).where(_frames.c.key == key))

    database.run(work)


def keys(connection: Connection, prefix: str, after: str, limit: int) -> list[str]:
    """List keys below `prefix` in key order, also of frames whose table was never finished, but not of what is bytes too."""
    below = _frames.c.key.startswith(prefix, autoescape=True) & (_frames.c.key > after)
    also = exists().where(_chunks.c.key == _frames.c.key)
    page = select(_frames.c.key).where(below, ~also).order_by(_frames.c.key).limit(limit)
    return list(connection.execute(page).scalars())
