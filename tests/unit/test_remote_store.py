"""Remote stores without a network: the contract on simple transports, retries, unclear answers, opening, and what is told."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Semaphore, Thread
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fsspec
import fsspec.asyn
import pytest

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    ConfigurationError,
    MissingDependencyError,
    SourceChangedError,
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.save_patterns.locations import opening
from simpleml.save_patterns.locations.checking import check
from simpleml.save_patterns.locations.filesystem import scrubbed
from simpleml.save_patterns.locations.generic import GenericTransport
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.opening import open_store, register_location
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.retries import Retries
from simpleml.save_patterns.locations.sftp import SFTPTransport
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.locations.spooled import Spooled
from simpleml.save_patterns.locations.transport import Fault, PartedTransport, Source, Stat, Transport, fault_of
from simpleml.save_patterns.locations.workers import Workers
from simpleml.save_patterns.protocols import Store
from simpleml.testing.stores import LEDGER, StoreContract


class Shelf(Transport):
    """A place of a user's own, in as few lines as it takes."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.objects: dict[str, bytes] = options["objects"]

    def create(self, key: str, source: Source) -> None:
        if self.objects.setdefault(key, data := source.whole()) is not data:
            raise FileExistsError(key)

    def stat(self, key: str) -> Stat | None:
        return Stat(len(self.objects[key])) if key in self.objects else None

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        if key not in self.objects:
            raise FileNotFoundError(key)
        data = self.objects[key][start : start + len(target)]
        target[: len(data)] = data
        return len(data)

    def delete(self, key: str) -> None:
        self.objects.pop(key, None)

    def list(self, folder: str) -> Iterable[str]:
        return [key for key in self.objects if key.startswith(folder)]


class Parts(Shelf, PartedTransport):
    """The same in parts, with failures to be set: `failing[call]` holds what its next calls raise, before or after they work."""

    part_size = 100_000
    workers = 3

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        super().__init__(url, options)
        self.uploads: dict[str, dict[str, bytes]] = {}
        self.failing: dict[str, list[tuple[str, Exception]]] = {}
        self.cut = 0

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        when, error = self.failing[name].pop(0) if self.failing.get(name) else ("", None)
        if error is not None and when == "before":
            raise error
        done = work()
        if error is not None:
            raise error
        return done

    def create(self, key: str, source: Source) -> None:
        self._do("create", partial(super().create, key, source))

    def stat(self, key: str) -> Stat | None:
        return self._do("stat", partial(super().stat, key))

    def fetch(self, key: str, start: int, target: memoryview) -> int:
        if self.cut:
            target = target[: self.cut]
        return self._do("fetch", partial(super().fetch, key, start, target))

    def begin(self, key: str, source: Source) -> str:
        name = uuid4().hex
        self._do("begin", lambda: self.uploads.setdefault(name, {}))
        return name

    def add(self, key: str, upload: str, number: int, start: int, data: bytes) -> str:
        self._do("add", lambda: self.uploads[upload].update({f"{number}": data}))
        return f"{number}"

    def finish(self, key: str, upload: str, parts: Iterable[str], source: Source) -> None:
        def work() -> None:
            found = self.uploads.pop(upload)
            if key in self.objects:
                raise FileExistsError(key)
            self.objects[key] = b"".join(found[part] for part in parts)

        self._do("finish", work)

    def abort(self, key: str, upload: str) -> None:
        self._do("abort", lambda: self.uploads.pop(upload, None))


class Without(StoreContract):
    """The contract on a transport without a network."""

    transport: Callable[[str, Mapping[str, Any]], Transport]
    url = "shelf://place"

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.options: dict[str, Any] = {"objects": {}}
        self.spool = tmp_path / "spool"

    def store(self) -> Store:
        make = partial(type(self).transport, self.url, self.options)
        return RemoteStore("mine", make, self.spool, place=self.url)


class TestShelf(Without):
    """A place that a user made of five methods keeps every promise of a store."""

    transport = Shelf


class TestParts(Without):
    """So does one that takes objects in parts."""

    transport = Parts


class TestGeneric(Without):
    """So does any filesystem of fsspec, with a temporary name."""

    transport = GenericTransport

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.options = {}
        self.spool = tmp_path / "spool"
        self.url = f"memory://{uuid4().hex}"


def _parted(tmp_path: Path, seconds: float = 20) -> tuple[RemoteStore, Parts]:
    made: list[Parts] = []

    def make() -> Parts:
        made.append(Parts("", {"objects": {}}))
        return made[0]

    retries = Retries(seconds, sleep=lambda _: None)
    return RemoteStore("mine", make, tmp_path / "spool", place="parts://place", retries=retries), made[0]


def _put(store: Store, data: bytes) -> str:
    spool = store.spool()
    try:
        spool.write(data)
        key = make_key(LEDGER, spool.digest, uuid4().hex)
        store.put(spool, key)
        return key
    finally:
        spool.close()


