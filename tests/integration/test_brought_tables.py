"""Frames that came as canonical bytes: tables again, whichever way they came; what only looks like one stays bytes."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import blake3
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from simpleml import encoding
from simpleml.errors import (
    ArtifactDamagedError,
    DatabaseError,
    MissingDependencyError,
    StoreError,
    StoreFullError,
    StoreUnreachableError,
)
from simpleml.orm import Database, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.bundles import Wanted, export_bundle, import_bundle, pull, push
from simpleml.orm.inventory import copy_store
from simpleml.orm.locations import canonical, filling, frames
from simpleml.orm.locations.canonical import MAGIC, TABLE
from simpleml.orm.locations.database import DatabaseStore
from simpleml.orm.locations.tables import DATABASE_TABLE
from simpleml.orm.tables import BlobChunk, DataTable
from simpleml.save_patterns.locations.keys import ledger_folder, make_key, shared_key
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.testing.stores import LEDGER
from tests.integration.kinds import Box
from tests.integration.test_data_tables import FRAMES, boxed, data_tables, from_the_table, reference_of, same, store_of
from tests.races.crew import FORK, Crew

ROWS: Any = DataTable.__table__
CHUNKS: Any = BlobChunk.__table__
ANOTHER = {"sqlite": "postgresql", "postgresql": "mariadb", "mysql": "sqlite", "mariadb": "sqlite"}


def _sales() -> pd.DataFrame:
    """A frame of several types, with what is missing, categories and an index."""
    return pd.DataFrame(
        {
            "Shop": pd.Categorical(["north", "south", None], categories=["south", "north", "unused"]),
            "sold": pd.array([1, None, 3], "Int64"),
            "price": [1.5, np.nan, -0.0],
            "at": np.array(["2024-01-02T03:04:05.678901", "NaT", "2024-01-03"], "M8[us]"),
            "text": ["ü", None, ""],
            "flag": [True, False, True],
        },
        index=pd.Index(["a", "b", "c"], name="id"),
    )


@pytest.fixture
def second(database: Database, new_database: Callable[[str], str], tmp_path: Path) -> Iterator[Database]:
    """Another database, of another sort than the first, whose imported store is that database itself."""
    url = new_database(ANOTHER[database.url.get_backend_name()])
    made = open_database(
        url, store=tmp_path / "second" / "store", home=tmp_path / "second", stores={"imported": "database://"}
    )
    yield made
    made.close()


def assert_selectable(database: Database, store: str, box: Box, frame: pd.DataFrame) -> None:
    """Compare what plain SQL finds in the table that a saved frame is in, and what loads from there, with the frame."""
    reference = reference_of(box)
    place = database.places.store(store)
    assert isinstance(place, DatabaseStore)
    kept = place.kept(reference["key"])
    assert kept is not None
    with place.database.engine.connect() as connection:
        text = f'SELECT "Shop", sold FROM {kept.table.fullname} ORDER BY sml_row'
        quoted = text if place.database.url.get_backend_name() not in {"mysql", "mariadb"} else text.replace('"', "`")
        assert connection.exec_driver_sql(quoted).all() == [("north", 1), ("south", None), (None, 3)]
        assert connection.execute(sa.select(CHUNKS.c.key).where(CHUNKS.c.key == reference["key"])).all() == []
    place.remote, remote = False, place.remote
    try:
        same(box.data, frame)
    finally:
        place.remote = remote


def test_an_imported_frame_is_a_table(database: Database, second: Database, tmp_path: Path) -> None:
    """A bundle brings a frame into a store in a database as a table, which anyone can select from."""
    boxed("sales", _sales())
    export_bundle(database, [Wanted("sales")], tmp_path / "sales.zip")
    with second:
        import_bundle(second, tmp_path / "sales.zip")
        assert_selectable(second, "imported", Box.load("sales"), _sales())


def test_a_pulled_frame_is_a_table(
    database: Database, second: Database, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """What is pushed into a store in a database is a table there already, and one again where it is pulled."""
    shelf = {"shelf": new_database("postgresql")}
    with open_database(database.settings.database, store=tmp_path / "store", home=tmp_path, stores=shelf) as pushing:
        boxed("sales", _sales())
        push(pushing, [Wanted("sales")], to="shelf")
        place = pushing.places.store("shelf")
        assert isinstance(place, DatabaseStore)
        assert len(data_tables(place.database)) == 1  # type: ignore[arg-type]
    pushing.close()
    with open_database(
        second.settings.database, home=tmp_path / "third", stores={**shelf, "imported": "database://"}
    ) as pulling:
        pull(pulling, Wanted("sales"), source="shelf")
        assert_selectable(pulling, "imported", Box.load("sales"), _sales())
    pulling.close()


def test_a_restored_frame_is_a_table(database: Database, second: Database, tmp_path: Path) -> None:
    """A backup comes back with its tables, into a database of another sort as well."""
    boxed("sales", _sales())
    backup(database, tmp_path / "backup")
    restore(second, tmp_path / "backup")
    with second:
        assert_selectable(second, "database", Box.load("sales"), _sales())


def test_who_shares_the_store_gets_a_table_beside(
    database_url: str, new_database: Callable[[str], str], tmp_path: Path
) -> None:
    """Restored into a new database that shares the store with the old one, a frame has a table of its own there."""
    stores = {"database": database_url}
    with open_database(new_database("sqlite"), store=tmp_path / "a", home=tmp_path / "a", stores=stores) as old:
        first = boxed("sales", _sales())
        backup(old, tmp_path / "backup")
    with open_database(new_database("sqlite"), store=tmp_path / "b", home=tmp_path / "b", stores=stores) as new:
        restore(new, tmp_path / "backup")
        again = Box.load("sales")
        assert_selectable(new, "database", again, _sales())
        store_of(new).delete(reference_of(again)["key"])
    with old:
        assert_selectable(old, "database", first, _sales())
    old.close()
    new.close()


def test_a_copied_frame_is_a_table(database: Database, new_database: Callable[[str], str], tmp_path: Path) -> None:
    """A copy of a store in a database, into another one, holds the tables; a second run leaves them alone."""
    boxed("sales", _sales())
    stores = {"copy": new_database(ANOTHER[database.url.get_backend_name()])}
    with open_database(database.settings.database, store=tmp_path / "store", home=tmp_path, stores=stores) as opened:
        assert copy_store(opened, "database", "copy").copied == 1
        assert copy_store(opened, "database", "copy").there == 1
        reference = reference_of(Box.load("sales"))
        place = opened.places.store("copy")
        assert isinstance(place, DatabaseStore)
        assert place.kept(reference["key"]) is not None
        assert place.read(reference["key"], reference["size"])[1] == reference["digest"]
    opened.close()


# bytes into the store


def opened(database: Database, value: object) -> bytes:
    """The canonical bytes of a frame."""
    with closing(store_of(database).spool()) as spool:
        TABLE.dump(value, spool)  # type: ignore[arg-type]
        held = spool.held
        return b"".join(held) if held is not None else spool.materialize()[0].read_bytes()


def put(database: Database, data: bytes, key: str | None = None) -> tuple[str, str]:
    """Put bytes, under a new key unless one is given; return it and their digest."""
    store = store_of(database)
    with closing(store.spool()) as spool:
        spool.write(data)
        key = key or make_key(LEDGER, spool.digest, os.urandom(16).hex())
        store.put(spool, key)
        return key, spool.digest


def brought(database: Database, data: bytes, *, table: bool | None = None) -> None:
    """Put bytes and delete them again; they come back identical, from a table or not, and nothing is left of either."""
    store = store_of(database)
    key, digest = put(database, data)
    assert store.size(key) == len(data)
    found, told = store.read(key, len(data))
    assert bytes(found) == data
    assert told == digest
    is_table = store.kept(key) is not None
    assert table in {None, is_table}
    assert list(store.keys(ledger_folder(LEDGER))) == [key]
    assert len(data_tables(database)) == is_table
    with database.engine.connect() as connection:
        assert len(connection.execute(sa.select(ROWS.c.key)).all()) == is_table
        assert (connection.execute(sa.select(CHUNKS.c.key)).first() is None) == is_table
    store.delete(key)
    assert data_tables(database) == set()


def forged(data: bytes, **changes: Any) -> bytes:
    """Canonical bytes whose head was changed, and agrees with its checksum."""
    length = int.from_bytes(data[8:16], "little")
    told: Any = encoding.loads(data[24 : 24 + length].decode())
    text = encoding.dumps({**told, **changes}).encode()
    opening = MAGIC + len(text).to_bytes(8, "little") + zlib.crc32(text).to_bytes(8, "little") + text
    return opening + bytes(-len(text) % 8) + data[24 + length + -length % 8 :]


def test_every_frame_becomes_a_table_again(database: Database) -> None:
    """The canonical bytes of every frame that this database can hold give a table that gives these bytes, and the frame."""
    for frame in FRAMES.values():
        data = opened(database, frame)
        brought(database, data, table=True)
        key, digest = put(database, data)
        reference: Any = {"store": "database", "key": key, "digest": digest, "size": len(data)}
        reference |= {"serializer": "table", "format": 1, "details": {}}
        with from_the_table(database):
            same(DATABASE_TABLE.load(reference, database.places), frame)
        store_of(database).delete(key)


def test_what_this_database_cannot_hold_stays_bytes(database: Database) -> None:
    """Text with NUL, too many columns, too wide rows and too long values stay bytes wherever a table cannot hold them."""
    family = database.url.get_backend_name()
    names = [f"c{number}" for number in range(2100)]
    brought(database, opened(database, pd.DataFrame(np.zeros((1, 2100)), columns=names)), table=False)
    brought(database, opened(database, pd.DataFrame({"a": ["x\0y"]})), table=family != "postgresql")
    wide = pd.DataFrame([["x" * 30] * 900], columns=names[:900])
    brought(database, opened(database, wide), table=family == "sqlite")
    long = pd.DataFrame({"a": ["'" * 8_000_000]})
    brought(database, opened(database, long), table=family in {"sqlite", "postgresql"})


def test_damaged_bytes_stay_bytes(database: Database) -> None:
    """Bytes that were flipped, cut off or added to come back as they are, and whatever is a table gives just these bytes."""
    generator = random.Random(7)
    frame = FRAMES["labels"].reset_index().assign(t="x", f=[1.0, None, -0.0], b=[True, False, True])
    data = opened(database, frame)
    for cut in (8, 9, 24, 30, len(data) // 2, len(data) - 8, len(data) - 1):
        brought(database, data[:cut], table=False)
    for more in (b"\0", bytes(8), data):
        brought(database, data + more, table=False)
    for _ in range(25):
        changed = bytearray(data)
        for _ in range(generator.randint(1, 3)):
            changed[generator.randrange(len(MAGIC), len(data))] ^= 1 << generator.randrange(8)
        brought(database, bytes(changed))


def test_changed_schemas_come_back(local: Database) -> None:
    """Whatever bit of the schema is flipped, in a head that agrees with its checksum, the bytes come back identical."""
    generator = random.Random(11)
    table = pa.table(
        {
            "d": pa.array([None, 1], pa.decimal128(10, 2)),
            "t": pa.array([1, None], pa.timestamp("us", "UTC")),
            "s": ["a", None],
            "f": pa.array([b"ab", None], pa.binary(2)),
            "m": pa.array([1, 2], pa.time32("s")),
        }
    )
    data = opened(local, table)
    length = int.from_bytes(data[8:16], "little")
    told: Any = encoding.loads(data[24 : 24 + length].decode())
    for _ in range(150):
        schema = bytearray(told["schema"])
        for _ in range(generator.randint(1, 2)):
            schema[generator.randrange(len(schema))] ^= 1 << generator.randrange(8)
        brought(local, forged(data, schema=bytes(schema)))


def _schema(*types: Any) -> bytes:
    schema = pa.schema([pa.field(f"'; DROP TABLE models; --{number}", kind) for number, kind in enumerate(types)])
    return bytes(schema.serialize().to_pybytes())


HOSTILE: dict[str, dict[str, Any]] = {
    "rows without end": {"rows": 2**60, "schema": _schema()},
    "rows of nothing": {"rows": 2**40, "schema": _schema(pa.null(), pa.null())},
    "one block of everything": {"rows": 2**40, "block": 2**40},
    "a block for each row": {"rows": 300, "block": 1},
    "more rows than bytes": {"rows": 5000, "schema": _schema()},
    "wide nothing": {"rows": 5000, "schema": _schema(pa.binary(2**31 - 1))},
    "negative rows": {"rows": -1},
    "no block": {"block": 0},
    "rows that are no number": {"rows": float("inf")},
    "rows that are a text": {"rows": "3"},
    "a list": {"schema": _schema(pa.list_(pa.int64()))},
    "a dictionary": {"schema": _schema(pa.dictionary(pa.int64(), pa.string()))},
    "an interval": {"schema": _schema(pa.month_day_nano_interval())},
    "no schema": {"schema": b"no schema"},
    "no bytes": {"schema": None},
    "a number for a note": {"note": 5},
    "a library of nobody": {"library": "os"},
}


@pytest.mark.parametrize("how", HOSTILE)
def test_hostile_heads_do_no_harm(local: Database, how: str) -> None:
    """A head that promises what is not there takes neither time nor memory, and its bytes come back identical."""
    data = opened(local, pd.DataFrame({"a": [1, 2, 3]}))
    brought(local, forged(data, **HOSTILE[how]))


def test_names_in_a_forged_head_reach_nothing(database: Database) -> None:
    """Column names that are SQL are names, if anything: no table but the frame's comes or goes."""
    before = set(sa.inspect(database.engine).get_table_names())
    data = opened(database, pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}))
    brought(database, forged(data, schema=_schema(pa.int64(), pa.int64()), note={}), table=True)
    assert set(sa.inspect(database.engine).get_table_names()) == before


