"""How many requests a save and a load on S3 cost, counted by a proxy that stands between."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

import simpleml
from simpleml import Artifact, Persistable
from simpleml.orm import Database
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.protocols import Store
from simpleml.testing.stores import LEDGER
from tests.backends.proxy import FaultyPlace

MEBIBYTE = 1024 * 1024
SMALL = 4096
BIG = 40 * MEBIBYTE  # three parts, five ranges


class Weighed(Persistable):
    """Holds bytes."""

    data: Artifact[bytes] = Artifact(save_patterns=["cloud_bytes"])


class Requests:
    """The requests that went through a proxy, by method; taken is what came since the last time."""

    def __init__(self, faulty: FaultyPlace, patch: pytest.MonkeyPatch) -> None:
        self._seen: list[str] = []
        plan = faulty.proxy.plan

        def noted(method: str) -> frozenset[str]:
            self._seen.append(method)
            return plan(method)

        patch.setattr(faulty.proxy, "plan", noted)

    def taken(self) -> dict[str, int]:
        """Return what came since the last call."""
        seen, self._seen = self._seen, []
        return dict(Counter(seen))


@pytest.fixture
def requests(faulty_s3: FaultyPlace, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """What goes to the S3 server."""
    return Requests(faulty_s3, monkeypatch)


@pytest.fixture
def machine(faulty_s3: FaultyPlace, tmp_path: Path) -> Callable[[str], Database]:
    """`machine("a")` → the database, as the machine with this name and a home of its own sees it."""
    cloud = {"url": faulty_s3.place.url, **faulty_s3.place.options}

    def opened(name: str) -> Database:
        return simpleml.connect(tmp_path / "records.db", home=tmp_path / name, stores={"cloud": cloud})

    return opened


@pytest.fixture
def store(faulty_s3: FaultyPlace, tmp_path: Path) -> Store:
    """The store alone, without a database."""
    return open_store("mine", faulty_s3.place.url, faulty_s3.place.options, spool=tmp_path / "spool")


def _put(store: Store, data: bytes) -> tuple[str, str]:
    spool = store.spool()
    try:
        spool.write(data)
        key = make_key(LEDGER, spool.digest, uuid4().hex)
        store.put(spool, key)
        return key, spool.digest
    finally:
        spool.close()


def test_a_small_object_is_put_and_read_by_one_request_each(store: Store, requests: Requests) -> None:
    """One conditional PUT, one GET; no look before, none after, also for the first of a connection."""
    data = os.urandom(SMALL)
    key, digest = _put(store, data)
    assert requests.taken() == {"PUT": 1}
    found, found_digest = store.read(key, SMALL)
    assert (bytes(found), found_digest) == (data, digest)
    assert requests.taken() == {"GET": 1}


def test_an_empty_object_is_put_and_read_by_one_request_each(store: Store, requests: Requests) -> None:
    """Nothing at all is no more work than something."""
    key, _ = _put(store, b"")
    assert requests.taken() == {"PUT": 1}
    assert bytes(store.read(key, 0)[0]) == b""
    assert requests.taken() == {"GET": 1}


def test_a_big_object_takes_a_request_for_each_part_and_two_around_them(store: Store, requests: Requests) -> None:
    """Begin, three parts of at most 16 MiB, complete; and one look at the size before five ranges of 8 MiB."""
    data = os.urandom(BIG)
    key, digest = _put(store, data)
    assert requests.taken() == {"POST": 2, "PUT": 3}
    found, found_digest = store.read(key, BIG)
    assert bytes(found) == data
    assert found_digest == digest
    assert requests.taken() == {"HEAD": 1, "GET": 5}


def test_a_saved_object_is_loaded_where_it_was_saved_without_a_request(
    machine: Callable[[str], Database], requests: Requests
) -> None:
    """What went to the cloud stays in this machine's cache, small or big."""
    with machine("a"):
        for name, size, wanted in (("small", SMALL, {"PUT": 1}), ("big", BIG, {"POST": 2, "PUT": 3})):
            data = os.urandom(size)
            Weighed(name=name, data=data).save()
            assert requests.taken() == wanted
            assert Weighed.load(name=name).data == data
            assert requests.taken() == {}


def test_another_machine_asks_for_the_bytes_once(machine: Callable[[str], Database], requests: Requests) -> None:
    """The first load of a machine fetches the bytes, the second makes no request at all, also in a new connection."""
    expected = {"small": os.urandom(SMALL), "big": os.urandom(BIG)}
    with machine("a"):
        for name, data in expected.items():
            Weighed(name=name, data=data).save()
    requests.taken()
    fetched = {"small": {"GET": 1}, "big": {"HEAD": 1, "GET": 5}}
    for first in (True, False):
        with machine("b"):
            for name, data in expected.items():
                assert Weighed.load(name=name).data == data
                assert requests.taken() == (fetched[name] if first else {})


def test_without_a_cache_every_load_is_a_request(faulty_s3: FaultyPlace, tmp_path: Path, requests: Requests) -> None:
    """The counterpart: it is the cache that spares the requests, for without one the second load asks again."""
    cloud = {"url": faulty_s3.place.url, **faulty_s3.place.options}
    with simpleml.connect(tmp_path / "r.db", home=tmp_path / "home", stores={"cloud": cloud}, cache_size=0):
        Weighed(name="n", data=b"x" * SMALL).save()
        assert requests.taken() == {"PUT": 1}
        for _ in range(2):
            assert Weighed.load(name="n").data == b"x" * SMALL
            assert requests.taken() == {"GET": 1}


def test_the_same_bytes_are_not_uploaded_again(machine: Callable[[str], Database], requests: Requests) -> None:
    """A version with an artifact that is stored costs one look that it is still there, whatever its size."""
    with machine("a"):
        data = os.urandom(BIG)
        Weighed(name="n", data=data).save()
        requests.taken()
        for _ in range(3):
            Weighed(name="n", data=data).save()
            assert requests.taken() == {"HEAD": 1}


def test_other_threads_do_not_ask_more(store: Store, requests: Requests) -> None:
    """Sixteen threads that put and read at once make one request for each object and direction."""
    pieces = [os.urandom(SMALL) for _ in range(64)]
    with ThreadPoolExecutor(16) as pool:
        keys = [key for key, _ in pool.map(lambda data: _put(store, data), pieces)]
        assert requests.taken() == {"PUT": 64}
        assert [bytes(data) for data, _ in pool.map(lambda key: store.read(key, SMALL), keys)] == pieces
        assert requests.taken() == {"GET": 64}