SMALL, BIG = b"abc" * 10, os.urandom(450_001)


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["whole", "parts"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_fails_in_passing_is_done_again(tmp_path: Path, data: bytes, when: str) -> None:
    """A call that fails, or whose answer is lost, is made again until the object is there, once and whole."""
    store, place = _parted(tmp_path)
    for call in ("create", "stat", "fetch", "begin", "add", "finish"):
        place.failing[call] = [(when, TimeoutError()), (when, ConnectionResetError())]
    if when == "after":
        place.failing["finish"] = [(when, TimeoutError())]
    key = _put(store, data)
    found, _ = store.read(key, len(data))
    assert bytes(found) == data
    assert place.objects == {key: data}


def test_an_answer_that_never_came_is_settled_by_looking(tmp_path: Path) -> None:
    """When the deadline passes without an answer, an object of our size and digest under our key is success."""
    store, place = _parted(tmp_path, seconds=0)
    for data, call in ((SMALL, "create"), (BIG, "finish")):
        place.failing[call] = [("after", TimeoutError())]
        assert place.objects[_put(store, data)] == data


@pytest.mark.parametrize("other", [b"xyz" * 10, b"x"])
def test_somebody_elses_object_is_not_ours(tmp_path: Path, other: bytes) -> None:
    """An object of another size or content under the key is kept, and the put is an error, not a success."""
    store, place = _parted(tmp_path)
    spool = store.spool()
    spool.write(SMALL)
    key = make_key(LEDGER, spool.digest, uuid4().hex)
    place.objects[key] = other
    with pytest.raises(StoreError, match="never gives twice"):
        store.put(spool, key)
    assert place.objects == {key: other}
    spool.close()


@pytest.mark.parametrize("call", ["begin", "add", "finish"])
def test_a_failed_upload_is_aborted(tmp_path: Path, call: str) -> None:
    """An upload that cannot be finished leaves neither an object nor parts, and says what hit it."""
    store, place = _parted(tmp_path)
    place.failing[call] = [("before", OSError(errno.ENOSPC, "no space"))] * 5
    with pytest.raises(StoreFullError, match="cannot write in the store 'mine'"):
        _put(store, BIG)
    assert (place.objects, place.uploads) == ({}, {})
    place.failing = {}
    assert bytes(store.read(_put(store, BIG), len(BIG))[0]) == BIG


def test_a_failed_abort_hides_nothing(tmp_path: Path) -> None:
    """If the parts cannot be removed either, the first failure is told."""
    store, place = _parted(tmp_path)
    place.failing = {"add": [("before", PermissionError("no"))], "abort": [("before", OSError("gone"))]}
    with pytest.raises(StoreReadOnlyError):
        _put(store, BIG)


def test_short_answers_are_continued(tmp_path: Path) -> None:
    """An answer that ends early is resumed where it ended, in memory and into a file."""
    store, place = _parted(tmp_path)
    data = os.urandom(9_000_000)
    for content, cut in ((SMALL, 7), (data, 3_000_000)):
        key = _put(store, content)
        place.cut = cut
        assert bytes(store.read(key, len(content))[0]) == content
        with open(tmp_path / "file", "w+b") as file:
            store.download(key, len(content), file.fileno())
        assert (tmp_path / "file").read_bytes() == content
        place.cut = 0


@pytest.mark.parametrize("call", ["read", "digest"])
def test_an_object_that_shrinks_is_damaged(tmp_path: Path, call: str) -> None:
    """An object that ends before its size, also in mid-transfer, is told as damage and never padded, and one that is gone as missing."""
    store, place = _parted(tmp_path)
    key = _put(store, bytes(9_000_000))
    whole = place.objects[key]
    place.stat = lambda _: Stat(9_000_000)  # type: ignore[method-assign]
    place.objects[key] = whole[:-1]
    with pytest.raises(ArtifactDamagedError, match="ended after 8999999 bytes"):
        getattr(store, call)(key, 9_000_000)
    del place.objects[key]
    with pytest.raises(ArtifactMissingError):
        getattr(store, call)(key, 9_000_000)


def test_a_digest_is_of_all_that_is_there(tmp_path: Path) -> None:
    """The digest of an object is that of a copy; one of another size is damaged, and a cut is got over."""
    store, place = _parted(tmp_path)
    data = os.urandom(9_000_000)
    for content, cut in ((SMALL, 7), (data, 3_000_000)):
        key = _put(store, content)
        place.cut = cut
        assert store.digest(key, len(content)) == store.read(key, len(content))[1]
        place.cut = 0
        with pytest.raises(ArtifactDamagedError, match=f"{len(content) + 1} bytes were saved"):
            store.digest(key, len(content) + 1)


def test_a_digest_has_few_parts_in_memory(tmp_path: Path) -> None:
    """While the first part of an object is still under way, no more are fetched than the place has workers."""
    store, place = _parted(tmp_path)
    key = _put(store, BIG)
    digest = store.read(key, len(BIG))[1]
    place.range_size = 1_000
    begun: list[int] = []
    beside: list[int] = []
    fetch = place.fetch

    def slow(key: str, start: int, target: memoryview) -> int:
        begun.append(start)
        if start == 0:
            time.sleep(0.1)  # in which all others could begin
            beside.extend(begun)
        return fetch(key, start, target)

    place.fetch = slow  # type: ignore[method-assign]
    assert store.digest(key, len(BIG)) == digest
    assert len(beside) <= place.workers < len(begun)


@pytest.mark.parametrize(("answer", "error", "words"), [(-1, StoreError, "fetch said that -1"), (10**9, StoreError, "fetch said that 1000000000"), (0, ArtifactDamagedError, "ended after 0 bytes")])  # fmt: skip
@pytest.mark.parametrize("data", [SMALL, bytes(9_000_000)], ids=["small", "large"])
def test_a_transport_that_miscounts_is_told(
    tmp_path: Path, data: bytes, answer: int, error: type[Exception], words: str
) -> None:
    """A number of bytes that cannot have come is told as the transport's, and one too few as an object that ended."""
    store, place = _parted(tmp_path)
    key = _put(store, data)
    place.fetch = lambda *_: answer  # type: ignore[method-assign]
    with pytest.raises(error, match=words):
        store.read(key, len(data))


def test_what_says_little_is_told_with_its_type(tmp_path: Path) -> None:
    """A fault of a transport's own code is told with the type of the exception."""
    store, place = _parted(tmp_path)
    place.failing = {"stat": [("before", KeyError("size"))]}
    with pytest.raises(StoreError, match="KeyError: 'size'"):
        store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32))


