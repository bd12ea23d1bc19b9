"""Claims: of several processes that want to do the same thing, one does it, and the others wait or take what it made.

A claim has a lease by the database's clock, which its holder keeps extending. Who dies, or says nothing for too long, may be
replaced; one that comes back to life then finds its fence gone inside the transaction that should have committed its work.
So leases only save work, as everywhere: that nothing is committed twice rests on the fence alone.
"""

from __future__ import annotations

import logging
import threading
import weakref
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from sqlalchemy import BigInteger, Connection, Double, String, bindparam, exc, select

from simpleml.errors import ClaimLostError, SimpleMLError
from simpleml.orm.dialects import epoch_now
from simpleml.orm.tables import Claim as ClaimRow
from simpleml.orm.transactions import Transactions
from simpleml.persistables.identity import checked_text

_log = logging.getLogger(__name__)

BEATS = 4
"""How often in each lease the holder extends it; how long that is says the setting `claim_lease`."""

_claims: Any = ClaimRow.__table__
_ends = epoch_now() + bindparam("lease", type_=Double)
_is_key = _claims.c.key == bindparam("wanted", type_=String)
_is_mine = _is_key & (_claims.c.holder == bindparam("mine", type_=String))
_is_held = _is_mine & (_claims.c.fence == bindparam("taking", type_=BigInteger))
_over = _claims.c.lease_until < epoch_now()

_LOOK = select(_over).where(_is_key)
_TAKE = _claims.insert().values(key=bindparam("key"), fence=1, holder=bindparam("holder"), lease_until=_ends)
_TAKE_OVER = (
    _claims.update()
    .where(_is_key, _over)
    .values(fence=_claims.c.fence + 1, holder=bindparam("holder"), lease_until=_ends)
)
_FENCE = select(_claims.c.fence).where(_is_mine)
_EXTEND = _claims.update().where(_is_held).values(lease_until=_ends)
_RELEASE = _claims.delete().where(_is_held)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Claim:
    """The right to do what `key` stands for, until it is released or lost; as a context manager it is released at the end.

    `fence` counts how often the key was taken over since it was free; with `holder`, which no two claims share, it says
    which taking this is. A thread extends the lease as long as the claim is held by somebody; `is_lost` says whether it came too late. Safe for threads.
    """

    database: Transactions
    key: str
    fence: int
    holder: str
    lease: float
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)
    _lost: bool = False

    @property
    def is_lost(self) -> bool:
        """Whether another one was seen to hold the key; False says nothing, only a commit does."""
        return self._lost

    def check(self, connection: Connection) -> None:
        """Make sure, inside the transaction that commits what was done, that the claim is still ours; it is until that ends.

        Raises `ClaimLostError`. Written with the work, in one block: `database.write(claim.check)`.
        """
        held = connection.execute(_EXTEND, self._values()).rowcount
        if held != 1:
            self._lost = True
            raise ClaimLostError(
                f"the claim on {self.key!r} was lost: nothing was heard of this process for {self.lease:g} s, so another one took "
                "it. Nothing was committed; look for what the other one made"
            )

    def extend(self) -> bool:
        """Let the lease begin anew; return whether the claim is still ours."""
        held = self.database.run(
            lambda connection: connection.execute(_EXTEND, self._values()).rowcount, durability="relaxed"
        )
        self._lost = held != 1
        return not self._lost

    def release(self) -> None:
        """Give the claim back, if it is still ours; twice is once."""
        if self._ended.is_set():
            return
        self._ended.set()
        values = {"wanted": self.key, "mine": self.holder, "taking": self.fence}
        self.database.run(lambda connection: connection.execute(_RELEASE, values), durability="relaxed")

    def keep(self) -> Self:
        """Start the thread that extends the lease until the claim is released; it ends with the process."""
        threading.Thread(
            target=_beat,
            args=(weakref.ref(self), self._ended, min(self.lease / BEATS, threading.TIMEOUT_MAX)),
            name=f"simpleml-claim-{self.holder[:8]}",
            daemon=True,
        ).start()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except SimpleMLError:  # what was done in the block is done, or failed for a reason of its own
            _log.warning("the claim on %r could not be released and ends with its lease", self.key, exc_info=True)

    def _values(self) -> dict[str, Any]:
        return {"wanted": self.key, "mine": self.holder, "taking": self.fence, "lease": self.lease}


def _beat(reference: weakref.ref[Claim], ended: threading.Event, pause: float) -> None:
    """Extend the lease of a claim until it is released or lost, or nobody holds it any more: then nobody could release it."""
    while not ended.wait(pause):
        held = reference()
        if held is None:
            return
        try:
            if not held.extend():
                return
        except SimpleMLError:  # the database may be back before the lease is over; if not, the fence decides
            _log.warning("the lease of the claim on %r could not be extended", held.key, exc_info=True)
        del held


def claim(database: Transactions, key: str, *, lease: float | None = None) -> Claim | None:
    """Return a claim on `key`, or None if another one holds it; the lease is extended until the claim is released.

    The lease is that of the settings unless another one is given.
    """
    checked_text("the key of a claim", key)
    settings = database.settings if lease is None else database.settings.replace(claim_lease=lease)
    seconds = settings.claim_lease
    taken = _take(database, key, uuid4().hex, seconds)
    if taken is None:
        return None
    return Claim(database, key, taken[1], taken[0], seconds).keep()


def _take(database: Transactions, key: str, holder: str, lease: float) -> tuple[str, int] | None:
    """Take a key that is free, or whose lease is over; the guarded statement decides, whatever was seen before."""
    seen = database.run(lambda connection: connection.execute(_LOOK, {"wanted": key}).scalar(), read=True)
    if seen is not None and not seen:
        return None
    mine = {"wanted": key, "mine": holder}

    def landed(connection: Connection) -> int | None:
        fence: int | None = connection.execute(_FENCE, mine).scalar()
        return fence

    def take(connection: Connection) -> int | None:
        if seen is None:
            connection.execute(_TAKE, {"key": key, "holder": holder, "lease": lease})
            return 1
        connection.execute(_TAKE_OVER, {"wanted": key, "holder": holder, "lease": lease})
        return landed(connection)  # whatever was counted: an earlier attempt may have been committed after all

    try:
        fence = database.run(take, durability="relaxed", landed=landed)
    except exc.IntegrityError:  # another one was first
        return None
    return None if fence is None else (holder, fence)
