"""The store in a database: the contract of every store on all three, and what is its own."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import blake3
import pytest
import sqlalchemy as sa

import simpleml.orm.housekeeping
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    StoreCredentialsError,
    StoreError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.orm import Database
from simpleml.orm.locations import chunks
from simpleml.orm.locations.database import DatabaseStore, is_database, open_database_store
from simpleml.orm.tables import OBJECT_TABLES, Blob, BlobChunk
from simpleml.orm.transactions import Transactions
from simpleml.save_patterns.locations.keys import ledger_folder, make_key, shared_key
from simpleml.save_patterns.locations.spool import digest_of
from simpleml.settings import Settings
from simpleml.testing.stores import LEDGER, StoreContract
from tests.integration.kinds import Box
from tests.races.crew import FORK, Crew

CHUNKS: Any = BlobChunk.__table__


def separate(url: str, folder: Path) -> Transactions:
    """A database that is not that of the records."""
    return Transactions(Settings.load(start=folder, environ={"HOME": str(folder)}, database_url=url))


@pytest.fixture
def elsewhere(database_url: str, tmp_path: Path) -> Iterator[Transactions]:
    """A fresh database of each kind, without any table."""
    made = separate(database_url, tmp_path)
    yield made
    made.close()


def test_whom_the_database_refuses_is_told(elsewhere: Transactions, tmp_path: Path) -> None:
    """A wrong password is one of credentials where the driver says so, else of what cannot be reached: a collection goes on."""
    family = elsewhere.url.get_backend_name()
    (tmp_path / "none.db").write_text("no database" * 100)
    url = (
        f"sqlite:///{tmp_path / 'none.db'}"
        if family == "sqlite"
        else elsewhere.url.set(username="nobody", password="wrong")
    )
    place = separate(url if isinstance(url, str) else url.render_as_string(hide_password=False), tmp_path)
    kinds = {"sqlite": StoreError, "postgresql": StoreUnreachableError}
    kind = kinds.get(family, StoreCredentialsError)
    with pytest.raises(kind) as caught:
        DatabaseStore("mine", place, tmp_path, own=True).size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32))
    assert "wrong" not in str(caught.value)
    place.close()


def test_durability_is_what_is_true(elsewhere: Transactions, tmp_path: Path) -> None:
    """A database in memory is not said to be durable, and a server's word is called so."""
    told = DatabaseStore("mine", elsewhere, tmp_path, own=True).guarantees()["durable"]
    assert ("synchronous=FULL" if elsewhere.url.get_backend_name() == "sqlite" else "if the server flushes") in told
    memory = separate("sqlite://", tmp_path)
    assert DatabaseStore("mine", memory, tmp_path, own=True).guarantees()["durable"].startswith("never")


class TestDatabaseStore(StoreContract):
    """The store in a database of its own keeps every promise, on each kind of database."""

    @pytest.fixture(autouse=True)
    def _place(self, elsewhere: Transactions, tmp_path: Path) -> None:
        self.database = elsewhere
        self.folder = tmp_path / "spool"

    def store(self) -> DatabaseStore:
        """Another instance on the same database."""
        return DatabaseStore("mine", self.database, self.folder, own=True)

    def sizes(self) -> tuple[int, ...]:
        """Around a chunk, and around what one transaction takes."""
        return (0, 1, 256 * 1024 + 1, chunks.CHUNK - 1, chunks.CHUNK, chunks.CHUNK + 1, 8 * chunks.CHUNK, 9_000_001)


def put(store: DatabaseStore, data: bytes) -> tuple[str, str]:
    """Put bytes under a new key; return it, and their digest."""
    spool = store.spool()
    try:
        spool.write(data)
        key = make_key(LEDGER, spool.digest, os.urandom(16).hex())
        store.put(spool, key)
        return key, spool.digest
    finally:
        spool.close()


@pytest.fixture
def store(elsewhere: Transactions, tmp_path: Path) -> DatabaseStore:
    """A store in a database of its own."""
    return DatabaseStore("mine", elsewhere, tmp_path / "spool", own=True)


