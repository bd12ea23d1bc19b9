"""`OfflineDatabase`: what this machine saw of a database that is on another one, while there is no network.

The records are those that were loaded here before (`record_copies`), so the latest version is the latest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from simpleml.errors import OfflineError
from simpleml.orm.aliases import Aliases
from simpleml.orm.database import Database
from simpleml.orm.queries import Filters
from simpleml.orm.record_copies import path_of
from simpleml.orm.tags import Tags
from simpleml.orm.transactions import Durability, Transactions
from simpleml.persistables.ports import AliasMove, Row
from simpleml.settings import Settings

T = TypeVar("T")


class _Aliases(Aliases):
    """The aliases by which something was loaded here; their moves were not copied."""

    def history(self, kind: str, name: str, alias: str | None = None, scope: str | None = None) -> list[AliasMove]:
        """Raise `OfflineError`."""
        raise OfflineError(f"{self.database!r} does not know how the aliases of {name!r} moved: ask with the network")


def _refuse_tags(database: Transactions, filters: Filters) -> None:
    for each in [filters] if isinstance(filters, Mapping) else filters:
        if any(field.startswith("tags__") for field in each):
            raise _no_tags(database)


class _Tags(Tags):
    """No tag of anything was copied."""

    def of(self, kind: str, id: UUID) -> tuple[str, ...]:
        """Raise `OfflineError`."""
        raise _no_tags(self.database)


def _no_tags(database: Transactions) -> OfflineError:
    return OfflineError(f"{database!r} does not know which versions have tags: ask with the network")


class OfflineDatabase(Database):
    """The records of a server that were loaded on this machine before; nothing can be written."""

    def __init__(self, settings: Settings) -> None:
        self._server = make_url(settings.database)
        path = path_of(settings)
        if not path.exists():
            raise OfflineError(
                f"offline = true, and nothing was loaded on this machine from {self!r} yet: connect once with the network, and "
                "load what you will need"
            )
        super().__init__(settings.replace(database_url=path))
        self.aliases, self.tags = _Aliases(self, self.write), _Tags(self, self.write)

    def __repr__(self) -> str:
        return f"OfflineDatabase({self._server.set(query={}).render_as_string(hide_password=True)!r})"

    @property
    def is_copy(self) -> bool:
        """True: its table of blobs is empty, and says nothing of what the stores hold."""
        return True

    def select(self, kind: str, filters: Filters, **options: Any) -> list[Row]:
        """Return the records that match, of those that were loaded here."""
        _refuse_tags(self, filters)
        return super().select(kind, filters, **options)

    def count(self, kind: str, filters: Filters) -> int:
        """Return how many records match, of those that were loaded here."""
        _refuse_tags(self, filters)
        return super().count(kind, filters)

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        read: bool = False,
        durability: Durability = None,
        snapshot: bool = False,
        landed: Callable[[Connection], T | None] | None = None,
        failpoint: str | None = None,
    ) -> T:
        """Do `work`, if it only reads; `OfflineError` otherwise."""
        if not read:
            raise OfflineError(
                f"{self!r} cannot be changed while offline = true; nothing was saved. Set offline = false when the network is back"
            )
        return super().run(work, read=True, snapshot=snapshot)
