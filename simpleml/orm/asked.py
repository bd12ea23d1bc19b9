"""Names that somebody asked for, with or without a version: made uniform, and known to be there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import ColumnElement, Connection, or_, select, tuple_

from simpleml.encoding.faults import short
from simpleml.errors import IdentityError, RecordNotFoundError, known_names
from simpleml.orm.persistable import ORMPersistable, record_class
from simpleml.persistables.identity import checked_text, checked_version

if TYPE_CHECKING:
    from simpleml.orm.database import Database

Asked: TypeAlias = tuple[str, int | None]
"""A name, and one version of it or (None) all."""

_PAGE = 1000
_SHOWN = 20
_NAMES = 1000  # as many as a message can use


def asked(names: str | Iterable[str | tuple[str, int]]) -> list[Asked]:
    """Return what was asked for, each once and sorted; a single text is one name, not its letters."""
    given = [names] if isinstance(names, str) else list(names)
    whole = {checked_text("name", each) for each in given if not isinstance(each, tuple)}
    single: set[tuple[str, int]] = set()
    for each in given:
        if isinstance(each, tuple):
            if len(each) != 2:
                raise IdentityError(f"{short(each)} is no name with a version: give ('iris', 3), or a name alone")
            single.add((checked_text("name", each[0]), checked_version(each[1])))
    pairs = sorted(pair for pair in single if pair[0] not in whole)
    return [*((name, None) for name in sorted(whole)), *pairs]


def paged(names: Sequence[Asked]) -> Iterator[Sequence[Asked]]:
    """Give the names in parts that a statement can take."""
    for start in range(0, len(names), _PAGE):
        yield names[start : start + _PAGE]


def matching(cls: type[ORMPersistable], names: Sequence[Asked]) -> ColumnElement[bool]:
    """Return the condition for records of one of these names, or names with versions."""
    whole = cls.name.in_([name for name, version in names if version is None])
    single = tuple_(cls.name, cls.version).in_([each for each in names if each[1] is not None])
    return or_(whole, single)


def refuse_unknown(database: Database, connection: Connection, names: Sequence[Asked], kinds: Sequence[str]) -> None:
    """Raise `RecordNotFoundError` if nothing is saved as one of these, of any of these kinds: it was mistyped."""
    there: set[Asked] = set()
    for cls in map(record_class, kinds):
        for page in paged(names):
            for name, version in connection.execute(select(cls.name, cls.version).where(matching(cls, page))):
                there |= {(name, None), (name, version)}
    unknown = [each for each in names if each not in there]
    if unknown:
        every = [select(record_class(kind).name).distinct().limit(_NAMES) for kind in kinds]
        known = {name for each in every for name in connection.execute(each).scalars()}
        shown = [repr(name) if version is None else f"{name!r} version {version}" for name, version in unknown[:_SHOWN]]
        told = ", ".join(shown) + (f", … ({len(unknown)} in all)" if len(unknown) > _SHOWN else "")
        raise RecordNotFoundError(
            f"nothing is saved as {told} in {database!r}; {known_names(known, near=unknown[0][0])}"
        )
