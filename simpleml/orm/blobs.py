"""The rows of stored bytes: announcing them, claiming them for a record, giving them up, condemning what nobody claims.

A record can only commit while its blob rows are not condemned, and both sides update the same row, so that every database
puts them in order whatever its isolation level. Leases only save work: nothing depends on them, or on any clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
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
    select,
    update,
)

from simpleml.orm.dialects import epoch_now
from simpleml.orm.tables import Blob, BlobRef, BlobState
from simpleml.save_patterns.locations.keys import make_key
from simpleml.save_patterns.protocols import Intent

if TYPE_CHECKING:
    from simpleml.orm.database import Database

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
_is_key = _blobs.c.key == bindparam("blob")
_SAME = (
    select(_blobs.c.key)
    .where(
        _blobs.c.digest == bindparam("digest"),
        _blobs.c.size == bindparam("size"),
        _blobs.c.store == bindparam("store"),
        _blobs.c.state == BlobState.LIVE,
    )
    .order_by(_blobs.c.key)
    .limit(1)
)
_EXTEND = _blobs.update().where(_is_key, _blobs.c.state == BlobState.LIVE).values(lease_until=lease(_GRACE))
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
    .where(_is_key, _blobs.c.state.in_([BlobState.PENDING, BlobState.LIVE]))
    .values(state=BlobState.LIVE, refs=_blobs.c.refs + bindparam("count", type_=Integer), lease_until=lease(_GRACE))
)
_REFER = _refs.insert()
_RELEASE = _blobs.update().where(_is_key).values(refs=_blobs.c.refs - 1, lease_until=lease(_GRACE))


@dataclass(frozen=True, slots=True)
class BlobLedger:
    """Announces bytes in short transactions of its own (T1); a power cut may lose one, and the sweep cures that."""

    database: Database

    def intend(self, *, digest: str, size: int, store: str) -> Intent:
        """Extend the lease of a live blob with this content, or add a pending one under a key that was never used."""
        self.database.places.refuse_offline(store)
        grace = self.database.settings.grace

        def work(connection: Connection) -> Intent:
            key = connection.execute(_SAME, {"digest": digest, "size": size, "store": store}).scalar()
            if key is not None and connection.execute(_EXTEND, {"blob": key, "grace": grace}).rowcount == 1:
                return Intent(key, stored=True)
            key = make_key(self.database.ledger_id, digest, uuid4().hex)
            connection.execute(_ANNOUNCE, {"key": key, "digest": digest, "size": size, "store": store, "grace": grace})
            return Intent(key, stored=False)

        return self.database.run(work, durability="relaxed")

    def distrust(self, key: str) -> None:
        """Mark a live blob as damaged, so that nobody reuses it."""

        def work(connection: Connection) -> None:
            live = (_blobs.c.key == key) & (_blobs.c.state == BlobState.LIVE)
            connection.execute(update(Blob).where(live).values(state=BlobState.DAMAGED))

        self.database.run(work)


def damaged_keys(connection: Connection) -> set[str]:
    """Return the keys of the blobs whose bytes were found to be wrong."""
    return set(connection.execute(select(_blobs.c.key).where(_blobs.c.state == BlobState.DAMAGED)).scalars())


def row_of(connection: Connection, key: str) -> tuple[str, int, str] | None:
    """Return the store, the size and the digest of a blob, or None if no row announces it."""
    found = connection.execute(
        select(_blobs.c.store, _blobs.c.size, _blobs.c.digest).where(_blobs.c.key == key)
    ).first()
    return None if found is None else (found[0], found[1], found[2])


def stores_in_use(connection: Connection) -> list[str]:
    """Return the names of the stores that any blob is in."""
    return list(connection.execute(select(_blobs.c.store).distinct().order_by(_blobs.c.store)).scalars())


def trust(connection: Connection, key: str) -> None:
    """Take a damaged blob for live again, whose bytes were found to be right: they were put back, or their store was."""
    damaged = (_blobs.c.key == key) & (_blobs.c.state == BlobState.DAMAGED)
    connection.execute(update(Blob).where(damaged).values(state=BlobState.LIVE))


def claim(connection: Connection, wanted: Iterable[tuple[UUID, str]], grace: float) -> None:
    """Let records refer to blobs (part of T3): every blob must be pending or live; `BlobsLost` names those that are not."""
    counts: dict[str, int] = {}
    pairs = sorted(wanted, key=lambda pair: (pair[1], pair[0].hex))
    for _, key in pairs:
        counts[key] = counts.get(key, 0) + 1
    lost = set()
    for key, count in sorted(counts.items()):
        if connection.execute(_CLAIM, {"blob": key, "count": count, "grace": grace}).rowcount != 1:
            lost.add(key)
    if lost:
        raise BlobsLost(frozenset(lost))
    if pairs:
        connection.execute(_REFER, [{"record": record, "key": key} for record, key in pairs])


def release(connection: Connection, record: UUID, grace: float) -> None:
    """Give up the references of a record (part of its deletion); the bytes stay for `grace` seconds at least."""
    keys = connection.execute(select(_refs.c.key).where(_refs.c.record == record)).scalars().all()
    connection.execute(delete(BlobRef).where(_refs.c.record == record))
    for key in sorted(keys):
        connection.execute(_RELEASE, {"blob": key, "grace": grace})


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


def forget(connection: Connection, key: str) -> None:
    """Remove the row of a condemned blob, whose bytes are gone."""
    connection.execute(delete(Blob).where(_blobs.c.key == key, _blobs.c.state == BlobState.CONDEMNED))


def without_row(connection: Connection, keys: list[str]) -> list[str]:
    """Return those of `keys` that no row announces: they can never become part of a record."""
    known = set(connection.execute(select(_blobs.c.key).where(_blobs.c.key.in_(keys))).scalars())
    return [key for key in keys if key not in known]


Operation = Callable[[Connection], None]
"""Something to do inside a transaction; it may be done again in a fresh one."""
