"""Processes that a test commands: each runs one function, tells what it did, and stops where it is told to."""

from __future__ import annotations

import multiprocessing
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(  # imported once, so that sixteen start at the price of one
    [
        "tests.races.work",
        "simpleml.migrations.environment",
        "simpleml.migrations.versions.revision_0001",
        "simpleml.migrations.versions.revision_0002",
        "simpleml.migrations.versions.revision_0003",
        "simpleml.migrations.versions.revision_0004",
        "sqlalchemy.dialects.postgresql.psycopg",
        "psycopg",
        "sqlalchemy.dialects.mysql.pymysql",
        "pymysql",
    ]
)
FORK = multiprocessing.get_context("fork")

PATIENCE = 240.0  # nothing comes near it: it only turns a hanging process into a failure that names it

_pipe: Connection | None = None


@dataclass(frozen=True)
class Failure:
    """How a process failed: the classes of its error, so that a test can ask for one of ours, and the traceback."""

    classes: tuple[str, ...]
    text: str

    @property
    def ours(self) -> bool:
        """Whether it is an error of the package's own tree."""
        return "SimpleMLError" in self.classes

    def __str__(self) -> str:
        return self.text


def failure_of(error: BaseException) -> Failure:
    """Return what a test can be told of an error."""
    return Failure(tuple(each.__name__ for each in type(error).__mro__), "".join(traceback.format_exception(error)))


# in the process


def tell(value: object) -> None:
    """Report something to the test."""
    assert _pipe is not None
    _pipe.send(("told", value))


def pause(label: str) -> None:
    """Say that this point is reached, and wait until the test lets this process go on."""
    assert _pipe is not None
    _pipe.send(("at", label))
    _pipe.recv()


def asked_to_stop() -> bool:
    """Whether the test has had enough of what this process does over and over."""
    assert _pipe is not None
    return _pipe.poll()


def stop_at(*points: str) -> None:
    """Pause at these failpoints of this process; `put.rename.before#3` means the third time only."""
    from simpleml import failpoints

    seen: Counter[str] = Counter()

    def hook(name: str) -> None:
        seen[name] += 1
        if name in points or f"{name}#{seen[name]}" in points:
            pause(name)

    failpoints.install(hook)


def _play(pipe: Connection, work: Callable[..., object], arguments: tuple[Any, ...], points: tuple[str, ...]) -> None:
    global _pipe
    _pipe = pipe
    if points:
        stop_at(*points)
    try:
        answer = ("done", work(*arguments))
    except BaseException as error:  # whatever it is, the test is told
        answer = ("failed", failure_of(error))
    pipe.send(answer)
    sys.stdout.flush()


# in the test


class Actor:
    """One process. It ends with its work, or with `kill`."""

    def __init__(self, work: Callable[..., object], *arguments: Any, stops: Sequence[str] = (), context: Any = CONTEXT):
        self.told: list[Any] = []
        self._answer: tuple[str, Any] | None = None
        self._title = f"{work.__name__}{stops or ''}"
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_play, args=(theirs, work, arguments, tuple(stops)), daemon=True)
        self._process.start()
        theirs.close()

    def until(self, label: str) -> None:
        """Return when the process waits at this point; anything else that it does first is a failure."""
        kind, value = self._next()
        assert (kind, value) == ("at", label), f"{self._title} should be at {label!r}, but it {kind} {value}"

    def go(self) -> None:
        """Let the process go on."""
        self.pipe.send("go")

    def pass_by(self, label: str) -> None:
        """Wait until the process is at this point, and let it go on."""
        self.until(label)
        self.go()

    def outcome(self) -> Any:
        """Return the result of the work, or its `Failure`."""
        kind, value = self._next()
        assert kind in ("done", "failed"), f"{self._title} should be ending, but it is {kind} {value}"
        self.kill()
        return value

    def result(self) -> Any:
        """Return the result of the work; a failed one fails the test."""
        value = self.outcome()
        assert not isinstance(value, Failure), f"{self._title}: {value}"
        return value

    def listen(self) -> list[Any]:
        """Return everything that was told so far."""
        while self._answer is None and self.pipe.poll():
            self._receive()
        return self.told

    def hear(self, count: int) -> None:
        """Wait until this many things were told."""
        deadline = time.monotonic() + PATIENCE
        while len(self.told) < count:
            assert self._answer is None, (
                f"{self._title} ended after telling {len(self.told)} of {count}: {self._answer}"
            )
            assert time.monotonic() < deadline, f"{self._title} told {len(self.told)} of {count} things in {PATIENCE} s"
            if self.pipe.poll(0.1):
                self._receive()

    def kill(self) -> None:
        """End the process with SIGKILL, if it has not ended, and read what it told until then."""
        if self._process.is_alive() and self._answer is None:
            self._process.kill()
        self._process.join(PATIENCE)
        assert not self._process.is_alive(), f"{self._title} does not end"
        if not self.pipe.closed:
            with suppress(EOFError):
                self.listen()
            self.pipe.close()

    def _next(self) -> tuple[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while self._answer is None:
            assert self.pipe.poll(max(deadline - time.monotonic(), 0)), f"{self._title} says nothing for {PATIENCE} s"
            if (message := self._receive()) is not None:
                return message
        return self._answer

    def _receive(self) -> tuple[str, Any] | None:
        """Take one message; what is told is kept, anything else is returned."""
        kind, value = self.pipe.recv()
        if kind == "told":
            self.told.append(value)
            return None
        if kind in ("done", "failed"):
            self._answer = (kind, value)
        return kind, value


class Crew:
    """All processes of one test; none outlives it."""

    def __init__(self) -> None:
        self._actors: list[Actor] = []

    def start(
        self, work: Callable[..., object], *arguments: Any, stops: Sequence[str] = (), context: Any = CONTEXT
    ) -> Actor:
        """Start one process."""
        actor = Actor(work, *arguments, stops=stops, context=context)
        self._actors.append(actor)
        return actor

    def together(self, count: int, work: Callable[..., object], *arguments: Any, context: Any = CONTEXT) -> list[Any]:
        """Run `work(number, *arguments)` in `count` processes that begin at one instant; return outcomes in their order."""
        gate = context.Barrier(count)
        actors = [self.start(_released, gate, work, number, *arguments, context=context) for number in range(count)]
        deadline = time.monotonic() + PATIENCE
        waiting = {actor.pipe: actor for actor in actors}
        while waiting and time.monotonic() < deadline:
            for pipe in wait(list(waiting), 1.0):
                actor = waiting[pipe]
                actor._receive()
                if actor._answer is not None:
                    del waiting[pipe]
        assert not waiting, f"{len(waiting)} of {count} processes hang in {work.__name__}"
        return [actor.outcome() for actor in actors]

    def close(self) -> None:
        """End what is left."""
        for actor in self._actors:
            actor.kill()


def _released(gate: Any, work: Callable[..., object], number: int, *arguments: Any) -> object:
    gate.wait(PATIENCE)
    return work(number, *arguments)