@pytest.mark.parametrize("size", [3, 400_000])
def test_a_closed_spool_takes_nothing(tmp_path: Path, size: int) -> None:
    """What is written to a closed spool is refused, and makes no new file; what was digested stays so."""
    spool = Spool(tmp_path)
    spool.write(bytes(size))
    before = spool.digest
    spool.write(b"x")
    assert spool.digest != before
    spool.close()
    for work in (lambda: spool.write(b"x"), spool.materialize, lambda: spool.take(lambda _: "", 1)):
        with pytest.raises(ValueError, match="closed"):
            work()
    assert list(tmp_path.iterdir()) == []


def test_a_small_spool_asks_for_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether somebody watches is asked once an artifact meets the disk, and the digest is made once."""
    asked = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: asked.append(1)))
    with closing(Spool(tmp_path)) as spool:
        spool.write(SMALL)
        assert (spool.digest is spool.digest, asked) == (True, [])
        spool.write(bytes(1_000_000))
        assert asked == [1]


def test_our_own_full_disk_is_not_the_stores(tmp_path: Path) -> None:
    """A file that cannot be written to while an object is downloaded is the caller's failure, as the system put it."""
    store, _ = _parted(tmp_path)
    key = _put(store, bytes(9_000_000))
    with open("/dev/full", "r+b", buffering=0) as full, pytest.raises(OSError) as caught:
        store.download(key, 9_000_000, full.fileno())
    assert not isinstance(caught.value, StoreError)


@pytest.mark.parametrize(
    ("error", "action", "kind"),
    [
        (TimeoutError("t"), "read", StoreUnreachableError),
        (NotADirectoryError("n"), "read", StoreUnreachableError),
        (FileNotFoundError("f"), "write", StoreUnreachableError),
        (PermissionError("p"), "read", StoreCredentialsError),
        (PermissionError("p"), "write", StoreReadOnlyError),
        (OSError(errno.EDQUOT, "quota"), "write", StoreFullError),
        (RuntimeError("anything"), "read", StoreError),
    ],
)
def test_failures_are_told(tmp_path: Path, error: Exception, action: str, kind: type[Exception]) -> None:
    """Each kind of failure has its error, which names the store, the place and what to do."""
    store, place = _parted(tmp_path, seconds=0)
    place.failing = {name: [("before", error)] * 3 for name in ("stat", "create")}
    with pytest.raises(kind) as caught:
        store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)) if action == "read" else _put(store, SMALL)
    assert type(caught.value) is kind
    for word in (f"cannot {action} in the store 'mine'", "parts://place", "unharmed"):
        assert word in str(caught.value)
    assert ("The save did not happen" in str(caught.value)) == (action == "write")


