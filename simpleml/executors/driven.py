"""`DrivenExecutor`: one thread here for each worker elsewhere, which hands it a task and waits for the answer.

So every executor queues here, cancels what has not begun, and keeps no more tasks under way than it has workers.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from simpleml.errors import ExecutorError

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A function and its arguments, to be called where it arrives."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self) -> Any:
        """Return what the function returns."""
        return self.function(*self.args, **self.kwargs)

    @property
    def told(self) -> str:
        """The function, for messages."""
        name = getattr(self.function, "__qualname__", None)
        return f"{name}()" if isinstance(name, str) else f"{self.function!r:.80}"


class RemoteTraceback(Exception):  # noqa: N818 - it is no error: it is what a traceback shows as the cause of one
    """Where an error was raised in another process, as text: tracebacks cannot travel."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class DrivenExecutor(Executor, ABC):
    """An executor whose workers are elsewhere; a subclass says in `_call` how one task gets there and back.

    A task that fails does so alone, also one that takes its worker with it: that is a `WorkerDiedError`, and others go on.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        """How many tasks may be under way at once."""
        self._pid = os.getpid()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=type(self).__name__)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queue a task and return its future. Raises `ExecutorError` in a process that was forked from the owner's."""
        if os.getpid() != self._pid:
            raise ExecutorError(
                f"this {type(self).__name__} belongs to process {self._pid}, whose threads are not here: open one in this "
                "process, after the fork"
            )
        return self._threads.submit(self._call, Call(fn, args, kwargs))

    @abstractmethod
    def _call(self, call: Call) -> Any:
        """Have `call` done by a worker, and return or raise what comes of it; several threads do so at once."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more tasks, wait for those that there are (or cancel them), and end what was started."""
        if os.getpid() != self._pid:
            return
        self._threads.shutdown(wait=wait, cancel_futures=cancel_futures)
        if wait:
            self._close()

    def _close(self) -> None:
        """End what was started, now that no task is under way; called again, do nothing."""
