"""The contract of stores on every place, on real servers; and what only remote places can do to it."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import pytest

from simpleml import failpoints
from simpleml.errors import (
    StoreCredentialsError,
    StoreError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.save_patterns.locations import s3_connection
from simpleml.save_patterns.locations.checking import check
from simpleml.save_patterns.locations.keys import ledger_folder, make_key
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.protocols import Store
from simpleml.testing.stores import LEDGER, StoreContract
from tests.backends.places import Place


class Everywhere(StoreContract):
    """What is tried on each place: objects of one request, and of several parts."""

    kind: str

    @pytest.fixture(autouse=True)
    def _place(self, new_place: Callable[[str], Place], tmp_path: Path) -> None:
        self.place = new_place(self.kind)
        self.spool = tmp_path / "spool"

    def store(self) -> Store:
        return open_store("mine", self.place.url, {**self.place.options, "retries_for": 20}, spool=self.spool)

    def sizes(self) -> tuple[int, ...]:
        return (0, 1, 4096, 256 * 1024 + 1, 17_000_001, 35_000_000)


class TestLocal(Everywhere):
    """A folder of this machine, by its URL."""

    kind = "local"


class TestMemory(Everywhere):
    """The memory of this process."""

    kind = "memory"


class TestS3(Everywhere):
    """A bucket of OpenStack Swift's S3 interface."""

    kind = "s3"


class TestAzure(Everywhere):
    """A container of Azurite."""

    kind = "azure"


class TestSFTP(Everywhere):
    """A folder of an OpenSSH server."""

    kind = "sftp"


REMOTE = ("s3", "azure", "sftp")

SMALL, BIG = b"abc" * 1000, os.urandom(1_000_000) * 40

KEY = make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)


@pytest.fixture(params=REMOTE)
def place(request: pytest.FixtureRequest, new_place: Callable[[str], Place]) -> Place:
    """A fresh place on each remote server."""
    return new_place(request.param)


def _open(place: Place, tmp_path: Path, **options: object) -> Store:
    settings: Mapping[str, Any] = {**place.options, "retries_for": 20, **options}
    return open_store("mine", place.url, settings, spool=tmp_path / "spool")


def _put(store: Store, data: bytes) -> str:
    spool = store.spool()
    try:
        spool.write(data)
        key = make_key(LEDGER, spool.digest, uuid4().hex)
        store.put(spool, key)
        return key
    finally:
        spool.close()


@pytest.mark.parametrize("data", [SMALL, BIG], ids=["whole", "parts"])
def test_a_writer_that_is_killed_leaves_no_object(place: Place, tmp_path: Path, data: bytes) -> None:
    """Killed when all bytes are there but not their name, a writer leaves nothing to be read, and what a sweep removes."""
    store = _open(place, tmp_path)
    child = os.fork()
    if child == 0:
        failpoints.install(lambda name: name == "put.rename.before" and os.kill(os.getpid(), signal.SIGKILL))
        try:
            _put(store, data)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert list(store.keys(ledger_folder(LEDGER))) == []
    assert store.clear_leftovers(3600) == 0
    parts = (
        data is BIG and place.kind != "azure"
    )  # Azure has no call that lists or removes blocks; it does after a week
    assert store.clear_leftovers(-1) == parts + (data is BIG)  # and the spool, unless it never met the disk
    assert store.clear_leftovers(-1) == 0
    assert bytes(store.read(_put(store, data), len(data))[0]) == data


def test_what_is_there_is_never_replaced(place: Place, tmp_path: Path) -> None:
    """The same bytes put again under a key are success; others are refused, and those that were there stay."""
    store = _open(place, tmp_path)
    for data in (SMALL, BIG):
        spool, other = store.spool(), store.spool()
        spool.write(data)
        other.write(data[::-1])
        key = make_key(LEDGER, spool.digest, uuid4().hex)
        store.put(spool, key)
        store.put(spool, key)
        with pytest.raises(StoreError, match="never gives twice"):
            store.put(other, key)
        assert bytes(store.read(key, len(data))[0]) == data
        spool.close()
        other.close()
    assert store.clear_leftovers(-1) == 0


def test_a_check_sees_a_second_put_refused(place: Place, tmp_path: Path) -> None:
    """Trying a store finds that every call works and that other bytes under one key are refused, and leaves nothing."""
    store = _open(place, tmp_path)
    checked = check(store, LEDGER)
    assert checked.ok, checked
    assert checked.guarantees["tested"] == "a second put of the same key was refused"
    assert list(store.keys(ledger_folder(LEDGER))) == []


