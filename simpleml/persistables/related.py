"""What every persistable knows of those it was made from, and of those that were made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast
from uuid import UUID

from simpleml.encoding.faults import short
from simpleml.errors import LineageError, RecordNotFoundError, SimpleMLError, UnsavedReferenceError
from simpleml.persistables import loading
from simpleml.persistables.display import one_line
from simpleml.persistables.graph import LineageGraph
from simpleml.persistables.lineage import Lineage
from simpleml.persistables.ports import Database, Origin, current_database

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable


MADE_FROM = "made_from"
"""The key of `state` under which a fit or a score says what it saw: the hash of each that it is made from, by its role."""


class Related:
    """The part of `Persistable` that follows lineage: one step at a time when it is read, or as a graph."""

    _lineage_declared: ClassVar[Mapping[str, Lineage[Any]]] = {}

    kind: ClassVar[str]
    _parents: dict[str, Persistable | None]
    _parent_ids: dict[str, UUID | None]
    _origin: Origin | None
    _inherit: Database | None  # where the references come from that this object did not save itself
    _mapped: bool  # whether stored bytes are mapped instead of copied

    def lineage(self, *, up: bool = True, down: bool = True, depth: int | None = None) -> LineageGraph:
        """Return what this version was made from (`up`) and what was made from it (`down`), at most `depth` steps away.

        It is the state of the database at this instant: one statement for the edges, and one for the records of each kind.
        Raises `UnsavedReferenceError` if this object is not saved.
        """
        if self._origin is None or self._origin.pending:
            raise UnsavedReferenceError(
                f"{self._told()} is not in the database yet, and a lineage graph is one of records: save() it first"
            )
        given: object = depth
        if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 0):
            raise LineageError(f"depth is {short(depth)}, but must be a number of steps from 0 on, or None for all")
        return self._origin.database.lineage(self.kind, self._origin.id, up=up, down=down, depth=depth)

    def _told(self) -> str:
        return one_line(cast("Persistable", self))

    def _parent_hash(self, role: str) -> str | None:
        """Return the hash of what plays `role`, without loading it."""
        held, id_ = self._parents.get(role), self._parent_id(role)
        if held is not None:
            return held.hash_ or held._hash()
        if id_ is None:
            return None
        found = self._database().hash_of(self._lineage_declared[role].kind, id_)
        if found is None:
            raise LineageError(f"{self._told()} is made from {role} {id_}, which is not in the database (any more)")
        return found

    def _note_parents(self) -> None:
        """Write down, in the state, what it is made from at this instant, when artifacts or values were made of that."""
        roles = [role for role in self._lineage_declared if self._has_parent(role)]
        cast("Persistable", self).state[MADE_FROM] = {role: self._parent_seen(role) for role in roles}

    def _refuse_other_parents(self, done: str, again: str) -> None:
        """Raise `LineageError` if it is made from something else now than when that was noted: its record would be untrue."""
        noted = cast("Persistable", self).state.get(MADE_FROM)
        if not isinstance(noted, dict):
            return
        for role in self._lineage_declared:
            same = (role in noted) == self._has_parent(role)
            if not same or noted.get(role) not in (None, self._parent_seen(role)):
                raise LineageError(
                    f"{self._told()} was {done} with another {role} than it has now: that was replaced, changed or fitted again "
                    f"since, so the record would not be true. {again}"
                )

    def _has_parent(self, role: str) -> bool:
        return self._parents.get(role) is not None or self._parent_id(role) is not None

    def _parent_seen(self, role: str) -> str | None:
        """Return the hash of what plays `role`; None if it has none yet, which is told when that is saved."""
        try:
            return self._parent_hash(role)
        except SimpleMLError:
            return None

    def _database(self) -> Database:
        return self._origin.database if self._origin is not None else self._inherit or current_database()

    def _parent(self, role: str) -> Persistable | None:
        """Return the object that plays `role`, loaded once and then held."""
        held = self._parents.get(role)
        id_ = self._parent_id(role)
        if held is None and id_ is not None:
            held = loading.load_by_id(self._lineage_declared[role].kind, id_, self._database())
            if held is None:
                raise LineageError(f"{self._told()} is made from {role} {id_}, which is not in the database (any more)")
            held._mapped = self._mapped
            self._parents[role] = held
        return held

    def _parent_id(self, role: str) -> UUID | None:
        """Return the id of what plays `role`; edges without a column of their own are fetched when first asked for."""
        origin = self._origin
        if role not in self._parent_ids and origin is not None:
            edges = () if origin.pending else origin.database.parents(self.kind, origin.id)
            if edges is None:
                raise RecordNotFoundError(
                    f"{self._told()} was deleted since it was loaded, and with it what is known of its {role}: load another version"
                )
            found = {parent.role: parent.id for parent in edges}
            self._parent_ids = {role: found.get(role) for role in self._lineage_declared} | self._parent_ids
        return self._parent_ids.get(role)