def test_pauses_grow_and_end() -> None:
    """Pauses are drawn below a bound that doubles up to ten seconds; the last one ends with the deadline, and then the failure is raised."""
    now, pauses = [0.0], []

    def sleep(pause: float) -> None:
        pauses.append(pause)
        now[0] += pause

    def fail() -> None:
        raise TimeoutError(f"{len(pauses)}")

    retries = Retries(60, clock=lambda: now[0], sleep=sleep, draw=lambda: 1.0)
    with pytest.raises(TimeoutError, match=r"^12$"):
        retries.run(fail, lambda error: fault_of(error) is Fault.TRANSIENT)
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10, 10, 7.3])
    with pytest.raises(TimeoutError, match=r"^12$"):
        retries.run(fail, lambda _: False)


def test_a_place_that_does_not_answer_is_told_of_while_one_waits(caplog: pytest.LogCaptureFixture) -> None:
    """After some seconds, and once in a while, whoever waits reads which place it is; not of what is over at once."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    def fail() -> None:
        raise TimeoutError("secret")

    retries = Retries(60, place="the store 'cloud'", clock=lambda: now[0], sleep=sleep, draw=lambda: 1.0)
    left = iter([TimeoutError("once"), None])

    def once() -> None:
        if error := next(left):
            raise error

    with caplog.at_level("WARNING", "simpleml"):
        retries.run(once, lambda _: True)
        assert caplog.messages == []
        for _ in range(2):
            with pytest.raises(TimeoutError):
                retries.run(fail, lambda _: True)
    assert len(caplog.messages) == 4
    assert caplog.messages[0].startswith(
        "the store 'cloud' does not answer as it should (TimeoutError); it is tried again for up to 5"
    )
    assert "secret" not in caplog.text


def _impatient() -> Retries:
    """Give retries that rest five seconds, and one more: whoever is given up never comes to it."""
    return Retries(6, draw=lambda: 50.0)


@pytest.mark.parametrize("action", ["read", "digest", "download", "put"])
@pytest.mark.parametrize("forbidden", [0, 100_000, 200_000])
def test_what_is_given_up_is_not_tried_again(tmp_path: Path, action: str, forbidden: int) -> None:
    """When a part of an object fails for good, the others, which wait to be tried again, do not wait on; and that part is told of."""
    place = Parts("", {"objects": {}})
    place.range_size = 100_000
    store = RemoteStore("mine", lambda: place, tmp_path / "spool", place="parts://place", retries=_impatient())
    key = _put(store, BIG)
    tried: list[int] = []
    others = Semaphore(0)

    def fail(*arguments: Any) -> Any:
        start = arguments[-2]
        tried.append(start)
        if start == forbidden:
            for _ in range(place.workers - 1):
                assert others.acquire(timeout=60)
            raise PermissionError("not yours")
        others.release()
        raise TimeoutError("in passing")

    def do() -> None:
        if action == "download":
            with (tmp_path / "file").open("w+b") as file:
                store.download(key, len(BIG), file.fileno())
        else:
            _put(store, BIG) if action == "put" else getattr(store, action)(key, len(BIG))

    setattr(place, "add" if action == "put" else "fetch", fail)
    with pytest.raises((StoreReadOnlyError, StoreCredentialsError), match="not yours"):
        do()
    assert len(tried) == len(set(tried)) >= place.workers


def test_the_first_failure_of_a_block_is_what_it_raises() -> None:
    """Also if nobody asks that part of the work, and if another fails because of it; and nothing is begun after it."""
    failed = Event()

    def late() -> None:
        assert failed.wait(60)
        raise TimeoutError("given up")

    def first() -> None:
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours"), Workers(2) as pool:
        waiting = pool.submit(late)
        with pytest.raises(PermissionError):
            pool.submit(first).result()
        with pytest.raises(PermissionError):
            pool.submit(failed.set)
        assert not failed.is_set()
        failed.set()
        waiting.result()

    with pytest.raises(PermissionError, match="not yours"), Workers(2) as pool:
        pool.submit(first)


def test_an_interrupt_reaches_threads_that_others_began() -> None:
    """A call that waits to be tried again two threads below an interrupted block is given up with the block, and told."""
    tried, told = [], []

    def fail() -> None:
        tried.append(begun.set())
        raise TimeoutError("in passing")

    def below() -> None:
        with Workers(1) as inner:
            waiting = inner.submit(_impatient().run, fail, lambda _: True)
            told.append(waiting.exception())

    begun = Event()
    with pytest.raises(KeyboardInterrupt), Workers(1) as outer:
        outer.submit(below)
        assert begun.wait(60)
        raise KeyboardInterrupt
    assert (len(tried), [type(error) for error in told]) == (1, [TimeoutError])


@pytest.mark.parametrize("elements", [10_000, 100_000])
def test_lent_memory_that_changes_before_it_is_stored_is_told_and_not_stored(tmp_path: Path, elements: int) -> None:
    """In one piece or in parts: nothing appears under the key, and a copy of what is there then can be stored instead."""
    store, place = _parted(tmp_path)
    values = array("d", range(elements))
    spool = store.spool()
    spool.lend(memoryview(values))
    key = make_key(LEDGER, spool.digest, uuid4().hex)
    values[-1] = 0
    with pytest.raises(SourceChangedError, match="changed between"):
        store.put(spool, key)
    assert (place.objects, place.uploads) == ({}, {})
    values[0] = 7
    assert spool.own() is True
    wanted = values.tobytes()
    values[0] = 0
    key = make_key(LEDGER, spool.digest, uuid4().hex)
    store.put(spool, key)
    assert place.objects == {key: wanted}
    spool.close()


def test_few_parts_of_what_is_put_are_in_memory(tmp_path: Path) -> None:
    """Of a large object no more parts are read than are on their way."""
    store, place = _parted(tmp_path)
    seen: list[int] = []
    ended: list[int] = []

    def add(key: str, upload: str, number: int, start: int, data: bytes) -> str:
        place.uploads[upload][f"{number}"] = data
        ended.append(number)
        return f"{number}"

    place.add = add  # type: ignore[method-assign]
    read = Spooled.pieces

    def pieces(source: Spooled, length: int) -> Iterator[bytes]:
        for number, piece in enumerate(read(source, length)):
            seen.append(number - len(ended))
            yield piece

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Spooled, "pieces", pieces)
        _put(store, os.urandom(3_000_000))
    assert len(seen) == 30
    assert max(seen) < place.workers


@pytest.fixture
def refusing() -> Iterator[str]:
    """The URL of a server that refuses every request before its body has come, and closes the connection, as S3 does."""
    body = b"<Error><Code>AccessDenied</Code><Message>You may not write here</Message></Error>"

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as head:
            while head.readline() not in (b"\r\n", b""):
                pass
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def serve() -> None:
        with suppress(OSError):  # closed at the end
            while True:
                answer(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_refusal_that_does_not_wait_for_the_body_is_told(refusing: str, tmp_path: Path) -> None:
    """A large PUT that S3 refuses at once, closing the connection, is told as what the server said, and not tried again."""
    options = {"endpoint_url": refusing, "key": "k", "secret": "s", "client_kwargs": {"region_name": "us-east-1"}}
    store = open_store("mine", "s3://bucket/x", options, spool=tmp_path)
    for _ in range(3):  # whether the client notices while it sends is chance
        with pytest.raises(StoreReadOnlyError, match="You may not write here"):
            _put(store, bytes(12_000_000))


@pytest.fixture
def amazon() -> Iterator[tuple[str, list[str]]]:
    """A proxy that plays AWS to a user who may put objects, but list none, and what it was asked."""
    asked: list[str] = []

    class Amazon(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            asked.append("HEAD")
            self._answer(403, "x-amz-bucket-region", "eu-north-1")

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(f"PUT {self.headers['Authorization'].split('/')[2]}")
            self._answer(200, "ETag", '"x"')

        def _answer(self, status: int, name: str, value: str) -> None:
            self.send_response(status)
            self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Amazon) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_who_may_not_list_a_bucket_may_put(amazon: tuple[str, list[str]], tmp_path: Path) -> None:
    """Where asking for the region of a bucket is refused, objects are put all the same, in the region that the refusal names."""
    proxy, asked = amazon
    options = {
        "endpoint_url": "http://s3.us-east-1.amazonaws.com", "key": "k", "secret": "s",
        "client_kwargs": {"region_name": "us-east-1"}, "config_kwargs": {"proxies": {"http": proxy}},
    }  # fmt: skip
    store = open_store("mine", "s3://bucket/x", options, spool=tmp_path)
    _put(store, SMALL)
    store.close()  # type: ignore[attr-defined]
    assert asked == ["HEAD", "PUT eu-north-1"]


def test_a_child_has_connections_of_its_own(tmp_path: Path) -> None:
    """After a fork the child makes its transport anew, and the parent keeps its own."""
    made: list[int] = []

    def make() -> Shelf:
        made.append(os.getpid())
        return Shelf("", {"objects": {}})

    store = RemoteStore("mine", make, tmp_path, place="shelf://x")
    child = os.fork()
    if child == 0:
        store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32))
        os._exit(0 if made == [os.getppid(), os.getpid()] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert made == [os.getpid()]


# opening


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The folder for temporary files."""
    return tmp_path / "spool"


