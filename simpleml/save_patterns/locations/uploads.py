"""An object on its way in parts: a few at once, each in memory while it is, and all of them visible together or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Protocol, TypeVar

from simpleml.failpoints import reach
from simpleml.progress import Progress
from simpleml.save_patterns.locations.spooled import Spooled
from simpleml.save_patterns.locations.transport import PartedTransport
from simpleml.save_patterns.locations.workers import Workers

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_MOST = 10_000  # parts that S3 takes


class Call(Protocol):
    """Makes a call, again and again while it fails in passing."""

    def __call__(self, call: Callable[[], _T], /) -> _T:
        """Return what it returns."""


def upload(transport: PartedTransport, key: str, source: Spooled, call: Call, bar: Progress) -> None:
    """Make the object appear under `key`; on failure, nothing of it stays, unless that fails too: then a sweep removes it."""
    size = max(transport.part_size, -(-source.size // _MOST))
    name = call(partial(transport.begin, key, source))

    def add(number: int, start: int, data: bytes) -> tuple[str, int]:
        return call(partial(transport.add, key, name, number, start, data)), len(data)

    try:
        with Workers(transport.workers) as pool:
            ended: SimpleQueue[Future[tuple[str, int]]] = SimpleQueue()
            pieces, parts = source.pieces(size), []
            for number, start in enumerate(range(0, source.size, size)):
                if number >= transport.workers:  # no more are in memory
                    bar.advance(ended.get().result()[1])
                parts.append(pool.submit(add, number, start, next(pieces)))
                parts[-1].add_done_callback(ended.put)
            for _ in parts[-transport.workers :]:
                bar.advance(ended.get().result()[1])
        reach("put.rename.before")
        call(partial(transport.finish, key, name, [part.result()[0] for part in parts], source))
    except BaseException:
        _abort(transport, key, name)
        raise


def _abort(transport: PartedTransport, key: str, name: str) -> None:
    try:
        transport.abort(key, name)
    except Exception as error:  # noqa: BLE001 - what counts is why the upload failed; a sweep aborts it later
        _log.info("an upload to %s is left to a sweep: %s", transport.describe(), type(error).__name__)