def test_only_two_tables_are_made_and_not_by_looking(store: DatabaseStore) -> None:
    """A database that is not that of the records gets the two tables of objects with the first put, and none before."""
    assert list(store.keys(ledger_folder(LEDGER))) == []
    assert store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)) is None
    assert sa.inspect(store.database.engine).get_table_names() == []
    put(store, b"abc")
    assert set(sa.inspect(store.database.engine).get_table_names()) == OBJECT_TABLES


def _first(_: int, url: str, folder: Path) -> str:
    return put(DatabaseStore("mine", separate(url, folder), folder / "spool", own=True), os.urandom(100))[0]


def test_first_users_at_once_make_the_tables_once(database_url: str, tmp_path: Path) -> None:
    """Eight processes whose first put meets a database without tables at one instant all succeed."""
    with closing(Crew()) as crew:
        keys = set(crew.together(8, _first, database_url, tmp_path, context=FORK))
    store = DatabaseStore("mine", separate(database_url, tmp_path), tmp_path / "spool", own=True)
    assert set(store.keys(ledger_folder(LEDGER))) == keys
    assert len(keys) == 8


def test_the_urls_of_databases_are_told_from_those_of_places() -> None:
    """`database://` and URLs of the three products are databases; paths and other protocols are not."""
    assert all(map(is_database, ("database://", "sqlite:///a.db", "postgresql://h/d", "mariadb+pymysql://h/d")))
    assert not any(map(is_database, ("/a/b", "s3://bucket", "file:///a", "database", "memory://", "sqlite", "")))


def test_the_records_own_database_is_a_store(database: Database, tmp_path: Path) -> None:
    """`database://` keeps objects in the tables of the records' database, and is remote where that is a server."""
    store = open_database_store("database", "database://", database, spool=tmp_path / "spool")
    key, digest = put(store, b"abc" * 1000)
    assert store.read(key, 3000) == (b"abc" * 1000, digest)
    assert store.remote == (database.url.get_backend_name() != "sqlite")
    assert store.database is database


def test_another_database_is_a_store(local: Database, database_url: str, tmp_path: Path) -> None:
    """A store whose URL is a database's keeps its objects there, and nothing of them beside the records."""
    store = open_database_store("blobs", database_url, local, spool=tmp_path / "spool")
    key, _ = put(store, b"abc")
    with local.engine.begin() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(CHUNKS)).scalar_one() == 0
    again = open_database_store("blobs", database_url, local, spool=tmp_path / "spool")
    assert bytes(again.read(key, 3)[0]) == b"abc"


def test_no_password_is_told(tmp_path: Path) -> None:
    """Neither the description, the repr nor an error holds the password of the URL."""
    url = "postgresql+psycopg://me:hunter2@127.0.0.1:1/none"
    store = DatabaseStore("mine", separate(url, tmp_path), tmp_path / "spool", own=True)
    with pytest.raises(StoreError, match="store 'mine'") as told:
        put(store, b"abc")
    for text in (store.describe(), repr(store), str(told.value)):
        assert "hunter2" not in text
        assert "127.0.0.1" in text


def test_half_an_object_is_none(store: DatabaseStore) -> None:
    """An object whose last row is not there has no size and cannot be read, but is listed and can be deleted."""
    key, _ = put(store, b"x" * 3_000_000)
    with store.database.engine.begin() as connection:
        connection.execute(sa.delete(CHUNKS).where(CHUNKS.c.number == 0))
    assert store.size(key) is None
    with pytest.raises(ArtifactMissingError):
        store.read(key, 3_000_000)
    assert list(store.keys(ledger_folder(LEDGER))) == [key]
    store.delete(key)
    assert _rows(store) == 0


def _rows(store: DatabaseStore) -> int:
    with store.database.engine.begin() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(CHUNKS)).scalar_one())


