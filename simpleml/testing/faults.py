"""Faults at failpoints: end this process at a named step of the save protocol, stop it there, or make the step fail.

```python
with recorded() as reached:          # which steps does this work take?
    work()
for point in points(reached):        # in a child process for each:
    with at(point, kill):
        work()
```

The hook is one of the whole process: one `at` or `recorded` at a time, and a fork inherits it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from simpleml import failpoints

Action = Callable[[], None]
"""What happens at a point."""


@dataclass(frozen=True, slots=True)
class Point:
    """The time that execution reaches the failpoint `name`, counted from 1."""

    name: str
    occurrence: int = 1

    def __str__(self) -> str:
        return f"{self.name}#{self.occurrence}"


def kill() -> None:
    """End this process at once, as `kill -9` does: no handler, no cleaning up."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """Stop this process until somebody kills or continues it."""
    os.kill(os.getpid(), signal.SIGSTOP)


def fail(number: int) -> Action:
    """Return an action that raises the `OSError` with this `errno`, as the system call of the step would."""

    def action() -> None:
        raise OSError(number, os.strerror(number))

    return action


@contextmanager
def at(point: Point, action: Action) -> Iterator[None]:
    """Do `action` once, when the block reaches `point`."""
    if point.name not in failpoints.NAMES:
        raise ValueError(f"there is no failpoint {point.name!r}; known: {', '.join(failpoints.NAMES)}")
    left = point.occurrence

    def hook(name: str) -> None:
        nonlocal left
        if name == point.name:
            left -= 1
            if left == 0:
                action()

    failpoints.install(hook)
    try:
        yield
    finally:
        failpoints.install(None)


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Give the list of failpoints that the block reaches, in their order; it grows while the block runs."""
    reached: list[str] = []
    failpoints.install(reached.append)
    try:
        yield reached
    finally:
        failpoints.install(None)


def points(reached: Iterable[str]) -> list[Point]:
    """Return every reached failpoint as the point that it was."""
    counts: dict[str, int] = {}
    found = []
    for name in reached:
        counts[name] = counts.get(name, 0) + 1
        found.append(Point(name, counts[name]))
    return found
