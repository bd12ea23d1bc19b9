"""Trying a store: what is said of a place that keeps its word, of one that does not, and of keys that are put twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from simpleml.errors import StoreUnreachableError
from simpleml.save_patterns.locations.checking import Checked, check
from simpleml.save_patterns.locations.keys import bundle_key, is_ledger_key, make_key, shared_key
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.memory import MemoryTransport
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.retries import Retries
from simpleml.save_patterns.locations.transport import Fault, Source
from simpleml.testing.stores import LEDGER


class Memory(MemoryTransport):
    """Memory that claims to be create-only, and is."""

    def __init__(self) -> None:
        super().__init__(f"memory://{uuid4().hex}", {})
        self.puts = 0

    def guarantees(self) -> Mapping[str, str]:
        return {**super().guarantees(), "put": "atomic and create-only: so it says"}


class Replacing(Memory):
    """The same, but it replaces what is there."""

    def create(self, key: str, source: Source) -> None:
        self._fs.pipe_file(self._at(key), source.whole(), mode="overwrite")


class Honest(Replacing):
    """One that replaces, and claims nothing."""

    def guarantees(self) -> Mapping[str, str]:
        return {"put": "not known"}


class Swallowing(Memory):
    """One that says that all is well, and keeps what was there."""

    def create(self, key: str, source: Source) -> None:
        if self.stat(key) is None:
            super().create(key, source)


class Leaving(Memory):
    """One that cannot be reached the second time."""

    def create(self, key: str, source: Source) -> None:
        self.puts += 1
        if self.puts > 1:
            raise ConnectionError("gone")
        super().create(key, source)

    def fault(self, error: Exception) -> Fault:
        return Fault.TRANSIENT if isinstance(error, ConnectionError) else super().fault(error)


def _checked(tmp_path: Path, make: Callable[[], Any]) -> Checked:
    transport = make()
    store = RemoteStore("mine", lambda: transport, tmp_path / "spool", place="memory://x", retries=Retries(0))
    found = check(store, LEDGER)
    assert list(store.keys(f"objects-{LEDGER[:12]}")) == []
    assert json.loads(json.dumps(asdict(found)))["guarantees"] == found.guarantees
    return found


def test_a_place_that_keeps_its_word(tmp_path: Path) -> None:
    """Every step works, the second put was refused, and nothing is left."""
    found = _checked(tmp_path, Memory)
    assert found.ok
    assert [step.name for step in found.steps] == ["write", "size", "read", "list", "second put", "delete"]
    assert found.guarantees["tested"] == "a second put of the same key was refused"


@pytest.mark.parametrize(
    ("make", "problem", "tested"),
    [
        (Replacing, "ignores conditions", "replaced what was there"),
        (Swallowing, "taken and lost", "said one thing and did another"),
        (Leaving, "gone", ""),
    ],
)
def test_a_place_that_breaks_its_word(tmp_path: Path, make: Callable[[], Any], problem: str, tested: str) -> None:
    """What replaces though it claims not to, takes bytes and loses them, or goes away, fails; the probe is removed."""
    found = _checked(tmp_path, make)
    assert [step.name for step in found.steps if not step.ok] == ["second put"]
    assert problem in found.steps[-2].problem
    assert tested in found.guarantees.get("tested", "")
    assert bool(tested) == ("tested" in found.guarantees)


def test_a_replacement_is_told_where_nothing_is_claimed(tmp_path: Path) -> None:
    """A place, and a folder of this machine, that rely on keys used once are told to replace, and work."""
    for found in (_checked(tmp_path, Honest), check(LocalStore("mine", tmp_path / "store"), LEDGER)):
        assert found.ok
        assert found.guarantees["tested"] == "a second put of the same key replaced what was there"


def test_a_place_that_cannot_be_reached_is_told_once(tmp_path: Path) -> None:
    """The first step that fails is the last but the removal, and nothing is said of what was not tested."""
    transport = Leaving()
    transport.puts = 1
    store = RemoteStore("mine", lambda: transport, tmp_path / "spool", place="memory://x", retries=Retries(0))
    found = check(store, LEDGER)
    assert [(step.name, step.ok) for step in found.steps] == [("write", False), ("delete", True)]
    assert "tested" not in found.guarantees
    with pytest.raises(StoreUnreachableError):
        spool = store.spool()
        store.put(spool, make_key(LEDGER, spool.digest, "0" * 32))


def test_whose_a_key_is() -> None:
    """Only a key in a ledger's own folder is its key: none of another ledger, of a bundle, or that is no key."""
    digest, other = "blake3:" + "ab" * 32, "f" * 32
    mine = make_key(LEDGER, digest, "0" * 32)
    assert is_ledger_key(mine, LEDGER)
    for wrong in (
        make_key(other, digest, "0" * 32),
        shared_key(digest),
        bundle_key("b" * 32, digest),
        f"{mine}0",
        "",
        None,
    ):
        assert not is_ledger_key(wrong, LEDGER)