def test_a_lost_or_changed_chunk_is_damage(store: DatabaseStore) -> None:
    """A missing chunk, a shorter one and one more are damage; another content is another digest."""
    key, digest = put(store, b"x" * 3_000_000)
    second = (CHUNKS.c.key == key) & (CHUNKS.c.number == 2)
    alterations = [
        (sa.update(CHUNKS).where(second).values(data=b"y" * chunks.CHUNK), None),
        (sa.update(CHUNKS).where(second).values(data=b"x"), ArtifactDamagedError),
        (sa.delete(CHUNKS).where(second), ArtifactDamagedError),
    ]
    for alteration, error in alterations:
        with store.database.engine.begin() as connection:
            connection.execute(alteration)
        if error is None:
            assert store.read(key, 3_000_000)[1] != digest
        else:
            with pytest.raises(error, match="rows for"):
                store.read(key, 3_000_000)


def test_a_failed_put_leaves_nothing(store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a later transaction of a put fails, the chunks of those before are removed and the error names the store."""
    put(store, b"first")
    before, real = _rows(store), chunks._insert

    def fail(*args: Any, last: bool) -> Any:
        if last:
            raise OSError(5, "broken")
        return real(*args, last=last)

    monkeypatch.setattr(chunks, "_insert", fail)
    with pytest.raises(StoreError, match="'mine'"):
        put(store, b"x" * 20_000_000)
    assert _rows(store) == before


# several writers of one key

BYTES = bytes(range(256)) * 80_000  # three transactions
SAME = shared_key(digest_of(blake3.blake3(BYTES).hexdigest()))


def put_same(store: DatabaseStore, data: bytes = BYTES) -> None:
    """Put bytes under the key that everybody has for `BYTES`."""
    spool = store.spool()
    try:
        spool.write(data)
        store.put(spool, SAME)
    finally:
        spool.close()


def test_one_key_is_put_once(store: DatabaseStore) -> None:
    """Putting what is there already succeeds and adds nothing; other bytes under its key are refused, and change nothing."""
    put_same(store)
    before = _rows(store)
    put_same(store)
    for other in (b"x" * len(BYTES), b"x", b""):
        with pytest.raises(StoreError, match=f"'mine'.* another object under {SAME}"):
            put_same(store, other)
    assert _rows(store) == before
    assert bytes(store.read(SAME, len(BYTES))[0]) == BYTES


def _put_same(url: str, folder: Path, barrier: Any, results: Any) -> None:
    store = DatabaseStore("mine", separate(url, folder), folder / "spool", own=True)
    try:
        for turn in range(3):
            barrier.wait()
            put_same(store)
            told = store.read(SAME, len(BYTES))[1]
            barrier.wait()
            if turn < 2:
                store.delete(SAME)
            results.put(told)
    except BaseException as error:
        barrier.abort()
        results.put(repr(error))
        raise


def test_many_put_one_key_at_once(database_url: str, tmp_path: Path) -> None:
    """Four processes that put the same bytes under one key at one instant all succeed, and it is there once, whole."""
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    writers = [context.Process(target=_put_same, args=(database_url, tmp_path, barrier, results)) for _ in range(4)]
    for writer in writers:
        writer.start()
    told = {results.get(timeout=120) for _ in range(12)}
    for writer in writers:
        writer.join()
    assert told == {digest_of(blake3.blake3(BYTES).hexdigest())}
    store = DatabaseStore("mine", separate(database_url, tmp_path), tmp_path / "spool", own=True)
    assert _rows(store) == 21


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, call: int, act: Callable[[], object]) -> Iterator[None]:
    """Do something before the transaction with this number (from 1) of the puts inside, but not of those it does itself."""
    count, real = 0, chunks._insert

    def insert(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            act()
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "_insert", insert)
        yield


def test_a_writer_that_is_overtaken_keeps_what_the_winner_put(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever in its put another one completes the same key, a writer succeeds and removes nothing of it."""
    for call in (1, 2, 3):
        with between(monkeypatch, call, lambda: put_same(store)):
            put_same(store)
        assert bytes(store.read(SAME, len(BYTES))[0]) == BYTES
        assert _rows(store) == 21
        store.delete(SAME)


def _fail_at(call: int, store: DatabaseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "broken")

    with pytest.raises(StoreError), between(monkeypatch, call, fail):
        put_same(store)


def test_a_writer_that_fails_leaves_the_object_of_another(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put that fails after another one completed the key, with rows of both, leaves the object whole."""

    def overtaken() -> None:
        put_same(store)
        raise OSError(5, "broken")

    for call in (2, 3):
        with pytest.raises(StoreError), between(monkeypatch, call, overtaken):
            put_same(store)
        assert bytes(store.read(SAME, len(BYTES))[0]) == BYTES
        store.delete(SAME)


def test_rows_that_a_failed_writer_takes_back_are_written_again(
    store: DatabaseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that counted on the rows of another, which failed and removed them, writes them itself."""
    taken = set(range(1, 17))
    with store.failures("prepare"):
        store.prepare()
    rows = [
        {"key": SAME, "number": number, "data": BYTES[(number - 1) * chunks.CHUNK :][: chunks.CHUNK]}
        for number in taken
    ]
    store.database.run(lambda connection: connection.execute(sa.insert(CHUNKS), rows).close())
    with between(monkeypatch, 3, lambda: chunks._take_back(store.database, SAME, sorted(taken))):
        put_same(store)
    assert bytes(store.read(SAME, len(BYTES))[0]) == BYTES


def test_the_rows_of_a_dead_writer_are_taken_over(database_url: str, tmp_path: Path) -> None:
    """After `kill -9` in the middle of a put another one under that key succeeds, also where the rows left are wrong."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(database_url, tmp_path, True))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    store = DatabaseStore("mine", separate(database_url, tmp_path), tmp_path / "spool", own=True)
    assert _rows(store) == 16
    with store.database.engine.begin() as connection:
        connection.execute(sa.update(CHUNKS).where(CHUNKS.c.number == 3).values(data=b"short"))
        connection.execute(sa.insert(CHUNKS).values(key=SAME, number=90, data=b"more"))
    put_same(store)
    assert bytes(store.read(SAME, len(BYTES))[0]) == BYTES
    assert _rows(store) == 21


def test_a_conflict_in_the_database_is_told_as_the_stores(store: DatabaseStore) -> None:
    """No error of SQLAlchemy's reaches a caller, also not one of a constraint."""
    with pytest.raises(StoreError, match=r"'mine'.* another writer"), store.failures("write"):
        raise sa.exc.IntegrityError("INSERT", {}, Exception("duplicate"))


def test_a_full_disk_of_the_reader_is_not_the_stores_fault(store: DatabaseStore) -> None:
    """What the local file refuses while an object is downloaded stays an `OSError`, which does not name the store."""
    key, _ = put(store, b"abc")
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OSError, match="No space left") as told:
        store.download(key, 3, full.fileno())
    assert not isinstance(told.value, StoreError)


def test_closing_gives_back_only_connections_of_its_own(local: Database, database_url: str, tmp_path: Path) -> None:
    """`close` closes the connections to another database, which can be used again, and not those of the records."""
    store = open_database_store("blobs", database_url, local, spool=tmp_path / "spool")
    for one, pool in (
        (store, store.database.engine),
        (open_database_store("own", "database://", local, spool=tmp_path), local.engine),
    ):
        before = pool.pool
        one.close()
        assert (pool.pool is before) == (one is not store)
    key, _ = put(store, b"abc")
    store.close()
    assert bytes(store.read(key, 3)[0]) == b"abc"


def _die(url: str, folder: Path, same: bool = False) -> None:
    store = DatabaseStore("mine", separate(url, folder), folder / "spool", own=True)
    real = chunks._insert

    def strike(*args: Any, last: bool) -> Any:
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, last=last)

    chunks._insert = strike
    if same:
        put_same(store)
    put(store, b"x" * 20_000_000)


