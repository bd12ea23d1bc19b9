"""Trying a store: a probe is written, read back, listed and removed, by the calls that saving and loading make."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from simpleml.errors import (
    ArtifactDamagedError,
    SimpleMLError,
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.save_patterns.locations.keys import ledger_folder, make_key
from simpleml.save_patterns.protocols import Store

_SIZE = 300_000  # more than what stays in memory while it is written
_SECOND = "second put"
_CREATE_ONLY = "create-only"
_BROKEN = (StoreUnreachableError, StoreCredentialsError, StoreFullError, StoreReadOnlyError)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: whether it worked, how long it took in seconds, and what went wrong if it did not."""

    name: str
    ok: bool
    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a store can do from this machine, what its place guarantees, and under `tested` what came of a second put."""

    store: str
    place: str
    steps: tuple[Step, ...]
    guarantees: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every step worked."""
        return all(step.ok for step in self.steps)


def check(store: Store, ledger: str) -> Checked:
    """Write, read back, list and remove a probe under a key of this ledger; the first step that fails is the last one.

    Before the removal, other bytes are put under the same key: what claims to be create-only has to refuse them. Only the
    removal is tried in any case. A probe that stays behind has no row, so a sweep removes it.
    """
    data = os.urandom(_SIZE)
    probe = _Probe(store, ledger, data)
    steps: list[Step] = []
    for name in ("write", "size", "read", "list", _SECOND):
        steps.append(_try(name, getattr(probe, name.replace(" ", "_"))))
        if not steps[-1].ok:
            break
    if probe.key:
        steps.append(_try("delete", probe.delete))
    tested = {"tested": probe.tested} if probe.tested else {}
    return Checked(store.name, store.describe(), tuple(steps), {**store.guarantees(), **tested})


class _Probe:
    def __init__(self, store: Store, ledger: str, data: bytes) -> None:
        self.store, self.ledger, self.data = store, ledger, data
        self.key = self.digest = self.tested = ""

    def write(self) -> None:
        """Put the probe as a save does."""
        spool = self.store.spool()
        try:
            spool.write(self.data)
            self.digest = spool.digest
            self.key = make_key(self.ledger, self.digest, uuid4().hex)
            self.store.put(spool, self.key)
        finally:
            spool.close()

    def size(self) -> None:
        """Ask for its size."""
        found = self.store.size(self.key)
        if found != _SIZE:
            raise ArtifactDamagedError(f"{_SIZE} bytes were written, but the store says that there are {found}")

    def read(self) -> None:
        """Read it back whole."""
        found, digest = self.store.read(self.key, _SIZE)
        if digest != self.digest or bytes(found) != self.data:
            raise ArtifactDamagedError("what was read is not what was written")

    def list(self) -> None:
        """Find it in the listing."""
        if self.key not in self.store.keys(ledger_folder(self.ledger)):
            raise StoreError("what was written is not listed, so a sweep of this store would miss what a crash leaves")

    def second_put(self) -> None:
        """Put other bytes under its key, and see which are there then; only a claim makes a replacement a failure."""
        other = self.data[::-1]
        refused = self._put_again(other)
        found = bytes(self.store.read(self.key, _SIZE)[0])
        if found == self.data and refused:
            self.tested = "a second put of the same key was refused"
        elif found == other and not refused:
            self.tested = "a second put of the same key replaced what was there"
        else:
            self.tested = "a second put of the same key said one thing and did another"
            raise StoreError("other bytes under the same key were taken and lost, or refused and kept")
        if not refused and _CREATE_ONLY in self.store.guarantees().get("put", ""):
            raise StoreError(
                "the place is said to be create-only, but a second put of the same key replaced what was there: it ignores "
                "conditions. A key is used once, so nothing is lost by that alone; do not let others write there."
            )

    def _put_again(self, data: bytes) -> bool:
        """Put `data` under the key of the probe, and say whether that was refused."""
        spool = self.store.spool()
        try:
            spool.write(data)
            self.store.put(spool, self.key)
        except _BROKEN:
            raise
        except StoreError:
            return True
        finally:
            spool.close()
        return False

    def delete(self) -> None:
        """Remove it."""
        self.store.delete(self.key)
        if self.store.size(self.key) is not None:
            raise StoreError("what was removed is still there")


def _try(name: str, work: Callable[[], None]) -> Step:
    start = time.perf_counter()
    try:
        work()
    except SimpleMLError as error:
        return Step(name, False, time.perf_counter() - start, str(error))
    return Step(name, True, time.perf_counter() - start)
