"""Reading objects: from stores, mapped from files, and through the cache of this machine."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, OfflineError, StoreError
from simpleml.save_patterns import fetching
from simpleml.save_patterns.fetching import Fetcher
from simpleml.save_patterns.locations import cache as caching
from simpleml.save_patterns.locations import mapping
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.mapping import VerifiedFiles, digest_file, map_file, read_file
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Buffer, FileStore, Store
from simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE
from simpleml.save_patterns.serializers.numpy import NUMPY

LARGE = bytes(range(256)) * 1024  # four times what is mapped at least


class CountingStore:
    """A store without files that counts what is asked of it, in front of a folder."""

    chunked = False

    def __init__(self, inner: LocalStore, *, remote: bool = True) -> None:
        self.inner = inner
        self.name = inner.name
        self.remote = remote
        self.calls: Counter[str] = Counter()

    def spool(self) -> Spool:
        return self.inner.spool()

    def put(self, spool: Spool, key: str) -> None:
        self.inner.put(spool, key)

    def size(self, key: str) -> int | None:
        self.calls["size"] += 1
        return self.inner.size(key)

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        self.calls["read"] += 1
        return self.inner.read(key, size)

    def download(self, key: str, size: int, descriptor: int) -> str:
        self.calls["download"] += 1
        return self.inner.download(key, size, descriptor)

    def delete(self, key: str) -> None:
        self.calls["delete"] += 1

    def keys(self, prefix: str) -> Iterator[str]:
        self.calls["keys"] += 1
        return self.inner.keys(prefix)

    def clear_leftovers(self, older_than: float) -> int:
        return self.inner.clear_leftovers(older_than)

    def describe(self) -> str:
        return self.inner.describe()

    def guarantees(self) -> Mapping[str, str]:
        return self.inner.guarantees()


class CountingFileStore(CountingStore):
    """The same with files that can be mapped."""

    @contextmanager
    def opened(self, key: str) -> Iterator[int]:
        self.calls["opened"] += 1
        with self.inner.opened(key) as descriptor:
            yield descriptor


class Shelf:
    """A folder with one far and one near store on it, a cache, and what reads with them."""

    def __init__(self, folder: Path) -> None:
        self.local = LocalStore("mine", folder / "store")
        self.far = CountingStore(self.local)
        self.near = CountingFileStore(self.local, remote=False)
        self.cache = Cache(folder / "cache", 100_000_000)
        self._count = 0

    def fetcher(self, *, offline: bool = False, limit: int | None = None) -> Fetcher:
        """What another process would read with: nothing is shared but the folders."""
        return Fetcher(Cache(self.cache.folder, self.cache.limit if limit is None else limit), offline=offline)

    def put(self, data: bytes | Spool = LARGE) -> tuple[str, int, str]:
        """Put an object and return what a reference says of it."""
        spool = self.local.spool()
        spool.write(data)  # type: ignore[arg-type]
        self._count += 1
        key = make_key("0" * 12, spool.digest, f"{self._count:032x}")
        self.local.put(spool, key)
        spool.close()
        return key, spool.size, spool.digest

    def entry(self, digest: str) -> Path:
        """Where the cache has it."""
        return self.cache.folder / "objects" / digest[7:9] / digest[7:]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A new one."""
    return Shelf(tmp_path)


