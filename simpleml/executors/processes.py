"""`ProcessesExecutor`: several processes of this machine, each of which may die without taking the others' work along."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection as waiting
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.reduction import ForkingPickler
from typing import Any

from simpleml.errors import ExecutorError, WorkerDiedError
from simpleml.executors.driven import Call, DrivenExecutor, RemoteTraceback
from simpleml.executors.opening import refuse_address, usable_processors

_PATIENCE = 5.0  # seconds that an idle worker gets to leave by itself
_GRACE = 2.0  # seconds that a task gets to end when it is interrupted
_GUARD = " If a script starts the work, guard what it does: `if __name__ == '__main__':`, since a new process reads it again."


@dataclass(frozen=True, slots=True)
class _Failure:
    """What is told of an error before the error itself, which may not be readable on this side."""

    kind: str
    message: str
    traceback: str
    follows: bool


class ProcessesExecutor(DrivenExecutor):
    """Runs tasks in processes that are started when they are first needed, by `spawn` unless told otherwise.

    Functions must be importable there, arguments and results picklable. A spawned worker inherits nothing that a fork could
    tear: no lock, no connection, no thread.
    """

    def __init__(self, workers: int, method: str = "spawn") -> None:
        super().__init__(workers)
        self._context = multiprocessing.get_context(method)
        self._starting = threading.Lock()  # one at a time: a fork must not inherit the pipe of another worker
        self._idle: deque[_Worker] = deque()
        self._busy: set[_Worker] = set()
        self._abandoned = False
        # Before multiprocessing waits for its children at the end of this process, which would be for ever.
        self._last = util.Finalize(self, _stop_all, args=(self._idle,), exitpriority=10)

    def _call(self, call: Call) -> Any:
        worker = self._take()
        self._busy.add(worker)
        try:
            if self._abandoned:
                raise ExecutorError(f"{call.told} was not begun: the executor was abandoned")
            return worker.run(call)
        finally:
            self._busy.discard(worker)
            if worker.is_alive:
                self._idle.append(worker)
            else:
                worker.stop()

    def _take(self) -> _Worker:
        while self._idle:
            try:
                worker = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            if worker.is_alive:
                return worker
            worker.stop()
        with self._starting:
            return _Worker(self._context)

    def abandon(self) -> None:
        """Interrupt what is under way, so that it gives back what it holds, kill what goes on, and begin nothing more."""
        self._abandoned = True
        try:
            for worker in list(self._busy):
                worker.interrupt()
            end = time.monotonic() + _GRACE
            while self._busy and time.monotonic() < end:
                time.sleep(_GRACE / 100)
        finally:  # also when whoever waits here is interrupted again
            for worker in list(self._busy):
                worker.kill()

    def _close(self) -> None:
        _stop_all(self._idle)


def _stop_all(idle: deque[_Worker]) -> None:
    workers = list(idle)
    idle.clear()
    for worker in workers:
        worker.dismiss()
    for worker in workers:
        worker.stop()


class _Worker:
    """One process, and the pipe to it; used by one thread at a time."""

    def __init__(self, context: BaseContext) -> None:
        self._here, there = context.Pipe()
        self._process: Any = context.Process(target=_serve, args=(there,), name="simpleml-worker")  # type: ignore[attr-defined]
        self._process.start()
        there.close()
        self._fresh = True

    @property
    def is_alive(self) -> bool:
        return bool(self._process.is_alive()) and not self._here.closed

    def run(self, call: Call) -> Any:
        """Return or raise what comes of `call` there."""
        try:
            self._here.send(call)
        except OSError:  # it is gone, which the next line finds out
            pass
        except Exception as error:
            raise ExecutorError(
                f"{call.told} or an argument of it cannot be sent to another process ({type(error).__name__}: {error}): give a "
                "function that can be imported there, and arguments that can be pickled"
            ) from error
        try:
            failure = self._receive()
            value = self._received(call) if failure is None or failure.follows else None
        except (EOFError, OSError) as error:
            raise self._died(call) from error
        self._fresh = False
        if failure is None:
            return value
        if not isinstance(value, BaseException):
            raise ExecutorError(
                f"{call.told} raised an error that cannot travel: {failure.kind}: {failure.message}"
            ) from RemoteTraceback(failure.traceback)
        value.__cause__ = RemoteTraceback(failure.traceback)
        raise value

    def _receive(self) -> _Failure | None:
        if self._here not in waiting.wait([self._here, self._process.sentinel]):
            raise EOFError
        told: _Failure | None = self._here.recv()
        return told

    def _received(self, call: Call) -> Any:
        try:
            return self._here.recv()
        except (EOFError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - an error of theirs is told as text instead; a result is raised below
            return _unreadable(call, error)

    def _died(self, call: Call) -> WorkerDiedError:
        self._here.close()
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        if code is not None and code < 0:
            how = f"by {signal.Signals(-code).name}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
        else:
            how = f"with exit code {code}"
        return WorkerDiedError(
            f"process {self._process.pid} ended {how} while it was to do {call.told}, so there is no result; other tasks go on."
            + (_GUARD if self._fresh and code == 1 else "")
        )

    def dismiss(self) -> None:
        """Tell it, by an end of file, that nothing more comes."""
        self._here.close()

    def interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in what it does, unless a terminal did so already."""
        with contextlib.suppress(OSError):  # it has left
            os.kill(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End it at once; whoever waits for its answer learns that it died."""
        self._process.kill()

    def stop(self) -> None:
        """Wait until it has left; make it, if it stays."""
        self.dismiss()
        self._process.join(_PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _unreadable(call: Call, error: Exception) -> ExecutorError:
    return ExecutorError(f"what {call.told} returned cannot be read on this side: {type(error).__name__}: {error}")


def _serve(there: Connection) -> None:
    """Do what comes through the pipe until it ends: the whole life of a worker."""
    while True:
        try:
            call = there.recv()
        except (EOFError, OSError, KeyboardInterrupt):
            return
        except Exception as error:  # noqa: BLE001 - what cannot be read is told to who sent it
            _tell(there, error)
            continue
        signal.signal(signal.SIGINT, _interrupt_once)
        try:
            payload = _pickled(call, call())
        except BaseException as error:  # noqa: BLE001 - who asked gets it, an interrupt included
            _tell(there, error)
        else:
            there.send(None)
            there.send_bytes(payload)


def _interrupt_once(number: int, _: object) -> None:
    """Interrupt a task, and not what it does in order to end well."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _pickled(call: Call, value: object) -> Any:
    try:
        return ForkingPickler.dumps(value)
    except Exception as error:
        raise ExecutorError(
            f"{call.told} returned a {type(value).__name__}, which cannot be sent back ({type(error).__name__}: {error}): return "
            "something that can be pickled"
        ) from error


def _tell(there: Connection, error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    try:
        payload = ForkingPickler.dumps(error)
    except Exception:  # noqa: BLE001 - then it is told as text
        payload = None
    there.send(_Failure(type(error).__name__, str(error), text, payload is not None))
    if payload is not None:
        there.send_bytes(payload)


def open_processes(workers: int | None, address: str | None) -> ProcessesExecutor:
    """Return an executor of so many processes, by default one for each processor; `address` is how they are started."""
    refuse_address("processes", address, *multiprocessing.get_all_start_methods())
    return ProcessesExecutor(workers or usable_processors(), address or "spawn")
