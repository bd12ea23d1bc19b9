"""The contract of `Store`, as a test class to subclass.

```python
class TestMyStore(StoreContract):
    def store(self): return MyStore("mine", self.place)  # the same place for every call within one test
```
"""
# ruff: noqa: S101  (asserting is what a contract suite is for)

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, SourceChangedError, StoreError
from simpleml.save_patterns.locations.keys import ledger_folder, make_key
from simpleml.save_patterns.protocols import Store

LEDGER, OTHER = "0123456789ab", "ba9876543210"

_KEY = make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)

NO_KEYS: tuple[object, ...] = (
    "", ".", "..", "/", "a", "/etc/passwd", "../x", f"../{_KEY}", f"/{_KEY}", f"{_KEY}/", f"{_KEY}/..", f"./{_KEY}", f"{_KEY}\n", f"\n{_KEY}", f"{_KEY}\0",
    f"{_KEY} ", _KEY.upper(), _KEY.replace("/", "//"), _KEY.replace("/", "\\"), _KEY.replace("/00/", "/../"), _KEY.replace("/00/", "/\u2024\u2024/"),
    _KEY.replace("/00/", "/\uff0e\uff0e/"), _KEY[:-1] + "\u0660", _KEY[:-1], _KEY + "0", _KEY.replace("objects-", "objects_"), f"tmp/{_KEY}", "tmp/x.part",
    ledger_folder(LEDGER), f"{ledger_folder(LEDGER)}/00", f"file:///{_KEY}", f"s3://bucket/{_KEY}", f"simplecache::{_KEY}", "~/" + _KEY, None, 5, _KEY.encode(),
    ("a",),
)  # fmt: skip
"""What has to be refused as a key before any place is made of it."""