@pytest.fixture
def digested(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that were verified to be mapped."""
    sizes: list[int] = []

    def counting(descriptor: int, size: int) -> str:
        sizes.append(size)
        return digest_file(descriptor, size)

    monkeypatch.setattr(mapping, "digest_file", counting)
    return sizes


def is_mapped(data: Buffer) -> bool:
    """Whether this memory is a mapping of a file, as the system sees it."""
    if not isinstance(data, memoryview) or data.nbytes == 0:
        return False
    address = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return line.split()[1] == "rw-p" and line.split()[4] != "0"
    return False


# stores of this machine


def test_the_stores_are_what_they_seem(shelf: Shelf) -> None:
    """The twins of these tests are stores of the two kinds."""
    assert isinstance(shelf.near, FileStore)
    assert not isinstance(shelf.far, FileStore)
    stores: list[Store] = [shelf.far, shelf.near]
    assert [store.remote for store in stores] == [True, False]


def test_a_local_object_is_read_once_and_not_cached(shelf: Shelf) -> None:
    """Without mmap a store of this machine is asked for its bytes, once, and no cache is made."""
    key, size, digest = shelf.put()
    for fetcher in (shelf.fetcher(), shelf.fetcher(offline=True), Fetcher()):
        shelf.near.calls.clear()
        assert bytes(fetcher.fetch(shelf.near, key, size, digest)) == LARGE
        assert shelf.near.calls == {"read": 1}
    assert not shelf.cache.folder.exists()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("far", [False, True])
def test_damage_in_the_store_is_found(shelf: Shelf, mmap: bool, far: bool) -> None:
    """Bytes of another digest or size are an `ArtifactDamagedError` that names object and store; the cache gets none of them."""
    key, size, digest = shelf.put()
    path = shelf.local.root / key
    store = shelf.far if far else shelf.near
    for wrong, told in ((LARGE[:-1] + b"x", "its digest is blake3:"), (LARGE + b"x", f"has {size + 1} bytes")):
        path.write_bytes(wrong)
        with pytest.raises(ArtifactDamagedError, match=told) as caught:
            shelf.fetcher().fetch(store, key, size, digest, mmap=mmap)
        assert key in str(caught.value)
        assert str(shelf.local.root) in str(caught.value)
        assert not shelf.entry(digest).exists()


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("far", [False, True])
def test_a_missing_object_is_missing(shelf: Shelf, mmap: bool, far: bool) -> None:
    """What the store does not have is an `ArtifactMissingError`, on every way."""
    key, size, digest = shelf.put()
    (shelf.local.root / key).unlink()
    with pytest.raises(ArtifactMissingError):
        shelf.fetcher().fetch(shelf.far if far else shelf.near, key, size, digest, mmap=mmap)


# mapping


def test_a_mapped_object_is_verified_once(shelf: Shelf, digested: list[int]) -> None:
    """A file is verified when it is mapped for the first time, and never again, by this or another process."""
    key, size, digest = shelf.put()
    fetcher = shelf.fetcher()
    for reader in (fetcher, fetcher, shelf.fetcher()):
        data = reader.fetch(shelf.near, key, size, digest, mmap=True)
        assert bytes(data) == LARGE
        assert is_mapped(data)
    assert digested == [size]
    assert shelf.near.calls == {"opened": 3}


def test_what_is_written_to_a_mapping_is_private(shelf: Shelf) -> None:
    """Mapped memory can be written to, which neither the file nor any other mapping sees."""
    key, size, digest = shelf.put()
    one, other = (shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True) for _ in range(2))
    one[:4] = b"mine"
    assert bytes(one[:8]) == b"mine" + LARGE[4:8]
    assert bytes(other) == LARGE
    assert (shelf.local.root / key).read_bytes() == LARGE


def test_a_mapping_outlives_the_file(shelf: Shelf) -> None:
    """A mapped object that is deleted, or evicted, stays readable for who has it."""
    key, size, digest = shelf.put()
    near = shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    far = shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=True)
    shelf.local.delete(key)
    shutil.rmtree(shelf.cache.folder)
    assert bytes(near) == bytes(far) == LARGE


@pytest.mark.parametrize("times", ["as they are", "set back"])
def test_a_changed_file_is_verified_again(shelf: Shelf, digested: list[int], times: str) -> None:
    """Another file of the same size under the key, or a change in place, is found, also if its times were set back."""
    key, size, digest = shelf.put()
    path = shelf.local.root / key
    for change in ("in place", "replaced"):
        assert bytes(shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)) == LARGE
        before = path.stat()
        if change == "replaced":
            path.unlink()
            path.write_bytes(bytes(size))
        else:
            with path.open("r+b") as file:
                file.seek(100_000)
                file.write(b"x")
        if times == "set back":
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(ArtifactDamagedError, match="its digest is"):
            shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
        path.write_bytes(LARGE)
    assert len(digested) == 4


def test_a_change_at_the_same_instant_is_found(shelf: Shelf) -> None:
    """A file that is changed the very moment after it was written and mapped is verified again, 10 times of 10."""
    for number in range(10):
        key, size, digest = shelf.put(LARGE + bytes([number]))
        path = shelf.local.root / key
        with path.open("r+b") as file:
            file.write(LARGE[:1])  # the youngest that a file can be
            shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
            file.seek(0)
            file.write(b"x")
            file.flush()
            with pytest.raises(ArtifactDamagedError):
                shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)


def test_a_young_file_is_verified_a_tick_later(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verifying begins so long after the last change that one during it has another time, on clocks of 10 ms too."""
    ages: list[int] = []

    def aged(descriptor: int, size: int) -> str:
        ages.append(time.time_ns() - os.fstat(descriptor).st_ctime_ns)
        return digest_file(descriptor, size)

    monkeypatch.setattr(mapping, "digest_file", aged)
    key, size, digest = shelf.put()
    for _ in range(3):
        os.utime(shelf.local.root / key)
        shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    assert len(ages) == 3
    assert min(ages) >= 10_000_000


def test_a_change_while_it_is_verified_is_found(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written to while its digest is made is not mapped and not remembered: the bytes are read and compared."""
    key, size, digest = shelf.put()
    path = shelf.local.root / key

    def meanwhile(descriptor: int, size: int) -> str:
        found = digest_file(descriptor, size)
        path.write_bytes(bytes(size))
        return found

    monkeypatch.setattr(mapping, "digest_file", meanwhile)
    with pytest.raises(ArtifactDamagedError):
        shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    assert not (shelf.cache.folder / "verified").exists()


def test_a_file_from_the_future_is_not_remembered(shelf: Shelf, digested: list[int], monkeypatch: Any) -> None:
    """Where the clock of the files runs before ours, nothing is remembered, for a change might not show."""
    key, size, digest = shelf.put()
    now = (shelf.local.root / key).stat().st_ctime_ns
    monkeypatch.setattr(mapping.time, "time_ns", lambda: now - 10**9)
    for _ in range(2):
        assert bytes(shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)) == LARGE
    assert len(digested) == 2


def test_what_was_not_flushed_counts_until_the_next_start(
    shelf: Shelf, digested: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart of the machine an entry of the cache is verified anew, and an object of a local store is not."""
    key, size, digest = shelf.put()
    for boot, count in (("one", 2), ("one", 2), ("two", 3), ("two", 3)):
        monkeypatch.setattr(mapping, "machine_start", lambda boot=boot: boot)
        shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
        shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=True)
        assert len(digested) == count


@pytest.mark.parametrize("damage", [b"", b"x" * 31, b"x" * 33, bytes(3_000_000)])
def test_a_damaged_memory_only_forgets(shelf: Shelf, digested: list[int], damage: bytes) -> None:
    """Whatever the file of what was verified holds, objects are verified once more, and what comes after is remembered."""
    key, size, digest = shelf.put()
    shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    (shelf.cache.folder / "verified").write_bytes(damage)
    for _ in range(3):
        assert bytes(shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)) == LARGE
    assert len(digested) == 2
    with pytest.raises(ArtifactDamagedError):
        (shelf.local.root / key).write_bytes(bytes(size))
        shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)


