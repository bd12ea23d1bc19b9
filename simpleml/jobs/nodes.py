"""From the tables and sweeps of a project file to its nodes: what is to be there, each once, and what it is made from.

Each point of each sweep is the project with those values set. What comes out the same at several points is one node, so
only what is swept, and what is made from that, is there more than once.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from simpleml.errors import ProjectError, known_names
from simpleml.jobs.places import Place, put
from simpleml.jobs.project import Project, Sweep, Tables
from simpleml.types import JSON

Roles = Callable[[str, str, str], Mapping[str, str]]
"""Kind, name of the table, class → role → kind of what plays it."""


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One object that the project is to have: its class, what its `__init__` is given, and what it is made from."""

    key: str
    kind: str
    table: str
    cls: str
    spec: Mapping[str, Any]
    parents: Mapping[str, Node]
    varied: Mapping[str, JSON]
    """What distinguishes it from others of its table, itself or in what it is made from: place → value, or chosen link."""

    @property
    def name(self) -> str:
        """The name that the object gets."""
        return str(self.spec.get("name", self.table))

    @property
    def label(self) -> str:
        """Kind, table and what distinguishes it, for people."""
        return f"{self.kind} {self.table}" + (f" ({self.point})" if self.varied else "")

    @property
    def point(self) -> str:
        """What distinguishes it, for people: the last word of each place, if that says which."""
        last = [place.rpartition(".")[2] for place in self.varied]
        shown = [short if last.count(short) == 1 else place for short, place in zip(last, self.varied, strict=True)]
        return ", ".join(f"{place}={_short(value)}" for place, value in zip(shown, self.varied.values(), strict=True))


def _short(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)  # TOML has dates
    return text if len(text) <= 40 else text[:39] + "…"


def nodes_of(project: Project, roles: Roles) -> list[Node]:
    """Return every node, what it is made from before it; `ProjectError` for a link to nothing, or in a circle."""
    found: dict[str, Node] = {}
    base = _Point(project, project.tables, {}, roles, found)
    if not project.sweeps:
        base.add_all()
        return _ordered(project, found.values())
    reach = {
        sweep.number: _reach(base, {(place.kind, place.name) for place in sweep.values}) for sweep in project.sweeps
    }
    for sweep in project.sweeps:
        others = set().union(*(names for number, names in reach.items() if number != sweep.number))
        for point in _points(project, sweep):
            _Point(project, *point, roles, found).add_all(but=others - reach[sweep.number])
    return _ordered(project, found.values())


