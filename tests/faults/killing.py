"""A process that saves big artifacts in a loop, killed at random instants; what it left is looked at each time."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from simpleml.orm.housekeeping import collect
from tests.faults.invariants import Journal, referenced_keys, stored_files, strays, violations
from tests.faults.stages import Child, Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import Place, Sample, delete, save

NAME = "under fire"


@dataclass
class Outcome:
    """What many rounds came to."""

    rounds: int = 0
    acknowledged: int = 0
    interrupted: int = 0  # killed between the beginning of a save and its acknowledgement
    orphans: int = 0  # objects and temporary files that a kill left and the collection removed
    wrong: list[str] = field(default_factory=list)


def saving_forever(say: Say, place: Place, start: int, size: int, twin: Twin) -> None:
    """Save until killed: new content, and each third time the same again."""
    twin()
    with place.open():
        for number in count():
            save(say, NAME, f"{start}/{number - number // 3}", size)


def look(say: Say, place: Place, said: list[tuple[Any, ...]], twin: Twin) -> None:
    """Say what is wrong; save again what was interrupted, delete all versions but that one, and collect."""
    twin()
    journal = Journal().take(said)
    heard: list[tuple[Any, ...]] = []
    with place.open() as database:
        wrong = violations(database, journal)
        say(("orphans", len(stored_files(database) - referenced_keys(database))))
        name, seed, size = next(message[1:4] for message in reversed(said) if message[0] == "saving")
        save(heard.append, name, seed, size)
        for version in Sample.versions(NAME)[:-1]:
            delete(heard.append, Sample.load(NAME, version=version))
        if (early := collect(database, leftovers_after=3600.0)).keys or early.leftovers:
            wrong.append(f"a collection took what is under a lease: {early}")
        wrong += strays(database)
        wrong += [f"in the end: {each}" for each in violations(database, journal.take(heard))]
    for message in heard:
        say(message)
    for each in wrong:
        say(("wrong", each))


def killed_at_random(
    place: Place, rounds: int, size: int, seed: int, twin: Twin = faithful, until_caught: bool = False
) -> Outcome:
    """Kill the saving process at random instants until `rounds` kills met a save that was under way."""
    chance = random.Random(seed)
    outcome = Outcome()
    said: list[tuple[Any, ...]] = []
    patience = _time_of_a_save(place, size, said)
    while outcome.interrupted < rounds:
        child = Child(saving_forever, place, outcome.rounds, size, twin)
        heard = [
            child.hear() for _ in range(chance.choice([1, 1, 3]))
        ]  # up to the beginning of the first or second save
        time.sleep(chance.uniform(0, patience))
        child.kill()
        heard += child.rest()
        assert child.end() == -9, heard
        said += heard
        _, told = forked(look, place, said, twin)
        outcome.rounds += 1
        outcome.acknowledged += sum(message[0] == "saved" for message in heard)
        outcome.interrupted += heard[-1][0] == "saving"
        outcome.orphans += sum(message[1] for message in told if message[0] == "orphans")
        outcome.wrong += [
            f"round {outcome.rounds} of seed {seed}: {each[0]}" for verb, *each in told if verb in {"wrong", "crashed"}
        ]
        said += [message for message in told if message[0] not in {"orphans", "wrong", "crashed"}]
        if outcome.wrong and until_caught:
            break
    return outcome


def _time_of_a_save(place: Place, size: int, said: list[tuple[Any, ...]]) -> float:
    """Save twice undisturbed, and return how long the second took."""
    with place.open():
        save(said.append, NAME, "first", size)
        start = time.perf_counter()
        save(said.append, NAME, "second", size)
        return time.perf_counter() - start