class StoreContract(ABC):
    """Every promise of the `Store` protocol, each as a test; subclass it under a name that begins with `Test`."""

    @abstractmethod
    def store(self) -> Store:
        """Return the store to prove, empty at the start of each test; called again, another instance on the same place."""

    def sizes(self) -> tuple[int, ...]:
        """Return the sizes of objects that are tried; those around the buffers of an implementation are the best."""
        return (0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 3_000_001)

    def test_what_was_put_is_read_back(self) -> None:
        """The bytes and their digest come back, from this and from another instance; their size is known."""
        store, other = self.store(), self.store()
        for size in self.sizes():
            data = bytes(number % 251 for number in range(min(size, 1000))) * (size // 1000 + 1)
            key, digest = self._put(store, data[:size])
            for reader in (store, other):
                read, found = reader.read(key, size)
                assert bytes(read) == data[:size]
                assert found == digest
                assert reader.size(key) == size

    def test_it_is_downloaded_into_a_file(self) -> None:
        """An empty file gets the whole object, whose digest is returned; what is missing or of another size is told."""
        store = self.store()
        for size in self.sizes():
            data = bytes(number % 253 for number in range(min(size, 1000))) * (size // 1000 + 1)
            key, digest = self._put(store, data[:size])
            with tempfile.TemporaryFile() as file:
                assert store.download(key, size, file.fileno()) == digest
                file.seek(0)
                assert file.read() == data[:size]
        with tempfile.TemporaryFile() as file:
            for wrong in (size + 1, size - 1, 2**62):
                self._check(ArtifactDamagedError, partial(store.download, key, wrong, file.fileno()))
            for missing in (3, 2**62):
                self._check(ArtifactMissingError, partial(store.download, _KEY, missing, file.fileno()))

    def test_bytes_may_come_in_any_pieces(self) -> None:
        """How the bytes were cut when they were written does not matter to what is stored, nor to its digest."""
        store = self.store()
        data = bytes(range(256)) * 2000
        key, digest = self._put(store, data)
        with_pieces = store.spool()
        try:
            for start in range(0, len(data), 70_001):
                piece = memoryview(data)[start : start + 70_001]
                assert with_pieces.write(piece) == len(piece)
            assert (with_pieces.size, with_pieces.digest) == (len(data), digest)
            again = self._key(with_pieces.digest)
            store.put(with_pieces, again)
        finally:
            with_pieces.close()
        assert bytes(store.read(again, len(data))[0]) == bytes(store.read(key, len(data))[0]) == data

    def test_what_is_lent_is_stored_or_told_to_have_changed(self) -> None:
        """Memory that is lent comes back as it was digested; if it changed before the put, so it does, or there is no object."""
        store = self.store()
        for size in self.sizes():
            for changes in (False, True):
                memory = bytearray(bytes(range(256)) * (size // 256 + 1))[:size]
                wanted = bytes(memory)
                spool = store.spool()
                try:
                    spool.write(b"before")
                    spool.lend(memory)
                    spool.write(b"after")
                    key, digest = self._key(spool.digest), spool.digest
                    if changes:
                        memory[-1:] = b"!" * len(memory[-1:])
                    try:
                        store.put(spool, key)
                    except SourceChangedError:
                        assert changes
                        assert store.size(key) is None
                        continue
                finally:
                    spool.close()
                read, found = store.read(key, size + 11)
                assert bytes(read) == b"before" + wanted + b"after"
                assert found == digest

    def test_what_is_read_belongs_to_the_reader(self) -> None:
        """Memory that was read can be written to, and that changes nothing for anybody else."""
        store = self.store()
        for size in (10, 2_000_000):
            key, digest = self._put(store, b"x" * size)
            first, _ = store.read(key, size)
            memoryview(first).cast("B")[:5] = b"yyyyy"
            second, found = store.read(key, size)
            assert bytes(second) == b"x" * size
            assert found == digest

    def test_nothing_is_there_before_it_was_put(self) -> None:
        """While bytes are spooled, and after a spool was given up, there is no object and no leftover."""
        store = self.store()
        for size in (10, 3_000_000):
            spool = store.spool()
            spool.write(b"x" * size)
            key = self._key(spool.digest)
            assert store.size(key) is None
            assert list(store.keys(ledger_folder(LEDGER))) == []
            spool.close()
            spool.close()
            assert store.size(key) is None
        assert store.clear_leftovers(-1) == 0

    def test_what_is_not_there_is_told(self) -> None:
        """Reading what was never put, or was deleted, is an `ArtifactMissingError`; its size is None."""
        store = self.store()
        key, _ = self._put(store, b"abc")
        self._check(ArtifactMissingError, lambda: store.read(_KEY, 3))
        assert store.size(_KEY) is None
        store.delete(key)
        self._check(ArtifactMissingError, lambda: store.read(key, 3))
        assert store.size(key) is None
        store.delete(key)
        store.delete(_KEY)

    def test_another_size_is_damage(self) -> None:
        """Reading with a size that is not the object's is an `ArtifactDamagedError`."""
        store = self.store()
        key, _ = self._put(store, b"abc")
        for size in (0, 2, 4, 2**62):
            self._check(ArtifactDamagedError, partial(store.read, key, size))

    def test_keys_are_listed_by_their_ledger(self) -> None:
        """The keys below a folder are those that were put there, whatever lies in the store besides."""
        store = self.store()
        keys = {self._put(store, f"{number}".encode())[0] for number in range(20)}
        others = {self._put(store, f"{number}".encode(), OTHER)[0] for number in range(5)}
        assert set(store.keys(ledger_folder(LEDGER))) == keys
        assert set(store.keys(ledger_folder(OTHER))) == others
        assert list(store.keys(ledger_folder("f" * 12))) == []
        gone = keys.pop()
        store.delete(gone)
        assert sorted(self.store().keys(ledger_folder(LEDGER))) == sorted(keys)

    def test_only_keys_are_keys(self) -> None:
        """Whatever is no key is refused by every call, in words that name the store, and does nothing."""
        store = self.store()
        kept, _ = self._put(store, b"abc")
        for wrong in NO_KEYS:
            spool = store.spool()
            spool.write(b"xyz")
            calls: tuple[Callable[[Any], object], ...] = (
                partial(store.put, spool),
                self._reading(store),
                lambda key: store.download(key, 3, 0),
                store.size,
                store.delete,
            )
            for call in calls:
                error = self._check(StoreError, partial(call, wrong))
                assert store.name in str(error), wrong
            spool.close()
        assert list(store.keys(ledger_folder(LEDGER))) == [kept]
        assert store.clear_leftovers(-1) == 0

    def test_leftovers_are_cleared_by_their_age(self) -> None:
        """The temporary bytes of a writer that died go once nobody touched them for long enough; a living one keeps its own."""
        store = self.store()
        kept, _ = self._put(store, b"abc")
        for _ in range(3):
            self._abandon(store)
        alive = store.spool()
        alive.write(b"x" * 3_000_000)
        assert store.clear_leftovers(3600) == 0
        assert store.clear_leftovers(-1) == 3
        assert store.clear_leftovers(-1) == 0
        later = self._key(alive.digest)
        store.put(alive, later)
        alive.close()
        assert bytes(store.read(kept, 3)[0]) == b"abc"
        assert store.size(later) == 3_000_000

    def test_threads_share_a_store(self) -> None:
        """Threads that put, read and delete through one instance, from its first use on, see what each of them did."""
        store = self.store()

        def work(number: int) -> bool:
            data = bytes([number]) * (1000 + number)
            key, digest = self._put(store, data)
            read, found = store.read(key, len(data))
            if number % 3 == 0:
                store.delete(key)
            return bytes(read) == data and found == digest

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
        assert len(list(store.keys(ledger_folder(LEDGER)))) == 64 - len(range(0, 64, 3))

    def test_it_says_where_it_is(self) -> None:
        """`describe` is one line for messages, and `name` is the name that references carry."""
        store = self.store()
        assert store.describe()
        assert "\n" not in store.describe()
        assert store.name

    def test_it_says_what_it_gives(self) -> None:
        """`guarantees` says in words how an object appears, when it is durable and what a listing sees."""
        store = self.store()
        said = store.guarantees()
        assert {"put", "durable", "listing"} <= set(said)
        assert all(words and "\n" not in words for words in said.values())
        assert store.remote in {True, False}
        assert store.chunked in {True, False}

    @staticmethod
    def _abandon(store: Store) -> None:
        """Leave what a process leaves that dies while it spools."""
        child = os.fork()
        if child == 0:
            try:
                store.spool().write(b"x" * 3_000_000)
            finally:
                os._exit(0)  # as a kill does it: nothing is closed or removed
        os.waitpid(child, 0)

    @staticmethod
    def _reading(store: Store) -> Callable[[str], object]:
        return lambda key: store.read(key, 3)

    @staticmethod
    def _key(digest: str, ledger: str = LEDGER) -> str:
        return make_key(ledger, digest, uuid4().hex)

    def _put(self, store: Store, data: bytes, ledger: str = LEDGER) -> tuple[str, str]:
        spool = store.spool()
        try:
            spool.write(data)
            key, digest = self._key(spool.digest, ledger), spool.digest
            store.put(spool, key)
        finally:
            spool.close()
        return key, digest

    @staticmethod
    def _check(kind: type[Exception], call: Callable[[], object]) -> Exception:
        try:
            result = call()
        except kind as error:
            return error
        raise AssertionError(f"{kind.__name__} was not raised; the call returned {result!r:.80}")
