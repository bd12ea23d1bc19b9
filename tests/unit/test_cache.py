"""The cache of this machine: what gets in, what goes, and what it does where it cannot be written."""

from __future__ import annotations

import errno
import logging
import os
import resource
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError, StoreFullError, StoreUnreachableError
from simpleml.save_patterns.locations import cache as caching
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.spool import Spool, hold

LIMIT = 10_000


def digest_of(data: bytes) -> str:
    """The digest as references carry it."""
    return f"blake3:{blake3(data).hexdigest()}"


def writing(data: bytes) -> Callable[[int], str]:
    """A download that works."""

    def write(descriptor: int) -> str:
        os.write(descriptor, data)
        return digest_of(data)

    return write


def never(descriptor: int) -> str:
    """A download that must not happen."""
    raise AssertionError(f"downloaded into {descriptor}")


def filled(cache: Cache, data: bytes) -> bool:
    """Fill an entry; whether the cache kept it."""
    descriptor = cache.fill(digest_of(data), len(data), writing(data))
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None and has(cache, data)


def has(cache: Cache, data: bytes) -> bool:
    """Whether the entry is there and holds these bytes; looked at without using the cache."""
    path = entry(cache, data)
    return path.exists() and path.read_bytes() == data


def entry(cache: Cache, data: bytes) -> Path:
    """Where the entry is."""
    name = digest_of(data)[7:]
    return cache.folder / "objects" / name[:2] / name


def content(cache: Cache, data: bytes) -> bytes | None:
    """What a hit reads."""
    descriptor = cache.open(digest_of(data), len(data))
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return file.read()


def leftovers(cache: Cache) -> list[str]:
    """Temporary files and locks."""
    return sorted(os.listdir(cache.folder / "tmp"))