def test_values_that_their_types_forbid_stay_bytes(local: Database) -> None:
    """A decimal beyond its digits, a time beyond the day, text that is no UTF-8 and a wrong count of nulls make no table."""
    flat = pa.table({"a": pa.array([1, 2], pa.int64())})
    data = opened(local, flat)
    values = data[-32:]
    for kind, held in (  # of one block of two rows
        (pa.decimal128(3, 1), bytes(16) + b"\x7f" * 32),
        (pa.time64("us"), bytes(16) + b"\x7f" * 16),
        (pa.int64(), (1).to_bytes(8, "little") + bytes(8) + b"\x03" + bytes(7) + bytes(16)),
        (pa.string(), bytes(8) + (2).to_bytes(8, "little") + b"\1\0\0\0\1\0\0\0" + b"\xff\xfe" + bytes(6)),
    ):
        brought(local, forged(data[: -len(values)] + held, schema=_schema(kind)), table=False)


def test_without_the_digest_other_bytes_come_back(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The known-bad twin: if what was measured is believed to be what was brought, bytes are lost."""
    data = opened(local, pd.DataFrame({"a": [1, 2, 3]})) + bytes(8)
    real, told = filling.measure, digest_of(blake3.blake3(data).hexdigest())
    monkeypatch.setattr(filling, "measure", lambda source: replace(real(source), digest=told, size=len(data)))
    monkeypatch.setattr(filling.Meter, "digest", told)
    key, _ = put(local, data)
    assert store_of(local).kept(key) is not None
    with pytest.raises(ArtifactDamagedError):
        store_of(local).read(key, len(data))


# several writers, failures


def test_a_table_is_left_alone(database: Database) -> None:
    """Putting a frame that is there adds nothing; other bytes under its key are refused, and change nothing."""
    data = opened(database, _sales())
    key, _ = put(database, data)
    put(database, data, key)
    for other in (b"x", b"x" * len(data), data[:-1], opened(database, pd.DataFrame({"a": [1]}))):
        with pytest.raises(StoreError, match="another object"):
            put(database, other, key)
    assert bytes(store_of(database).read(key, len(data))[0]) == data
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(CHUNKS.c.key)).all() == []


def test_bytes_that_are_there_are_left_alone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that is there as bytes stays so when it is put again: one key has one object."""
    data = opened(database, _sales())
    with monkeypatch.context() as patch:
        patch.setattr(filling, "take", lambda *_: False)
        key, _ = put(database, data)
    put(database, data, key)
    assert store_of(database).kept(key) is None
    assert bytes(store_of(database).read(key, len(data))[0]) == data


def test_another_ones_table_is_not_touched(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who meets a table that another writer is filling puts bytes, and drops nothing; both are whole then, and one object."""
    store, data, real = store_of(database), opened(database, _sales()), frames.finish
    met: list[int | None] = []

    def meanwhile(place: Any, key: str, *others: Any) -> None:
        monkeypatch.setattr(frames, "finish", real)
        put(database, data, key)
        met.append(store.size(key))
        assert store.kept(key) is None
        real(place, key, *others)

    monkeypatch.setattr(frames, "finish", meanwhile)
    key, digest = put(database, data)
    assert met == [len(data)]
    assert store.kept(key) is not None
    assert store.read(key, len(data))[1] == digest
    put(database, data, key)
    assert list(store.keys(ledger_folder(LEDGER))) == [key]
    store.delete(key)
    assert (store.size(key), data_tables(database)) == (None, set())
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(ROWS.c.key)).all() == []
        assert connection.execute(sa.select(CHUNKS.c.key)).all() == []


def _die(url: str, folder: Path, key: str, data: bytes) -> None:
    place = open_database(url, store=folder / "store", home=folder / "embedded")
    frames.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    put(place, data, key)


def test_what_a_crash_left_is_in_nobodys_way(database: Database, database_url: str, tmp_path: Path) -> None:
    """After `kill -9` right before a table is whole the key can be put again, and deleting it removes all that is there."""
    data = opened(database, _sales())
    key = make_key(LEDGER, digest_of(blake3.blake3(data).hexdigest()), os.urandom(16).hex())
    database.close()
    child = multiprocessing.get_context("fork").Process(target=_die, args=(database_url, tmp_path, key, data))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    store = store_of(database)
    assert (store.size(key), len(data_tables(database))) == (None, 1)
    put(database, data, key)
    assert bytes(store.read(key, len(data))[0]) == data
    assert list(store.keys(ledger_folder(LEDGER))) == [key]
    store.delete(key)
    assert (store.size(key), data_tables(database)) == (None, set())


def _many(_: int, url: str, folder: Path, key: str, data: bytes) -> str:
    place = open_database(url, store=folder / "store", home=folder / "embedded")
    return put(place, data, key)[1]


def test_many_bring_one_frame_at_once(database: Database, database_url: str, tmp_path: Path) -> None:
    """Four processes that bring the same frame under one key at one instant all succeed, and it is there, whole."""
    data = opened(database, _sales())
    digest = digest_of(blake3.blake3(data).hexdigest())
    key = shared_key(digest)
    database.close()
    with closing(Crew()) as crew:
        told = crew.together(4, _many, database_url, tmp_path, key, data, context=FORK)
    assert set(told) == {digest}
    assert store_of(database).read(key, len(data))[1] == digest
    store_of(database).delete(key)
    assert data_tables(database) == set()


def _gone() -> DatabaseError:
    error = DatabaseError("cannot be reached")
    error.__cause__ = sa.exc.OperationalError("INSERT", {}, Exception("gone"), connection_invalidated=True)
    return error


@pytest.mark.parametrize("step", ["make", "fill", "finish"])
@pytest.mark.parametrize(
    ("error", "told"), [(StoreFullError("full"), StoreFullError), (_gone(), StoreUnreachableError)]
)
def test_what_fails_for_bytes_too_is_told(
    local: Database, monkeypatch: pytest.MonkeyPatch, step: str, error: Exception, told: type[Exception]
) -> None:
    """A full disk or a lost connection in the middle of a table is an error of the store; nothing of the table stays."""

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(frames, step, fail)
    with pytest.raises(told, match="'database'"):
        put(local, opened(local, _sales()))
    assert data_tables(local) == set()
    with local.engine.connect() as connection:
        assert connection.execute(sa.select(ROWS.c.key)).all() == []
        assert connection.execute(sa.select(CHUNKS.c.key)).all() == []


def test_who_may_not_make_tables_gets_bytes(new_database: Callable[[str], str], tmp_path: Path) -> None:
    """A user of a database who may write rows, but make no table, restores frames as bytes."""
    url = sa.engine.make_url(new_database("postgresql"))
    owner = open_database(url.render_as_string(hide_password=False), store=tmp_path / "store", home=tmp_path)
    name, password = f"user_{uuid4().hex[:12]}", uuid4().hex
    with owner.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.exec_driver_sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        limited = url.set(username=name, password=password).render_as_string(hide_password=False)
        try:
            place = open_database(limited, store=tmp_path / "store", home=tmp_path)
            brought(place, opened(place, _sales()), table=False)
            place.close()
        finally:
            connection.exec_driver_sql(f"DROP OWNED BY {name}")
            connection.exec_driver_sql(f"DROP ROLE {name}")
    owner.close()


def test_without_arrow_a_frame_stays_bytes(local: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pyarrow is not installed a frame can be restored as bytes, to be read where it is."""
    data = opened(local, _sales())

    def missing() -> Any:
        raise MissingDependencyError("pip install 'simpleml[arrow]'")

    monkeypatch.setattr(filling, "arrow", missing)
    brought(local, data, table=False)


# size


def test_a_frame_of_several_blocks_comes_in_their_order(database: Database) -> None:
    """Frames of more rows than a block has are tables with all rows in their order."""
    count = 20_000
    frame = pd.DataFrame({"n": np.arange(count)[::-1], "t": [f"ü{number}" * (number % 3) for number in range(count)]})
    brought(database, opened(database, frame), table=True)


SIZE = 200 * 1024 * 1024


def _peak(url: str, folder: Path, results: Any) -> None:
    """Bring a large frame in a process of its own; give how much its memory grew."""
    place = open_database(url, store=folder / "store", home=folder / "embedded")
    store = store_of(place)
    store.delete(put(place, opened(place, FRAMES["plain"]))[0])
    rows = SIZE // 80
    schema = pa.schema([(f"c{number}", pa.float64()) for number in range(10)])
    empty = opened(place, schema.empty_table())
    block = np.random.default_rng(0).normal(size=(10, canonical.BLOCK_ROWS))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with closing(store.spool()) as spool:
        spool.write(forged(empty, rows=rows))
        for start in range(0, rows, canonical.BLOCK_ROWS):
            for column in block[:, : min(canonical.BLOCK_ROWS, rows - start)]:
                spool.write(bytes(16))
                spool.write(column.tobytes())
        key = make_key(LEDGER, spool.digest, "1" * 32)
        store.put(spool, key)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    kept = store.kept(key)
    results.put((grown, kept and store.count(kept) == rows))


def test_a_large_frame_is_brought_in_little_memory(local: Database, tmp_path: Path) -> None:
    """A frame of 200 MB becomes a table with less than 100 MB more memory."""
    local.close()
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_peak, args=(local.settings.database, tmp_path, results))
    child.start()
    grown, whole = results.get(timeout=300)
    child.join()
    assert whole
    assert grown < 100_000_000
