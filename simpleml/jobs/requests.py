"""`Request`: the keywords of a creator, told apart: which class, which record, made from what, and with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from uuid import UUID

from simpleml.encoding.faults import short
from simpleml.errors import TrainingError
from simpleml.orm.database import Database
from simpleml.persistables import Persistable
from simpleml.persistables.identity import checked_id, checked_text, checked_version
from simpleml.persistables.loading import load_by_id, remembered, row_of

INPUTS = {kind: kind for kind in ("dataset", "pipeline", "model")}
"""What a record of ours may refer to, by its role."""

_CREATORS = {kind: f"{kind.capitalize()}Creator" for kind in ("dataset", "pipeline", "model", "metric")}

Fetch = Callable[[str, Mapping[str, Any]], tuple[Persistable | None, str]]
"""What answers a nested description of a kind: the object, or None and why."""


@dataclass(frozen=True, slots=True)
class GivenParent:
    """One thing that an object is made from, in whichever way it was given."""

    role: str
    kind: str
    given: Persistable | None = None
    id: UUID | None = None
    description: Mapping[str, Any] | None = None

    def fetched(self, database: Database, fetch: Fetch, child: str) -> Persistable:
        """Return the object; `TrainingError` says what to call if it is not there."""
        if self.given is not None:
            given: object = self.given
            if not (isinstance(given, Persistable) and given.kind == self.kind):
                raise TrainingError(
                    f"{child} is made from a {self.kind}, but {self.role} is {short(given)} ({type(given).__name__}): give the "
                    f"object, or its {self.role}_id"
                )
            return self.given
        found, why = (
            (load_by_id(self.kind, self.id, database), f"there is no {self.kind} with the id {self.id}")
            if self.id is not None
            else fetch(self.kind, self.description or {})
        )
        if found is None:
            raise TrainingError(f"{child} is made from a {self.kind} that is not there: {why}. {self._remedy()}")
        return found

    def _remedy(self) -> str:
        if self.id is not None:
            return f"Give {self.role}=… or the {self.role}_id of one that is saved"
        creator = _CREATORS.get(self.kind, "its creator")
        told = ", ".join(f"{key}={value!r:.60}" for key, value in (self.description or {}).items())
        return f"Make it first: {creator}.retrieve_or_create({told:.300}); or say build_dependencies=True, which makes what is missing"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a creator; `wanted` says which record, if an id or a version, or nothing but a name, was given."""

    kind: str
    registered_name: Any
    spec: Mapping[str, Any]
    wanted: Mapping[str, Any]

    @classmethod
    def of(cls, kind: str, spec: Mapping[str, Any]) -> Request:
        """Tell the keywords apart; `TrainingError` if they say neither what to make nor which record is meant."""
        rest = dict(spec)
        registered = rest.pop("registered_name", None)
        id_, name, version = rest.get("id"), rest.get("name"), rest.get("version")
        wanted: dict[str, Any] = {}
        if id_ is not None:
            wanted = {"id": checked_id(id_)}
        elif name is not None and (version is not None or registered is None):
            wanted = {"name": checked_text("name", name)}
            wanted.update({"version": checked_version(version)} if version is not None else {})
        if registered is None and (meant := get_close_matches("registered_name", rest, n=1)):
            raise TrainingError(f"{_CREATORS.get(kind, kind)} takes no keyword {meant[0]!r}: write registered_name=")
        if not wanted and registered is None:
            raise TrainingError(
                f"{_CREATORS.get(kind, kind)} is not told which {kind} is meant: give registered_name= with what its class takes, "
                "name= and version=, or id="
            )
        return cls(kind, registered, rest, wanted)

    @property
    def is_reference(self) -> bool:
        """Whether a record is meant, rather than a description of what one would be."""
        return bool(self.wanted)

    def referenced(self, database: Database, fetch: Fetch) -> Persistable | None:
        """Return the record that is meant; a metric's name and version say little without its model (`IdentityError` if several have one)."""
        filters = dict(self.wanted)
        if "id" not in filters:
            _, inputs = self.divided(INPUTS)
            told = f"{self.kind} {filters['name']!r}"
            filters.update({f"{one.role}_id": one.fetched(database, fetch, told).id for one in inputs.values()})
        row = row_of(self.kind, filters, database)
        if row is None:
            return None
        return remembered(self.kind, row, database)

    def divided(self, roles: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, GivenParent]]:
        """Return the arguments of the class, and what it is made from; an object is stronger than an id, that than a description."""
        members = dict(self.spec)
        inputs: dict[str, GivenParent] = {}
        for role, kind in roles.items():
            given, id_, description = (members.pop(f"{role}{ending}", None) for ending in ("", "_id", "_kwargs"))
            if description is not None and not isinstance(description, Mapping):
                raise TrainingError(
                    f"{role}_kwargs is {description!r:.80} ({type(description).__name__}), but must be a mapping of keywords"
                )
            if given is not None:
                inputs[role] = GivenParent(role, kind, given=given)
            elif id_ is not None:
                inputs[role] = GivenParent(role, kind, id=checked_id(id_))
            elif description:
                inputs[role] = GivenParent(role, kind, description=description)
        return members, inputs
