"""`Lineage`: the declaration that an object is made from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload
from uuid import UUID

from simpleml.encoding.faults import short
from simpleml.errors import LineageError
from simpleml.persistables.identity import checked_id

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

P = TypeVar("P", bound="Persistable")


class Lineage(Generic[P]):
    """A reference to the saved object of `kind` that this one is made from; held strongly, loaded once, when first read.

    Assign an object, or give `<role>=` or `<role>_id=` at construction. Its `hash_` becomes part of ours.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.role = ""

    def __repr__(self) -> str:
        return f"Lineage({self.role!r}, kind={self.kind!r})"

    def __set_name__(self, owner: type, name: str) -> None:
        self.role = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Persistable, owner: type) -> P | None: ...
    def __get__(self, instance: Persistable | None, owner: type) -> Self | P | None:
        if instance is None:
            return self
        found: Any = instance._parent(self.role)
        return cast("P | None", found)

    def __set__(self, instance: Persistable, value: P | None) -> None:
        from simpleml.persistables.persistable import Persistable

        given: object = value
        if value is not None and not (isinstance(given, Persistable) and given.kind == self.kind):
            raise LineageError(
                f"{type(instance).__name__}.{self.role} takes an object of kind {self.kind!r}, but was given {short(value)} "
                f"({type(value).__name__})"
            )
        instance._parents[self.role] = value
        instance._parent_ids[self.role] = value.id if value is not None else None

    def set_id(self, instance: Persistable, id_: UUID | str | None) -> None:
        """Refer to a saved object by its id, without loading it."""
        instance._parents.pop(self.role, None)
        instance._parent_ids[self.role] = None if id_ is None else checked_id(id_)


def check_roles(cls: type[Persistable], filters: Mapping[str, object]) -> None:
    """Refuse a filter by an object of which nothing of `cls`, or of a class below it, is made in this role."""
    from simpleml.persistables.persistable import Persistable

    for key, value in filters.items():
        if isinstance(value, Persistable) and (key, value.kind) not in _edges_below(cls):
            known = ", ".join(f"{role} (a {kind})" for role, kind in sorted(_edges_below(cls)))
            raise LineageError(
                f"{cls.__name__} cannot be filtered by {key} = {short(value)}, a {value.kind}; what it may be made from: "
                f"{known or 'nothing'}"
            )


def _edges_below(cls: type[Persistable]) -> set[tuple[str, str]]:
    return set(roles_of(cls).items()).union(*(_edges_below(child) for child in cls.__subclasses__()))


def roles_of(cls: type[Persistable]) -> dict[str, str]:
    """Return the roles of those that an object of this class may be made from, and the kind of each."""
    return {role: declared.kind for role, declared in cls._lineage_declared.items()}
