"""Stores on a real FTP server: a place that only fsspec knows keeps the contract of all, through one connection."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from simpleml.errors import StoreCredentialsError, StoreReadOnlyError, StoreUnreachableError
from simpleml.save_patterns.locations.checking import check
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.protocols import Store
from simpleml.testing.stores import LEDGER, StoreContract

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it stands on asyncore, and brings its own
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

NOBODY = make_key(LEDGER, "blake3:" + "0" * 64, "0" * 32)


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[Any]:
    """A server for one user, and one who may only read."""
    (tmp_path / "served").mkdir()
    authorizer = DummyAuthorizer()
    authorizer.add_user("me", "secret-word", str(tmp_path / "served"), perm="elradfmwMT")
    authorizer.add_user("reader", "secret-word", str(tmp_path / "served"), perm="elr")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            server.serve_forever(timeout=0.02, blocking=False, handle_exit=False)

    thread = threading.Thread(target=serve)
    thread.start()
    yield server
    ending.set()
    thread.join()
    server.close_all()


def at(server: Any, tmp_path: Path, user: str = "me", password: str = "secret-word", **options: Any) -> Store:
    """Return the store on the server."""
    url = f"ftp://{user}:{password}@127.0.0.1:{server.address[1]}/mine"
    return open_store("mine", url, {"retries_for": 10, **options}, spool=tmp_path / "spool")


def put(store: Store, data: bytes) -> str:
    """Put bytes and return their key."""
    spool = store.spool()
    spool.write(data)
    key = make_key(LEDGER, spool.digest, "1" * 32)
    store.put(spool, key)
    return key


class TestFTP(StoreContract):
    """A folder of an FTP server."""

    @pytest.fixture(autouse=True)
    def _place(self, ftp: Any, tmp_path: Path) -> None:
        self.make = lambda: at(ftp, tmp_path)

    def store(self) -> Store:
        return self.make()


def test_every_call_works_and_nothing_is_promised(ftp: Any, tmp_path: Path) -> None:
    """`store check` finds that all works, and tells of no guarantee that FTP does not give."""
    checked = check(store := at(ftp, tmp_path), LEDGER)
    assert checked.ok, checked
    assert "not known" in checked.guarantees["put"]
    assert checked.guarantees["durable"] == "not known"
    assert "secret-word" not in repr(store) + store.describe()


def test_threads_take_turns(ftp: Any, tmp_path: Path) -> None:
    """Many threads share the one connection, and each gets what it asked for."""
    store = at(ftp, tmp_path)
    objects = [bytes([number]) * 10_000 for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        keys = list(pool.map(lambda data: put(store, data), objects))
        assert [bytes(data) for data, _ in pool.map(lambda key: store.read(key, 10_000), keys)] == objects


def test_a_connection_that_was_cut_is_made_anew(ftp: Any, tmp_path: Path) -> None:
    """What the server ended, as after idle time, is no missing object: the next call connects again."""
    store = at(ftp, tmp_path)
    key = put(store, b"abc")
    for handler in [each for each in ftp.ioloop.socket_map.values() if isinstance(each, FTPHandler)]:
        handler.close_when_done()
    assert store.size(key) == 3
    assert store.size(NOBODY) is None


def test_whom_the_server_refuses_is_told(ftp: Any, tmp_path: Path) -> None:
    """A wrong password, no right to write, and no server are three errors of ours, and none is a missing object."""
    with pytest.raises(StoreCredentialsError, match="Give credentials") as caught:
        at(ftp, tmp_path, password="guessed").size(NOBODY)
    assert "guessed" not in str(caught.value)
    with pytest.raises(StoreReadOnlyError, match="right to write"):
        put(at(ftp, tmp_path, "reader"), b"abc")
    nowhere = open_store("mine", "ftp://me:secret-word@127.0.0.1:1/mine", {"retries_for": 0}, spool=tmp_path / "spool")
    with pytest.raises(StoreUnreachableError):
        nowhere.size(NOBODY)