def test_paths_and_files_are_local(tmp_path: Path, spool: Path) -> None:
    """A path and a `file://` URL are local stores, which take no options but our own."""
    for url in (str(tmp_path), tmp_path.as_uri()):
        store = open_store("mine", url, {"retries_for": 3, "chunked": True}, spool=spool)
        assert isinstance(store, LocalStore)
        assert store.root == tmp_path
        with pytest.raises(ConfigurationError, match="takes no options; found key"):
            open_store("mine", url, {"key": "x"}, spool=spool)


@pytest.mark.parametrize(
    "url",
    [
        "simplecache::s3://bucket/x", "filecache::memory://x", "zip://a.zip::s3://b/c", "http://example.org/x", "https://a/b", "reference://", "data://x",
        "github://a:b@/c", "S3://bucket", "nothing://x", "://x", "dir://x", "s3+x://b",
    ],
)  # fmt: skip
def test_no_place_to_keep_artifacts_in(url: str, spool: Path) -> None:
    """Chained URLs, web pages, archives and unknown schemes are refused before anything is touched."""
    with pytest.raises(ConfigurationError, match="the store 'mine' is at"):
        open_store("mine", url, {}, spool=spool)
    assert not spool.exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [("https://a/b", "can only be read"), ("zip://a.zip", "an archive"), ("dir://x", "give that one"), ("duckdb://x", r"postgresql.*webdav"), ("fpt://x", "did you mean 'ftp'")],
)  # fmt: skip
def test_why_artifacts_cannot_be_kept_there_is_told(url: str, words: str, spool: Path) -> None:
    """The message says what is wrong with a scheme; for an unknown one it lists all that are known, databases too."""
    with pytest.raises(ConfigurationError, match=words):
        open_store("mine", url, {}, spool=spool)