def data(number: int, size: int = 1000) -> bytes:
    """Bytes that differ by number."""
    return bytes([number]) * size


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache for ten objects of `data`."""
    return Cache(tmp_path / "deep" / "cache", LIMIT)


@pytest.mark.parametrize("size", [0, 1, 1000, LIMIT])
def test_what_was_filled_is_there(cache: Cache, size: int) -> None:
    """An entry is read back from the descriptor that filling gives, and from the cache, also by another instance."""
    descriptor = cache.fill(digest_of(data(1, size)), size, writing(data(1, size)))
    assert descriptor is not None
    with open(descriptor, "rb") as file:
        file.seek(0)
        assert file.read() == data(1, size)
    assert content(cache, data(1, size)) == data(1, size)
    assert content(Cache(cache.folder, LIMIT), data(1, size)) == data(1, size)
    assert leftovers(cache) == []


def test_files_are_private(cache: Cache) -> None:
    """Folders and files of the cache are for their owner alone, and a folder that others may write is closed to them."""
    assert filled(cache, data(1))
    content(cache, data(1))
    cache.folder.chmod(0o777)
    assert filled(Cache(cache.folder, LIMIT), data(2))
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [cache.folder, *cache.folder.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


def test_a_second_fill_does_not_write(cache: Cache) -> None:
    """What is there already is not downloaded again."""
    assert filled(cache, data(1))
    descriptor = cache.fill(digest_of(data(1)), 1000, never)
    assert descriptor is not None
    os.close(descriptor)


def test_wrong_bytes_never_get_in(cache: Cache) -> None:
    """A download of another digest or size is an `ArtifactDamagedError`, and leaves nothing behind."""

    def short(descriptor: int) -> str:
        os.write(descriptor, b"short")
        return digest_of(data(1))

    for write in (writing(data(2)), short):
        with pytest.raises(ArtifactDamagedError, match="downloaded into the cache"):
            cache.fill(digest_of(data(1)), 1000, write)
    assert leftovers(cache) == []
    assert list((cache.folder / "objects").rglob("*")) == []
    assert filled(cache, data(1))


@pytest.mark.parametrize(
    "error",
    [ArtifactMissingError("gone"), StoreUnreachableError("cut"), KeyboardInterrupt(), ArtifactDamagedError("x")],
)
def test_a_failed_download_is_the_callers(cache: Cache, error: BaseException) -> None:
    """What the store raises is passed on as it is, nothing is left behind, and the next fill works."""

    def fail(descriptor: int) -> str:
        os.write(descriptor, b"half")
        raise error

    with pytest.raises(type(error)) as caught:
        cache.fill(digest_of(data(1)), 1000, fail)
    assert caught.value is error
    assert leftovers(cache) == []
    assert filled(cache, data(1))


@pytest.mark.parametrize(
    "digest", ["", "blake3:", "blake3:../../x", "sha1:" + "0" * 64, "blake3:" + "A" * 64, "blake3:" + "0" * 64 + "\n"]
)
def test_no_other_digest_is_a_path(cache: Cache, digest: str) -> None:
    """A text that is no digest is neither looked for nor kept: no path is made of it."""
    assert cache.open(digest, 3) is None
    assert cache.fill(digest, 3, never) is None
    assert not cache.folder.exists()


def test_the_least_recently_used_goes(cache: Cache) -> None:
    """When room is needed, what was neither filled nor read for longest goes, and only as much as is needed (or a tenth)."""
    for number in range(10):
        assert filled(cache, data(number))
        os.utime(entry(cache, data(number)), (1000 + number, 1000 + number))
    for number in (0, 3):  # read, so among the youngest
        assert content(cache, data(number)) == data(number)
    assert filled(cache, data(10, 2000))
    assert [number for number in range(10) if not has(cache, data(number))] == [1, 2]
    assert filled(cache, data(11, 7000))
    assert [number for number in range(10) if has(cache, data(number))] in ([0], [3])  # these two: at one instant
    assert has(cache, data(10, 2000))


def test_what_goes_takes_its_note_along(cache: Cache) -> None:
    """The file that says when an entry was read goes with it, and one whose entry is gone goes at the next look."""
    assert filled(cache, data(1))
    content(cache, data(1))
    lonely = entry(cache, data(2)).with_name("f" * 64 + ".used")
    lonely.parent.mkdir()
    lonely.touch()
    assert filled(cache, data(3, LIMIT))
    assert [path.name for path in (cache.folder / "objects").rglob("*") if path.is_file()] == [
        entry(cache, data(3, LIMIT)).name
    ]


def test_reading_is_noted_now_and_then(cache: Cache) -> None:
    """A process notes that it reads an entry at most once in a while; another process has a turn of its own."""
    assert filled(cache, data(1))
    content(cache, data(1))
    used = entry(cache, data(1)).with_name(entry(cache, data(1)).name + ".used")
    os.utime(used, (1000, 1000))
    content(cache, data(1))
    assert used.stat().st_mtime == 1000
    before = entry(cache, data(1)).stat()
    content(Cache(cache.folder, LIMIT), data(1))
    assert used.stat().st_mtime > 1000
    assert entry(cache, data(1)).stat().st_ctime_ns == before.st_ctime_ns  # or it would have to be verified again


def test_entries_are_rarely_counted(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a hit nor a fill that fits looks at all entries; the first fill does, and one that does not fit."""
    looks = []
    true = Cache._list
    monkeypatch.setattr(Cache, "_list", lambda self: looks.append(1) or true(self))
    for number in range(10):
        assert filled(cache, data(number))
        assert filled(Cache(cache.folder, LIMIT), data(number))
    for _ in range(50):
        content(cache, data(1))
    assert len(looks) == 1
    assert filled(cache, data(11))
    assert len(looks) == 2


@pytest.mark.parametrize("text", ["", "x", "5", "0 0", "-5 1e300", "0 nan", "\0\0", "9" * 500])
def test_a_wrong_estimate_is_found_out(cache: Cache, text: str) -> None:
    """Whatever the file with the estimate holds that no cache writes, the entries are counted anew and the limit holds."""
    for number in range(10):
        assert filled(cache, data(number))
    (cache.folder / "estimate").write_text(text)
    assert filled(cache, data(11, 5000))
    assert sum(path.stat().st_size for path in (cache.folder / "objects").rglob("*") if path.is_file()) <= LIMIT


def test_an_estimate_is_not_believed_for_ever(cache: Cache) -> None:
    """After an hour the entries are counted, whatever the estimate says."""
    for number in range(10):
        assert filled(cache, data(number))
    (cache.folder / "estimate").write_text(f"0 {time.time() - 3601}")
    assert filled(cache, data(11, 5000))
    assert sum(path.stat().st_size for path in (cache.folder / "objects").rglob("*") if path.is_file()) <= LIMIT


