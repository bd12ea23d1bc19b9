"""Answers of services that no server of the tests gives: spoken by a small HTTP server, or raised, and what is made of them."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest

from simpleml.errors import ArtifactMissingError, StoreReadOnlyError, StoreUnreachableError
from simpleml.save_patterns.locations import s3_connection, spool
from simpleml.save_patterns.locations.gcs import GCSTransport
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.locations.s3 import S3Transport
from simpleml.save_patterns.locations.sftp import SFTPTransport
from simpleml.save_patterns.locations.transport import Fault
from simpleml.save_patterns.protocols import Store

Answer = Callable[[str, str], tuple[int, bytes]]

KEY = make_key("a" * 32, "blake3:" + "b" * 64, "c" * 32)


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The URL of an HTTP server that answers as told."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(store: Store) -> None:
    """Put a few bytes."""
    filled = store.spool()
    try:
        filled.write(b"bytes")
        store.put(filled, KEY)
    finally:
        filled.close()


@pytest.mark.parametrize("bucket", ["models", "my-bucket"])
def test_what_google_has_not(tmp_path: Path, bucket: str) -> None:
    """A 404 for an object is no object, whatever the bucket is called; a bucket that is not there is told, by each call."""
    there = True

    def answer(method: str, path: str) -> tuple[int, bytes]:
        listing = method == "GET" and "/o?" in path
        return (200, b"{}") if listing and there else (404, b'{"error": {"code": 404, "message": "Not Found"}}')

    with answering(answer) as url:

        def opened() -> Store:
            options = {"endpoint_url": url, "token": "anon", "retries_for": 0}
            return open_store("mine", f"gs://{bucket}/pre", options, spool=tmp_path)

        store = opened()
        assert store.size(KEY) is None
        assert list(store.keys("objects-aaaaaaaaaaaa")) == []
        store.delete(KEY)
        with pytest.raises(ArtifactMissingError):
            store.read(KEY, 5)
        there = False
        for call in (
            lambda each: each.size(KEY),
            lambda each: each.read(KEY, 5),
            lambda each: list(each.keys("objects-aaaaaaaaaaaa")),
            put,
        ):
            with pytest.raises(StoreUnreachableError, match="There is no such bucket"):
                call(opened())


def test_what_google_forbids(tmp_path: Path) -> None:
    """A 403, of which gcsfs leaves a word, is a right that is missing."""
    with answering(lambda *_: (403, b'{"error": {"code": 403, "message": "no"}}')) as url:
        options = {"endpoint_url": url, "token": "anon", "retries_for": 0}
        with pytest.raises(StoreReadOnlyError, match="right to write"):
            put(open_store("mine", "gs://models/pre", options, spool=tmp_path))


def test_a_token_of_google_that_could_not_be_renewed_now() -> None:
    """What kept the asking for a token from being heard passes; a refusal does not."""
    from google.auth import exceptions as google

    fault = GCSTransport("gs://b", {}).fault
    for passing in (google.TransportError("no route"), google.RefreshError("busy", retryable=True)):
        assert fault(passing) is Fault.TRANSIENT
    assert fault(google.RefreshError("invalid_grant")) is Fault.CREDENTIALS


@pytest.mark.parametrize(
    ("status", "fault"), [(404, Fault.NO_PLACE), (400, None), (403, None)], ids=["no bucket", "a bad token", "no list"]
)
def test_the_first_word_of_aws(status: int, fault: Fault | None) -> None:
    """HEAD of a bucket has no body: a 404 is no bucket, and after any other refusal the next call tells why."""
    from botocore.exceptions import ClientError

    refusal = ClientError({"Error": {"Code": str(status)}, "ResponseMetadata": {}}, "HeadBucket")

    def head(*_: object, **__: object) -> None:
        kinds = {404: FileNotFoundError, 403: PermissionError}
        raise kinds.get(status, OSError)("refused") from refusal

    client = SimpleNamespace(meta=SimpleNamespace(endpoint_url="https://s3.amazonaws.com", region_name="us-east-1"))
    filesystem = SimpleNamespace(call_s3=head)
    if fault is None:
        assert s3_connection._regional(filesystem, "b", client) is client
        return
    with pytest.raises(NotADirectoryError, match="there is no bucket b") as caught:
        s3_connection._regional(filesystem, "b", client)
    assert S3Transport("s3://b", {}).fault(caught.value) is fault


def test_what_s3_has_not_implemented_is_not_waited_for() -> None:
    """A server that lacks a call lacks it in a minute too."""
    from botocore.exceptions import ClientError

    told = {"Error": {"Code": "Odd"}, "ResponseMetadata": {"HTTPStatusCode": 501}}
    assert S3Transport("s3://b", {}).fault(ClientError(told, "ListMultipartUploads")) is Fault.OTHER


def test_a_server_of_sftp_that_renames_in_one_way_only() -> None:
    """Where posix-rename is not offered, the first object of a folder is renamed plainly after the folder was made."""
    from asyncssh import sftp

    class File:
        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            """Close nothing."""

        async def stat(self) -> Any:
            return SimpleNamespace(size=5)

        async def fsync(self) -> None:
            raise sftp.SFTPOpUnsupported("no")

    class Client:
        def __init__(self) -> None:
            self.folders: set[str] = set()
            self.files: set[str] = set()

        def open(self, *_: object) -> File:
            return File()

        async def rename(self, old: str, new: str) -> None:
            if new in self.files:
                raise sftp.SFTPFailure("it is there")
            if new.rpartition("/")[0] not in self.folders:
                raise sftp.SFTPNoSuchFile("No such file")
            self.files.add(new)

        async def posix_rename(self, *_: object) -> None:
            raise sftp.SFTPOpUnsupported("POSIX rename not supported")

        async def lexists(self, path: str) -> bool:
            return path in self.files

        async def mkdir(self, path: str, _: object) -> None:
            self.folders.add(path)

    client, transport = Client(), SFTPTransport("sftp://user@host/folder", {})
    transport._run = lambda work: asyncio.run(work(client))  # type: ignore[assignment,method-assign]
    source: Any = SimpleNamespace(size=5, digest="d")
    for key in ("objects-a/ab/first", "objects-a/ab/second"):
        transport.finish(key, "tmp/x.part", (), source)
    assert client.files == {"/folder/objects-a/ab/first", "/folder/objects-a/ab/second"}
    with pytest.raises(FileExistsError):
        transport.finish("objects-a/ab/first", "tmp/x.part", (), source)


def test_a_file_that_is_written_on_nfs_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS gives an exclusive lock only to who may write (flock(2)): whoever asks whether there is one has to be able to."""
    import fcntl

    real = fcntl.flock

    def flock(descriptor: int, wanted: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real(descriptor, wanted)

    path = tmp_path / "x.part"
    monkeypatch.setattr(fcntl, "flock", flock)
    with path.open("wb") as file:
        assert spool.hold(file.fileno())
        assert spool.is_held(path)
    assert not spool.is_held(path)


def test_a_certificate_that_is_not_believed_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a library wraps it: another try would end in the same way."""
    tries = []

    def get(self: object, *_: object) -> None:
        tries.append(time.monotonic())
        raise ConnectionError("SSL validation failed: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")

    monkeypatch.setattr(S3Transport, "stat", get)
    store = open_store("mine", "s3://b/x", {"retries_for": 60}, spool=tmp_path)
    with pytest.raises(StoreUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
        store.size(KEY)
    assert len(tries) == 1
