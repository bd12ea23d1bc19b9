"""`Workers`: threads of which none goes on trying when one has failed, or when the work is given up.

So a failure that lasts is told at once, and an interrupt need not wait for an outage to end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Workers(ThreadPoolExecutor):
    """Threads for one block of work: when any of it fails, or the block does, nothing more is begun or tried again in any of them.

    Nor is it in threads that these have begun in turn. The block ends when all of them are at rest, and raises what failed
    first, whoever looked at which part of the work: what another part says after that may only be that it was not tried again.
    """

    def __init__(self, count: int, name: str = "") -> None:
        self._given_up = _Flag(_flag())
        self._failure: BaseException | None = None
        super().__init__(count, name, initializer=setattr, initargs=(_thread, "flag", self._given_up))

    def submit(self, work: Callable[_P, _T], /, *args: _P.args, **options: _P.kwargs) -> Future[_T]:
        """Have a thread do `work`; raises what failed before, if anything did."""
        self._raise_failure()

        def watched() -> _T:
            self._raise_failure()
            try:
                return work(*args, **options)
            except BaseException as error:
                with self._given_up.changed:
                    self._failure = self._failure or error
                self._given_up.set()
                raise

        return super().submit(watched)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.shutdown()
        else:
            self.give_up()
        if error is None or (isinstance(error, Exception) and error is not self._failure):
            self._raise_failure()

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