def test_every_protocol_of_fsspec_is_taken_or_refused_with_a_reason(spool: Path) -> None:
    """Whatever fsspec knows is a place of its own, a generic one that promises nothing, or refused with the reason."""
    taken, refused = {}, {}
    for protocol in set(fsspec.available_protocols()) - {"file", "local"}:
        try:
            taken[protocol] = open_store("mine", f"{protocol}://host/folder", {}, spool=spool)
        except ConfigurationError as error:
            refused[protocol] = str(error)
    assert all(re.search(r"can only be read|only wraps another|an archive", told) for told in refused.values())
    assert {
        "box",
        "dropbox",
        "ftp",
        "gdrive",
        "hdfs",
        "hf",
        "lakefs",
        "oss",
        "smb",
        "webdav",
        "webhdfs",
    } <= taken.keys()
    assert not {"http", "https", "zip", "simplecache", "data", "github", "reference"} & taken.keys()
    assert "not known" in taken["webdav"].guarantees()["put"]


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "5", True, None])
def test_retries_for_is_a_number_of_seconds(value: object, spool: Path) -> None:
    """`retries_for` has to be a finite number of seconds."""
    with pytest.raises(ConfigurationError, match="retries_for"):
        open_store("mine", "memory://x", {"retries_for": value}, spool=spool)


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://key@bucket/x",
        "gs:///x",
        "gs://b/x?token=abc",
        "gs://key:b/x",
        "az://",
        "az://a:b@c/d",
        "az://container/a/../b",
        "az://container/.",
        "sftp://host/team#1",
        "sftp://host/team?x=2",
        "sftp:///x",
    ],
)
def test_a_url_without_a_place_is_refused(url: str, spool: Path) -> None:
    """A URL that names no bucket, container or host, or hides credentials in it, is refused when the store is opened."""
    with pytest.raises(ConfigurationError, match="a store "):
        open_store("mine", url, {}, spool=spool)


@pytest.mark.parametrize("options", [{"endpoint_url": "localhost:9000"}, {"client_kwargs": {"endpoint_url": "a.b"}}])
def test_an_endpoint_without_a_scheme_is_refused(options: dict[str, Any], spool: Path) -> None:
    """The server of a store on S3 is a URL, and what is missing of it is told before anything is sent."""
    with pytest.raises(ConfigurationError, match="write http:// or https:// before it"):
        open_store("mine", "s3://bucket/x", options, spool=spool)


def test_nothing_says_a_password(spool: Path) -> None:
    """Passwords of URLs and secrets of options are in no description, repr or message."""
    options = {"secret": "hush-hush", "client_kwargs": {"aws_session_token": "psst"}, "retries_for": 0}
    stores = [
        open_store(
            "mine",
            "sftp://me:pass%2Fword@127.0.0.1:1/folder",
            {"passphrase": "hush-hush", "retries_for": 0},
            spool=spool,
        ),
        open_store("mine", "s3://bucket/x", {**options, "endpoint_url": "http://me:psst@127.0.0.1:1"}, spool=spool),
    ]
    for store in stores:
        with pytest.raises(StoreError) as caught:
            store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32))
        for text in (store.describe(), repr(store), str(caught.value)):
            for secret in ("pass%2Fword", "pass/word", "hush-hush", "psst"):
                assert secret not in text


