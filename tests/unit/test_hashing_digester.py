"""Digests on several cores, beside forks."""

from __future__ import annotations

import os
import signal

from blake3 import blake3

from simpleml.hashing import hash_value
from simpleml.hashing.digester import digester

_PATIENCE = 120  # seconds, after which a child that hangs is ended by the system


def _in_a_fork(work) -> int:
    """Return how a forked child that does `work` ended: 0 if all was well."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(_PATIENCE)
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_digest_is_that_of_blake3_whatever_its_threads():
    """Long input digests to what plain BLAKE3 says of it."""
    data = bytes(range(256)) * 20_000
    hasher = digester()
    hasher.update(data)
    assert hasher.digest() == blake3(data).digest()


def test_a_forked_child_digests_after_its_parent_did():
    """BLAKE3's threads do not live on in a fork: a child, and its child, digest long input all the same, and equally."""
    data = bytes(range(256)) * 20_000
    expected = hash_value(data)  # starts the threads
    assert _in_a_fork(lambda: hash_value(data) == expected) == 0
    assert _in_a_fork(lambda: _in_a_fork(lambda: hash_value(data) == expected) == 0) == 0


def test_a_forked_child_saves_and_loads_after_its_parent_did(local):
    """A fork of a process that saved a large artifact saves and loads large artifacts itself."""
    from simpleml import Artifact, Persistable

    class Forked(Persistable):
        data = Artifact()

    data = os.urandom(2_000_000)
    Forked(name="parent", data=data).save()

    def work() -> bool:
        Forked(name="child", data=data[::-1]).save()
        return Forked.load("parent").data == data and Forked.load("child").data == data[::-1]

    assert _in_a_fork(work) == 0
    assert Forked.load("child").data == data[::-1]
