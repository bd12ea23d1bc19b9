"""What a user is told when a place fails: which store, where, what it said, and what to do; never a credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simpleml.errors import (
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.save_patterns.locations.filesystem import scrubbed
from simpleml.save_patterns.locations.transport import Fault

_WRITES = {"prepare", "write", "delete", "clear"}


@dataclass(frozen=True, slots=True)
class Where:
    """The store that failed: its name, its place in words, what holds its objects, and how long it was tried."""

    name: str
    place: str
    noun: str
    seconds: float
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def told(error: Exception, fault: Fault, action: str, where: Where) -> StoreError:
    """Return the error of our tree for a failure while doing `action` in a store."""
    kind = _KINDS.get(fault, StoreError)
    if fault is Fault.FORBIDDEN and action not in _WRITES:
        kind = StoreCredentialsError
    text = str(error).strip().partition("\n")[0]
    if not text or (type(error).__module__ == "builtins" and not isinstance(error, OSError)):  # "division by zero"
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    said = scrubbed(text, where.options).rstrip(".")
    unsaved = "The save did not happen. " if action == "write" else ""
    advice = _advice(kind, fault, where)
    raised = kind(
        f"cannot {action} in the store {where.name!r} ({where.place}): {said}. {advice} {unsaved}What was saved before is "
        "unharmed."
    )
    raised.errno = getattr(error, "errno", None)
    return raised


_KINDS: dict[Fault, type[StoreError]] = {
    Fault.TRANSIENT: StoreUnreachableError,
    Fault.NO_PLACE: StoreUnreachableError,
    Fault.CREDENTIALS: StoreCredentialsError,
    Fault.FORBIDDEN: StoreReadOnlyError,
    Fault.FULL: StoreFullError,
}


def _advice(kind: type[StoreError], fault: Fault, where: Where) -> str:
    setting = f"[stores.{where.name}] in simpleml.toml"
    if fault is Fault.NO_PLACE:
        return f"There is no such {where.noun}: make it, or say where the store is in {setting}."
    if fault is Fault.TRANSIENT:
        return (
            f"It was tried for {where.seconds:g} seconds. See that the place can be reached from this machine, and that the URL "
            f"and the options in {setting} are right; try for longer with retries_for."
        )
    if kind is StoreCredentialsError:
        return (
            f"Give credentials that are let in there: as options in {setting}, or by fsspec's own means (the environment, a "
            "profile)."
        )
    if kind is StoreReadOnlyError:
        return f"Give this user the right to write there, or name another place in {setting}."
    if kind is StoreFullError:
        return "Free some space, or raise the quota (`simpleml gc` removes what nothing refers to), and save again."
    if fault is Fault.TAKEN:
        return "Another object has this key, which simpleml never gives twice: it is kept as it is."
    return f"`simpleml store check {where.name}` tries every call."