def test_what_a_place_says_is_scrubbed(spool: Path) -> None:
    """A message keeps what a place said, but the values of options that may be credentials, and all lines but the first."""
    place = Parts("", {"objects": {}})
    options = {"secret": "hush-hush", "nested": {"token": "psst-psst"}, "region": "mars-1"}
    store = RemoteStore("mine", lambda: place, spool, place="parts://place", options=options)
    place.failing["stat"] = [("before", RuntimeError("hush-hush and psst-psst are wrong on mars-1.\nRequest: 17"))]
    with pytest.raises(StoreError, match=r"\*\*\* and \*\*\* are wrong on mars-1\. `simpleml store check mine`"):
        store.size(make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32))


SECRET_URLS = [  # the URL, options, and what nobody may see of them
    ("smb://user:p@ss@host/x", {}, ("p@ss", "ss@")),
    ("smb://user:se/cret@host/x", {}, ("se/cret", "cret")),
    ("webdav://h/x?token=abc", {}, ("abc",)),
    ("webdav://h/x?a=b&access_key=a%26b#c", {}, ("a%26b", "a&b")),
    ("sftp://me:p%40ss@127.0.0.1:1/x", {}, ("p%40ss", "p@ss")),
    ("gs://b/x", {"token": {"nested": ["k", b"bytes-of-it", 4711]}}, ("bytes-of-it", "4711")),
    ("s3://b/x", {"endpoint_url": "http://me:hush@127.0.0.1:1", "key": "k", "secret": "xyz"}, ("hush", "xyz")),
    ("shelf://me:p@ss@place?sig=abc", {}, ("p@ss", "abc")),
]


class Telltale(Shelf):
    """A place that tells everything it was given whenever it fails: always."""

    given = ""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.given = f"{url} {dict(options)}"

    def _fail(self, *arguments: Any) -> Any:
        raise RuntimeError(f"cannot do that with {self.given}")

    create = stat = fetch = delete = list = _fail


@pytest.mark.parametrize(("url", "options", "secrets"), SECRET_URLS)
def test_nothing_shows_a_secret(
    url: str, options: dict[str, Any], secrets: tuple[str, ...], spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No secret of a URL or an option is in a description, repr or check, even if the place says all that it knows."""
    scheme = url.partition("://")[0]
    texts = []
    if scheme != "shelf":
        store = open_store("mine", url, {**options, "retries_for": 0}, spool=spool)
        texts += [store.describe(), repr(store)]
    monkeypatch.setattr(opening, "locations", {scheme: Telltale})
    store = open_store("mine", url, {**options, "retries_for": 0}, spool=spool)
    checked = check(store, LEDGER)
    assert not checked.ok
    assert "cannot do that with" in checked.steps[0].problem
    for text in (*texts, store.describe(), repr(store), json.dumps(asdict(checked))):
        assert not [secret for secret in secrets if secret in text], text


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAX:se/cret@bucket/p", "s3://AKIAX:cret@bucket/p", "s3://b/x?key=cret", "s3://b/x:cret", "s3://b/cret@x",
        "az://c/p?sig=cret", "az://c/p:cret", "az://c/cret@p", "az://c:cret@d/p", "abfss://c@me:cret@x.dfs.core.windows.net/p",
        "sftp://me:cret/x@host/p", "sftp://me:[cret@host/p", "gs://me:cret@bucket/p", "file://me:cret@host/x",
        "nothing://me:se/cret@host", "simplecache::s3://me:cret@b/x", "nothing://h/x?token=cret",
    ],
)  # fmt: skip
def test_a_url_that_hides_a_secret_is_refused_unseen(url: str, spool: Path) -> None:
    """A login or a parameter in a URL that has no place for them is refused, and what is secret in it is not shown."""
    with pytest.raises(ConfigurationError, match="store") as caught:
        open_store("mine", url, {}, spool=spool)
    assert "cret" not in str(caught.value).replace("secret", "")


def test_short_secrets_leave_words_whole() -> None:
    """A secret of few letters is hidden where it stands alone, a longer one wherever it is; plain options are shown."""
    options = {"password": "a", "keys": ["bcd", ["efgh"]], "region": "mars-1", "secret": "", "use_ssl": True}
    text = scrubbed("a cat, 'bcd', abcde, xefghx at mars-1 is True", options)
    assert text == "*** cat, '***', abcde, x***x at mars-1 is True"


def test_an_encoded_secret_is_a_secret() -> None:
    """A credential is hidden as a client writes it into the URL that it asked for: %-encoded, in any of the usual ways."""
    options = {"token": "ya29.a/b+c d=\udcff"}
    said = (
        "failed: /info?access_token=ya29.a%2Fb%2Bc%20d%3D%3F or /ya29.a/b%2Bc%20d%3D%3F or q=ya29.a%2Fb%2Bc+d%3D%3F&x=1"
    )
    assert scrubbed(said, options) == "failed: /info?access_token=*** or /*** or q=***&x=1"


@pytest.mark.parametrize("root", ["objects-000000000000", "a/objects-000000000000/b", "deep/objects-"])
def test_a_root_may_look_like_a_key(root: str, spool: Path) -> None:
    """The folder of a store may be called like one that is in it: what is listed is what was put."""
    make = partial(GenericTransport, f"memory://{uuid4().hex}/{root}", {})
    store = RemoteStore("mine", make, spool, place="memory://place")
    key = _put(store, SMALL)
    assert list(store.keys(key.partition("/")[0])) == [key]


def test_a_broken_sftp_session_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that failed in passing is closed, once, and the next call gets another; other failures leave it."""
    cut = []
    transport = SFTPTransport("sftp://host/x", {})
    loop = fsspec.asyn.get_loop()
    sessions = [
        SimpleNamespace(loop=loop, client=SimpleNamespace(abort=partial(cut.append, number))) for number in "ab"
    ]

    def connected() -> tuple[Any, Any]:
        transport._session = transport._session or (sessions.pop(0), object())
        return transport._session

    monkeypatch.setattr(transport, "_connected", connected)

    async def fail(client: Any, error: Exception) -> None:
        raise error

    for error, wanted in (
        (FileNotFoundError("x"), []),
        (ConnectionResetError("x"), ["a"]),
        (FileNotFoundError("x"), ["a"]),
    ):
        with pytest.raises(type(error)):
            transport._run(partial(fail, error=error))
        fsspec.asyn.sync(loop, asyncio.sleep, 0)
        assert cut == wanted
    assert sessions == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("s3://b/x", {}), ("s3a://b/x/", {})),
        (("gs://b/x", {}), ("gcs://b/x/", {})),
        (("az://c/x", {"account_name": "me"}), ("abfss://c@me.dfs.core.windows.net/x", {})),
        (("az://c/x", {"account_name": "me"}), ("az://c/x", {"connection_string": "AccountName=me;AccountKey=a2V5"})),
        (("sftp://me@host/x", {}), ("ssh://you:secret@host:22/x/", {})),
        (("memory://x", {}), ("memory:///x/", {})),
    ],
)
def test_two_names_of_a_place_are_described_alike(one: tuple[str, Any], other: tuple[str, Any], spool: Path) -> None:
    """Two URLs of one place have one description, another place has another."""
    found = [open_store("mine", url, options, spool=spool).describe() for url, options in (one, other)]
    assert found[0] == found[1]
    assert open_store("mine", f"{one[0]}y", one[1], spool=spool).describe() != found[0]


