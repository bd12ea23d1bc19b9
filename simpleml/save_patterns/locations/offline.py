"""A store that is far away, while there is no network: it can be named, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NoReturn

from simpleml.errors import OfflineError
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Buffer, Store


class OfflineStore:
    """Stands for a remote store; every call that would take the network is an `OfflineError`. The cache is asked before it."""

    remote = True
    chunked = False

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = store.name

    def __repr__(self) -> str:
        return f"OfflineStore({self._store!r})"

    def describe(self) -> str:
        """Where the store is."""
        return self._store.describe()

    def guarantees(self) -> Mapping[str, str]:
        """What its place gives when it can be reached."""
        return self._store.guarantees()

    def close(self) -> None:
        """Do nothing: nothing was opened."""

    def spool(self) -> Spool:
        """Refuse."""
        return self._refuse()

    def put(self, spool: Spool, key: str) -> None:
        """Refuse."""
        self._refuse()

    def size(self, key: str) -> int | None:
        """Refuse."""
        return self._refuse()

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Refuse."""
        return self._refuse()

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Refuse."""
        return self._refuse()

    def delete(self, key: str) -> None:
        """Refuse."""
        self._refuse()

    def keys(self, prefix: str) -> Iterator[str]:
        """Refuse."""
        return self._refuse()

    def clear_leftovers(self, older_than: float) -> int:
        """Refuse."""
        return self._refuse()

    def _refuse(self) -> NoReturn:
        raise OfflineError(
            f"the store {self.name!r} ({self.describe()}) is not on this machine, and `offline` is set: nothing is asked of it. Set "
            "offline = false (SIMPLEML_OFFLINE=false), or use a local store."
        )
