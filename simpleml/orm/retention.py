"""Deleting the older versions of names, but for those that somebody still needs: tagged, aliased, or what others were made from.

What would be kept is worked out first; each deletion then asks again, in the transaction in which it deletes. So a run that
was cut short has deleted some versions and harmed none, and the next one goes on. Stored bytes go later, with `gc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, Select, exc, select

from simpleml.encoding.faults import short
from simpleml.errors import ConfigurationError, OfflineError, RecordNotFoundError, ReferencedError
from simpleml.orm import tags
from simpleml.orm.asked import refuse_unknown
from simpleml.orm.deletion import Deletion, called, children_of, columns_referring_to, referenced
from simpleml.orm.persistable import ORMPersistable, kinds_in, record_class
from simpleml.orm.tables import Alias, LineageEdge, Tag
from simpleml.orm.versions import told_within, within
from simpleml.persistables.identity import checked_text
from simpleml.progress import Progress

if TYPE_CHECKING:
    from simpleml.orm.database import Database

_PAGE = 500
_SHOWN = 5
_edges: Any = LineageEdge.__table__


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a name; `why` says what it was kept for, and is empty where it was deleted."""

    kind: str
    name: str
    version: int
    id: UUID
    of: str = ""
    """The model of a metric, as `churn:3`; empty where versions are counted by their name alone."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pruned:
    """The versions that were deleted (or would be), and the older ones that were kept, each with why."""

    deleted: tuple[Version, ...]
    kept: tuple[Version, ...]
    dry_run: bool = False


@dataclass(slots=True, eq=False)
class _Old:
    """A version that is older than those that are kept anyway, or follows one, and what keeps it."""

    kind: str
    name: str
    version: int
    id: UUID
    created: datetime
    scope: object
    of: str
    is_follower: bool = False
    """Whether it is one of the latest in its scope, and goes only with the record that it is counted for: a metric's model."""
    label_reasons: list[str] = field(default_factory=list)
    child_reasons: list[str] = field(default_factory=list)
    children: list[tuple[str, UUID]] = field(default_factory=list)
    followers: list[_Old] = field(default_factory=list)
    """Those that go when it goes, in the same transaction."""

    @property
    def reasons(self) -> list[str]:
        """What keeps it."""
        return self.label_reasons + self.child_reasons

    def told(self, why: str = "") -> Version:
        return Version(self.kind, self.name, self.version, self.id, self.of, why)


class _NeededError(ReferencedError):
    """A version came into use between the plan and its deletion."""


def prune(
    database: Database,
    names: Iterable[str] | None,
    kind: str | None = None,
    *,
    keep_last: int,
    keep_tagged: bool = True,
    dry_run: bool = False,
) -> Pruned:
    """Delete the versions of these names (None: of all) but the latest `keep_last` of each, and those that are needed.

    Needed are those that have a tag (unless `keep_tagged` is False), that an alias points to, or that a record was made from
    which is not deleted itself. The latest metrics of a model, if metrics of their names are pruned too, go together with the
    model or stay with it. Each deletion is a transaction of its own. Raises `ConfigurationError` if `keep_last` is less
    than 1, and `RecordNotFoundError`, before anything is deleted, if nothing is saved under one of the names.
    """
    keep_last = _checked_count(keep_last)
    if database.is_copy:
        raise OfflineError(f"{database!r} does not know what has a tag, so nothing can be pruned while offline = true")
    given = [names] if isinstance(names, str) else names
    wanted = None if given is None else sorted({checked_text("name", name) for name in given})
    plan = database.run(lambda connection: _plan(database, connection, wanted, kind, keep_last, keep_tagged), read=True)
    kept = [old.told("; ".join(old.reasons)) for old in plan if old.reasons]
    unneeded = [old for old in plan if not old.reasons and not old.is_follower]
    deleted: list[Version] = []
    with Progress("pruning", len(unneeded)) as bar:
        for old in unneeded:
            try:
                gone = [*old.followers, old] if dry_run else _delete(database, old, keep_last, keep_tagged)
            except ReferencedError as error:
                kept.append(old.told(str(error)))
            else:
                deleted += [each.told() for each in gone]
            bar.advance()
    return Pruned(tuple(sorted(deleted, key=_order)), tuple(sorted(kept, key=_order)), dry_run)


