"""Walk over every point that the work reaches: break it there in a child, then look at what is left."""

from __future__ import annotations

import errno
import signal
from pathlib import Path
from typing import Any

from simpleml.testing.faults import Action, Point, at, fail, kill, points, recorded
from tests.faults.invariants import Journal, aftermath, violations
from tests.faults.stages import Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import Place, work

KILL = "kill"
ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}


def trace(say: Say, place: Place, name: str) -> None:
    """Do the work undisturbed and say which failpoints it reaches."""
    with place.open() as database, recorded() as reached:
        work(lambda _: None, database, name)
    say(("reached", *reached))


def reached_points(place: Place) -> list[Point]:
    """Return the points of the work: each failpoint once, on SQLite in two situations (small content, then large)."""
    status, said = forked(trace, place, "undisturbed")
    assert status == 0, said
    deepest = 2 if place.url.startswith("sqlite") else 1
    return [point for point in points(said[-1][1:]) if point.occurrence <= deepest]


def disturbed(say: Say, place: Place, name: str, point: Point, fault: str, twin: Twin) -> None:
    """Do the work with a fault at `point`; after an error look around, and do it once more in the same process."""
    twin()
    action: Action = kill if fault == KILL else fail(ERRORS[fault])
    said: list[tuple[Any, ...]] = []

    def tell(what: tuple[Any, ...]) -> None:
        said.append(what)
        say(what)

    if point.name.startswith("store.folders"):
        for marker in Path(place.store).glob("*/.ready"):
            marker.unlink()
    with place.open() as database:
        try:
            with at(point, action):
                work(tell, database, name)
        except OSError as error:
            say(("failed", [kind.__name__ for kind in type(error).__mro__], error.errno, str(error)))
            for wrong in violations(database, Journal().take(said)):
                say(("wrong", f"right after the error: {wrong}"))
            work(say, database, name)


def explore(place: Place, fault: str, twin: Twin = faithful, only: list[Point] | None = None) -> dict[str, list[Any]]:
    """Return what is wrong after the fault at each point: nothing, if the protocol holds."""
    wrong: dict[str, list[Any]] = {}
    for point in only or reached_points(place):
        name = f"{fault} {point}"
        status, said = forked(disturbed, place, name, point, fault, twin)
        found = [] if status == (-signal.SIGKILL if fault == KILL else 0) else [f"it ended with {status}"]
        if fault != KILL:
            found += complaints(point, fault, [message for message in said if message[0] == "failed"])
            found += [message[1] for message in said if message[0] == "wrong"]
        again = name if fault == KILL else None
        found += [message[1] for message in forked(aftermath, place, said, again, twin)[1]]
        if found:
            wrong[name] = found
    return wrong


def complaints(point: Point, fault: str, failures: list[Any]) -> list[str]:
    """Return what is wrong with how an error came out: once, with its number, from a store in the store's words."""
    if len(failures) != 1:
        return [f"{len(failures)} errors came out: {failures}"]
    _, kinds, number, message = failures[0]
    found = [] if number == ERRORS[fault] else [f"its number is {number}"]
    if point.name.startswith(("put.", "save.spool", "store.")):
        wanted = {"ENOSPC": "StoreFullError", "EIO": "StoreError"}[fault]
        found += [] if kinds[0] == wanted else [f"a {kinds[0]} came out: {message}"]
        found += [f"{word} is not in {message!r}" for word in ("'data'", "'default'", "Sample") if word not in message]
    return found
