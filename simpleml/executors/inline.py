"""`InlineExecutor`: work is done at once, by the caller."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec, TypeVar

from simpleml.errors import ConfigurationError
from simpleml.executors.opening import refuse_address

P = ParamSpec("P")
T = TypeVar("T")


class InlineExecutor(Executor):
    """Runs each task when it is submitted, in the thread that submits it: nothing to pickle, and the debugger works."""

    def __init__(self) -> None:
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run the task and return its future, which is done; an interrupt of the caller passes through."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - the future carries it
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks."""
        self._closed = True


def open_inline(workers: int | None, address: str | None) -> InlineExecutor:
    """Return an executor that works in line; it has no workers to count."""
    refuse_address("inline", address)
    if workers not in (None, 1):
        raise ConfigurationError(
            f"the executor 'inline' does one thing after the other, so {workers} workers mean nothing: take 'threads' or 'processes'"
        )
    return InlineExecutor()
