"""Places in a project file: `model.forest.params.max_depth`, as `--set` and sweeps name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simpleml.errors import ProjectError, known_names


@dataclass(frozen=True, slots=True)
class Place:
    """One key in the table of one node."""

    kind: str
    name: str
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join((self.kind, self.name, *self.keys))


def find_place(
    text: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], told: str, *, others: tuple[str, ...] = ()
) -> Place:
    """Return the place that `text` names; the name of the only node of a kind may be left out (`model.params.C`).

    Raises `ProjectError`, which begins with `told`, when there is no such node.
    """
    parts = text.split(".")
    kind, rest = parts[0], parts[1:]
    if kind not in tables:
        raise ProjectError(
            f"{told}: a place begins with one of the tables, not {kind!r:.80}; {known_names([*tables, *others], near=kind)}"
        )
    names = tables[kind]
    if not names:
        raise ProjectError(f"{told}: the file has no {kind} at all: add a table [{kind}.NAME]")
    if rest and rest[0] in names:
        name, keys = rest[0], rest[1:]
    elif len(names) == 1 and not _names_another(rest, *names.values()):
        [name], keys = names, rest
    else:
        near = rest[0] if rest else None
        raise ProjectError(f"{told}: the file has no {kind} {near!r:.80}; {known_names(names, near=near)}")
    if not keys or not all(keys):
        raise ProjectError(f"{told}: this names a table, not a key in it: go on, like {kind}.{name}.params.C")
    if keys == ["class"] or keys[0] != "class":
        return Place(kind, name, tuple(keys))
    raise ProjectError(f"{told}: class is a text, so there is nothing below it")


def _names_another(rest: list[str], table: Mapping[str, Any]) -> bool:
    """Whether a place in the only table begins with what is no key of it, followed by one: the name of another table."""
    return len(rest) > 1 and rest[0] not in table and rest[1] in table


def put(tables: Mapping[str, Mapping[str, dict[str, Any]]], place: Place, value: Any, told: str) -> None:
    """Set the value at a place; tables on the way are made, lists are entered by number.

    Raises `ProjectError`, which begins with `told`, when something on the way is neither.
    """
    at: Any = tables[place.kind][place.name]
    *way, last = place.keys
    for depth, key in enumerate(way):
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[_index(at, key, told)]
        if not isinstance(at, dict | list):
            raise ProjectError(f"{told}: {'.'.join(way[: depth + 1])} is {at!r:.80}, so there is nothing below it")
    if isinstance(at, dict):
        at[last] = value
    else:
        at[_index(at, last, told)] = value


def _index(at: list[Any], key: str, told: str) -> int:
    if not key.isascii() or not key.isdigit() or int(key) >= len(at):
        raise ProjectError(
            f"{told}: {key!r:.80} is no place in a list of {len(at)}: count from 0, or write the list as a table with names"
        )
    return int(key)
