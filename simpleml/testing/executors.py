"""The contract of executors, as a test class to subclass.

```python
class TestMyExecutor(ExecutorContract):
    def executor(self): return MyExecutor(2)  # the suite shuts it down
```
"""
# ruff: noqa: S101  (asserting is what a contract suite is for)

from __future__ import annotations

import os
import threading
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future, wait
from tempfile import TemporaryDirectory
from typing import Any

from simpleml.errors import ExecutorError, WorkerDiedError

_LARGE = 20_000_000


def add(one: int, other: int = 0) -> int:
    """Add."""
    return one + other


def fail(value: object) -> None:
    """Raise an error that carries `value`."""
    raise KeyError(value)


class Unreadable(Exception):  # noqa: N818 - it stands for an error of somebody who does not follow our rules
    """An error that is pickled, but cannot be read back: unpickling gives its constructor one argument too few."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)
        self.other = other


def fail_unreadably() -> None:
    """Raise an error that cannot travel."""
    raise Unreadable("what went wrong", "where")


def large(size: int) -> bytes:
    """Return many bytes."""
    return b"x" * size


def unsendable() -> Any:
    """Return what cannot be pickled."""
    return threading.Lock()


def whereabouts() -> int:
    """Return which process this is."""
    return os.getpid()


def die() -> None:
    """End the process that does this, without a word."""
    os._exit(7)


def wait_for(path: str) -> str:
    """Wait until somebody makes this file."""
    deadline = time.monotonic() + 60
    while not os.path.exists(path):
        assert time.monotonic() < deadline, "nobody made the file"
        time.sleep(0.01)
    return path


class ExecutorContract(ABC):
    """What work may rely on, each as a test; subclass it under a name that begins with `Test`."""

    queues = True
    """Whether a task waits while all workers are busy, so that it can be cancelled."""

    separate = True
    """Whether tasks are done in other processes, which may die, and to which everything is sent."""

    @abstractmethod
    def executor(self) -> Executor:
        """Return the executor to prove, with at most two workers; it may be the same for every test."""

    def finish(self, executor: Executor) -> None:
        """End an executor that `executor()` returned; override it to keep a costly cluster for the next test."""
        executor.shutdown()

    def _with(self, use: Callable[[Executor], None]) -> None:
        executor = self.executor()
        try:
            use(executor)
        finally:
            self.finish(executor)

    def test_a_task_gives_its_result(self) -> None:
        """Positional and keyword arguments arrive, also under names that an executor may use itself; the result comes back."""

        def use(executor: Executor) -> None:
            assert executor.submit(add, 2, other=3).result(60) == 5
            named = executor.submit(dict, fn=1, key="k", workers=2, pure=3, self=4)
            assert named.result(60) == {"fn": 1, "key": "k", "workers": 2, "pure": 3, "self": 4}

        self._with(use)

    def test_an_error_comes_with_its_traceback(self) -> None:
        """The error of a task is of its own type, equal in content, and its traceback names the function that raised it."""

        def use(executor: Executor) -> None:
            error = executor.submit(fail, "offending").exception(60)
            assert type(error) is KeyError
            assert error.args == ("offending",)
            told = "".join(traceback.format_exception(error))
            assert "in fail" in told
            assert "raise KeyError(value)" in told
            assert executor.submit(add, 1).result(60) == 1

        self._with(use)

    def test_an_error_that_cannot_travel_is_told(self) -> None:
        """An error that cannot be read on the other side is told in words, and nothing else breaks."""

        def use(executor: Executor) -> None:
            error = executor.submit(fail_unreadably).exception(60)
            assert error is not None
            assert "what went wrong" in "".join(traceback.format_exception(error))
            assert executor.submit(add, 1).result(60) == 1

        self._with(use)

    def test_many_small_tasks(self) -> None:
        """Two hundred tasks give two hundred results, each its own."""

        def use(executor: Executor) -> None:
            futures = [executor.submit(add, number, 1) for number in range(200)]
            assert [future.result(120) for future in futures] == [number + 1 for number in range(200)]

        self._with(use)

    def test_map_keeps_the_order(self) -> None:
        """`map` gives results in the order of the arguments, and raises where a task raised."""

        def use(executor: Executor) -> None:
            assert list(executor.map(add, range(10), range(10), timeout=60)) == [2 * number for number in range(10)]
            results = executor.map(fail, ["x"], timeout=60)
            self._check(KeyError, lambda: next(results))

        self._with(use)

    def test_large_results(self) -> None:
        """A result of many megabytes comes back whole, and so do arguments of some."""

        def use(executor: Executor) -> None:
            assert executor.submit(large, _LARGE).result(120) == b"x" * _LARGE
            assert executor.submit(len, b"x" * 1_000_000).result(60) == 1_000_000

        self._with(use)

    def test_what_cannot_be_sent_is_told(self) -> None:
        """A result that cannot travel is an error of that task alone."""

        def use(executor: Executor) -> None:
            future = executor.submit(unsendable)
            if self.separate:
                assert future.exception(60) is not None
            else:
                assert future.result(60) is not None
            assert executor.submit(add, 1).result(60) == 1

        self._with(use)

    def test_what_has_not_begun_can_be_cancelled(self) -> None:
        """A task that waits for a worker is cancelled and never done; one that has ended is not."""

        def use(executor: Executor) -> None:
            done = executor.submit(add, 1)
            assert done.result(60) == 1
            assert not done.cancel()
            if not self.queues:
                return
            with TemporaryDirectory() as folder:
                gate = os.path.join(folder, "gate")
                waiting = [executor.submit(wait_for, gate) for _ in range(8)]
                assert waiting[-1].cancel()
                with open(gate, "x", encoding="utf-8"):
                    pass
                assert waiting[-1].cancelled()
                self._check(CancelledError, lambda: waiting[-1].result(60))
                assert [future.result(60) for future in waiting[:-1]] == [gate] * 7

        self._with(use)

    def test_a_dead_worker_is_told(self) -> None:
        """A task that takes its worker along is a `WorkerDiedError` which names it; tasks before, beside and after it are done."""

        def use(executor: Executor) -> None:
            if not self.separate:
                assert executor.submit(whereabouts).result(60) == os.getpid()
                return
            assert executor.submit(whereabouts).result(60) != os.getpid()
            beside = executor.submit(time.sleep, 0.2)
            error = executor.submit(die).exception(120)
            assert isinstance(error, WorkerDiedError)
            assert isinstance(error, ExecutorError)
            assert "die" in str(error)
            assert beside.result(120) is None
            assert executor.submit(add, 1).result(120) == 1

        self._with(use)

    def test_shutdown_finishes_what_there_is(self) -> None:
        """After `shutdown` everything that was submitted is done, and nothing more is taken; again it does nothing."""
        executor = self.executor()
        futures: list[Future[int]] = [executor.submit(add, number) for number in range(4)]
        executor.shutdown()
        assert wait(futures, 60).not_done == set()
        assert [future.result() for future in futures] == [0, 1, 2, 3]
        self._check(RuntimeError, lambda: executor.submit(add, 1))
        executor.shutdown()

    @staticmethod
    def _check(kind: type[BaseException], call: Callable[[], object]) -> None:
        try:
            result = call()
        except kind:
            return
        raise AssertionError(f"{kind.__name__} was not raised; the call returned {result!r:.80}")
