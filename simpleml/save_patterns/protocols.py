"""What a save pattern is made of, and what each part guarantees.

A *save pattern* is a *serializer* (object ↔ bytes) and a *location* (bytes ↔ place). A third party implements one of these
protocols, registers it, and proves it with the contract suite of the same name in `simpleml.testing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable

from simpleml.save_patterns.locations.spool import Spool
from simpleml.types import JSON, Reference

Buffer = bytearray | memoryview
"""Writable memory that nobody else holds: a serializer may keep views into it for as long as the object lives."""


@runtime_checkable
class Serializer(Protocol):
    """Turns objects into bytes and back; holds no state, so one instance serves every thread."""

    @property
    def name(self) -> str:
        """The stable name that references carry."""

    @property
    def format(self) -> int:
        """The number of the byte format that `dump` writes; `load` reads this one and every older one."""

    @property
    def executes(self) -> bool:
        """Whether reading can run code that the bytes choose (pickle can): such bytes pass the trust policy first."""

    def accepts(self, value: object) -> bool:
        """Whether `load(dump(value))` would equal `value` in type and content; cheap, never raises."""

    def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
        """Write `value` to `stream` piece by piece and return what `load` will need besides the bytes (often nothing).

        `stream` takes writes and nothing else; it may be closed.
        Extra memory stays far below the size of `value`. Raises `SerializationError` and leaves `value` as it was.
        """

    def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
        """Return the object that `dump` was given. `data` was verified; raises `SerializationError` if it is not ours."""


class Store(Protocol):
    """A named root that objects are kept under. Keys are relative, made by us, never used twice, never overwritten.

    Safe for threads and processes. Failures are `StoreError`s that name the store; nothing is ever visible half done.
    """

    name: str
    remote: bool
    """Whether reading goes over a network: then what was read is kept in the cache of this machine."""

    chunked: bool
    """Whether big objects are cut by content and compressed: what changed little is stored and moved little."""

    def spool(self) -> Spool:
        """Open a private place for the bytes of one artifact, as near to the store as it goes."""

    def put(self, spool: Spool, key: str) -> None:
        """Make the spooled bytes appear under `key`, whole and durable, or raise and leave nothing there."""

    def size(self, key: str) -> int | None:
        """Return the size in bytes of the object under `key`, or None if there is none."""

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Return a private copy of the object and the digest of that very copy, if it has `size` bytes.

        Raises `ArtifactMissingError` or `ArtifactDamagedError` otherwise.
        """

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Write the object to the empty file `descriptor`, if it has `size` bytes, and return the digest of what came.

        Memory stays far below `size`. Raises as `read` does; what the file holds then means nothing.
        """

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys of the objects below the folder `prefix`; what is not an object of ours is left out."""

    def clear_leftovers(self, older_than: float) -> int:
        """Remove temporary files that no living writer holds and none touched for `older_than` seconds; return how many."""

    def describe(self) -> str:
        """Where this store is on this machine, without credentials; equal for two names of one place."""

    def guarantees(self) -> Mapping[str, str]:
        """What the place gives, in words, under `put` (how an object appears), `durable` (when) and `listing`."""


@runtime_checkable
class FileStore(Store, Protocol):
    """A store whose objects are files of this machine, which can be mapped into memory."""

    def opened(self, key: str) -> AbstractContextManager[int]:
        """Open the object for reading and give its descriptor; `ArtifactMissingError` if there is none, links are refused."""


@runtime_checkable
class BatchStore(Store, Protocol):
    """A store on this machine to which many objects go faster together, as what makes them durable costs most."""

    def put_together(self, puts: Sequence[tuple[Spool, str]]) -> None:
        """Make each spool appear under its key as `put` does, or raise; the keys are durable only after `settle`.

        What appeared before another one failed stays: it is announced, and nothing refers to it.
        """

    def settle(self, keys: Iterable[str]) -> None:
        """Make these keys durable, under which `put_together` let objects appear."""


@dataclass(frozen=True, slots=True)
class Intent:
    """The announcement of some bytes: the key they have (`stored`) or will get, under a lease."""

    key: str
    stored: bool


class Ledger(Protocol):
    """The rows that announce bytes (table `blobs`): what makes collecting garbage beside writers safe."""

    def intend(self, *, digest: str, size: int, store: str) -> Intent:
        """Announce bytes (T1): extend the lease of a live blob with this content, or add a pending one under a new key."""

    def intend_many(self, contents: Sequence[tuple[str, int]], *, store: str) -> list[Intent]:
        """Announce several digests and sizes in one transaction; the intents are in their order."""

    def distrust(self, key: str) -> None:
        """Mark a blob as damaged: its bytes are not what its row says, so nobody reuses it."""


class Places(Protocol):
    """Everything that a save pattern needs of the database and the settings it works for."""

    @property
    def ledger(self) -> Ledger:
        """Where bytes are announced."""

    def store(self, name: str) -> Store:
        """Return the store of this name; `UnknownStoreError` names the settings key to add."""

    def fetch(self, store: str, key: str, size: int, digest: str) -> Buffer:
        """Return the bytes of an object, whose size and digest were compared with these: from the store, or the cache.

        Raises `ArtifactMissingError`, `ArtifactDamagedError`, `OfflineError` or another `StoreError`.
        """

    def found_damaged(self, key: str, size: int, digest: str) -> bool:
        """Whether `fetch` found that the object is not this one any more: what has the same bytes does not share it."""

    def keep(self, store: Store, spool: Spool) -> None:
        """Let what was just put be read again without the network, if the store is far away; never fails."""

    def mapped(self, maps: bool = True) -> Places:
        """Return the same, whose `fetch` gives a private, writable mapping of the stored file wherever there is one.

        Its pages are read when they are touched and shared by all processes; it was verified once and then remembered.
        Without `maps`: the same, whose `fetch` gives private memory.
        """

    @property
    def workspace(self) -> Path:
        """A folder of this machine for what has to be a file or a folder to be used."""

    def allow(self, serializer: Serializer, store: str, data: Buffer) -> None:
        """Raise `TrustError` if the trust policy forbids reading these bytes, in this format, from this store."""

    def allow_writing(self, serializer: Serializer, store: str) -> None:
        """Raise `TrustError` if the trust policy forbids this format altogether: what nobody may read is not written.

        If it forbids reading it from this store only, that is logged: another machine may trust the store.
        """


@runtime_checkable
class SavePattern(Protocol):
    """One way to keep an artifact, by name. Loading looks at nothing but the reference that saving returned."""

    @property
    def name(self) -> str:
        """The name under `filepaths[artifact]`."""

    def save(self, value: object, places: Places) -> Reference:
        """Put the bytes of `value` where they are durable and announced, and return the reference to them."""

    def load(self, reference: Reference, places: Places) -> object:
        """Return the object, after its size, its digest and the trust policy were checked, in this order."""
