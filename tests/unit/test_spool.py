"""Spools: what they count, digest and write is one and the same."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from blake3 import blake3

from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.spool import Spool
from simpleml.testing.stores import LEDGER
from tests.training import training

BLOCK = 4 * 1024 * 1024
SIZES = [0, 1, 256 * 1024, 256 * 1024 + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 5]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("before", [0, 7, 300_000])
def test_every_byte_is_written_and_digested_once(tmp_path: Path, size: int, before: int) -> None:
    """Whatever the sizes of the pieces: below the buffer's, above it, of a block, and of blocks and a rest."""
    data = np.random.default_rng(size).bytes(before + size)
    spool = Spool(tmp_path)
    spool.write(data[:before])
    assert spool.write(np.frombuffer(data[before:], "u1").data) == size
    path, _ = spool.materialize()
    assert path.read_bytes() == data
    assert spool.size == len(data)
    assert spool.digest == f"blake3:{blake3(data).hexdigest()}"
    spool.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("elements", [100_000, 1_500_000])
def test_an_array_that_changes_while_it_is_saved_gives_a_whole_object(tmp_path: Path, elements: int) -> None:
    """Training may go on in another thread: what is digested is what is written, whichever moment that shows."""
    values, seen = np.zeros(elements), set()
    with training(values):
        for _ in range(20):
            spool = Spool(tmp_path)
            spool.write(values.data)
            path, _ = spool.materialize()
            assert spool.digest == f"blake3:{blake3(path.read_bytes()).hexdigest()}"
            seen.add(spool.digest)
            spool.close()
    assert len(seen) > 1, "nothing changed, so nothing was shown"


def _held_far(tmp_path: Path) -> tuple[RemoteStore, np.ndarray]:
    store = RemoteStore("far", lambda: MemoryTransport("memory://" + tmp_path.name, {}), tmp_path, place="memory://")
    return store, np.arange(500_000)


def test_what_is_lent_meets_no_disk(tmp_path: Path) -> None:
    """An array on its way to a far place is digested and sent from where it is, with what was written before and after it."""
    store, values = _held_far(tmp_path)
    spool = store.spool()
    spool.write(b"before")
    assert spool.lend(values.data) == values.nbytes
    spool.write(b"between")
    spool.lend(b"few")
    spool.lend(values[::-1].copy().data)
    wanted = b"before" + values.tobytes() + b"between" + b"few" + values[::-1].tobytes()
    assert (spool.size, spool.digest) == (len(wanted), f"blake3:{blake3(wanted).hexdigest()}")
    key = make_key(LEDGER, spool.digest, uuid4().hex)
    store.put(spool, key)
    assert not list(tmp_path.iterdir())
    spool.close()
    data, digest = store.read(key, len(wanted))
    assert (bytes(data), digest) == (wanted, f"blake3:{blake3(wanted).hexdigest()}")


def test_what_is_lent_and_then_followed_by_much_is_copied_in_order(tmp_path: Path) -> None:
    """Once the bytes that are a spool's own are many, all go to its file, in the order in which they came."""
    store, values = _held_far(tmp_path)
    spool = store.spool()
    spool.write(b"before")
    spool.lend(values.data)
    early = spool.digest
    spool.write(bytes(1_000_000))
    spool.lend(values.data)
    wanted = b"before" + values.tobytes() + bytes(1_000_000) + values.tobytes()
    path, _ = spool.materialize()
    assert path.read_bytes() == wanted
    assert (spool.size, spool.digest) == (len(wanted), f"blake3:{blake3(wanted).hexdigest()}")
    assert early != spool.digest
    assert spool.own() is False
    spool.close()


def test_a_local_store_borrows_nothing(tmp_path: Path) -> None:
    """Its file is renamed into place, so it is written at once; what changes later is not in it."""
    store = LocalStore("near", tmp_path)
    values = np.arange(500_000)
    spool = store.spool()
    spool.lend(values.data)
    wanted = values.tobytes()
    values += 1
    key = make_key(LEDGER, spool.digest, uuid4().hex)
    store.put(spool, key)
    assert bytes(store.read(key, len(wanted))[0]) == wanted
