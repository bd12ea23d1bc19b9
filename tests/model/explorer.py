"""Breadth-first search over every state of a model: small, exact, and it shows the shortest way to a broken state."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """A start, the ways on, and what must never be; states are values (hashable, never changed)."""

    def initial(self) -> State:
        """Return the state in which everything begins."""
        ...

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield every single step that may happen in `state`: its label, and the state after it."""
        ...

    def broken(self, state: State) -> str | None:
        """Say what is wrong in `state`, or return None."""
        ...

    def canonical(self, state: State) -> Hashable:
        """Return one value for all states that differ only in which of several equal processes is which."""
        ...

    def describe(self, state: State) -> str:
        """Return `state` on one line, for a trace."""
        ...


@dataclass(frozen=True)
class Exploration(Generic[State]):
    """What a search saw: all reachable states, or those up to the first broken one (then `problem` and `trace` say which)."""

    states: int
    steps: Counter[str]
    problem: str | None = None
    trace: str = ""

    def __str__(self) -> str:
        seen = f"{self.states:,} states, {self.steps.total():,} steps"
        return f"{seen}: {self.problem}\n{self.trace}" if self.problem else f"{seen}, none broken"


class TooManyStatesError(AssertionError):
    """The model is larger than the search was told to expect: a loop without an end, most likely."""


def explore(model: Model[State], *, limit: int = 500_000) -> Exploration[State]:
    """Visit every reachable state once, nearest first, and stop at the first broken one: no shorter trace leads to any.

    Of states that are alike (`canonical`) the first is visited, and stands for them all.
    """
    start = model.initial()
    reached: list[tuple[State, int, str]] = [
        (start, 0, "")
    ]  # a state, where in this list the one before it is, the step
    seen = {model.canonical(start)}
    steps: Counter[str] = Counter()
    with _no_garbage_collection():
        for here, (state, _, _) in enumerate(reached):  # which grows meanwhile: nearest first
            if problem := model.broken(state):
                return Exploration(len(reached), steps, problem, _trace(model, reached, here))
            for label, after in model.successors(state):
                steps[label] += 1
                if (alike := model.canonical(after)) not in seen:
                    seen.add(alike)
                    reached.append((after, here, label))
            if len(reached) > limit:
                raise TooManyStatesError(f"more than {limit:,} states; the last one: {model.describe(state)}")
    return Exploration(len(reached), steps)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for cycles meanwhile: states have none, and looking through them all costs half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _trace(model: Model[State], reached: list[tuple[State, int, str]], here: int) -> str:
    """Return the way from the start to `here`, one numbered line a step: what was done, and the world after it."""
    way: list[tuple[str, str]] = []
    while here:
        state, before, label = reached[here]
        way.append((label, model.describe(state)))
        here = before
    way.reverse()
    width = max((len(label) for label, _ in way), default=0)
    return "\n".join(f"{number:3}  {label:{width}}  {world}" for number, (label, world) in enumerate(way, 1))