def _checked_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f"keep_last is {short(value)}, but must be a whole number from 1 on: the latest version always stays"
        )
    return value


def _order(version: Version) -> tuple[str, str, str, int]:
    return version.kind, version.name, version.of, version.version


# the plan


def _plan(
    database: Database,
    connection: Connection,
    names: Sequence[str] | None,
    kind: str | None,
    keep_last: int,
    keep_tagged: bool,
) -> list[_Old]:
    """Return every version that is old enough, what was made from another before that one, with what keeps it."""
    kinds = kinds_in(connection)
    only = None if kind is None else record_class(kind).kind
    chosen = [one for one in kinds if only in (None, one)]
    if names is not None:
        refuse_unknown(database, connection, [(name, None) for name in names], chosen)
    chosen.sort(key=lambda one: record_class(one).scope is not None)
    found: list[_Old] = []
    for one in chosen:
        found += _old_versions(connection, one, names, keep_last, {old.id: old for old in found})
    found.sort(key=lambda old: (old.created, old.version), reverse=True)
    by_id = {(old.kind, old.id): old for old in found}
    for one in chosen:
        ids = [old.id for old in found if old.kind == one]
        for page in (ids[start : start + _PAGE] for start in range(0, len(ids), _PAGE)):
            for alias, id_ in connection.execute(_labelled(Alias.alias, Alias, one, page)):
                by_id[one, id_].label_reasons.append(f"the alias {alias!r} points to it")
            for tag, id_ in connection.execute(_labelled(Tag.tag, Tag, one, page)) if keep_tagged else ():
                by_id[one, id_].label_reasons.append(f"it has the tag {tag!r}")
            for id_, child_kind, child in _children(connection, one, page):
                by_id[one, id_].children.append((child_kind, child))
    while True:
        plan = _children_first(connection, found, by_id)
        staying = [each for old in found if old.reasons for each in old.followers if not each.reasons]
        if not staying:
            return plan
        for old in staying:  # so nothing that they were made from goes either
            del by_id[old.kind, old.id]
        found = [old for old in found if (old.kind, old.id) in by_id]
        for old in found:
            old.child_reasons.clear()
            old.followers = [each for each in old.followers if (each.kind, each.id) in by_id]


def _old_versions(
    connection: Connection, kind: str, names: Sequence[str] | None, keep_last: int, owners: dict[UUID, _Old]
) -> Iterator[_Old]:
    """Give the versions of each name but the latest ones; where versions have a scope, of each name in each scope.

    The latest ones whose scope is one of `owners`, which are old, are their followers.
    """
    cls = record_class(kind)
    scoped = within(cls)
    statement = select(cls.id, cls.version, cls.created_timestamp, cls.name, *scoped)
    statement = statement.order_by(cls.name, *scoped[:1], cls.version.desc())
    if names is not None:
        statement = statement.where(cls.name.in_(names))
    last: tuple[Any, ...] = ()
    seen = 0
    for id_, version, created, name, *of in connection.execute(statement):
        scope = of[0] if of else None
        seen = seen + 1 if (name, scope) == last else 1
        last = name, scope
        if seen > keep_last:
            yield _Old(kind, name, version, id_, created, scope, told_within(of))
        elif scope in owners:
            follower = _Old(kind, name, version, id_, created, scope, told_within(of), is_follower=True)
            owners[scope].followers.append(follower)
            yield follower


def _labelled(column: Any, table: Any, kind: str, ids: Sequence[UUID]) -> Select[Any, Any]:
    return select(column, table.record).where(table.kind == kind, table.record.in_(ids)).order_by(column)


def _children(connection: Connection, kind: str, ids: Sequence[UUID]) -> Iterator[tuple[UUID, str, UUID]]:
    """Give each of these records that others were made from, with the kind and the id of one such record."""
    for child_kind, column in columns_referring_to(connection, kind):
        child = record_class(child_kind)
        for id_, child_id in connection.execute(select(column, child.id).where(column.in_(ids))):
            yield id_, child_kind, child_id
    edge = _edges.c.get(f"{kind}_id")
    if edge is not None:
        for row in connection.execute(select(edge, _edges.c.child_kind, _edges.c.child).where(edge.in_(ids))):
            yield row[0], row[1], row[2]