def test_children_and_parent_use_one_store(place: Place, tmp_path: Path) -> None:
    """After a fork, parent and children go on with connections of their own."""
    store = _open(place, tmp_path)
    key = _put(store, SMALL)
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            same = bytes(store.read(key, len(SMALL))[0]) == SMALL
            os._exit(0 if same and store.size(_put(store, BIG)) == len(BIG) else 1)
        children.append(child)
    assert bytes(store.read(key, len(SMALL))[0]) == SMALL
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert len(list(store.keys(ledger_folder(LEDGER)))) == 3


def test_one_instance_serves_a_first_use_by_many_threads(place: Place, tmp_path: Path) -> None:
    """Threads that all are the first to use a store get one connection, and none an error."""
    store = _open(place, tmp_path)
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda number: _put(store, bytes([number])), range(16)))
    assert sorted(store.keys(ledger_folder(LEDGER))) == sorted(keys)


def test_a_place_that_is_not_there_is_told(place: Place, tmp_path: Path) -> None:
    """A bucket, container or folder that is not there is named as such when something is saved."""
    nowhere = Place(place.kind, place.url.replace("://simpleml-", "://no-"), place.options)
    if place.kind == "sftp":
        nowhere = place.below("missing")
    noun = {"s3": "bucket", "azure": "container", "sftp": "folder"}[place.kind]
    for data in (SMALL, BIG):
        with pytest.raises(StoreUnreachableError, match=f"There is no such {noun}: make it") as caught:
            _put(_open(nowhere, tmp_path), data)
        assert "[stores.mine]" in str(caught.value)


def _refused(place: Place, tmp_path: Path) -> Place:
    if place.kind == "s3":
        return place.but(secret="wrong-secret")
    if place.kind == "azure":
        right = place.options["account_key"]
        wrong = "d3Jvbmctc2VjcmV0" + right[16:]
        return place.but(account_key=wrong, connection_string=place.options["connection_string"].replace(right, wrong))
    import asyncssh

    (tmp_path / "other").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    (tmp_path / "other").chmod(0o600)
    return place.but(client_keys=[str(tmp_path / "other")], agent_path=None)


def test_wrong_credentials_are_told(place: Place, tmp_path: Path) -> None:
    """With wrong credentials every call says so, says where right ones come from, and shows neither kind."""
    store = _open(_refused(place, tmp_path), tmp_path)
    calls = (
        lambda: _put(store, SMALL), lambda: _put(store, BIG), lambda: store.size(KEY), lambda: store.read(KEY, 5),
        lambda: list(store.keys(ledger_folder(LEDGER))),
    )  # fmt: skip
    for call in calls:
        with pytest.raises(StoreCredentialsError, match="Give credentials that are let in there") as caught:
            call()
        assert not any(secret in str(caught.value) for secret in ("wrong-secret", "d3Jvbmct"))


def test_a_server_that_is_not_there_is_told_in_time(place: Place, tmp_path: Path) -> None:
    """Where nothing answers, the error comes once `retries_for` is over, and says that and how to try for longer."""
    if place.kind == "s3":
        nobody = place.but(endpoint_url="http://127.0.0.1:1")
    elif place.kind == "azure":
        words = dict(word.split("=", 1) for word in place.options["connection_string"].strip(";").split(";"))
        words["BlobEndpoint"] = "http://127.0.0.1:1/devstoreaccount1"
        nobody = place.but(connection_string=";".join(f"{name}={value}" for name, value in words.items()))
    else:
        nobody = Place("sftp", "sftp://me@127.0.0.1:1/folder", place.options)
    store = _open(nobody, tmp_path, retries_for=0.5)
    start = time.monotonic()
    with pytest.raises(StoreUnreachableError, match=r"It was tried for 0\.5 seconds.*retries_for"):
        _put(store, SMALL)
    assert time.monotonic() - start < 60  # not the minutes that the libraries would take


def test_no_right_to_write_is_told(new_place: Callable[[str], Place], tmp_path: Path) -> None:
    """A folder that may not be written is told as such, and nothing is there afterwards."""
    place = new_place("sftp")
    store = _open(place, tmp_path)
    kept = _put(store, SMALL)
    transport = store._transport  # type: ignore[attr-defined]
    transport._run(lambda client: client.chmod(transport._at("tmp"), 0o500))
    with pytest.raises(StoreReadOnlyError, match="Give this user the right to write there"):
        _put(store, SMALL)
    assert list(store.keys(ledger_folder(LEDGER))) == [kept]
    transport._run(lambda client: client.chmod(transport._at("tmp"), 0o700))