def test_a_writer_that_dies_leaves_what_a_sweep_finds(database_url: str, tmp_path: Path) -> None:
    """After `kill -9` in the middle of a put there is no object, its key is listed, and deleting it removes every row."""
    child = multiprocessing.get_context("fork").Process(target=_die, args=(database_url, tmp_path))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    store = DatabaseStore("mine", separate(database_url, tmp_path), tmp_path / "spool", own=True)
    assert _rows(store) > 0
    (key,) = store.keys(ledger_folder(LEDGER))
    assert store.size(key) is None
    store.delete(key)
    assert (_rows(store), store.clear_leftovers(-1)) == (0, 1)


def test_other_writers_are_not_kept_waiting(local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a large object is put into an SQLite file, somebody else can write after every eight chunks, without waiting."""
    store = open_database_store("database", "database://", local, spool=tmp_path / "spool")
    turns, real = [], chunks._insert

    def let_others(*args: Any, last: bool) -> Any:
        added = real(*args, last=last)
        with closing(sqlite3.connect(str(local.url.database), timeout=0, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            turns.append(other.execute("SELECT count(*) FROM blob_chunks").fetchone()[0])
            other.execute("ROLLBACK")
        return added

    monkeypatch.setattr(chunks, "_insert", let_others)
    put(store, b"x" * 20 * chunks.CHUNK)
    assert turns == [8, 16, 21]


def test_a_database_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put where nothing may be written is a `StoreReadOnlyError` that names the store."""
    path = tmp_path / "x.db"
    made = DatabaseStore("mine", separate(f"sqlite:///{path}", tmp_path), tmp_path / "spool", own=True)
    put(made, b"abc")
    made.database.close()
    url = f"sqlite:///file:{path}?mode=ro&uri=true"
    store = DatabaseStore("mine", separate(url, tmp_path), tmp_path / "spool", own=True)
    with pytest.raises(StoreReadOnlyError, match="store 'mine'"):
        put(store, b"abc")


SIZE = 200 * 1024 * 1024


def _peak(url: str, folder: Path, key: str | None, results: Any) -> None:
    """Put a large object, or read it, in a process of its own; give how much its memory grew."""
    store = DatabaseStore("mine", separate(url, folder), folder / "spool", own=True)
    first, _ = put(store, b"warm up" * 1000)
    store.read(first, 7000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if key is None:
        spool = store.spool()
        block = os.urandom(1024 * 1024)
        for _ in range(SIZE // len(block)):
            spool.write(block)
        made = make_key(LEDGER, spool.digest, "1" * 32)
        store.put(spool, made)
        spool.close()
    else:
        made = key
        with (folder / "copy").open("w+b") as file:
            store.download(key, SIZE, file.fileno())
    results.put((made, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))


def test_objects_go_through_in_little_memory(database_url: str, tmp_path: Path) -> None:
    """200 MB are put, and read into a file, with less than 60 MB more memory in either direction."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    key = None
    for _ in ("put", "read"):
        child = context.Process(target=_peak, args=(database_url, tmp_path, key, results))
        child.start()
        key, grown = results.get(timeout=300)
        child.join()
        assert grown < 60_000_000


def test_saved_objects_live_in_the_database(database: Database) -> None:
    """An artifact kept by `database_pickled` comes back, is verified, and a collection removes its rows with the record."""
    box = Box(name="n", save_patterns={"data": ["database_pickled"]})
    box.data = {"a": b"x" * 2_000_000}
    box.save()
    assert Box.load("n").data == box.data
    assert simpleml.orm.housekeeping.verify(database, everything=True).findings == ()
    store = database.places.store("database")
    assert isinstance(store, DatabaseStore)
    assert _rows(store) == 3
    box.delete()
    database.run(lambda connection: connection.execute(sa.update(Blob).values(lease_until=0.0)).close())
    simpleml.orm.housekeeping.collect(database)
    assert _rows(store) == 0