def _children_first(connection: Connection, found: list[_Old], by_id: dict[tuple[str, UUID], _Old]) -> list[_Old]:
    """Sort what is needed by nobody so that children go first; what has a child that stays, stays too, and says so."""
    ordered: list[_Old] = []
    done: dict[tuple[str, UUID], bool] = {}  # False: what was made from it comes first
    for start in found:
        ahead = [start]
        while ahead:
            old = ahead[-1]
            first = [by_id[child] for child in old.children if child in by_id and child not in done]
            done.setdefault((old.kind, old.id), False)
            if first:
                ahead += first
                continue
            ahead.pop()
            if not done[old.kind, old.id]:
                done[old.kind, old.id] = True
                old.child_reasons += _told_children(connection, old, by_id)
                ordered.append(old)
    return ordered


def _told_children(connection: Connection, old: _Old, by_id: dict[tuple[str, UUID], _Old]) -> Iterator[str]:
    """Tell of the records that stay and were made from this one."""
    staying = [child for child in old.children if child not in by_id or by_id[child].reasons]
    for told in sorted(f"{kind} {called(connection, kind, id_)}" for kind, id_ in staying[:_SHOWN]):
        yield f"{told} was made from it"
    if len(staying) > _SHOWN:
        yield f"and {len(staying) - _SHOWN} others were"


# the deletions


def _delete(database: Database, old: _Old, keep_last: int, keep_tagged: bool) -> list[_Old]:
    """Delete one version with its followers in one transaction; return what it deleted, which is nothing if it was gone already.

    A follower that somebody else deleted meanwhile is passed over. Raises `ReferencedError` if something needs one of them.
    """
    deletion = Deletion(old.kind, old.id, database.settings.grace)
    gone: list[_Old] = []

    def work(connection: Connection) -> list[_Old]:
        nonlocal gone
        taken: list[_Old] = []
        for each in old.followers:
            with suppress(RecordNotFoundError):
                _refuse_needed(connection, each, keep_last, keep_tagged)
                replace(deletion, kind=each.kind, id=each.id)(connection)
                taken.append(each)
        _refuse_needed(connection, old, keep_last, keep_tagged)
        deletion(connection)
        gone = [*taken, old]  # not before it is complete: if this attempt fails, an earlier one may have landed
        return gone

    def landed(connection: Connection) -> list[_Old] | None:
        return gone if deletion.landed(connection) else None

    try:
        return database.run(work, landed=landed, failpoint="delete.commit")
    except RecordNotFoundError:
        return []
    except exc.IntegrityError as error:  # a child came in between
        raise database.run(lambda connection: _refused(connection, old), read=True) from error


def _refused(connection: Connection, old: _Old) -> ReferencedError:
    children = list(children_of(connection, old.kind, old.id))
    return referenced(old.kind, called(connection, old.kind, old.id), children or ["other records"])


def _refuse_needed(connection: Connection, old: _Old, keep_last: int, keep_tagged: bool) -> None:
    """Ask again what may have changed since the plan, with locks on what must not change until the commit.

    The newer versions are locked so that two who delete do not each count on what the other takes away.
    """
    cls = record_class(old.kind)
    newer = _newer(cls, old).limit(keep_last).with_for_update(read=True, key_share=True)
    if not old.is_follower and len(connection.execute(newer).all()) < keep_last:
        raise _NeededError(f"newer versions were deleted: it is one of the latest {keep_last} now")
    if keep_tagged:
        connection.execute(select(cls.id).where(cls.id == old.id).with_for_update())
        found = tags.tags_of(connection, old.kind, old.id)
        if found:
            who = f"{old.kind} {called(connection, old.kind, old.id)}" if old.is_follower else "it"
            raise _NeededError(f"{who} has the tag {', '.join(map(repr, found))}")


def _newer(cls: type[ORMPersistable], old: _Old) -> Select[Any]:
    """Select the newer versions of the same name, the latest first."""
    found = select(cls.id).where(cls.name == old.name, cls.version > old.version).order_by(cls.version.desc())
    if cls.scope:
        found = found.where(getattr(cls, cls.scope) == old.scope)
    return found
