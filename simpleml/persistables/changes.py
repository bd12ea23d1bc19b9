"""`Changes`: what an object changed of the metadata that was saved, key by key, to be merged into what is there by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simpleml.errors import HashingError
from simpleml.hashing import hash_value
from simpleml.persistables.classes import RECORDED
from simpleml.persistables.identity import checked_mapping
from simpleml.types import Metadata

_PARTS = ("config", "state")  # of the metadata, each with keys of its own

_Way = tuple[str, ...]
"""Where a value is in the metadata: a key, or one of the parts and a key in it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The keys that were set, with their values, and those that were taken away; what saving recorded is never among them."""

    made: Mapping[_Way, Any]
    gone: frozenset[_Way]

    @classmethod
    def between(cls, then: Metadata, now: Metadata) -> Changes:
        """Return what makes `now` of `then`."""
        before, after = _flat(then), _flat(now)
        made = {way: value for way, value in after.items() if way not in before or not is_same(value, before[way])}
        return cls(made, frozenset(before.keys() - after.keys()))

    def onto(self, there: Metadata) -> Metadata:
        """Return `there` with these changes; what somebody else set under other keys stays."""
        found: Metadata = checked_mapping("metadata", there)
        found |= {part: checked_mapping(part, found.get(part)) for part in _PARTS}
        for *part, key in self.gone:
            (found[part[0]] if part else found).pop(key, None)
        for (*part, key), value in self.made.items():
            (found[part[0]] if part else found)[key] = value
        return found


def is_same(now: object, then: object) -> bool:
    """Whether two values of a record are equal, also where comparing says neither yes nor no."""
    try:
        return hash_value(now) == hash_value(then)
    except HashingError:
        return now is then


def _flat(metadata: Metadata) -> dict[_Way, Any]:
    own = {(key,): value for key, value in metadata.items() if key not in (*_PARTS, *RECORDED)}
    return own | {(part, key): value for part in _PARTS for key, value in (metadata.get(part) or {}).items()}