def _ordered(project: Project, nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes by how far they are from what they are made from in the end, then as the file has them."""
    places = {(kind, name): place for kind, names in project.tables.items() for place, name in enumerate(names)}
    kinds = list(project.tables)
    depths: dict[str, int] = {}
    for node in nodes:  # what it is made from was found before it
        depths[node.key] = 1 + max((depths[parent.key] for parent in node.parents.values()), default=0)
    return sorted(nodes, key=lambda node: (depths[node.key], kinds.index(node.kind), places[node.kind, node.table]))


def _points(project: Project, sweep: Sweep) -> Iterator[tuple[Tables, dict[Place, JSON]]]:
    """Give the tables at each point of the grid, and the values that were set."""
    for values in itertools.product(*sweep.values.values()):
        tables = copy.deepcopy(project.tables)
        chosen = dict(zip(sweep.values, values, strict=True))
        for place, value in chosen.items():
            put(tables, place, copy.deepcopy(value), f"{project.path}: [[sweep]] {sweep.number}: {place}")
        yield tables, chosen


def _reach(base: _Point, start: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return these tables and every one that is made from them."""
    reach = set(start)
    every = [(kind, name) for kind, names in base.tables.items() for name in names]
    while True:
        more = {at for at in every if at not in reach and reach.intersection(base.linked(*at))}
        if not more:
            return reach
        reach |= more


class _Point:
    """The project with one set of values: finds and adds its nodes."""

    def __init__(
        self,
        project: Project,
        tables: Tables,
        chosen: Mapping[Place, JSON],
        roles: Roles,
        found: dict[str, Node],
    ) -> None:
        self.tables = tables
        self._project = project
        self._chosen = chosen
        self._roles = roles
        self._found = found
        self._made: dict[tuple[str, str], list[Node]] = {}
        self._but: AbstractSet[tuple[str, str]] = frozenset()

    def add_all(self, but: AbstractSet[tuple[str, str]] = frozenset()) -> None:
        """Add every node of this point but those of the tables `but`, unless others cannot be made without them."""
        self._but = but
        for kind, names in self.tables.items():
            for name in names:
                if (kind, name) not in but:
                    self._variants(kind, name, ())

    def linked(self, kind: str, name: str) -> list[tuple[str, str]]:
        """Return the tables that one is made from."""
        return [
            (of, parent)
            for role, of in self._roles(kind, name, self.tables[kind][name]["class"]).items()
            for parent in self._linked(kind, name, role, of)
        ]

    def _linked(self, kind: str, name: str, role: str, of: str) -> list[str]:
        """Return the names of the tables that a key of a table leads to."""
        link = self.tables[kind][name].get(role)
        where = f"{self._project.path}: [{kind}.{name}] {role}"
        known = self.tables.get(of, {})
        if link is None:
            return []
        if link == "*":
            if not known:
                raise ProjectError(f"{where} is '*', but the file has no {of} at all: add a table [{of}.NAME]")
            return list(known)
        links = link if isinstance(link, list) else [link]
        if not links:
            raise ProjectError(f"{where} is an empty list, which makes nothing: name a table; {known_names(known)}")
        for each in links:
            if not isinstance(each, str):
                raise ProjectError(
                    f"{where} must be the name of a table [{of}.NAME], or a list of names, not {each!r:.80}; {known_names(known)}"
                )
            if each not in known:
                raise ProjectError(f"{where}: the file has no {of} {each!r:.80}; {known_names(known, near=each)}")
        return list(dict.fromkeys(links))

    def _variants(self, kind: str, name: str, way: tuple[tuple[str, str], ...]) -> list[Node]:
        """Return the nodes that a table stands for: one for each combination of what its links stand for."""
        at = (kind, name)
        if at in way:
            circle = " → ".join(f"{kind}.{name}" for kind, name in (*way[way.index(at) :], at))
            raise ProjectError(
                f"{self._project.path}: {circle}: each is made from the next, in a circle: take one link out"
            )
        if at not in self._made:
            table = self.tables[kind][name]
            roles = self._roles(kind, name, table["class"])
            links = {role: self._linked(kind, name, role, of) for role, of in roles.items()}
            several = {role for role, parents in links.items() if len(parents) > 1}
            for role in several:  # what another sweep varies gets its children there
                left = [parent for parent in links[role] if (roles[role], parent) not in self._but]
                links[role] = left or links[role]
            choices = {
                role: [(parent, node) for parent in parents for node in self._variants(roles[role], parent, (*way, at))]
                for role, parents in links.items()
                if parents
            }
            self._made[at] = [
                self._node(kind, name, dict(zip(choices, combination, strict=True)), several)
                for combination in itertools.product(*choices.values())
            ]
        return self._made[at]

    def _node(self, kind: str, name: str, chosen: Mapping[str, tuple[str, Node]], several: set[str]) -> Node:
        table = self.tables[kind][name]
        roles = self._roles(kind, name, table["class"])
        spec = {key: value for key, value in table.items() if key != "class" and key not in roles}
        parents = {role: node for role, (_, node) in chosen.items()}
        identity = json.dumps(
            [kind, name, table["class"], spec, {role: node.key for role, node in parents.items()}],
            default=repr,
        )
        if identity not in self._found:
            varied: dict[str, JSON] = {}
            for role, (parent, node) in chosen.items():
                varied.update(node.varied)
                if role in several:
                    varied[f"{kind}.{name}.{role}"] = parent
            mine = {
                str(place): value for place, value in self._chosen.items() if (place.kind, place.name) == (kind, name)
            }
            key = f"{kind}.{name}.{len(self._found)}"
            self._found[identity] = Node(key, kind, name, table["class"], spec, parents, varied | mine)
        return self._found[identity]
