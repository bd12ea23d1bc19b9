"""Parts: the several objects of one artifact on their way into a store and out of it, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition
from types import TracebackType
from typing import Self, TypeVar

from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.pattern import announce, place
from simpleml.save_patterns.protocols import Intent, Places, Store
from simpleml.types import Reference

T = TypeVar("T")

_REMOTE = 8  # a request waits for the network most of its time
_LOCAL = 4  # a durable put waits for the disk, which flushes several as fast as one
_TOGETHER = 64  # announced in one transaction, unless they have …
_BYTES = 16 * 1024 * 1024  # … so many bytes before: these wait in memory, or on the disk
_AHEAD = 2  # that many times as much may wait for a thread, and always two parts for each thread


class Parts:
    """Places spooled parts in `store` while the next are made; parts with the same bytes are placed once.

    A block: what fails in another thread is raised by the next call, and at the end of the block no thread is at work any
    more and no spool is open. At most some two hundred small parts or twenty big ones are held at a time.
    """

    def __init__(self, store: Store, places: Places) -> None:
        self._store = store
        self._places = places
        threads = _REMOTE if store.remote else _LOCAL
        self._pool = ThreadPoolExecutor(threads, "simpleml-parts")
        self._few = 2 * threads
        self._room = Condition()  # of what the threads have in hand:
        self._count = self._bytes = 0
        self._order: list[str] = []
        self._waiting: dict[str, Spool] = {}  # to be announced
        self._placing: dict[str, Future[str]] = {}
        self._open: set[Spool] = set()
        self._failed: list[BaseException] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=error is not None or bool(self._failed))
        for spool in self._open:
            spool.close()

    def spool(self) -> Spool:
        """Open the spool of one more part, which is closed by the end of the block at the latest."""
        spool = self._store.spool()
        self._open.add(spool)
        return spool

    def add(self, spool: Spool) -> None:
        """Take the next part, whose bytes are all spooled; the spool must not be used again."""
        self._raise_failure()
        digest = spool.digest
        self._order.append(digest)
        if digest in self._placing or digest in self._waiting:
            self._close(spool)
            return
        self._waiting[digest] = spool
        if len(self._waiting) >= _TOGETHER or sum(each.size for each in self._waiting.values()) >= _BYTES:
            self._announce()

    def finish(self, manifest: bytes, layout: str, total: int, *, serializer: str, format: int) -> Reference:
        """Place the manifest after all parts, and return the reference to an artifact of `total` bytes."""
        self._raise_failure()
        self._announce()
        keys = {digest: placing.result() for digest, placing in self._placing.items()}
        spool = self.spool()
        spool.write(manifest)
        digest, size = spool.digest, spool.size
        return Reference(
            store=self._store.name,
            key=self._placed(spool),
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
        waiting, self._waiting = self._waiting, {}
        intents = announce(list(waiting.values()), self._store, self._places)
        for (digest, spool), intent in zip(waiting.items(), intents, strict=True):
            self._raise_failure()
            with self._room:
                self._room.wait_for(self._has_room)
                self._count += 1
                self._bytes += spool.size
            self._placing[digest] = self._pool.submit(self._place, spool, intent)

    def _has_room(self) -> bool:
        return self._count < self._few or (self._count < _AHEAD * _TOGETHER and self._bytes < _AHEAD * _BYTES)

    def _place(self, spool: Spool, intent: Intent) -> str:
        try:
            self._raise_failure()  # what waited behind it is not tried any more
            return self._placed(spool, intent)
        except BaseException as error:
            self._failed.append(error)
            raise
        finally:
            with self._room:
                self._count -= 1
                self._bytes -= spool.size
                self._room.notify()

    def _placed(self, spool: Spool, intent: Intent | None = None) -> str:
        try:
            return place(spool, self._store, self._places, intent)
        finally:
            self._close(spool)

    def _close(self, spool: Spool) -> None:
        spool.close()
        self._open.discard(spool)

    def _raise_failure(self) -> None:
        if self._failed:
            raise self._failed[0]


def each_part(work: Callable[[T], None], jobs: Iterable[T], store: Store) -> None:
    """Do `work` for each of `jobs`, several at a time; raises what failed first, and then begins no other."""
    with ThreadPoolExecutor(_REMOTE if store.remote else _LOCAL, "simpleml-parts") as pool:
        doing = [pool.submit(work, job) for job in jobs]
        try:
            for done in doing:
                done.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
