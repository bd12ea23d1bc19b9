"""`LineageGraph`: what a record was made from, and what was made from it, as nodes and edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from simpleml.persistables import drawing

LineageKey = tuple[str, UUID]
"""Which record: its kind and its id."""


@dataclass(frozen=True, slots=True)
class LineageNode:
    """One record of the graph; one that is in no table here has nothing but its kind and its id."""

    kind: str
    id: UUID
    name: str | None = None
    version: int | None = None
    registered_name: str | None = None
    hash_: str | None = None
    project: str | None = None
    created_timestamp: datetime | None = None

    @property
    def key(self) -> LineageKey:
        """Its kind and its id."""
        return self.kind, self.id

    def __str__(self) -> str:
        if self.name is None:
            return f"{self.kind} {self.id} (not in this database)"
        return f"{self.kind} {self.name}:{self.version} ({self.registered_name})"


@dataclass(frozen=True, slots=True)
class LineageLink:
    """One edge: `parent` plays `role` in what `child` was made from."""

    child: LineageKey
    role: str
    parent: LineageKey


@dataclass(frozen=True)
class LineageGraph:
    """The records around `root`, and the edges by which they were reached, each once.

    Printed it is a tree; `mermaid()` and `dot()` are texts for those programs, in which arrows go from what was there
    first to what was made from it.
    """

    root: LineageKey
    nodes: Mapping[LineageKey, LineageNode] = field(repr=False)
    edges: tuple[LineageLink, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        return self.tree()

    def __repr__(self) -> str:
        root = drawing.printable_line(str(self.nodes[self.root]))
        return f"<LineageGraph of {root}: {len(self.nodes)} records, {len(self.edges)} edges>"

    def _repr_html_(self) -> str:
        return drawing.html(self)

    def parents(self, of: LineageKey) -> tuple[LineageLink, ...]:
        """Return the edges to what a record was made from, by role."""
        return self._above.get(of, ())

    def children(self, of: LineageKey) -> tuple[LineageLink, ...]:
        """Return the edges to what was made from a record, by kind, name and version."""
        return self._below.get(of, ())

    @cached_property
    def _above(self) -> dict[LineageKey, tuple[LineageLink, ...]]:
        found: dict[LineageKey, list[LineageLink]] = {}
        for link in sorted(self.edges, key=lambda link: (link.role, self._order(link.parent))):
            found.setdefault(link.child, []).append(link)
        return {key: tuple(links) for key, links in found.items()}

    @cached_property
    def _below(self) -> dict[LineageKey, tuple[LineageLink, ...]]:
        found: dict[LineageKey, list[LineageLink]] = {}
        for link in sorted(self.edges, key=lambda link: (self._order(link.child), link.role)):
            found.setdefault(link.parent, []).append(link)
        return {key: tuple(links) for key, links in found.items()}

    def _order(self, key: LineageKey) -> tuple[str, str, int, str]:
        node = self.nodes[key]
        return node.kind, node.name or "", node.version or 0, str(node.id)

    def tree(self) -> str:
        """Return the graph as lines for people: first what the record was made from, then what was made from it."""
        return drawing.tree(self)

    def mermaid(self) -> str:
        """Return the graph as a Mermaid flowchart; whatever the names hold, they are nothing but text in it."""
        return drawing.mermaid(self)

    def dot(self) -> str:
        """Return the graph in the language of Graphviz; whatever the names hold, they are nothing but text in it."""
        return drawing.dot(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the graph as JSON: the id of its root, its nodes and its edges."""
        return {
            "root": {"kind": self.root[0], "id": str(self.root[1])},
            "nodes": [
                {
                    "kind": node.kind,
                    "id": str(node.id),
                    "name": node.name,
                    "version": node.version,
                    "class": node.registered_name,
                    "hash": node.hash_,
                    "project": node.project,
                    "created": node.created_timestamp.isoformat() if node.created_timestamp else None,
                }
                for node in self.nodes.values()
            ],
            "edges": [
                {
                    "child": {"kind": link.child[0], "id": str(link.child[1])},
                    "role": link.role,
                    "parent": {"kind": link.parent[0], "id": str(link.parent[1])},
                }
                for link in self.edges
            ],
        }
