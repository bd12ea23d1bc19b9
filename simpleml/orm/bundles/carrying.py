"""Objects on their way from place to place: block by block, compared with their digest, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, as_completed
from functools import partial
from typing import TypeVar

from simpleml.errors import ArtifactDamagedError, ArtifactMissingError
from simpleml.hashing.digester import digester
from simpleml.save_patterns.locations.spool import Spool, digest_of
from simpleml.save_patterns.locations.workers import Workers
from simpleml.save_patterns.protocols import Buffer, FileStore, Store

T = TypeVar("T")
R = TypeVar("R")

BLOCK = 4 * 1024 * 1024
_SMALL = BLOCK  # up to here an object is held in memory
_NEAR, _FAR = 4, 8  # how many at a time


def workers(*stores: Store) -> int:
    """Return how many objects to carry at a time between these stores."""
    return _FAR if any(store.remote for store in stores) else _NEAR


class Piece:
    """One object of a store. `fetch` may be called in another thread; then `blocks` gives its bytes, unverified, once."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._data: Buffer | None = None
        self._copy: Spool | None = None

    def fetch(self) -> None:
        """Bring the bytes of an object that is far away near: a small one into memory, a large one into a private file."""
        if self._size <= _SMALL:
            self._data, _ = self._store.read(self._key, self._size)
        elif not isinstance(self._store, FileStore):
            self._copy = self._store.spool()
            self._copy.take(partial(self._store.download, self._key, self._size), self._size)

    def blocks(self) -> Iterator[memoryview]:
        """Give the bytes in blocks; `ArtifactDamagedError` as soon as there are more than there should be."""
        done = 0
        for block in self._blocks():
            done += block.nbytes
            if done > self._size:
                raise ArtifactDamagedError(
                    f"the object {self._key} in the store {self._store.name!r} ({self._store.describe()}) has more than the "
                    f"{self._size} bytes that were saved"
                )
            yield block

    def _blocks(self) -> Iterator[memoryview]:
        if self._data is not None:
            yield memoryview(self._data)
        elif self._copy is not None:
            path, _ = self._copy.materialize()
            with path.open("rb", buffering=0) as file:
                yield from _read(file.readinto)
        elif isinstance(self._store, FileStore):
            with (
                self._store.opened(self._key) as descriptor,
                open(descriptor, "rb", buffering=0, closefd=False) as file,
            ):
                yield from _read(file.readinto)

    def close(self) -> None:
        """Give memory and file back."""
        self._data = None
        if self._copy is not None:
            self._copy.close()


def _read(read_into: Callable[[memoryview], int | None]) -> Iterator[memoryview]:
    block = memoryview(bytearray(BLOCK))
    while count := read_into(block):
        yield block[:count]


def in_order(pieces: Iterable[Piece], count: int) -> Generator[Piece, None, None]:
    """Give the pieces one after the other, while the following ones are fetched; each is closed before the next is given."""
    waiting: deque[tuple[Piece, Future[None]]] = deque()
    try:
        with Workers(count) as pool:
            for piece in pieces:
                waiting.append((piece, pool.submit(piece.fetch)))
                if len(waiting) > count:
                    yield from _first(waiting)
            while waiting:
                yield from _first(waiting)
    finally:
        for piece, _ in waiting:
            piece.close()


def _first(waiting: deque[tuple[Piece, Future[None]]]) -> Iterator[Piece]:
    piece, future = waiting[0]
    try:
        future.result()
        yield piece
    finally:
        waiting.popleft()
        piece.close()


def as_done(work: Callable[[T], R], items: Iterable[T], count: int) -> Iterator[R]:
    """Give what `work` returns for each item, as it is done, `count` at a time; the first failure ends it all."""
    with Workers(count) as pool:
        for future in as_completed([pool.submit(work, item) for item in items]):
            yield future.result()


def is_whole(store: Store, key: str, size: int, digest: str) -> bool:
    """Whether the store has these very bytes."""
    piece, hasher = Piece(store, key, size), digester()
    try:
        piece.fetch()
        for block in piece.blocks():
            hasher.update(block)
    except (ArtifactMissingError, ArtifactDamagedError):
        return False
    finally:
        piece.close()
    return digest_of(hasher.hexdigest()) == digest


def damaged(key: str, store: Store, found: str, wanted: str) -> ArtifactDamagedError:
    """Return the error for an object whose bytes are not what they should be."""
    return ArtifactDamagedError(
        f"the object {key} in the store {store.name!r} ({store.describe()}) is damaged: its digest is {found}, but {wanted} was "
        "saved. Run `simpleml verify --all` where it was saved."
    )
