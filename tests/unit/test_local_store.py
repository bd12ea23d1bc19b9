"""The local store: the contract, and what only files can do to it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import shutil
import stat
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)
from simpleml.orm.bundles.carrying import Piece
from simpleml.save_patterns.locations.disk import flush_file, flush_folder, make_folder, store_error
from simpleml.save_patterns.locations.keys import is_key, ledger_folder, make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.locations.spool import Spool
from simpleml.testing.faults import Point, at, fail, recorded
from simpleml.testing.stores import LEDGER, NO_KEYS, StoreContract

KEY = make_key(LEDGER, "blake3:" + "ab" * 32, "0" * 32)


class TestLocalStore(StoreContract):
    """A folder keeps every promise of a store."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "deep" / "store"

    def store(self) -> LocalStore:
        return LocalStore("mine", self.folder)


def _put(store: LocalStore, data: bytes = b"abc", key: str = KEY) -> Path:
    spool = store.spool()
    spool.write(data)
    store.put(spool, key)
    spool.close()
    return store.root / key


@given(
    st.text(st.sampled_from("objects-0123456789abcdef/.\\:\0\n\u2024\uff0e\u0660~%"), max_size=120)
    | st.text(max_size=120)
)
def test_no_other_text_is_a_key(text: str) -> None:
    """A text is a key exactly if `make_key` could have made it: ASCII, three parts, no dot at all."""
    assert is_key(text) == (
        len(text) == len(KEY)
        and text.isascii()
        and text.startswith("objects-")
        and [len(part) for part in text.split("/")] == [20, 2, 65]
        and set(text.removeprefix("objects-").replace("/", "", 2).replace("-", "", 1)) <= set("0123456789abcdef")
        and text[-33] == "-"
    )
    assert not any(is_key(wrong) for wrong in NO_KEYS)


@given(st.text("0123456789abcdef", min_size=12), st.text("0123456789abcdef", min_size=32), st.uuids())
def test_what_is_made_is_a_key(ledger: str, head: str, attempt: object) -> None:
    """Every key that is made is one, and lies below the folder of its ledger."""
    key = make_key(ledger, f"blake3:{head}", str(attempt).replace("-", ""))
    assert is_key(key)
    assert key.startswith(ledger_folder(ledger) + "/")


