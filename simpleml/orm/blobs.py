"""The rows of stored bytes: announcing them, claiming them for a record, giving them up, condemning what nobody claims.

A record can only commit while its blob rows are not condemned, and both sides update the same row, so that every database
puts them in order whatever its isolation level. Leases only save work: nothing depends on them, or on any clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Integer,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)

from simpleml.orm.dialects import epoch_now
from simpleml.orm.identity import Identity
from simpleml.orm.tables import Blob, BlobRef, BlobState
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.protocols import Intent

_MANY = 500  # keys in one statement: more would not be faster, and databases have their limits

_blobs: Any = Blob.__table__
_refs: Any = BlobRef.__table__


class BlobsLost(Exception):  # noqa: N818 - a signal inside this layer, never seen by a user
    """Blobs were collected between the announcement and the commit: their bytes have to be stored again."""

    def __init__(self, keys: frozenset[str]) -> None:
        super().__init__(", ".join(sorted(keys)))
        self.keys = keys


def lease(seconds: float | BindParameter[float]) -> ColumnElement[float]:
    """Return a lease of at least this many seconds from now; a longer one that runs already (a backup's) is kept."""
    ends = epoch_now() + seconds
    return case((_blobs.c.lease_until > ends, _blobs.c.lease_until), else_=ends)


# The statements of every save are built once: putting them together costs more than running them.
_GRACE: BindParameter[float] = bindparam("grace", type_=Double)
_is_one = _blobs.c.key.in_(bindparam("keys", expanding=True))
_is_live = _blobs.c.state == BlobState.LIVE
_SAME = (
    select(_blobs.c.key, _blobs.c.digest, _blobs.c.size)
    .where(_blobs.c.digest.in_(bindparam("digests", expanding=True)), _blobs.c.store == bindparam("store"), _is_live)
    .order_by(_blobs.c.key)
)
_LOCK = select(_blobs.c.key).where(_is_one).order_by(_blobs.c.key).with_for_update()
_LIVE = select(_blobs.c.key).where(_is_one, _is_live)
_EXTEND = _blobs.update().where(_is_one, _is_live).values(lease_until=lease(_GRACE))
_ANNOUNCE = _blobs.insert().values(
    key=bindparam("key"),
    digest=bindparam("digest"),
    size=bindparam("size"),
    store=bindparam("store"),
    state=BlobState.PENDING,
    refs=0,
    lease_until=epoch_now() + _GRACE,
)
_CLAIM = (
    _blobs.update()
    .where(_is_one, _blobs.c.state.in_([BlobState.PENDING, BlobState.LIVE]))
    .values(state=BlobState.LIVE, refs=_blobs.c.refs + bindparam("count", type_=Integer), lease_until=lease(_GRACE))
)
_REFER = _refs.insert()
_RELEASE = _blobs.update().where(_is_one).values(refs=_blobs.c.refs - 1, lease_until=lease(_GRACE))


def announce(
    connection: Connection, contents: Sequence[tuple[str, int]], store: str, grace: float, identity: Identity
) -> list[Intent]:
    """Extend the lease of a live blob of ours with this digest and size, or add a pending one under a key that was never used."""
    there = _extended(connection, contents, store, grace, identity.owns)
    intents, rows = [], []
    for digest, size in contents:
        known = there.get((digest, size))
        key = known or make_key(identity.current, digest, uuid4().hex)
        intents.append(Intent(key, stored=known is not None))
        if known is None:
            rows.append({"key": key, "digest": digest, "size": size, "store": store, "grace": grace})
    if rows:
        connection.execute(_ANNOUNCE, rows)
    return intents


def _extended(
    connection: Connection, contents: Sequence[tuple[str, int]], store: str, grace: float, owns: Callable[[str], bool]
) -> dict[tuple[str, int], str]:
    """Extend the leases of our live blobs with these contents, the first of each by key, and return the keys for which it was done."""
    there: dict[tuple[str, int], str] = {}
    for digests in _parts([digest for digest, _ in contents]):
        for key, digest, size in connection.execute(_SAME, {"digests": digests, "store": store}):
            if owns(key):
                there.setdefault((digest, size), key)
    there = {content: there[content] for content in contents if content in there}
    lost: set[str] = set()
    for keys in _parts(sorted(set(there.values()))):
        lost |= _missed(connection, _EXTEND, keys, {"grace": grace})
    return {content: key for content, key in there.items() if key not in lost}


def _missed(connection: Connection, statement: Any, keys: list[str], values: dict[str, Any]) -> set[str]:
    """Run a guarded UPDATE of the rows of these sorted keys, and return those that it did not find as it wants them.

    Its row count decides. Several rows are locked in order first, so that two transactions do not wait for each other.
    """
    if len(keys) > 1:
        connection.execute(_LOCK, {"keys": keys})
    if connection.execute(statement, {"keys": keys, **values}).rowcount == len(keys):
        return set()
    found = set(connection.execute(_LIVE, {"keys": keys}).scalars()) if len(keys) > 1 else set()
    return set(keys) - found or set(keys)


def _parts(keys: Sequence[str]) -> Iterator[list[str]]:
    """Give the keys in lists that a statement takes."""
    for start in range(0, len(keys), _MANY):
        yield list(keys[start : start + _MANY])


def damaged_keys(connection: Connection) -> set[str]:
    """Return the keys of the blobs whose bytes were found to be wrong."""
    return set(connection.execute(select(_blobs.c.key).where(_blobs.c.state == BlobState.DAMAGED)).scalars())


def row_of(connection: Connection, key: str) -> tuple[str, int, str] | None:
    """Return the store, the size and the digest of a blob, or None if no row announces it."""
    found = connection.execute(
        select(_blobs.c.store, _blobs.c.size, _blobs.c.digest).where(_blobs.c.key == key)
    ).first()
    return None if found is None else (found[0], found[1], found[2])


def referred(connection: Connection, after: str, limit: int) -> list[tuple[str, str, int, str]]:
    """List the blobs (key, store, size, digest) that anything refers to, in key order."""
    columns = (_blobs.c.key, _blobs.c.store, _blobs.c.size, _blobs.c.digest)
    there = (_blobs.c.refs > 0) & _blobs.c.state.in_([BlobState.LIVE, BlobState.DAMAGED])
    found = select(*columns).where(there, _blobs.c.key > after).order_by(_blobs.c.key).limit(limit)
    return [(row.key, row.store, row.size, row.digest) for row in connection.execute(found)]


def stores_in_use(connection: Connection) -> list[str]:
    """Return the names of the stores that any blob is in."""
    return list(connection.execute(select(_blobs.c.store).distinct().order_by(_blobs.c.store)).scalars())


def distrust(connection: Connection, key: str) -> None:
    """Mark a live blob as damaged, so that nobody reuses it."""
    live = (_blobs.c.key == key) & (_blobs.c.state == BlobState.LIVE)
    connection.execute(update(Blob).where(live).values(state=BlobState.DAMAGED))


def trust(connection: Connection, key: str) -> None:
    """Take a damaged blob for live again, whose bytes were found to be right: they were put back, or their store was."""
    damaged = (_blobs.c.key == key) & (_blobs.c.state == BlobState.DAMAGED)
    connection.execute(update(Blob).where(damaged).values(state=BlobState.LIVE))


def claim(connection: Connection, wanted: Iterable[tuple[UUID, str]], grace: float) -> None:
    """Let records refer to blobs (part of T3): every blob must be pending or live; `BlobsLost` names those that are not."""
    pairs = sorted(wanted, key=lambda pair: (pair[1], pair[0].hex))
    counted = [(key, len(list(same))) for key, same in groupby(pairs, key=lambda pair: pair[1])]
    lost: set[str] = set()
    # Nearly always every key is wanted once; runs of the same count keep the order of the keys for the others.
    for count, run in groupby(counted, key=lambda pair: pair[1]):
        for keys in _parts([key for key, _ in run]):
            lost |= _missed(connection, _CLAIM, keys, {"count": count, "grace": grace})
    if lost:
        raise BlobsLost(frozenset(lost))
    if pairs:
        connection.execute(_REFER, [{"record": record, "key": key} for record, key in pairs])


def release(connection: Connection, record: UUID, grace: float) -> None:
    """Give up the references of a record (part of its deletion); the bytes stay for `grace` seconds at least."""
    keys = connection.execute(select(_refs.c.key).where(_refs.c.record == record)).scalars().all()
    connection.execute(delete(BlobRef).where(_refs.c.record == record))
    for part in _parts(sorted(keys)):
        if len(part) > 1:
            connection.execute(_LOCK, {"keys": part})
        connection.execute(_RELEASE, {"keys": part, "grace": grace})


def refer_anew(connection: Connection, record: UUID, keys: Iterable[str], grace: float) -> None:
    """Let a record refer to these blobs instead of those it refers to; `BlobsLost` if one of them is not usable."""
    release(connection, record, grace)
    claim(connection, [(record, key) for key in set(keys)], grace)


def condemn(connection: Connection, key: str) -> bool:
    """Condemn a blob that nothing refers to and whose lease is over; whether it is ours to remove now.

    The condition looks at nothing but the row's own columns: asking the references instead is wrong under READ COMMITTED.
    """
    idle = (_blobs.c.refs == 0) & (_blobs.c.state != BlobState.CONDEMNED) & (_blobs.c.lease_until < epoch_now())
    done = connection.execute(update(Blob).where(_blobs.c.key == key, idle).values(state=BlobState.CONDEMNED))
    return done.rowcount == 1


def is_condemned(connection: Connection, key: str) -> bool:
    """Whether an earlier collection condemned a blob and did not come to its end."""
    return connection.execute(select(_blobs.c.state).where(_blobs.c.key == key)).scalar() is BlobState.CONDEMNED


def idle_keys(connection: Connection, after: str, limit: int) -> list[tuple[str, str, int]]:
    """List blobs to collect (key, store, size) in key order: unreferenced with a lease that is over, or condemned before."""
    idle = (_blobs.c.refs == 0) & ((_blobs.c.lease_until < epoch_now()) | (_blobs.c.state == BlobState.CONDEMNED))
    found = select(_blobs.c.key, _blobs.c.store, _blobs.c.size).where(idle, _blobs.c.key > after)
    return [(row.key, row.store, row.size) for row in connection.execute(found.order_by(_blobs.c.key).limit(limit))]


def waiting(connection: Connection, stores: Iterable[str]) -> tuple[int, int, float | None]:
    """Return how many blobs of these stores nothing refers to, whose lease is not over yet, their bytes, and when the first ends."""
    held = (_blobs.c.refs == 0) & _blobs.c.state.in_([BlobState.LIVE, BlobState.DAMAGED])
    still = held & (_blobs.c.lease_until >= epoch_now()) & _blobs.c.store.in_(list(stores))
    columns = (func.count(), func.coalesce(func.sum(_blobs.c.size), 0), func.min(_blobs.c.lease_until))
    number, size, first = connection.execute(select(*columns).where(still)).one()
    return number, int(size), first


def forget(connection: Connection, key: str) -> None:
    """Remove the row of a condemned blob, whose bytes are gone."""
    connection.execute(delete(Blob).where(_blobs.c.key == key, _blobs.c.state == BlobState.CONDEMNED))


def without_row(connection: Connection, keys: list[str]) -> list[str]:
    """Return those of `keys` that no row announces: they can never become part of a record."""
    known = set(connection.execute(select(_blobs.c.key).where(_blobs.c.key.in_(keys))).scalars())
    return [key for key in keys if key not in known]


Operation = Callable[[Connection], None]
"""Something to do inside a transaction; it may be done again in a fresh one."""
