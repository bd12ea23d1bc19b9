"""Opening a store by its URL, and the register of places that URLs can name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

from simpleml.encoding.faults import short
from simpleml.errors import ConfigurationError, SavePatternError, known_names
from simpleml.registries import Registry
from simpleml.save_patterns.locations.filesystem import scrubbed
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.retries import RETRIES_FOR, Retries
from simpleml.save_patterns.locations.transport import Transport
from simpleml.save_patterns.protocols import Store
from simpleml.settings.secret import masked

Place = Callable[[str, Mapping[str, Any]], Transport]
"""Makes the transport of a place from its URL and its options; usually the transport's class."""

_HERE = "simpleml.save_patterns.locations"

locations: Registry[Place] = Registry(
    "location",
    known={
        **dict.fromkeys(("s3", "s3a"), f"{_HERE}.s3:S3Transport"),
        **dict.fromkeys(("gs", "gcs"), f"{_HERE}.gcs:GCSTransport"),
        **dict.fromkeys(("az", "abfs", "abfss"), f"{_HERE}.azure:AzureTransport"),
        **dict.fromkeys(("sftp", "ssh"), f"{_HERE}.sftp:SFTPTransport"),
        "memory": f"{_HERE}.memory:MemoryTransport",
        "ftp": f"{_HERE}.ftp:FTPTransport",
    },
    entry_points="simpleml.locations",
)
"""Places by the scheme of their URLs; every other one that fsspec knows is a `GenericTransport`, unless it is in `_NO_PLACE`."""

_NO_PLACE = {
    **dict.fromkeys(("http", "https", "github", "gist", "git", "data", "dvc"), "can only be read"),
    **dict.fromkeys(
        ("simplecache", "filecache", "blockcache", "cached", "reference", "dir", "generic", "dask", "async_wrapper", "asyncwrapper"),
        "only wraps another place: give that one",
    ),
    **dict.fromkeys(("zip", "tar", "libarchive"), "is an archive, which cannot be changed in place"),
}  # fmt: skip
_DATABASES = ("database", "sqlite", "postgresql", "mysql", "mariadb")

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_CALLS = ("create", "stat", "fetch", "delete", "list")

_P = TypeVar("_P", bound=Place)


def register_location(*schemes: str) -> Callable[[_P], _P]:
    """Register the decorated transport for URLs that begin with one of `schemes`; see `simpleml.save_patterns.locations.transport`."""
    named: tuple[object, ...] = schemes
    odd = [scheme for scheme in named if not isinstance(scheme, str) or not _SCHEME.fullmatch(scheme)]
    if odd or not named:
        raise SavePatternError(
            f'{short(odd[0]) if odd else "nothing"} is no scheme of a URL: write @register_location("shelf") for stores at shelf://…'
        )

    def register(place: _P) -> _P:
        missing = [call for call in _CALLS if isinstance(place, type) and not hasattr(place, call)]
        if missing or not callable(place):
            raise SavePatternError(
                f"{short(place)} is no Transport: it has no {', '.join(missing or _CALLS)}; subclass "
                "simpleml.save_patterns.locations.transport.Transport"
            )
        for scheme in schemes:
            locations.register(scheme, place)
        return place

    return register


def open_store(name: str, url: str, options: Mapping[str, Any] | None = None, *, spool: Path) -> Store:
    """Return the store at `url`: a path, or a URL of a known scheme; `spool` is a folder of this machine for its temporary files.

    `options` are `retries_for` (seconds) and what fsspec's filesystem takes. Nothing is connected. Raises
    `ConfigurationError` for what is no place to keep artifacts in: chained URLs, web pages, archives, unknown schemes.
    """
    options = dict(options or {})
    retries_for = _seconds(name, options.pop("retries_for", RETRIES_FOR))
    options.pop("chunked", None)
    scheme, found, rest = url.partition("://")
    if not found or scheme in {"file", "local"}:
        if options:
            raise ConfigurationError(
                f"the store {name!r} is a folder of this machine, which takes no options; found {', '.join(sorted(options))}"
            )
        return LocalStore(name, _path_of(name, rest) if found else Path(url))
    shown = scrubbed(masked(url), options)
    if "::" in url:
        raise ConfigurationError(
            f"the store {name!r} is at {shown}, a chain of URLs: artifacts are kept at one place, and what was read is cached "
            "by simpleml itself. Give the last URL alone."
        )
    retries = Retries(retries_for, place=f"the store {name!r} ({shown})")
    make = partial(_place_at(name, scheme, shown), url, options)
    return RemoteStore(name, make, spool / name, place=shown, options={**options, "at": url}, retries=retries)


def _place_at(name: str, scheme: str, shown: str) -> Place:
    """Return what makes the transport for URLs of this scheme."""
    if scheme in locations:
        return locations.get(scheme)
    if scheme in _NO_PLACE:
        raise ConfigurationError(
            f"the store {name!r} is at {shown}, and artifacts cannot be kept at {scheme}://, which {_NO_PLACE[scheme]}."
        )
    from fsspec import available_protocols

    others = set(available_protocols()) - _NO_PLACE.keys()
    if scheme not in others:
        known = known_names({*locations.names(), *others, *_DATABASES}, near=scheme, limit=60)
        raise ConfigurationError(
            f"the store {name!r} is at {shown}, and artifacts cannot be kept at {scheme}://, which neither fsspec nor simpleml "
            f"knows; {known}. Register a place of your own with simpleml.save_patterns.locations.opening.register_location."
        )
    from simpleml.save_patterns.locations.generic import GenericTransport

    return GenericTransport


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(
            f"the store {name!r} has retries_for = {value!r:.40}; expected how many seconds a failure may last"
        )
    return float(value)


def _path_of(name: str, rest: str) -> Path:
    """Return the path that a `file://` URL names by what follows `file://`, as `Path.as_uri` writes it: %-encoded."""
    host, _, path = rest.partition("/")
    if host not in ("", "localhost"):
        raise ConfigurationError(
            f"the store {name!r} is at {masked(f'file://{rest}')}, which names a host: a folder of this machine is written "
            "file:///absolute/path, or as a path without file://"
        )
    decoded = unquote(path, errors="surrogateescape")
    if "\0" in decoded:
        raise ConfigurationError(f"the store {name!r} is at file://{rest}, but no path holds a %00")
    return Path(f"/{decoded}")