def test_files_are_private(tmp_path: Path) -> None:
    """Objects and temporary files are readable by their owner alone, folders too."""
    store = LocalStore("mine", tmp_path / "store")
    path = _put(store)
    spool = store.spool()
    spool.write(b"x" * 1_000_000)
    assert spool.path is not None
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    for folder in (store.root, store.root / "tmp", path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    spool.close()


def test_links_are_no_objects(tmp_path: Path) -> None:
    """A symbolic link in the place of an object, or of a folder on the way, is not followed by any call."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"abc")
    store = LocalStore("mine", tmp_path / "store")
    path = _put(store)
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        store.read(KEY, 3)
    assert store.size(KEY) is None
    store.delete(KEY)
    assert outside.read_bytes() == b"abc"
    assert not path.is_symlink()
    elsewhere = tmp_path / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)
    (elsewhere / path.name).write_bytes(b"abc")
    for call in (lambda: store.size(KEY), lambda: store.read(KEY, 3), lambda: store.delete(KEY)):
        with pytest.raises(StoreError, match="symbolic link"):
            call()
    fresh = LocalStore("mine", store.root)
    with pytest.raises(StoreError):
        _put(fresh, b"xyz", make_key(LEDGER, "blake3:" + "ab" * 32, "1" * 32))
    assert [each.name for each in elsewhere.iterdir()] == [path.name]


@pytest.mark.parametrize("kind", ["folder", "fifo"])
def test_what_is_no_file_is_no_object(tmp_path: Path, kind: str) -> None:
    """A folder or a pipe under a key has no size, and reading it is an error at once, not a wait."""
    store = LocalStore("mine", tmp_path / "store")
    path = _put(store)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    assert store.size(KEY) is None
    with pytest.raises(ArtifactDamagedError, match="is no file"):
        store.read(KEY, path.lstat().st_size)


def test_only_objects_of_ours_are_listed(tmp_path: Path) -> None:
    """Other files in the store, also in our folders, are neither listed nor cleared."""
    store = LocalStore("mine", tmp_path / "store")
    path = _put(store)
    for name in ("README", ".hidden", path.name + ".bak", "é"):
        (path.parent / name).write_text("mine")
        (store.root / name).write_text("mine")
    (store.root / "tmp" / "notes.txt").write_text("mine")
    assert list(store.keys(ledger_folder(LEDGER))) == [KEY]
    assert store.clear_leftovers(-1) == 0
    assert len(list(store.root.rglob("*"))) > 256


def test_a_truncated_file_is_seen_while_it_is_read(tmp_path: Path) -> None:
    """A file that is cut, or grown, is never handed out."""
    store = LocalStore("mine", tmp_path / "store")
    path = _put(store, b"x" * 100_000)
    for content in (b"", b"x" * 99_999, b"x" * 100_001):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"has {len(content)} bytes, but 100000 bytes were saved"):
            store.read(KEY, 100_000)


def test_a_store_below_a_file_is_told(tmp_path: Path) -> None:
    """A root that cannot be a folder is a `StoreError` that names the store and the place."""
    (tmp_path / "file").write_text("x")
    store = LocalStore("mine", tmp_path / "file" / "store")
    with pytest.raises(StoreError, match=r"cannot prepare in the store 'mine' \(.*file/store\)"):
        store.spool()
    with pytest.raises(ArtifactMissingError, match=r"If the store was moved, say where it is: \[stores\] mine = "):
        store.read(KEY, 3)


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, StoreFullError, "simpleml gc"),
        (errno.EDQUOT, StoreFullError, "simpleml gc"),
        (errno.EROFS, StoreReadOnlyError, "right to write"),
        (errno.EACCES, StoreReadOnlyError, r"\[stores\] mine"),
        (errno.EIO, StoreError, "[wW]hat was saved before is unharmed"),
    ],
)
def test_failures_of_the_system_are_told_in_our_words(number: int, kind: type[StoreError], advice: str) -> None:
    """Each errno becomes the class that a caller can catch, keeps its number, and says what to do."""
    error = store_error(OSError(number, os.strerror(number)), "write", "mine", "/place")
    assert type(error) is kind
    assert error.errno == number
    with pytest.raises(kind, match=advice):
        raise error


@pytest.mark.parametrize("action", ["read", "list"])
def test_who_may_not_read_is_not_told_of_writing(action: str) -> None:
    """A refusal to read asks for the right to read, and is not told as a place that cannot be written."""
    error = store_error(OSError(errno.EACCES, "Permission denied"), action, "mine", "/place")
    assert type(error) is StoreCredentialsError
    assert "the right to read there" in str(error)
    assert "write" not in str(error)


def test_a_folder_that_cannot_be_flushed_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no flush of folders, as above the mounts of many machines, folders are made; errors of a medium come out."""
    descriptor = os.open("/proc", os.O_RDONLY)
    with pytest.raises(OSError, match="Invalid argument"):
        os.fsync(descriptor)
    os.close(descriptor)
    flush_folder(Path("/proc"))
    make_folder(Path("/proc/self/task"))

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output error"):
        flush_folder(Path("/proc"))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_mac_falls_back_where_there_is_no_full_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Where macOS has no call for the medium the usual one is made; a flush that failed is not tried again in another way."""
    flushed: list[int] = []
    plain = os.fsync

    def refusing(descriptor: int, command: int) -> None:
        assert command == 51
        raise OSError(number, os.strerror(number))

    def counting(descriptor: int) -> None:
        flushed.append(descriptor)
        plain(descriptor)

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    if number != errno.EINVAL:  # what this system says of a command that it does not know
        monkeypatch.setattr(fcntl, "fcntl", refusing)
    monkeypatch.setattr(os, "fsync", counting)
    with (tmp_path / "file").open("wb") as file:
        if number == errno.EIO:
            with pytest.raises(OSError, match="Input/output error"):
                flush_file(file.fileno())
        else:
            flush_file(file.fileno())
        assert flushed == [file.fileno()] * (number != errno.EIO)


def test_a_disk_that_fills_while_another_store_writes_to_a_spool_is_told(tmp_path: Path) -> None:
    """What has no room in mid-transfer is the store whose spool it is; what the other store has not is told as its own."""
    source, target = LocalStore("theirs", tmp_path / "theirs"), LocalStore("mine", tmp_path / "mine")
    _put(source, bytes(100_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(target.spool()) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises(StoreFullError, match="cannot write in the store 'mine'"):
                spool.take(partial(source.download, KEY, 100_000), 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    source.delete(KEY)
    far = open_store("far", "memory://x", {}, spool=tmp_path / "spool")
    for store in (target, far):
        with (
            closing(store.spool()) as spool,
            pytest.raises(ArtifactMissingError, match="not in the store 'theirs'"),
        ):
            spool.take(partial(source.download, KEY, 100_000), 100_000)


def test_a_piece_that_has_no_room_is_told(tmp_path: Path) -> None:
    """An object from far away that does not fit the spool on its way is a full store, by name."""
    far = open_store("far", "memory://piece", {}, spool=tmp_path / "spool")
    size = 6_000_000
    with closing(far.spool()) as spool:
        spool.write(bytes(size))
        far.put(spool, KEY)
    piece = Piece(far, KEY, size)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, before[1]))
    try:
        with pytest.raises(StoreFullError, match="cannot write in the store 'far'"):
            piece.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        piece.close()
    assert list((tmp_path / "spool").rglob("*.part")) == []
    far.delete(KEY)


def _made(store: LocalStore, count: int) -> list[tuple[Spool, str]]:
    """Return spools of different contents, small ones and big ones, and a key for each, in several folders."""
    puts = []
    for number in range(count):
        spool = store.spool()
        spool.write(bytes([number]) * (100 if number % 2 else 300_000))
        puts.append((spool, make_key(LEDGER, spool.digest, f"{number:032x}")))
    return puts


def test_a_place_that_is_no_folder_comes_with_advice(tmp_path: Path) -> None:
    """What to do is told where a file stands in the place of a folder."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"See that this is a folder, or name another place: \[stores\] mine"):
        _put(LocalStore("mine", tmp_path / "file" / "store"))


def test_what_is_put_together_is_as_if_put_alone(tmp_path: Path) -> None:
    """Each object is whole under its key and every temporary file gone; no file has its name before all are flushed."""
    store = LocalStore("mine", tmp_path / "store")
    puts = _made(store, 12)
    keys = [key for _, key in puts]
    with recorded() as reached:
        store.put_together(puts)
        store.settle(keys)
    assert [store.read(key, spool.size)[1] for spool, key in puts] == [spool.digest for spool, _ in puts]
    assert list((store.root / "tmp").glob("*.part")) == []
    steps = [name.removeprefix("put.") for name in reached if name.startswith("put.") and name.endswith(".after")]
    folders = {key.split("/")[1] for key in keys}
    assert steps == ["fsync.after"] * 12 + ["rename.after"] * 12 + ["fsync_folder.after"] * len(folders)
    store.put_together([])
    store.settle([])


@pytest.mark.parametrize("step", ["put.fsync.before", "put.rename.before"])
def test_one_that_cannot_be_put_stops_the_others(tmp_path: Path, step: str) -> None:
    """What had its name before the failure keeps it, whole; the others have none, and their temporary files go with them."""
    store = LocalStore("mine", tmp_path / "store")
    puts = _made(store, 6)
    with pytest.raises(StoreFullError, match="cannot write"), at(Point(step, 4), fail(errno.ENOSPC)):
        store.put_together(puts)
    expected = [spool.size for spool, _ in puts[:3]] if step == "put.rename.before" else []
    found = [size for _, key in puts if (size := store.size(key)) is not None]
    assert found == expected
    for spool, _ in puts:
        spool.close()
    assert list((store.root / "tmp").glob("*.part")) == []


def test_what_is_put_together_finds_its_folders_again(tmp_path: Path) -> None:
    """Folders that are gone are made again in the midst of it, and a key that is none is refused before anything happens."""
    store = LocalStore("mine", tmp_path / "store")
    puts = _made(store, 4)
    _put(store)
    shutil.rmtree(store.root / ledger_folder(LEDGER))
    store.put_together(puts)
    store.settle([key for _, key in puts])
    assert all(store.size(key) == spool.size for spool, key in puts)
    spool, key = store.spool(), make_key(LEDGER, "blake3:" + "ef" * 32, "0" * 32)
    with pytest.raises(StoreError, match="is no key"):
        store.put_together([(spool, key), (spool, "objects/../x")])
    assert store.size(key) is None
    spool.close()
