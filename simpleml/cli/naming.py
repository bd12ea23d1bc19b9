"""What `NAME[:VERSION]`, `NAME@ALIAS`, `--kind` and `--of` mean in a database."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from simpleml.errors import IdentityError, RecordNotFoundError, known_names
from simpleml.orm.persistable import kinds_in, record_class
from simpleml.orm.unmapped import unmapped
from simpleml.orm.versions import LAST_VERSION
from simpleml.persistables.identity import checked_id, checked_text
from simpleml.persistables.labels import ALIASED, known_aliases

if TYPE_CHECKING:
    from simpleml.cli.face import Face
    from simpleml.orm.database import Database
    from simpleml.persistables.ports import Row

_SHOWN = 20
_PAGE = 500
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_LATEST = ("-version", "-created_timestamp")


@dataclass(frozen=True, slots=True)
class Sought:
    """A kind in which a name is looked for; where versions are counted within a scope, perhaps in one scope only."""

    kind: str
    scope: UUID | str | None = None

    @property
    def filters(self) -> dict[str, object]:
        """The filters that keep to the scope."""
        column = record_class(self.kind).scope
        return {column: self.scope} if column and self.scope is not None else {}


def kinds_asked(database: Database, kind: str | None) -> list[str]:
    """Return the kind that was asked for, or all that this database has; an unknown one is an error that lists them."""
    return [record_class(kind).kind] if kind is not None else database.run(kinds_in, read=True)


def sought(database: Database, kind: str | None, of: str | None, *, mixed: bool = False) -> list[Sought]:
    """Return where a name is looked for; `of` is the model (as `NAME`, `NAME:VERSION` or `NAME@ALIAS`) whose metrics are meant.

    Of a kind whose versions are counted within the values of a column, it is the value. With `mixed`, the name may also be one
    of a kind that is not of something else.
    """
    kinds = kinds_asked(database, kind)
    if of is None:
        return [Sought(each) for each in kinds]
    scoped = [(each, scope) for each in kinds if (scope := database.scope(each))]
    if not scoped:
        raise IdentityError(f"--of {of}: a {kind} is not one of something else, so leave --of out")
    plain = [Sought(each) for each in kinds if mixed and database.scope(each) is None]
    return plain + [
        Sought(each, find_version(database, of, scope.kind)[1]["id"] if scope.kind else of) for each, scope in scoped
    ]


def split_version(what: str) -> tuple[str, int | None]:
    """Return the name and the version that `NAME[:VERSION]` says: a name may have colons of its own, and numbers after them."""
    name, _, version = what.rpartition(":")
    if name and _NUMBER.fullmatch(version) and 1 <= int(version) <= LAST_VERSION:
        return checked_text("name", name), int(version)
    return checked_text("name", what), None


def find_version(
    database: Database, what: str, kind: str | None, of: str | None = None, *, mixed: bool = False
) -> tuple[str, Row]:
    """Return the kind and the row that `NAME`, `NAME:VERSION` or `NAME@ALIAS` means: a name may have an @ or a : of its own."""
    places = sought(database, kind, of, mixed=mixed)
    for wanted in _readings(what):
        found = choose(database, wanted, places)
        if found is not None:
            return found
    name, at, alias = what.rpartition("@")
    if at and alias and any(database.count(one.kind, {"name": name, **one.filters}) for one in places if name):
        raise no_alias(database, name, alias, places)
    raise not_found(database, *split_version(what), places)


def _readings(what: str) -> Iterator[dict[str, object]]:
    """Give the filters that `what` may stand for, the likeliest first."""
    name, version = split_version(what)
    yield {"name": name} if version is None else {"name": name, "version": version}
    if version is not None:
        yield {"name": what}
    for at in reversed([place for place, sign in enumerate(what) if sign == "@"]):
        if what[:at] and what[at + 1 :]:
            yield {"name": what[:at], ALIASED: what[at + 1 :]}


def choose(database: Database, wanted: Mapping[str, object], places: Sequence[Sought]) -> tuple[str, Row] | None:
    """Return the latest that matches, with its kind; `IdentityError` if that may be one of several kinds, or models."""
    found = [
        (one, rows[0])
        for one in places
        if (rows := database.select(one.kind, {**wanted, **one.filters}, order_by=_LATEST, limit=1))
    ]
    if not found:
        return None
    one, row = found[0]
    if len(found) > 1:
        there = ", ".join(each.kind for each, _ in found)
        raise IdentityError(f"{row['name']!r} is the name of several kinds: {there}; say which: --kind {one.kind}")
    if one.scope is None:
        _refuse_several(database, one.kind, row, wanted)
    return one.kind, row


def _refuse_several(database: Database, kind: str, row: Row, wanted: Mapping[str, object]) -> None:
    """Refuse what is there of several models, each with versions of its own: say of which."""
    scope = database.scope(kind)
    if scope is None:
        return
    elsewhere = {**wanted, f"{scope.column}__ne": row[scope.column]}
    others = database.select(kind, elsewhere, order_by=("-created_timestamp",), limit=_SHOWN)
    if others:
        known = owners(database, kind, [each[scope.column] for each in (row, *others)])
        there = ", ".join(known.values()) + (", …" if len(others) == _SHOWN else "")
        one = next(iter(known.values()))
        several, say = (f"{scope.kind}s", "") if scope.kind else (f"values of {scope.column}", f"--kind {kind} ")
        raise IdentityError(f"{row['name']!r} is a {kind} of several {several}: {there}; say of which: {say}--of {one}")


def owners(database: Database, kind: str, scopes: Iterable[object]) -> dict[str, str]:
    """Return these scopes as people know them, `NAME:VERSION` of a model or else the value, by their text, in the order given."""
    scope = database.scope(kind)
    if scope is None:
        return {}
    if scope.kind is None:
        return {str(each): str(each) for each in scopes}
    asked = [checked_id(each) for each in dict.fromkeys(scopes)]
    cls = record_class(scope.kind)
    pages = [asked[start : start + _PAGE] for start in range(0, len(asked), _PAGE)]
    found = {
        id_: f"{name}:{version}"
        for page in pages
        for id_, name, version in database.run(
            lambda connection, page=page: connection.execute(  # type: ignore[misc]
                select(cls.id, cls.name, cls.version).where(cls.id.in_(page))
            ).all(),
            read=True,
        )
    }
    return {str(id_): found.get(id_, str(id_)) for id_ in asked}


def told(database: Database, kind: str, row: Row) -> str:
    """Return `model 'churn' version 3`, or `metric 'accuracy' version 1 of churn:3`."""
    of = owner_of(database, kind, row)
    return f"{kind} {row['name']!r} version {row['version']}" + (f" of {of}" if of else "")


def owner_of(database: Database, kind: str, row: Row) -> str:
    """Return `NAME:VERSION` of a metric's model, or the value of the scope that a version has; empty without a scope."""
    scope = database.scope(kind)
    return "".join(owners(database, kind, [row[scope.column]]).values()) if scope else ""