def test_the_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of what was verified keeps to its size, and what it forgets is the older half."""
    monkeypatch.setattr(VerifiedFiles, "MOST", 32 * 100)
    path = tmp_path / "deep" / "verified"
    marks = [blake3(bytes([number])).digest() for number in range(250)]
    for mark in marks:
        VerifiedFiles(path).add(mark)
        assert path.stat().st_size <= 32 * 100
        assert mark in VerifiedFiles(path)
    assert all(mark in VerifiedFiles(path) for mark in marks[-50:])
    assert not any(mark in VerifiedFiles(path) for mark in marks[:100])
    assert os.listdir(path.parent) == ["verified"]
    one = VerifiedFiles()
    for mark in marks:
        one.add(mark)
        assert mark in one
    assert len(one._marks) <= 101


def test_what_others_could_write_is_not_believed(shelf: Shelf, digested: list[int]) -> None:
    """A file of what was verified that others may write to counts for nothing."""
    key, size, digest = shelf.put()
    shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    (shelf.cache.folder / "verified").chmod(0o666)
    shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    assert len(digested) == 2


def test_without_a_cache_one_process_remembers(shelf: Shelf, digested: list[int]) -> None:
    """Without a cache, or where its folder cannot be written, what was verified is remembered by the one who did it."""
    key, size, digest = shelf.put()
    for fetcher in (Fetcher(), Fetcher(Cache(Path("/proc/nowhere"), 10))):
        digested.clear()
        for _ in range(2):
            assert bytes(fetcher.fetch(shelf.near, key, size, digest, mmap=True)) == LARGE
        assert digested == [size]


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_small_files_are_not_mapped(shelf: Shelf, size: int) -> None:
    """A small or empty object is private memory with `mmap` too: a mapping would cost an open file each."""
    key, size, digest = shelf.put(bytes(size))
    for store in (shelf.near, shelf.far):
        data = shelf.fetcher().fetch(store, key, size, digest, mmap=True)
        assert bytes(data) == bytes(size)
        assert not is_mapped(data)


def test_what_cannot_be_mapped_is_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many open files, or on a file system that maps nothing, the object is read."""

    def refuse(*_: object) -> memoryview:
        raise OSError(errno.EMFILE, "Too many open files")

    key, size, digest = shelf.put()
    monkeypatch.setattr(mapping, "_mapped", refuse)
    for store in (shelf.near, shelf.far):
        data = shelf.fetcher().fetch(store, key, size, digest, mmap=True)
        assert bytes(data) == LARGE
        assert not is_mapped(data)


