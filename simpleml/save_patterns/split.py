"""A pattern of which one class saves and another loads, as whoever registers them likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from simpleml.errors import SavePatternError
from simpleml.registries import same_definition
from simpleml.save_patterns.protocols import Places, SavePattern
from simpleml.types import Reference


class Saves(Protocol):
    """The half of a pattern that saves."""

    def save(self, value: object, places: Places) -> Reference:
        """As `SavePattern.save`."""


class Loads(Protocol):
    """The half of a pattern that loads."""

    def load(self, reference: Reference, places: Places) -> object:
        """As `SavePattern.load`."""


@dataclass(frozen=True, slots=True)
class SplitPattern:
    """A pattern whose two halves may be of different classes."""

    name: str
    saver: Saves | None
    loader: Loads | None

    def save(self, value: object, places: Places) -> Reference:
        """Store `value` by the half that saves."""
        if self.saver is None:
            raise SavePatternError(
                f"nothing saves by the pattern {self.name!r}: register a class with save(value, places) for it"
            )
        return self.saver.save(value, places)

    def load(self, reference: Reference, places: Places) -> object:
        """Load by the half that loads."""
        if self.loader is None:
            raise SavePatternError(
                f"nothing loads by the pattern {self.name!r}: register a class with load(reference, places) for it"
            )
        return self.loader.load(reference, places)


def same_pattern(one: SavePattern, other: SavePattern) -> bool:
    """Whether two patterns are of the same classes, so that one may silently replace the other (a cell that is run again)."""
    if isinstance(one, SplitPattern) and isinstance(other, SplitPattern):
        halves = ((one.saver, other.saver), (one.loader, other.loader))
        return all(same_definition(type(mine), type(theirs)) for mine, theirs in halves)
    return same_definition(type(one), type(other))