def test_an_entry_in_use_may_go(cache: Cache) -> None:
    """Who has an entry open goes on reading it after it was evicted."""
    assert filled(cache, data(1))
    descriptor = cache.open(digest_of(data(1)), 1000)
    assert descriptor is not None
    assert filled(cache, data(2, LIMIT))
    assert not has(cache, data(1))
    with open(descriptor, "rb") as file:
        assert file.read() == data(1)


def test_an_entry_of_another_size_is_thrown_out(cache: Cache) -> None:
    """What was cut off, has grown, or is no file is no hit, and the next fill replaces it."""
    assert filled(cache, data(1))
    for wrong in (b"", b"short", data(1, 1001)):
        entry(cache, data(1)).write_bytes(wrong)
        assert content(cache, data(1)) is None
        assert not entry(cache, data(1)).exists()
        assert filled(cache, data(1))
    entry(cache, data(1)).unlink()
    os.mkfifo(entry(cache, data(1)))
    assert content(cache, data(1)) is None
    assert filled(cache, data(1))


def test_links_are_not_followed(cache: Cache, tmp_path: Path) -> None:
    """A symbolic link in the place of an entry is no hit, and a fill replaces the link, not what it points to."""
    assert filled(cache, data(1))
    other = tmp_path / "other"
    other.write_bytes(data(1))
    entry(cache, data(1)).unlink()
    entry(cache, data(1)).symlink_to(other)
    assert content(cache, data(1)) is None
    assert filled(cache, data(1))
    assert not entry(cache, data(1)).is_symlink()


def test_only_the_damaged_file_is_thrown_out(cache: Cache) -> None:
    """A file that has taken the place of a damaged entry meanwhile is left alone."""
    assert filled(cache, data(1))
    descriptor = cache.open(digest_of(data(1)), 1000)
    assert descriptor is not None
    entry(cache, data(1)).unlink()
    assert filled(cache, data(1))
    cache.discard(digest_of(data(1)), descriptor)
    os.close(descriptor)
    assert has(cache, data(1))
    descriptor = cache.open(digest_of(data(1)), 1000)
    assert descriptor is not None
    cache.discard(digest_of(data(1)), descriptor)
    os.close(descriptor)
    assert not has(cache, data(1))


def test_temporaries_of_the_dead_are_swept(cache: Cache) -> None:
    """A look removes a download and a lock that nobody holds, and leaves one that is held, whose room stays taken."""
    assert filled(cache, data(1))
    names = [f"{'a' * 64}-5000-{'b' * 32}.part", f"{'c' * 64}-6000-{'d' * 32}.part", f"{'e' * 64}.lock"]
    paths = [cache.folder / "tmp" / name for name in names]
    for path in paths:
        path.write_bytes(b"half")
        os.utime(path, (1000, 1000))
    with paths[1].open("rb") as held:
        assert hold(held.fileno())
        (cache.folder / "estimate").unlink()
        assert not filled(cache, data(2, 4001))
        assert has(cache, data(1))  # nothing goes where that would not help
        assert leftovers(cache) == [names[1]]
        assert filled(cache, data(2, 4000))
    (cache.folder / "estimate").unlink()
    assert filled(cache, data(3, LIMIT))
    assert leftovers(cache) == []


def test_a_living_download_takes_up_room(cache: Cache) -> None:
    """Downloads that go on at one time share the limit: one that does not fit beside the others is not kept."""
    kept = []

    def write(descriptor: int) -> str:
        kept.append(filled(cache, data(2, 5000)))
        kept.append(filled(cache, data(3, 4000)))
        return writing(data(1, 6000))(descriptor)

    descriptor = cache.fill(digest_of(data(1, 6000)), 6000, write)
    assert descriptor is not None
    os.close(descriptor)
    assert kept == [False, True]
    assert has(cache, data(1, 6000))
    assert has(cache, data(3, 4000))