@pytest.mark.parametrize("known", ["default", "other"])
def test_unknown_hosts_are_refused(new_place: Callable[[str], Place], tmp_path: Path, known: str) -> None:
    """A host whose key is not known, or is another one than before, gets nothing; only the user's option says otherwise."""
    place = new_place("sftp")
    options = {name: value for name, value in place.options.items() if name != "known_hosts"}
    if known == "other":
        import asyncssh

        line = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        (tmp_path / "hosts").write_text(f"* {line}")
        options["known_hosts"] = str(tmp_path / "hosts")
    with pytest.raises(StoreCredentialsError, match=r"(?i)host key"):
        _put(_open(Place("sftp", place.url, options), tmp_path), SMALL)
    trusting = _open(Place("sftp", place.url, {**options, "known_hosts": None}), tmp_path)
    assert trusting.size(_put(trusting, SMALL)) == len(SMALL)


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_a_closed_store_has_no_connections_and_opens_new_ones(
    kind: str, new_place: Callable[[str], Place], tmp_path: Path
) -> None:
    """Closing gives every connection to the server back, also twice; whoever uses the store after that gets new ones."""
    before = _connections()
    store = _open(new_place(kind), tmp_path)
    for _ in range(2):
        key = _put(store, BIG)
        assert bytes(store.read(key, len(BIG))[0]) == BIG
        assert _connections() - before
        for _ in range(2):
            store.close()  # type: ignore[attr-defined]
        end = time.monotonic() + 20  # a server has to say goodbye too
        while _connections() - before and time.monotonic() < end:
            time.sleep(0.05)
        assert _connections() - before == set()


def _connections() -> set[tuple[object, ...]]:
    """The connections of this process, as the system sees them."""
    found = psutil.Process().net_connections("tcp")
    return {(each.laddr, each.raddr) for each in found if each.status == psutil.CONN_ESTABLISHED}


def test_s3_requests_that_only_s3fs_can_make(new_place: Callable[[str], Place], tmp_path: Path) -> None:
    """With options that change every request, such as a storage class, the bytes go through s3fs, with the same guarantees."""
    store = _open(new_place("s3"), tmp_path, s3_additional_kwargs={"StorageClass": "STANDARD"})
    for data in (SMALL, BIG):
        key = _put(store, data)
        assert bytes(store.read(key, len(data))[0]) == data
        other = store.spool()
        other.write(data[::-1])
        with pytest.raises(StoreError, match="never gives twice"):
            store.put(other, key)
        other.close()


