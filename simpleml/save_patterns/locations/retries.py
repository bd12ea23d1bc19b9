"""Trying again: with pauses that grow and are drawn by lot, until it works, cannot work, has lasted too long, or is given up."""

from __future__ import annotations

import logging
import math
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
# Seconds that a failure may last before whoever waits is told, and until it is told again.
_PATIENCE, _PAUSE = 3.0, 30.0


class Retries:
    """Repeats calls to one place that failed in passing. Many clients that failed at one moment come back at many (full jitter).

    That nothing came of it for some seconds is logged, as a warning and once in a while, however many calls wait.
    """

    def __init__(
        self,
        seconds: float = RETRIES_FOR,
        *,
        place: str = "the other side",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = rest,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.seconds = seconds
        self._place = place
        self._told = -math.inf
        self._clock = clock
        self._sleep = sleep
        self._draw = draw

    def run(self, call: Callable[[], _T], is_transient: Callable[[Exception], bool]) -> _T:
        """Return `call()`; raise its last error once it is not transient, `seconds` after the first one, or once it is given up."""
        first, attempt = 0.0, 0
        while True:
            try:
                return call()
            except Exception as error:
                if not is_transient(error):
                    raise
                now = self._clock()
                first = first if attempt else now
                limit = first + self.seconds
                pause = self._draw() * min(_LONGEST, _FIRST * 2**attempt)
                if now >= limit:
                    raise
                pause = min(pause, limit - now)
                self._tell(error, now, first)
                self._sleep(pause)
                if is_given_up():
                    raise
            attempt += 1

    def _tell(self, error: Exception, now: float, first: float) -> None:
        _log.debug("%s: tried again", type(error).__name__)
        if now >= first + _PATIENCE and now >= self._told + _PAUSE:
            self._told = now
            _log.warning(
                "%s does not answer as it should (%s); it is tried again for up to %.0f s",
                self._place,
                type(error).__name__,
                first + self.seconds - now,
            )