def test_a_medium_that_fails_is_an_error(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local file that cannot be read to its end is a `StoreError`; such a copy in the cache is fetched again."""
    key, size, digest = shelf.put()
    shelf.fetcher().fetch(shelf.far, key, size, digest)
    failures = [OSError(errno.EIO, "Input/output error")] * 2

    def fail(descriptor: int, size: int) -> str:
        if failures:
            raise failures.pop()
        return digest_file(descriptor, size)

    monkeypatch.setattr(mapping, "digest_file", fail)
    with pytest.raises(StoreError, match="cannot read in the store 'mine'"):
        shelf.fetcher().fetch(shelf.near, key, size, digest, mmap=True)
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=True)) == LARGE
    assert shelf.far.calls == {"read": 1, "download": 1}


_BLOCK = mapping._BLOCK


@pytest.mark.parametrize("size", [0, 1, _BLOCK - 1, _BLOCK, _BLOCK + 1, 2 * _BLOCK, 3 * _BLOCK + 5])
@pytest.mark.parametrize("threads", [True, False])
def test_digests_are_those_of_blake3(tmp_path: Path, size: int, threads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has BLAKE3's digest however long it is, read ahead or, where no thread can be had, not; so has memory read of it."""
    if not threads:

        def refuse(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    path = tmp_path / "file"
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()
    path.write_bytes(data)
    wanted = f"blake3:{blake3(data).hexdigest()}"
    with path.open("rb") as file:
        file.seek(size // 2)  # where others left it
        assert digest_file(file.fileno(), size) == wanted
        assert read_file(file.fileno(), size) == (data, wanted)
        assert bytes(map_file(file.fileno(), size, wanted, VerifiedFiles(), durable=True)[0]) == data


def test_mapping_takes_little_memory() -> None:
    """Verifying and mapping 500 MB and touching a little of it takes less than 50 MB, in a process of its own."""
    script = """
import os, sys, tempfile
from pathlib import Path
from simpleml.save_patterns.locations.mapping import VerifiedFiles, digest_file, map_file

def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024

with tempfile.TemporaryFile() as file:
    os.truncate(file.fileno(), 500_000_000)
    digest = digest_file(file.fileno(), 500_000_000)
    before = resident()
    data, found = map_file(file.fileno(), 500_000_000, digest, VerifiedFiles(), durable=True)
    assert found == digest and len(data) == 500_000_000
    data[0] = data[250_000_000] = 1
    assert sum(data[place] for place in range(0, 1_000_000, 1000)) == 1
    print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000_000


def test_arrays_are_views_of_the_mapping(shelf: Shelf) -> None:
    """Arrays come out of a mapped object without a copy, by numpy and by pickle, and can be written to."""
    wanted = np.arange(100_000, dtype=np.float64)
    stream = shelf.local.spool()
    NUMPY.dump(wanted, stream)  # type: ignore[arg-type]
    pickled = BytesIO()
    CLOUDPICKLE.dump({"weights": wanted, "name": "x"}, pickled)
    plain = BytesIO()
    NUMPY.dump(wanted, plain)
    stream.close()
    for serializer, kept in ((NUMPY, plain.getvalue()), (CLOUDPICKLE, pickled.getvalue())):
        data = shelf.fetcher().fetch(shelf.near, *shelf.put(kept), mmap=True)
        loaded: Any = serializer.load(data, format=1, details={})
        array = loaded if isinstance(loaded, np.ndarray) else loaded["weights"]
        assert np.array_equal(array, wanted)
        assert np.shares_memory(array, np.frombuffer(data, np.uint8))
        assert is_mapped(data)
        assert array.ctypes.data % 64 == 0
        array[0] = 7


# remote stores


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("size", [0, 1000, len(LARGE)])
def test_the_second_load_does_not_call_the_store(shelf: Shelf, first: bool, second: bool, size: int) -> None:
    """What was read of a remote store is downloaded once and then never asked for, mapped or not, by other processes too."""
    key, size, digest = shelf.put(LARGE[:size])
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=first)) == LARGE[:size]
    assert shelf.far.calls == {"download" if first else "read": 1}
    shelf.far.calls.clear()
    for offline in (False, True):
        data = shelf.fetcher(offline=offline).fetch(shelf.far, key, size, digest, mmap=second)
        assert bytes(data) == LARGE[:size]
        assert is_mapped(data) == (second and size == len(LARGE))
        data[:1] = b"x"[: size or 0]
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest)) == LARGE[:size]
    assert shelf.far.calls == {}


def test_the_same_bytes_are_downloaded_once(shelf: Shelf) -> None:
    """Objects of other keys and stores with the same digest come from one entry."""
    key, size, digest = shelf.put()
    again, _, _ = shelf.put()
    other = CountingFileStore(shelf.local)
    for store, each in ((shelf.far, key), (shelf.far, again), (other, key)):
        assert bytes(shelf.fetcher().fetch(store, each, size, digest)) == LARGE
    assert shelf.far.calls + other.calls == {"read": 1}


def test_offline_the_store_is_not_called(shelf: Shelf) -> None:
    """What the cache does not have is an `OfflineError` that names object, store and setting; the store hears nothing."""
    key, size, digest = shelf.put()
    for fetcher in (shelf.fetcher(offline=True), shelf.fetcher(offline=True, limit=0), Fetcher(offline=True)):
        for mmap in (False, True):
            with pytest.raises(OfflineError, match="offline = false") as caught:
                fetcher.fetch(shelf.far, key, size, digest, mmap=mmap)
            assert key in str(caught.value)
            assert "'mine'" in str(caught.value)
    assert shelf.far.calls == {}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "a link", "a folder"])
def test_a_damaged_entry_is_fetched_again(shelf: Shelf, mmap: bool, damage: str) -> None:
    """Whatever became of an entry, the right bytes come out, after one more download; offline it is an `OfflineError`."""
    key, size, digest = shelf.put()
    entry = shelf.entry(digest)
    for offline in (False, True):
        shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=mmap)
        if damage == "a flipped bit":
            with entry.open("r+b") as file:
                file.seek(77_777)
                file.write(b"\0" if LARGE[77_777] else b"\1")
        elif damage == "cut off":
            os.truncate(entry, 1000)
        elif damage == "a link":
            entry.unlink()
            entry.symlink_to(shelf.local.root / key)
        elif not entry.is_dir():
            entry.unlink()
            entry.mkdir()
        shelf.far.calls.clear()
        if offline:
            with pytest.raises(OfflineError):
                shelf.fetcher(offline=True).fetch(shelf.far, key, size, digest, mmap=mmap)
            assert shelf.far.calls == {}
        assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=mmap)) == LARGE
        assert shelf.far.calls.total() == 1
        if damage != "a folder":  # nobody's file is in its way; it is read from the store each time
            assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=mmap)) == LARGE
            assert shelf.far.calls.total() == 1


def test_a_damaged_entry_is_told_offline(shelf: Shelf) -> None:
    """Offline, a damaged copy is named as such, with the digests, and is gone afterwards."""
    key, size, digest = shelf.put()
    shelf.fetcher().fetch(shelf.far, key, size, digest)
    shelf.entry(digest).write_bytes(bytes(size))
    with pytest.raises(OfflineError, match="a damaged copy") as caught:
        shelf.fetcher(offline=True).fetch(shelf.far, key, size, digest)
    assert isinstance(caught.value.__cause__, ArtifactDamagedError)
    assert digest in str(caught.value.__cause__)
    assert not shelf.entry(digest).exists()


def test_an_entry_that_is_always_damaged_is_left_alone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk of the cache returns other bytes than were written, the object is read from the store into memory."""
    key, size, digest = shelf.put()
    true = Cache.fill

    def rotten(self: Cache, *arguments: Any) -> int | None:
        descriptor = true(self, *arguments)
        shelf.entry(digest).chmod(0o600)
        shelf.entry(digest).write_bytes(bytes(size))
        return descriptor

    monkeypatch.setattr(Cache, "fill", rotten)
    for mmap in (False, True):
        shelf.far.calls.clear()
        assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest, mmap=mmap)) == LARGE
        assert shelf.far.calls == ({"download": 1, "read": 1} if mmap else {"read": 1})


@pytest.mark.parametrize("mmap", [False, True])
def test_without_room_objects_are_read_each_time(shelf: Shelf, mmap: bool) -> None:
    """With no cache, a limit of 0, an object beyond the limit, or a place that cannot be written, bytes come from the store."""
    key, size, digest = shelf.put()
    nowhere = Fetcher(Cache(Path("/proc/nowhere"), 10**9))
    for fetcher in (Fetcher(), shelf.fetcher(limit=0), shelf.fetcher(limit=size - 1), nowhere):
        shelf.far.calls.clear()
        for _ in range(2):
            data = fetcher.fetch(shelf.far, key, size, digest, mmap=mmap)
            assert bytes(data) == LARGE
            data[:1] = b"x"
        assert shelf.far.calls == {"read": 2}
    assert not shelf.entry(digest).exists()


def test_a_full_disk_loses_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that does not fit on the disk is given up, and the object is read into memory."""
    key, size, digest = shelf.put()

    def full(key: str, size: int, descriptor: int) -> str:
        os.write(descriptor, b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shelf.far, "download", full)
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest)) == LARGE
    assert shelf.far.calls == {"read": 1}
    assert os.listdir(shelf.cache.folder / "tmp") == []


def test_objects_without_files_are_mapped_from_the_cache(shelf: Shelf) -> None:
    """A store of this machine that has no files (a database) is cached only where mapping asks for it, also offline."""
    key, size, digest = shelf.put()
    database = CountingStore(shelf.local, remote=False)
    assert not is_mapped(shelf.fetcher().fetch(database, key, size, digest))
    assert not shelf.entry(digest).exists()
    for fetcher in (shelf.fetcher(offline=True), shelf.fetcher()):
        assert is_mapped(fetcher.fetch(database, key, size, digest, mmap=True))
    assert database.calls == {"read": 1, "download": 1}


def test_an_edited_reference_makes_no_path(shelf: Shelf) -> None:
    """A digest that is no digest finds nothing in the cache and nothing elsewhere: the object is another, says the error."""
    key, size, _ = shelf.put()
    (shelf.cache.folder.parent / "secret").write_bytes(LARGE)
    for digest in ("blake3:../../secret", "../secret", ""):
        with pytest.raises(ArtifactDamagedError):
            shelf.fetcher().fetch(shelf.far, key, size, digest)


def test_what_was_uploaded_is_not_downloaded(shelf: Shelf) -> None:
    """A spool that the cache kept after its put is a hit from then on."""
    key, size, digest = shelf.put()
    spool = Spool(shelf.local.root / "tmp")
    spool.write(LARGE)
    shelf.cache.folder.mkdir()
    assert shelf.cache.keep(spool)
    spool.close()
    assert bytes(shelf.fetcher(offline=True).fetch(shelf.far, key, size, digest)) == LARGE
    assert shelf.far.calls == {}


def test_threads_share_one_download(shelf: Shelf) -> None:
    """Eight threads of one process that want the same object at once download it once."""
    key, size, digest = shelf.put()
    fetcher = shelf.fetcher()
    with ThreadPoolExecutor(8) as pool:
        every = pool.map(lambda _: bytes(fetcher.fetch(shelf.far, key, size, digest)), range(8))
    assert list(every) == [LARGE] * 8
    assert shelf.far.calls == {"read": 1}


class Watched(MemoryTransport):
    """A place far away that brings an object range by range, and notes before each what others see of the download."""

    remote = True
    workers = 1
    range_size = 1024 * 1024
    seen: list[object]
    folder: Path

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        self.seen.append(caching._signs(self.folder.glob("tmp/*.part")))
        return super().fetch(key, start, target)


@pytest.mark.parametrize("mmap", [False, True])
def test_a_large_download_shows_that_it_goes_on(tmp_path: Path, mmap: bool) -> None:
    """After each range that came, those who wait for the object see something new, so that they go on waiting."""
    transport = Watched("memory://watched", {})
    transport.seen, transport.folder = [], tmp_path / "cache"
    store = RemoteStore("cloud", lambda: transport, tmp_path / "spool", place="memory://watched")
    data = os.urandom(9 * Watched.range_size)
    with closing(store.spool()) as spool:
        spool.write(data)
        key, digest = make_key("0" * 12, spool.digest, "0" * 32), spool.digest
        store.put(spool, key)
    fetcher = Fetcher(Cache(transport.folder, 10**9))
    found = fetcher.fetch(store, key, len(data), digest, mmap=mmap)
    assert bytes(found) == data
    assert is_mapped(found) == mmap
    assert len(transport.seen) == 9
    assert [] not in transport.seen
    assert all(one != other for one, other in itertools.pairwise(transport.seen))
    store.delete(key)


def test_what_is_parsed_is_what_was_digested(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes wrong from far away reaches neither its reader nor the cache; what the cache makes of it, not its reader."""
    key, size, digest = shelf.put()
    right, wrong = shelf.far.read, bytes([LARGE[0] ^ 1]) + LARGE[1:]

    def flipped(key: str, size: int) -> tuple[Buffer, str]:
        data = bytearray(right(key, size)[0])
        data[0] ^= 1
        return data, f"blake3:{blake3(data).hexdigest()}"

    shelf.far.read = flipped  # type: ignore[method-assign]
    with pytest.raises(ArtifactDamagedError, match="is damaged"):
        shelf.fetcher().fetch(shelf.far, key, size, digest)
    assert not shelf.entry(digest).exists()
    shelf.far.read = right  # type: ignore[method-assign]
    monkeypatch.setattr(fetching, "write_all", lambda descriptor, _: os.write(descriptor, wrong))
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest)) == LARGE
    assert shelf.entry(digest).read_bytes() == wrong
    shelf.far.calls.clear()
    monkeypatch.undo()
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest)) == LARGE
    assert shelf.far.calls == {"read": 1}
    assert shelf.entry(digest).read_bytes() == LARGE


def test_a_copy_that_cannot_be_written_costs_no_second_read(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object whose copy meets a full disk half-way is given to its reader all the same, and asked for once."""
    key, size, digest = shelf.put()

    def full(descriptor: int, view: memoryview) -> None:
        os.write(descriptor, view[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetching, "write_all", full)
    assert bytes(shelf.fetcher().fetch(shelf.far, key, size, digest)) == LARGE
    assert shelf.far.calls == {"read": 1}
    assert not shelf.entry(digest).exists()
    assert list((shelf.cache.folder / "tmp").glob("*.part")) == []