def test_a_fork_takes_no_lock_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked while a lock was held does not go on holding it, though the file stays open in it."""
    monkeypatch.setattr(caching, "_PATIENCE", 0.2)
    reader, writer = os.pipe()
    with caching._turn(tmp_path / "lock") as mine:
        assert mine
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
    with caching._turn(tmp_path / "lock") as mine:
        assert mine
        with caching._turn(tmp_path / "lock") as again:
            assert not again
    os.close(writer)
    os.waitpid(pid, 0)
    os.close(reader)


def test_a_cache_of_nothing_is_no_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the limit 0 nothing is kept, nothing is made, and nothing is said."""
    cache = Cache(tmp_path / "cache", 0)
    assert not filled(cache, data(1))
    assert content(cache, data(1)) is None
    assert not cache.folder.exists()
    assert caplog.records == []


@pytest.mark.parametrize(("limit", "left"), [(LIMIT, 5), (3000, 2), (0, 0)])
def test_a_lowered_limit_is_kept_by_trimming(cache: Cache, limit: int, left: int) -> None:
    """Trimming removes the least recently used until the limit is kept, and nothing while it is; no folder is made for it."""
    Cache(cache.folder, limit).trim()
    assert not cache.folder.exists()
    for number in range(5):
        assert filled(cache, data(number))
        time.sleep(0.002)
    Cache(cache.folder, limit).trim()
    assert [has(cache, data(number)) for number in range(5)] == [False] * (5 - left) + [True] * left


