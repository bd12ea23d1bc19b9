"""`Shelves`: the stores of one database, where this machine's settings say that they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simpleml.encoding.faults import short
from simpleml.errors import ArtifactDamagedError, ConfigurationError, TrustError, UnknownStoreError, known_names
from simpleml.orm.identity import Identity
from simpleml.orm.ledger import BlobLedger
from simpleml.orm.locations.database import is_database, open_database_store
from simpleml.orm.transactions import Transactions
from simpleml.save_patterns.fetching import Fetcher
from simpleml.save_patterns.locations.cache import Cache
from simpleml.save_patterns.locations.offline import OfflineStore
from simpleml.save_patterns.locations.opening import open_store
from simpleml.save_patterns.locations.spool import Spool
from simpleml.save_patterns.protocols import Buffer, Serializer, Store
from simpleml.save_patterns.trust import Policy
from simpleml.settings import Settings
from simpleml.settings.keys import STORE_NAME
from simpleml.settings.stores import options_of

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Shelves:
    """The stores of one database by name, its ledger, its cache and its trust policy: what save patterns work with."""

    database: Transactions
    is_copy: bool
    ledger: BlobLedger
    policy: Policy
    fetcher: Fetcher
    maps: bool = False
    _stores: dict[str, Store] = field(default_factory=dict)
    _warned: set[tuple[str, str]] = field(default_factory=set)  # of formats and stores that cannot be read here
    _damaged: set[tuple[str, int, str]] = field(default_factory=set)  # objects that were not what they are wanted as

    @classmethod
    def of(cls, database: Transactions, identity: Identity, *, is_copy: bool) -> Shelves:
        """Return the shelves of a database, as its settings want them."""
        settings = database.settings
        policy = Policy(settings.trust, frozenset(settings.trusted_stores), frozenset(settings.trusted_types))
        cache = Cache(settings.cache / "objects", settings.cache_size) if settings.cache_size else None
        fetcher = Fetcher(cache, offline=settings.offline)
        return cls(database, is_copy, BlobLedger(database, identity), policy, fetcher)

    @property
    def _settings(self) -> Settings:
        return self.database.settings

    def store(self, name: str) -> Store:
        """Return the store of this name, where this machine's settings say that it is."""
        found = self._stores.get(name)
        if found is None:
            found = self._stores.setdefault(name, self._open(name))
        return found

    def _open(self, name: str) -> Store:
        stores = self._settings.stores
        if STORE_NAME.fullmatch(name) is None:
            raise UnknownStoreError(
                f"{short(name)} cannot be the name of a store; {known_names(stores)}. A path or a URL gets a name in simpleml.toml: "
                '[stores] archive = "<path or URL>", and goes by that name everywhere; if a record says so, it was edited'
            )
        if name not in stores:
            raise UnknownStoreError(
                f"this machine's settings do not say where the store {name!r} is; {known_names(stores, near=name)}. "
                f'Add it to simpleml.toml: [stores] {name} = "<path or URL>"'
            )
        options = dict(options_of(stores[name]))
        chunked = bool(options.pop("chunked", False))
        spool = self._settings.cache / "spool"
        store: Store
        if is_database(stores[name]):
            if options:
                raise ConfigurationError(
                    f"the store {name!r} is in a database, which takes no options but chunked; found {', '.join(sorted(options))}"
                )
            store = open_database_store(name, stores[name], self.database, is_copy=self.is_copy, spool=spool)
        else:
            store = open_store(name, stores[name], options, spool=spool)
        store.chunked = chunked
        return OfflineStore(store) if self._settings.offline and store.remote else store

    def names(self) -> list[str]:
        """Return the names of all stores."""
        return sorted(self._settings.stores)

    def chosen(self, names: str | Sequence[str] | None) -> Sequence[str]:
        """Return the names asked for, all of which must be known, or else all; `UnknownStoreError` says which are."""
        known = self.names()
        wanted = [names] if isinstance(names, str) else names or known
        for name in wanted:
            if name not in known:
                self.store(name)
        return wanted

    def fetch(self, store: str, key: str, size: int, digest: str) -> Buffer:
        """Return the bytes of an object, whose size and digest were compared with these."""
        try:
            return self.fetcher.fetch(self.store(store), key, size, digest, mmap=self.maps)
        except ArtifactDamagedError:
            self._damaged.add((key, size, digest))
            raise

    def found_damaged(self, key: str, size: int, digest: str) -> bool:
        """Whether an object was fetched as this one and found damaged: what has the same bytes does not share it."""
        return (key, size, digest) in self._damaged

    def keep(self, store: Store, spool: Spool) -> None:
        """Move what was just put far away into the cache of this machine."""
        if store.remote and self.fetcher.cache is not None:
            self.fetcher.cache.keep(spool)

    def mapped(self, maps: bool = True) -> Shelves:
        """Return the same shelves, from which bytes are mapped instead of copied, or the other way round."""
        return self if maps == self.maps else replace(self, maps=maps)

    def trim_cache(self) -> None:
        """Bring the cache of this machine down to the size that it is set to."""
        Cache(self._settings.cache / "objects", self._settings.cache_size).trim()

    @property
    def workspace(self) -> Path:
        """The folder for what has to be a file or a folder to be used."""
        return self._settings.cache / "folders"

    def allow(self, serializer: Serializer, store: str, data: Buffer) -> None:
        """Raise `TrustError` if the trust policy forbids reading these bytes, in this format, from this store."""
        self.policy.check_reading(serializer, store, data)

    def allow_writing(self, serializer: Serializer, store: str) -> None:
        """Raise `TrustError` if the trust policy forbids this format altogether; warn once if it does from this store."""
        self.policy.check_format(executes=serializer.executes, serializer=serializer.name)
        try:
            self.policy.check(executes=serializer.executes, serializer=serializer.name, store=store)
        except TrustError as error:
            if (serializer.name, store) not in self._warned:
                self._warned.add((serializer.name, store))
                _log.warning("what is saved now cannot be read by this machine: %s", error)

    def refuse_offline(self, name: str) -> None:
        """Raise `OfflineError` if this store is not on this machine and `offline` is set."""
        found = self.store(name)
        if isinstance(found, OfflineStore):
            found.spool()

    def close(self) -> None:
        """Give back what the stores hold; the next use opens them anew."""
        stores, self._stores = self._stores, {}
        for store in stores.values():
            close = getattr(store, "close", None)
            if close is not None:
                close()