@pytest.mark.parametrize(
    ("url", "package", "line"),
    [
        ("s3://bucket", "s3fs botocore", "pip install 'simpleml[s3]'"),
        ("az://container", "adlfs", "pip install 'simpleml[azure]'"),
        ("gs://bucket", "gcsfs", "pip install 'simpleml[gcs]'"),
        ("sftp://host/x", "sshfs", "pip install 'simpleml[sftp]'"),
        ("webdav://host/x", "webdav4", "Install webdav4"),
    ],
)
def test_a_missing_extra_is_named(url: str, package: str, line: str, tmp_path: Path) -> None:
    """Where the package of a place is not installed, the error has the line that installs it."""
    code = f"""
import sys
for name in {package!r}.split():
    sys.modules[name] = None
from pathlib import Path
from simpleml.save_patterns.locations.opening import open_store
open_store("mine", {url!r}, {{}}, spool=Path({str(tmp_path)!r})).size("objects-{"0" * 12}/00/{"0" * 32}-{"0" * 32}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert line in done.stderr.splitlines()[-1]
    assert MissingDependencyError.__name__ in done.stderr.splitlines()[-1]


def test_opening_is_cheap(tmp_path: Path) -> None:
    """Opening a store of any kind imports neither fsspec nor what speaks with the place."""
    code = f"""
import sys
from pathlib import Path
from simpleml.save_patterns.locations.opening import open_store
for url in ("s3://b/x", "az://c/x", "gs://b/x", "sftp://host/x", "ftp://host/x", "memory://x", "/x"):
    open_store("mine", url, {{}}, spool=Path({str(tmp_path)!r}))
heavy = ("fsspec", "s3fs", "botocore", "azure", "adlfs", "gcsfs", "asyncssh", "sshfs", "numpy", "aiohttp")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_place_of_ones_own_is_registered(spool: Path) -> None:
    """A decorated transport is opened by the scheme of its URLs; an unknown scheme lists it."""
    register_location("shelf")(Shelf)
    try:
        store = open_store("mine", "shelf://place", {"objects": {}}, spool=spool)
        key = _put(store, SMALL)
        assert (store.describe(), bytes(store.read(key, len(SMALL))[0])) == ("shelf://place", SMALL)
        with pytest.raises(ConfigurationError, match="shelf"):
            open_store("mine", "shelv://place", {}, spool=spool)
    finally:
        opening.locations.drop("shelf")
