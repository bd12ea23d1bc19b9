"""Processes to break: a stage is a fresh process with everything imported, which forks a child for each attempt.

So a child costs milliseconds, has no thread and no connection of anybody else, and may be killed, stopped or patched at
will. A child says what it does through a pipe, and what it has said outlives it.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Say = Callable[[tuple[Any, ...]], None]

_context = multiprocessing.get_context("forkserver")
_PR_SET_PDEATHSIG = 1


def on_stage(target: Callable[..., Any], *args: Any) -> Any:
    """Return `target(*args)`, run in a fresh process; its failure is ours, with its traceback."""
    _prepare()
    reader, writer = _context.Pipe(duplex=False)
    process = _context.Process(target=_play, args=(writer, target, args), daemon=True)
    process.start()
    writer.close()
    try:
        good, result = reader.recv()
    except EOFError:
        good, result = False, f"the stage of {target.__name__} ended without a word"
    finally:
        reader.close()
        process.join()
        process.close()
    assert good, result
    return result


def _prepare() -> None:
    """Start the fork server with what a stage needs; it takes its import path from the environment."""
    _context.set_forkserver_preload(["tests.faults.preload"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _play(writer: Connection, target: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        answer = True, target(*args)
    except BaseException:
        answer = False, traceback.format_exc()
    writer.send(answer)


class Child:
    """A fork of this process that runs `target(say, *args)`; it dies with its parent."""

    def __init__(self, target: Callable[..., None], *args: Any) -> None:
        self._reader, writer = _context.Pipe(duplex=False)
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() == parent:
                    target(writer.send, *args)
                    status = 0
            except BaseException:
                writer.send(("crashed", traceback.format_exc()))
            finally:
                os._exit(status)
        writer.close()
        self._status: int | None = None

    def hear(self) -> tuple[Any, ...]:
        """Return the next thing that the child says; `EOFError` when it has ended."""
        message: tuple[Any, ...] = self._reader.recv()
        return message

    def rest(self) -> list[tuple[Any, ...]]:
        """Return everything else that the child says, up to its end."""
        heard = []
        while True:
            try:
                heard.append(self.hear())
            except (EOFError, OSError):  # an OSError: killed in the middle of a word
                self._reader.close()
                return heard

    def wait_until_stopped(self) -> bool:
        """Wait for the child to stop itself; False if it ended instead."""
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._status = status
        return os.WIFSTOPPED(status)

    def kill(self) -> None:
        """Kill the child with SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Wait for the end and return the exit status, or minus the signal that killed it."""
        if self._status is None:
            _, self._status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(self._status)


def forked(target: Callable[..., None], *args: Any) -> tuple[int, list[tuple[Any, ...]]]:
    """Run `target(say, *args)` in a fork and return how it ended and all it said."""
    child = Child(target, *args)
    said = child.rest()
    return child.end(), said
