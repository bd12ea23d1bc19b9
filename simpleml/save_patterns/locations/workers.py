"""`Workers`: threads that stop trying when their work is given up, so that an interrupt need not wait for an outage to end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType


class Workers(ThreadPoolExecutor):
    """Threads for one block of work: when it fails, or is interrupted, nothing more is begun or tried again in any of them.

    Nor is it in threads that these have begun in turn. The block ends when all of them are at rest.
    """

    def __init__(self, count: int, name: str = "") -> None:
        self._given_up = _Flag(_flag())
        super().__init__(count, name, initializer=setattr, initargs=(_thread, "flag", self._given_up))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.give_up()

    def give_up(self) -> None:
        """Wait for what is under way, which is not tried again."""
        self._given_up.set()
        self.shutdown(cancel_futures=True)


class _Flag:
    """Is set with the one above it, if there is one."""

    def __init__(self, above: _Flag | None) -> None:
        self._above = above
        self.changed: threading.Condition = above.changed if above else threading.Condition()
        self._set = False

    def is_set(self) -> bool:
        return self._set or (self._above is not None and self._above.is_set())

    def set(self) -> None:
        with self.changed:
            self._set = True
            self.changed.notify_all()

    def wait(self, seconds: float) -> None:
        with self.changed:
            self.changed.wait_for(self.is_set, seconds)


_thread = threading.local()


def _flag() -> _Flag | None:
    found: _Flag | None = getattr(_thread, "flag", None)
    return found


def is_given_up() -> bool:
    """Whether the work that this thread does was given up."""
    flag = _flag()
    return flag is not None and flag.is_set()


def rest(seconds: float) -> None:
    """Sleep, until the work of this thread is given up at the latest."""
    flag = _flag()
    if flag is None:
        time.sleep(seconds)
    else:
        flag.wait(seconds)
