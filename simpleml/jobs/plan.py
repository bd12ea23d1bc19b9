"""`Plan`: what of a project is there by its content hash, what has to be built, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

from simpleml.jobs.making import class_named, import_modules, make
from simpleml.jobs.matching import latest, why_not
from simpleml.jobs.nodes import Node, nodes_of
from simpleml.jobs.project import Project
from simpleml.orm.database import Database
from simpleml.persistables import Persistable
from simpleml.persistables.lineage import roles_of
from simpleml.persistables.loading import from_row
from simpleml.persistables.ports import Row

_AT_ONCE = 500
"""How many hashes one query asks for."""

Action = Literal["hit", "build", "fail", "skip"]


@dataclass(slots=True)
class Planned:
    """One node, the object that it describes, and what is to be done about it.

    `hit`: `object` is the saved one. `build`: it is neither built nor fitted, but for data that had to be read. `fail`: its
    data cannot be had, for the reason in `error`. `skip`: it is made from something that fails.
    """

    node: Node
    told: str
    """How messages about it begin."""
    spec: Mapping[str, Any]
    """What the `__init__` of its class is given, as the file says it, besides what it is made from."""
    parents: tuple[Planned, ...]
    object: Persistable
    action: Action = "build"
    hash_: str | None = None
    """Its content hash; None if that is known only when something else is built."""
    why: str = ""
    error: Exception | None = field(default=None, repr=False)

    def release(self) -> None:
        """Let go of data that was read and is saved by now; whoever asks for it gets it from the store."""
        if self.object.is_saved:
            self.object._values.clear()  # noqa: SLF001 - what is stored is loaded again on first use


@dataclass(frozen=True, slots=True)
class Plan:
    """Every node of a project, what it is made from before it."""

    project: Project
    nodes: tuple[Planned, ...]

    def __iter__(self) -> Iterator[Planned]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def doing(self, action: Action) -> tuple[Planned, ...]:
        """Return the nodes about which this is to be done."""
        return tuple(each for each in self.nodes if each.action == action)


def plan_project(project: Project, database: Database) -> Plan:
    """Return what is there and what has to be built; one query for each kind says it of all nodes.

    What a hash covers has to be known, so the data of datasets is read, unless they are hashed by reference. Raises
    `ProjectError` for anything in the file that its classes refuse, before anything is read.
    """
    import_modules(project.modules, f"{project.path}: [project] import")
    planned = _described(project)
    with database:
        for wave in _waves(planned):
            for each in wave:
                _hash(each)
            _look_up(database, wave)
        _explain(database, [each for each in planned if each.action == "build" and not each.why])
    return Plan(project, tuple(planned))


def _described(project: Project) -> list[Planned]:
    """Return every node with the object that it describes."""

    @cache
    def find(kind: str, name: str, cls: str) -> type[Persistable]:
        return class_named(kind, cls, f"{project.path}: [{kind}.{name}]")

    @cache
    def roles(kind: str, name: str, cls: str) -> Mapping[str, str]:
        return roles_of(find(kind, name, cls))

    found: dict[str, Planned] = {}
    defaults = {key: value for key in ("project", "author") if (value := getattr(project, _FIELDS[key])) is not None}
    for node in nodes_of(project, roles):
        told = _told(project, node)
        parents = {role: found[parent.key] for role, parent in node.parents.items()}
        spec = {"name": node.name, **defaults, **node.spec}
        cls = find(node.kind, node.table, node.cls)
        made = make(cls, spec, {role: parent.object for role, parent in parents.items()}, told)
        found[node.key] = Planned(node, told, spec, tuple(parents.values()), made)
    return list(found.values())


_FIELDS = {"project": "name", "author": "author"}


def _told(project: Project, node: Node) -> str:
    """Return how messages about a node begin."""
    at = f"{node.kind}.{node.table}"
    hints = [f"with {node.point}"] if node.varied else []
    changed = [str(place) for place in project.changed if (place.kind, place.name) == (node.kind, node.table)]
    hints += [f"{' and '.join(changed)} changed by --set"] if changed else []
    return f"{project.path}: [{at}]" + (f" ({'; '.join(hints)})" if hints else "")


def _waves(planned: Iterable[Planned]) -> Iterator[list[Planned]]:
    """Give the nodes of one kind that are equally far from what they are made from in the end, the nearest first."""
    depths: dict[str, int] = {}
    waves: dict[tuple[int, str], list[Planned]] = defaultdict(list)
    for each in planned:
        depths[each.node.key] = depth = 1 + max((depths[parent.node.key] for parent in each.parents), default=0)
        waves[depth, each.node.kind].append(each)
    for at in sorted(waves):
        yield waves[at]


def _hash(planned: Planned) -> None:
    """Find out the content hash of a node; for a dataset that may take its data."""
    for role, parent in zip(planned.node.parents, planned.parents, strict=True):
        if parent.action in {"fail", "skip"}:
            planned.action, planned.why = "skip", f"{parent.node.label} fails"
            return
        setattr(planned.object, role, parent.object)  # which is the saved one by now, if there is one
    try:
        planned.hash_ = planned.object._hash()  # noqa: SLF001 - what saving will compute
    except Exception as error:  # noqa: BLE001 - data that cannot be read concerns what is made from it, and nothing else
        missing = [parent for parent in planned.parents if parent.action == "build"]
        if missing:  # its content follows from what is not there yet
            planned.why = f"what it is follows from {missing[0].node.label}, which is to be built"
            return
        planned.action, planned.why, planned.error = "fail", f"{type(error).__name__}: {error}", error
        return
    # So that what is made from it need not hash it again.
    planned.object.hash_ = planned.hash_


def _look_up(database: Database, wave: list[Planned]) -> None:
    """Put the saved object in the place of each one that there is."""
    wanted = {each.hash_: each.node.kind for each in wave if each.hash_ is not None}
    rows: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    hashes = list(wanted)
    for start in range(0, len(hashes), _AT_ONCE):
        part = hashes[start : start + _AT_ONCE]
        for row in database.select(wanted[part[0]], {"hash___in": part}, order_by=("-version",)):
            rows[row["hash_"], row["registered_name"], row["name"]].append(row)
    for each in wave:
        made = each.object
        for row in rows.get((str(each.hash_), made.registered_name, made.name), ()):
            if _fits(each, row):
                each.object = from_row(row, database)
                each.action, each.why = "hit", f"version {row['version']} has this hash"
                break


def _fits(planned: Planned, row: Row) -> bool:
    """Say whether a record is the one of this very model, where versions are counted for each model."""
    if planned.node.kind != "metric" or "model" not in planned.node.parents:
        return True
    return bool(row["model_id"] == planned.object._parent_ids.get("model"))  # noqa: SLF001 - without loading it


def _explain(database: Database, missing: list[Planned]) -> None:
    """Say of everything that is missing how it differs from the latest of its name."""
    find = cache(partial(latest, database=database))
    for each in missing:
        each.why = why_not(each.object, find(each.node.kind, each.object.name))
