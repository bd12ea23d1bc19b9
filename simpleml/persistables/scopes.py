"""Scopes: some versions are counted within something besides their name (a metric's within its model); which one is meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from simpleml.encoding.faults import short
from simpleml.errors import IdentityError, known_names
from simpleml.persistables.identity import checked_id
from simpleml.persistables.lineage import check_roles
from simpleml.persistables.ports import Database, Scope, current_database

if TYPE_CHECKING:
    from simpleml.persistables.persistable import Persistable

_SHOWN = 20


def scope_given(cls: type[Persistable], given: Mapping[str, object]) -> str | None:
    """Return the scope that `model=`, `model_id=` or the column of it names, as the tables hold it; None if nothing is given."""
    if not given:
        return None
    check_roles(cls, given)
    scope = current_database().scope(cls.kind)
    known = {} if scope is None else dict.fromkeys((scope.role, scope.column))
    [key, *more] = given
    if scope is None or more or key not in known:
        told = known_names(known, near=key) if known else f"a {cls.kind} has its versions by its name alone"
        raise IdentityError(f"{', '.join(given)} does not say whose versions of the name are meant; {told}")
    value = given[key]
    return str(value if scope.kind is None else checked_id(getattr(value, "id", value)))


def several(what: str, kind: str, wanted: Mapping[str, object], scope: Scope, database: Database) -> IdentityError:
    """Return the error for what is there in several scopes, which says in which, and how to name one."""
    rows = database.select(kind, wanted, order_by=("-created_timestamp",), limit=_SHOWN + 1)
    values = [row[scope.column] for row in rows[:_SHOWN]]
    more = ", …" if len(rows) > _SHOWN else ""
    if scope.kind is None:
        told = ", ".join(map(short, values)) + more
        return IdentityError(
            f"{what} is there of several values of {scope.column}: {told}; say of which: {scope.column}=…"
        )
    there = {
        row["id"]: f"{row['name']!r} version {row['version']}"
        for row in database.select(scope.kind, {"id__in": values})
    }
    told = ", ".join(there.get(id_, str(id_)) for id_ in values) + more
    return IdentityError(
        f"{what} is there of several {scope.kind}s: {told}; say of which: {scope.role}=…, or {scope.column}=…"
    )
