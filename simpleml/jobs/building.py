"""What a worker does for one node: make the object from its description, build and save it, and say what came of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from simpleml.errors import RecordNotFoundError
from simpleml.jobs import creators
from simpleml.jobs.connection import Connection
from simpleml.jobs.making import class_named, import_modules, make
from simpleml.orm.database import Database
from simpleml.persistables import Persistable
from simpleml.persistables.loading import load_by_id

_KEPT = 4
"""How many objects that others are made from a thread keeps during a run."""

_own = threading.local()


@dataclass(frozen=True, slots=True)
class Work:
    """One node as it travels: names, values and ids, never data."""

    run: str
    connection: Connection
    modules: tuple[str, ...]
    kind: str
    cls: str
    spec: Mapping[str, Any] = field(repr=False)  # which may hold the address of a database
    parents: Mapping[str, BuiltParent]
    told: str


@dataclass(frozen=True, slots=True)
class BuiltParent:
    """What a node is made from: its record, and the class that the file names for it, which may have to be made first."""

    kind: str
    cls: str
    id: UUID


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a node: its record, and whether it was made here or had been made meanwhile."""

    id: UUID
    name: str
    version: int
    hash_: str
    values: Any
    made: bool
    seconds: float


def build_node(work: Work) -> Built:
    """Return what came of building and saving one node; what another process built meanwhile is taken instead."""
    start = time.perf_counter()
    import_modules(work.modules, work.told)
    database = work.connection.open()
    with database:
        parents = {role: _parent(work, database, parent) for role, parent in work.parents.items()}
        made = make(class_named(work.kind, work.cls, work.told), work.spec, parents, work.told)
        return built(made, start)


def built(made: Persistable, start: float) -> Built:
    """Build and save an object in the current database, unless the database has it by now."""
    saved = creators.build(creators.Resolution(None, made, ""))
    assert saved.version is not None  # noqa: S101 - it is saved
    return Built(
        saved.id,
        saved.name,
        saved.version,
        str(saved.hash_),
        getattr(saved, "values", None) if saved.kind == "metric" else None,
        saved is made,
        time.perf_counter() - start,
    )


def forget_parents() -> None:
    """Let go of what this thread keeps."""
    _own.__dict__.clear()


def _parent(work: Work, database: Database, given: BuiltParent) -> Persistable:
    """Return what a node is made from; several nodes are made from one pipeline, and its data is read once."""
    if getattr(_own, "run", None) != work.run:
        _own.run, _own.kept = work.run, OrderedDict()
    kept: OrderedDict[UUID, Persistable] = _own.kept
    if given.id not in kept:
        class_named(given.kind, given.cls, work.told)
        found = load_by_id(given.kind, given.id, database)
        if found is None:
            raise RecordNotFoundError(
                f"the {given.kind} {given.id} was deleted while the run was under way: run it again"
            )
        kept[given.id] = found
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    kept.move_to_end(given.id)
    return kept[given.id]
