"""Trying again: with pauses that grow and are drawn by lot, until it works, cannot work, has lasted too long, or is given up."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from simpleml.save_patterns.locations.workers import is_given_up, rest

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

RETRIES_FOR = 120.0
"""Seconds that a failure may last before it is told."""

_FIRST, _LONGEST = 0.1, 10.0  # seconds: the bounds of the first pause, and of every later one


class Retries:
    """Repeats calls that failed in passing. Many clients that failed at one moment come back at many (full jitter)."""

    def __init__(
        self,
        seconds: float = RETRIES_FOR,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = rest,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.seconds = seconds
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    def run(self, call: Callable[[], _T], is_transient: Callable[[Exception], bool]) -> _T:
        """Return `call()`; raise its last error once it is not transient, `seconds` after the first one, or once it is given up."""
        limit, attempt = 0.0, 0
        while True:
            try:
                return call()
            except Exception as error:
                if not is_transient(error):
                    raise
                now = self._clock()
                limit = limit if attempt else now + self.seconds
                pause = self._draw() * min(_LONGEST, _FIRST * 2**attempt)
                if now >= limit:
                    raise
                pause = min(pause, limit - now)
                _log.debug("%s; tried again in %.2f s", type(error).__name__, pause)
                self._sleep(pause)
                if is_given_up():
                    raise
            attempt += 1
