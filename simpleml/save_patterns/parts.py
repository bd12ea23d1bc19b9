"""Parts: the several objects of one artifact on their way into a store and out of it, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from types import TracebackType
from typing import Self, TypeVar

from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.pattern import place
from simpleml.save_patterns.protocols import Places, Store
from simpleml.types import Reference

T = TypeVar("T")

_REMOTE = 8  # a request waits for the network most of its time
_LOCAL = 4  # a durable put waits for the disk, which flushes several as fast as one


class Parts:
    """Places spooled parts in `store` while the next are made; parts with the same bytes are placed once.

    A block: what fails in another thread is raised by the next call, and at the end of the block no thread is at work any
    more and no spool is open. At most some twenty parts are held at a time.
    """

    def __init__(self, store: Store, places: Places) -> None:
        self._store = store
        self._places = places
        threads = _REMOTE if store.remote else _LOCAL
        self._pool = ThreadPoolExecutor(threads, "simpleml-parts")
        self._room = BoundedSemaphore(2 * threads)
        self._order: list[str] = []
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
        if digest in self._placing:
            self._close(spool)
            return
        self._room.acquire()
        self._placing[digest] = self._pool.submit(self._place, spool)

    def finish(self, manifest: bytes, layout: str, total: int, *, serializer: str, format: int) -> Reference:
        """Place the manifest after all parts, and return the reference to an artifact of `total` bytes."""
        self._raise_failure()
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

    def _place(self, spool: Spool) -> str:
        try:
            return self._placed(spool)
        except BaseException as error:
            self._failed.append(error)
            raise
        finally:
            self._room.release()

    def _placed(self, spool: Spool) -> str:
        try:
            return place(spool, self._store, self._places)
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