def no_alias(database: Database, name: str, alias: str, places: Sequence[Sought]) -> RecordNotFoundError:
    """Return the error for an alias that a name has not, which lists those that it has."""
    known = "; ".join(text for one in places if (text := known_aliases(database, one.kind, name)))
    return RecordNotFoundError(f"{name!r} has no alias {alias!r} in {database!r}; {known or 'it has none at all'}")


def not_found(database: Database, name: str, version: int | None, places: Sequence[Sought]) -> RecordNotFoundError:
    """Return the error for a name or a version that is not there, which lists what is."""
    there = {row["version"] for one in places for row in database.select(one.kind, {"name": name, **one.filters})}
    if there:
        known = f"known versions: {', '.join(map(str, sorted(there)[-_SHOWN:]))}"
    else:
        known = known_names({each for one in places for each in database.names(one.kind)}, near=name)
    asked = f"{name!r}" if version is None else f"{name!r} version {version}"
    if len(places) == 1:
        [one] = places
        of = owners(database, one.kind, [] if one.scope is None else [one.scope]).values()
        asked = " of ".join([f"{one.kind} {asked}", *of])
    hidden = "".join(f"; {each}" for each in database.run(unmapped, read=True))
    return RecordNotFoundError(f"no {asked} in {database!r}; {known}{hidden}. See all with: simpleml ls")


def note_unmapped(face: Face, database: Database) -> None:
    """Tell of records that a command passes over, because their kinds are not known here."""
    for each in database.run(unmapped, read=True):
        face.note(str(each))