def test_credentials_come_from_the_environment(
    new_place: Callable[[str], Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options, the credentials and the endpoint are those of the environment, as for every client of S3."""
    place = new_place("s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", place.options["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", place.options["secret"])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", place.options["endpoint_url"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = open_store("mine", place.url, spool=tmp_path / "spool")
    assert bytes(store.read(_put(store, BIG), len(BIG))[0]) == BIG
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StoreCredentialsError):
        _put(open_store("mine", place.url, spool=tmp_path / "spool"), SMALL)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for 127.0.0.1, which is its own authority, and of its key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "certificate", folder / "key"


@pytest.fixture
def https_s3(new_place: Callable[[str], Place], tmp_path: Path) -> Iterator[tuple[Place, Path]]:
    """A place on S3 behind TLS, and the certificate of its authority."""
    import asyncio
    import ssl

    place = new_place("s3")
    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    host, port = place.options["endpoint_url"].removeprefix("http://").split(":")

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(1 << 20):
                    writer.write(data)
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        address = server.sockets[0].getsockname()
        yield place.but(endpoint_url=f"https://127.0.0.1:{address[1]}"), certificate
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _stop(server: Any) -> None:
    import asyncio

    server.close()
    mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in mine:
        task.cancel()
    await asyncio.gather(*mine, return_exceptions=True)
    await asyncio.sleep(0.1)  # connections end in the next turns of the loop


@pytest.mark.parametrize("option", ["verify", "client_cert", "AWS_CA_BUNDLE"])
def test_certificates_that_are_not_there_are_told(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of certificates that is not there is named, and is not taken for an object that is missing or was removed."""
    lost = str(tmp_path / "lost.pem")
    options: dict[str, dict[str, object]] = {
        "verify": {"client_kwargs": {"verify": lost}},
        "client_cert": {"config_kwargs": {"client_cert": lost}},
    }
    if option == "AWS_CA_BUNDLE":
        monkeypatch.setenv(option, lost)
    login = {"key": "k", "secret": "s", "endpoint_url": "https://127.0.0.1:1", "retries_for": 0}
    store = open_store("mine", "s3://bucket/x", {**login, **options.get(option, {})}, spool=tmp_path)
    _tell_of(store, lost)


def test_a_token_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a file of credentials that is read only when it is used."""
    lost = str(tmp_path / "token")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", lost)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
    _tell_of(
        open_store("mine", "s3://b/x", {"endpoint_url": "http://127.0.0.1:1", "retries_for": 0}, spool=tmp_path), lost
    )


def _tell_of(store: Store, lost: str) -> None:
    key = make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)
    for work in (lambda: store.size(key), lambda: store.delete(key), lambda: list(store.keys("objects"))):
        with pytest.raises(StoreCredentialsError) as caught:
            work()
        assert repr(lost) in str(caught.value)


def test_https_is_checked(https_s3: tuple[Place, Path], tmp_path: Path) -> None:
    """Over TLS the server's certificate has to be from an authority that is known, or that the options name."""
    place, authority = https_s3
    settings = {"region_name": "us-east-1", "verify": str(authority)}
    store = _open(place, tmp_path, client_kwargs=settings)
    for data in (SMALL, BIG):
        assert bytes(store.read(_put(store, data), len(data))[0]) == data
    with pytest.raises(StoreError, match=r"(?i)certificate"):
        _put(_open(place, tmp_path, retries_for=0), SMALL)


@contextmanager
def _cutting(url: str, after: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """A way to a server whose first connections end after so many bytes, without a word; and the cuts that are left."""
    target, left = urlsplit(url), list(after)
    server = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    opened: list[socket.socket] = []

    def flow(one: socket.socket, other: socket.socket, room: list[float]) -> None:
        with suppress(OSError):
            while room[0] > 0 and (data := one.recv(int(min(room[0], 65536)))):
                other.sendall(data)
                room[0] -= len(data)
        for each in (one, other):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                here, _ = server.accept()
                there = socket.create_connection((target.hostname or "", target.port or 0))
                opened.extend((here, there))
                room = [left.pop(0) if left else float("inf")]
                for ends in ((here, there), (there, here)):
                    threads.append(threading.Thread(target=flow, args=(*ends, room)))
                    threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"https://127.0.0.1:{server.getsockname()[1]}", left
    finally:
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for each in (server, *opened):
            each.close()


@pytest.mark.parametrize("seed", range(3))
def test_connections_that_are_cut_within_tls_are_made_again(
    https_s3: tuple[Place, Path], tmp_path: Path, seed: int
) -> None:
    """In the handshake, in what is sent and in what is answered: it is tried again, and all comes back as it was."""
    place, authority = https_s3
    cuts = random.Random(seed).choices([1, 100, 1500, 2500, 4000, 20_000, 300_000, 900_000], k=10)
    settings = {"region_name": "us-east-1", "verify": str(authority)}
    with _cutting(place.options["endpoint_url"], cuts) as (url, left):
        store = _open(place.but(endpoint_url=url), tmp_path, client_kwargs=settings, retries_for=60)
        while left:
            for data in (SMALL, BIG):
                assert bytes(store.read(_put(store, data), len(data))[0]) == data
            store.close()  # and its connections


def test_connections_that_waited_long_are_not_used(
    new_place: Callable[[str], Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies between forgets connections without a word, and a request on one would wait for its whole timeout."""
    store = _open(new_place("s3"), tmp_path)
    _put(store, SMALL)
    connection = store._transport._opened[1]  # type: ignore[attr-defined]
    [(idle, _)] = connection._idle
    _put(store, SMALL)
    assert [each for each, _ in connection._idle] == [idle]
    monkeypatch.setattr(s3_connection, "_FORGOTTEN", 0.0)
    _put(store, SMALL)
    assert idle.sock is None
    assert [each is idle for each, _ in connection._idle] == [False]


def test_who_speaks_no_tls_is_told_as_not_reached(new_place: Callable[[str], Place], tmp_path: Path) -> None:
    """The numbers of TLS are not those of the operating system: no right is missing where a server speaks plainly."""
    place = new_place("s3")
    plain = place.options["endpoint_url"].replace("http://", "https://")
    with pytest.raises(StoreUnreachableError, match="SSL"):
        _put(_open(place.but(endpoint_url=plain), tmp_path, retries_for=0), SMALL)
