"""`Shelves`: the stores of one database, where this machine's settings say that they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from simpleml.errors import ConfigurationError, UnknownStoreError, known_names
from simpleml.orm.blobs import BlobLedger
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.protocols import Serializer, Store
from simpleml.save_patterns.trust import Policy


@dataclass(slots=True)
class Shelves:
    """The stores of one database by name, its ledger and its trust policy: what save patterns work with."""

    ledger: BlobLedger
    urls: Mapping[str, str]
    policy: Policy
    _stores: dict[str, Store] = field(default_factory=dict)

    def store(self, name: str) -> Store:
        """Return the store of this name, where this machine's settings say that it is."""
        found = self._stores.get(name)
        if found is None:
            if name not in self.urls:
                raise UnknownStoreError(
                    f"this machine's settings do not say where the store {name!r} is; {known_names(self.urls, near=name)}. "
                    f'Add it to simpleml.toml: [stores] {name} = "<path or URL>"'
                )
            found = self._stores.setdefault(name, open_store(name, self.urls[name]))
        return found

    def names(self) -> list[str]:
        """Return the names of all stores."""
        return sorted(self.urls)

    def allow(self, serializer: Serializer, store: str) -> None:
        """Raise `TrustError` if the trust policy forbids reading this format from this store."""
        self.policy.check(executes=serializer.executes, serializer=serializer.name, store=store)

    def allow_writing(self, serializer: Serializer) -> None:
        """Raise `TrustError` if the trust policy forbids this format altogether."""
        self.policy.check_format(executes=serializer.executes, serializer=serializer.name)


def open_store(name: str, url: str) -> Store:
    """Return the store at `url`: a local folder, as a path or a `file://` URL."""
    scheme, found, rest = url.partition("://")
    if not found:
        return LocalStore(name, Path(url))
    if scheme == "file":
        return LocalStore(name, _path_of(name, rest))
    raise ConfigurationError(
        f"the store {name!r} is at {scheme}://…, which this version cannot reach; known: a path, file://"
    )


def _path_of(name: str, rest: str) -> Path:
    """Return the path that a `file://` URL names by what follows `file://`, as `Path.as_uri` writes it: %-encoded."""
    host, _, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise ConfigurationError(
            f"the store {name!r} is at file://{rest}, which names the host {host!r}: a folder of this machine is written "
            "file:///absolute/path, or as a path without file://"
        )
    decoded = unquote(path, errors="surrogateescape")
    if "\0" in decoded:
        raise ConfigurationError(f"the store {name!r} is at file://{rest}, but no path holds a %00")
    return Path(f"/{decoded}")