def test_an_object_beyond_the_limit_is_not_kept(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    """An object that is larger than the cache is not downloaded into it, evicts nothing, and is spoken of once."""
    assert filled(cache, data(1))
    for _ in range(3):
        assert cache.fill(digest_of(data(2, LIMIT + 1)), LIMIT + 1, never) is None
    assert has(cache, data(1))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "cache_size" in record.getMessage()
    assert str(LIMIT) in record.getMessage()


def test_a_full_disk_is_no_failure(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full before, while or after the download means that it is not kept; nothing half is left."""

    def full(descriptor: int) -> str:
        os.write(descriptor, b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_by_store(descriptor: int) -> str:
        error = StoreFullError("no space")
        error.errno = errno.ENOSPC
        raise error

    for write in (full, full_by_store):
        assert cache.fill(digest_of(data(1)), 1000, write) is None
    assert leftovers(cache) == []
    monkeypatch.setattr(caching.shutil, "disk_usage", lambda _: _Usage)
    assert cache.fill(digest_of(data(1)), 1000, never) is None
    assert leftovers(cache) == []


class _Usage:
    free = 999


def test_a_limit_on_files_is_no_failure(cache: Cache) -> None:
    """Where the system itself refuses to write on, nothing is kept and nothing is left; smaller objects still get in."""

    def write(descriptor: int) -> str:
        done = 0
        while done < 8000:
            done += os.write(descriptor, data(1, 8000)[done:])
        return digest_of(data(1, 8000))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        assert cache.fill(digest_of(data(1, 8000)), 8000, write) is None
        assert leftovers(cache) == []
        assert filled(cache, data(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_read_only_cache_is_still_read(cache: Cache) -> None:
    """A folder that cannot be written gives its hits, keeps nothing new, and says so once."""
    assert filled(cache, data(1))
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    everything = [cache.folder.parent, *cache.folder.parent.rglob("*")]
    for path in everything:
        os.chown(path, owner, -1)
        path.chmod(0o500 if path.is_dir() else 0o400)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.chdir(cache.folder.parent)  # what is above is not for this user to read
            os.setuid(owner)
            poor = Cache(Path("cache"), LIMIT)
            assert content(poor, data(1)) == data(1)
            assert not filled(poor, data(2))
            assert poor._warned
            entry_now = poor.open(digest_of(data(1)), 1000)
            assert entry_now is not None
            poor.discard(digest_of(data(1)), entry_now)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    for path in everything:
        os.chown(path, os.geteuid(), -1)
        path.chmod(0o700)
    assert status == 0
    assert not has(cache, data(2))


def test_a_place_that_is_no_folder_is_no_failure(tmp_path: Path) -> None:
    """Where a file is in the way of the cache, or of a folder in it, nothing is kept and nothing raised."""
    (tmp_path / "file").write_text("")
    assert not filled(Cache(tmp_path / "file", LIMIT), data(1))
    assert content(Cache(tmp_path / "file", LIMIT), data(1)) is None
    for name in ("objects", "tmp"):
        folder = tmp_path / f"with-{name}"
        folder.mkdir()
        (folder / name).write_text("")
        assert not filled(Cache(folder, LIMIT), data(1))


def test_a_folder_of_another_user_is_not_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is put into a cache folder that belongs to somebody else."""
    assert filled(cache, data(1))
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert not filled(cache, data(2))


def test_a_folder_that_was_removed_is_made_again(cache: Cache) -> None:
    """Whoever removes the cache, or parts of it, costs downloads and nothing else."""
    import shutil

    for gone in (cache.folder, cache.folder / "objects", cache.folder / "tmp"):
        assert filled(cache, data(1))
        shutil.rmtree(gone)
        assert gone.name == "tmp" or content(cache, data(1)) is None
        assert filled(cache, data(2))


def test_an_entry_that_cannot_be_named_is_read_all_the_same(cache: Cache) -> None:
    """If only the last step fails, the download is not lost on who asked for it."""

    def write(descriptor: int) -> str:
        (cache.folder / "objects").rmdir()
        (cache.folder / "objects").write_text("")
        return writing(data(1))(descriptor)

    descriptor = cache.fill(digest_of(data(1)), 1000, write)
    assert descriptor is not None
    with open(descriptor, "rb") as file:
        file.seek(0)
        assert file.read() == data(1)
    assert leftovers(cache) == []


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_spool_is_kept(tmp_path: Path, size: int) -> None:
    """The file of a finished spool becomes an entry, and closing the spool leaves it there."""
    cache = Cache(tmp_path / "cache", 2_000_000)
    spool = Spool(tmp_path)
    spool.write(data(1, size))
    assert cache.keep(spool)
    assert spool.path is None
    spool.close()
    assert content(cache, data(1, size)) == data(1, size)
    assert stat.S_IMODE(entry(cache, data(1, size)).stat().st_mode) == 0o600
    assert list(tmp_path.glob("*.part")) == []


def test_lent_memory_is_kept_as_it_was_digested_or_not_at_all(cache: Cache, tmp_path: Path) -> None:
    """A copy of it becomes an entry; if it changed since, or there is no room, there is none, and the spool says what it said."""
    memory = bytearray(data(1) * 100)
    spool = Spool(tmp_path, borrows=True)
    spool.lend(memory)
    spool.write(b"few")
    wanted, digest = bytes(memory) + b"few", spool.digest
    roomy = Cache(tmp_path / "roomy", 1_000_000)
    memory[0] ^= 1
    assert not roomy.keep(spool)
    assert (spool.digest, spool.size) == (digest, len(wanted))
    memory[0] ^= 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("simpleml.save_patterns.locations.cache.write_all", _full)
        assert not roomy.keep(spool)
    assert not cache.keep(spool)
    assert (spool.digest, leftovers(roomy)) == (digest, [])
    assert roomy.keep(spool)
    assert content(roomy, wanted) == wanted
    assert (spool.digest, list(tmp_path.glob("*.part"))) == (digest, [])
    spool.close()


def _full(descriptor: int, view: memoryview) -> None:
    raise OSError(28, "No space left on device")


def test_a_spool_that_is_not_kept_is_as_it_was(cache: Cache, tmp_path: Path) -> None:
    """A spool that is too large, has no room, or lies elsewhere stays its owner's, whole; one that is known is closed as usual."""
    spool = Spool(tmp_path)
    spool.write(data(1, LIMIT + 1) * 100)
    assert not cache.keep(spool)
    path, _ = spool.materialize()
    assert path.stat().st_size == spool.size
    spool.close()
    assert not path.exists()
    assert filled(cache, data(2))
    known = Spool(tmp_path)
    known.write(data(2))
    assert cache.keep(known)
    known.close()
    elsewhere = Path("/dev/shm") / f"simpleml-{os.getpid()}"  # most likely another file system
    elsewhere.mkdir()
    try:
        far = Spool(elsewhere)
        far.write(data(3))
        far.materialize()
        assert cache.keep(far) == (os.stat(elsewhere).st_dev == os.stat(cache.folder).st_dev)
        far.close()
        assert list(elsewhere.iterdir()) == []
    finally:
        elsewhere.rmdir()
    assert list(tmp_path.glob("*.part")) == []
