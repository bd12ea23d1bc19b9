"""Parts: the several objects of one artifact on their way into a store and out of it, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from threading import Condition, Lock
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.locations.workers import Workers, is_given_up
from simpleml.save_patterns.placing import announce, place
from simpleml.save_patterns.protocols import BatchStore, Intent, Places, Store
from simpleml.types import Reference

T = TypeVar("T")

_REMOTE = 8  # a request waits for the network most of its time
_LOCAL = 4  # a durable put waits for the disk, which flushes several as fast as one
_TOGETHER = 64  # announced in one transaction, unless they have …
_BYTES = 16 * 1024 * 1024  # … so many bytes before: these wait in memory, or on the disk
_AHEAD = 2  # that many times as much may wait for a thread, and always two parts for each thread
_BATCH = 8  # the least that a thread puts together: fewer would not be faster for another thread


class _Part(NamedTuple):
    """One part that is announced."""

    digest: str
    spool: Spool
    intent: Intent


class Parts:
    """Places spooled parts in `store` while the next are made; parts with the same bytes are placed once.

    A block: what fails in another thread is raised by a later call, or by its end, where no thread is at work any more and
    no spool is open. At most some two hundred small parts or twenty big ones are held at a time.
    """

    def __init__(self, store: Store, places: Places) -> None:
        self._store = store
        self._batches = store if isinstance(store, BatchStore) else None
        self._places = places
        self._threads = _REMOTE if store.remote else _LOCAL
        self._pool = Workers(self._threads, "simpleml-parts")
        self._few = 2 * self._threads
        self._room = Condition()  # of what the threads have in hand:
        self._count = self._bytes = 0
        self._order: list[str] = []
        self._known: set[str] = set()
        self._waiting: dict[str, Spool] = {}  # to be announced
        self._waiting_bytes = 0
        self._placing: list[Future[dict[str, str]]] = []
        self._unsettled: list[str] = []
        self._open: set[Spool] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._pool.__exit__(kind, error, trace)
        finally:
            for spool in self._open:
                spool.close()

    def spool(self) -> Spool:
        """Open the spool of one more part, which is closed by the end of the block at the latest."""
        spool = self._store.spool()
        self._open.add(spool)
        return spool

    def add(self, spool: Spool) -> str:
        """Take the next part, whose bytes are all spooled, and return its digest; the spool must not be used again."""
        digest = spool.digest
        self._order.append(digest)
        if digest in self._known:
            self._close(spool)
            return digest
        self._known.add(digest)
        self._waiting[digest] = spool
        self._waiting_bytes += spool.size
        if len(self._waiting) >= _TOGETHER or self._waiting_bytes >= _BYTES:
            self._announce()
        return digest

    def finish(self, manifest: bytes, layout: str, total: int, *, serializer: str, format: int) -> Reference:
        """Place the manifest after all parts, which are durable then, and return the reference to an artifact of `total` bytes."""
        self._announce()
        keys: dict[str, str] = {}
        for placing in self._placing:
            keys |= placing.result()
        self._settle()
        spool = self.spool()
        spool.write(manifest)
        digest, size = spool.digest, spool.size
        return Reference(
            store=self._store.name,
            key=place(spool, self._store, self._places),
            digest=digest,
            size=size,
            serializer=serializer,
            format=format,
            layout=layout,
            parts=[keys[each] for each in self._order],
            total=total,
        )

    def _announce(self) -> None:
        """Announce the parts that wait for it, in one transaction, and hand them to the threads."""
        if not self._waiting:
            return
        waiting, self._waiting, self._waiting_bytes = self._waiting, {}, 0
        contents = [(digest, spool.size) for digest, spool in waiting.items()]
        intents = announce(contents, self._store, self._places)
        parts = [_Part(digest, spool, intent) for (digest, spool), intent in zip(waiting.items(), intents, strict=True)]
        for batch in self._split(parts) if self._batches else ([part] for part in parts):
            size = sum(part.spool.size for part in batch)
            with self._room:
                self._room.wait_for(self._has_room)
                self._count += len(batch)
                self._bytes += size
            placing = self._pool.submit(self._place, batch)
            placing.add_done_callback(partial(self._make_room, len(batch), size))
            self._placing.append(placing)

    def _split(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        """Give the items in lists, about one for each thread."""
        length = max(_BATCH, -(-len(items) // self._threads))
        for start in range(0, len(items), length):
            yield items[start : start + length]

    def _has_room(self) -> bool:
        return self._count < self._few or (self._count < _AHEAD * _TOGETHER and self._bytes < _AHEAD * _BYTES)

    def _make_room(self, count: int, size: int, _: Future[dict[str, str]]) -> None:
        with self._room:
            self._count -= count
            self._bytes -= size
            self._room.notify()

    def _place(self, batch: Sequence[_Part]) -> dict[str, str]:
        """Return the keys of these parts by their digests; those that were put together are yet to be settled."""
        keys: dict[str, str] = {}
        try:
            if self._batches:
                puts = [(part.spool, part.intent.key) for part in batch if not part.intent.stored]
                self._batches.put_together(puts)
                self._unsettled.extend(key for _, key in puts)
                keys = {part.digest: part.intent.key for part in batch if not part.intent.stored}
            for part in batch:
                if part.digest not in keys:
                    keys[part.digest] = place(part.spool, self._store, self._places, part.intent)
            return keys
        finally:
            for part in batch:
                self._close(part.spool)

    def _settle(self) -> None:
        """Make the keys of all parts durable: once for each folder, however many are in it."""
        if self._batches:
            for settled in [
                self._pool.submit(self._batches.settle, keys) for keys in self._split(sorted(self._unsettled))
            ]:
                settled.result()

    def _close(self, spool: Spool) -> None:
        spool.close()
        self._open.discard(spool)


def each_part(work: Callable[[T], None], jobs: Iterable[T], store: Store) -> None:
    """Do `work` for each of `jobs`, several at a time; raises what failed first, and then begins no other."""
    left, turn = iter(jobs), Lock()

    def go() -> None:
        while not is_given_up():
            with turn:
                job = next(left, None)
            if job is None:
                return
            work(job)

    threads = _REMOTE if store.remote else _LOCAL
    with Workers(threads, "simpleml-parts") as pool:
        wait([pool.submit(go) for _ in range(threads)])
