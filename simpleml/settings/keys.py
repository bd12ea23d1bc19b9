"""Every key that can be set: how its value is read from a file, a variable or an argument, and what it must be."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

from simpleml.errors import ConfigurationError, known_names
from simpleml.settings import database
from simpleml.settings.secret import HIDDEN, MaskedMapping, MaskedQuery, MaskedText, Secret, masked, veiled
from simpleml.settings.stores import OWN_OPTIONS, StorePlace, is_folder
from simpleml.types import JSON

STORE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
PACKAGE_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[^:/]+)*://")
_MISWRITTEN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(?::|//)")  # two letters or more: C:\ is a drive
_SINGLE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # what a Path makes of a URL
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]|\{)")
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


@dataclass(frozen=True)
class Origin:
    """Where a value comes from: `folder` anchors its relative paths, `home` is what `~` means, `text` says a variable.

    Without a `folder` the working folder of the process is meant.
    """

    source: str
    folder: Path | None = None
    home: Path | None = None
    text: bool = False

    def anchor(self, path: str) -> str:
        """Return `path` with `~` expanded, absolute; raise `ValueError` for one that cannot be, or that only a shell expands."""
        if not path.strip() or "\0" in path:
            raise ValueError("it is empty" if not path.strip() else "a path holds no NUL")
        if path == "~" or path.startswith(("~/", "~\\")):
            if self.home is None:
                raise ValueError("no home folder is known to put in for ~")
            return str(self.home / path[2:])
        expanded = Path(os.path.expanduser(path))
        if path.startswith("~") and str(expanded).startswith("~"):
            raise ValueError("this machine has no such user to put in for ~; a folder of this name is written ./~…")
        try:
            anchored = expanded if expanded.is_absolute() else (self.folder or Path.cwd()) / expanded
        except OSError as error:
            raise ValueError(f"the working folder is gone, so a relative path means nothing: {error}") from error
        if _VARIABLE.search(path) and not os.path.exists(anchored):
            raise ValueError("variables of the environment are not put in for $: write the path itself, or one with ~")
        return str(anchored)


Reader = Callable[[object, Origin], object]


@dataclass(frozen=True)
class Key:
    """One key: its field of `Settings`, the reader that checks its value, and the form that an error asks for."""

    name: str
    reader: Reader
    expected: str
    aliases: tuple[str, ...] = ()
    in_file: bool = True

    @property
    def path(self) -> str:
        """Its place in a TOML file, as `table.key`."""
        return self.name.replace("_", ".", 1) if self.name.startswith("database_") else self.name

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it."""
        return (f"SIMPLEML_{self.name.upper()}", *self.aliases)

    def read(self, value: object, origin: Origin) -> object:
        """Return the checked value; raise `ConfigurationError` that names key, value, source and expected form."""
        try:
            return self.reader(value, origin)
        except (TypeError, ValueError, OverflowError) as error:
            reason = f" ({error})" if str(error) else ""
            raise ConfigurationError(
                f"{origin.source}: {self.path} cannot be {self._shown(value)}{reason}; expected {self.expected}"
            ) from None

    def _shown(self, value: object) -> str:
        text = HIDDEN if self.name == "database_password" else repr(veiled(value))
        return text if len(text) <= 120 else text[:117] + "…"


def _text(value: object, _: Origin) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it is of type {type(value).__name__}")
    if not value.strip():
        raise ValueError("it is empty")
    return value


def _label(value: object, origin: Origin) -> str:
    text = _text(value, origin)
    if len(text) > 255:
        raise ValueError(f"it has {len(text)} characters")
    return text


def _one_of(*options: str) -> Reader:
    def read(value: object, _: Origin) -> str:
        if not isinstance(value, str) or value not in options:
            raise ValueError
        return value

    return read


def _flag(value: object, origin: Origin) -> bool:
    if origin.text and isinstance(value, str):
        value = _FLAGS.get(value.strip().lower(), value)
    if not isinstance(value, bool):
        raise TypeError
    return value


def _seconds(value: object, origin: Origin) -> float:
    if origin.text and isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)


def _lease(value: object, origin: Origin) -> float:
    seconds = _seconds(value, origin)
    if not seconds:
        raise ValueError
    return seconds


def _port(value: object, origin: Origin) -> int:
    if origin.text and isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise ValueError
    return value


def _folder(value: object, origin: Origin) -> Path:
    return Path(origin.anchor(str(value) if isinstance(value, Path) else _text(value, origin)))


def _names(form: re.Pattern[str]) -> Reader:
    def read(value: object, origin: Origin) -> tuple[str, ...]:
        if origin.text and isinstance(value, str):
            value = [part for part in map(str.strip, value.split(",")) if part]
        if not isinstance(value, list | tuple):
            raise TypeError(f"it is of type {type(value).__name__}")
        for name in value:
            if not isinstance(name, str) or form.fullmatch(name) is None:
                raise ValueError(f"{name!r} is no such name")
        return tuple(value)

    return read


def _url(value: object, origin: Origin) -> MaskedText:
    if not isinstance(value, Path):
        text = _text(value, origin)
        if "://" in text:
            return MaskedText(database.complete(text, origin.anchor))
        if "?" in text:
            raise ValueError(
                "only a URL has options: sqlite:///app.db?timeout=5; a file with a ? in its name is given as a Path, or as %3F in a URL"
            )
    return MaskedText(database.sqlite_url(_path(value, origin, memory="sqlite://")))


def _path(value: object, origin: Origin, *, memory: str) -> str:
    """Return a path, absolute; `ValueError` for a text that was meant as a URL, or as memory, whose URL is `memory`."""
    if isinstance(value, Path) and not _SINGLE.match(str(value)):
        return origin.anchor(str(value))
    text = str(value) if isinstance(value, Path) else _text(value, origin)
    if text == ":memory:":
        raise ValueError(f"what lives in memory is written {memory}")
    if masked(text) != text and not text.startswith(("/", ".", "~")):
        raise ValueError("it holds a login, as only a URL does, and has no ://")
    found = _MISWRITTEN.match(text)
    if found is not None:
        raise ValueError(
            f"what begins with {found[0]} is taken for a URL, which is written {found[0].rstrip(':/')}://…; a path of this name begins "
            "with ./"
        )
    return origin.anchor(text)


def _driver(value: object, origin: Origin) -> str:
    text = _text(value, origin)
    if re.fullmatch(r"[A-Za-z]\w*(\+\w+)?", text) is None:
        raise ValueError
    return text.lower()


def _host(value: object, origin: Origin) -> str:
    text = _text(value, origin)
    if re.search(r"[/?@\s\[\]]", text):
        raise ValueError("a socket or a second host goes into database.query")
    return text


def _password(value: object, _: Origin) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise TypeError
    return Secret(value)


def _query(value: object, origin: Origin) -> MaskedQuery:
    if isinstance(value, str):
        pairs = parse_qsl(_text(value, origin).removeprefix("?"), keep_blank_values=True, strict_parsing=True)
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a name is given twice")
        value = dict(pairs)
    if not isinstance(value, Mapping) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise ValueError
    return MaskedQuery(value)


def _location(value: object, origin: Origin) -> StorePlace:
    options: dict[str, JSON] = {}
    if isinstance(value, Mapping):
        options = {str(key): _option(item) for key, item in value.items() if key != "url"}
        if not isinstance(options.get("chunked", False), bool):
            raise TypeError("chunked is true or false")
        value = value.get("url")
        if value is None:
            raise ValueError("it has no url")
    elif isinstance(value, StorePlace):
        options = dict(value.options)
    is_url = isinstance(value, str) and _SCHEME.match(value)
    place = StorePlace(str(value) if is_url else _path(value, origin, memory="memory://name"), options)
    unknown = sorted(options.keys() - set(OWN_OPTIONS))
    if unknown and is_folder(place):
        raise ValueError(
            f"a folder of this machine takes no option {unknown[0]!r:.80}; {known_names(OWN_OPTIONS, near=unknown[0])}"
        )
    return place


def _option(value: object) -> JSON:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_option(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _option(item) for key, item in value.items()}
    raise TypeError(f"an option of it is of type {type(value).__name__}")


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def _bytes(value: object, _: Origin) -> int:
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?b)?\s*", value.lower(), re.ASCII)
        if found is None:
            raise ValueError
        value = int(float(found[1]) * _UNITS[found[2] or ""])
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError
    return value


def _stores(value: object, origin: Origin) -> MaskedMapping:
    if not isinstance(value, Mapping):
        raise TypeError(f"it is of type {type(value).__name__}")
    return MaskedMapping({str(name): _location_of(str(name), at, origin) for name, at in value.items()})


def _location_of(name: str, at: object, origin: Origin) -> StorePlace:
    found = store_key(name).read(at, origin)
    assert isinstance(found, StorePlace)  # noqa: S101 - what its reader returns
    return found


def store_key(name: str) -> Key:
    """Return the key of one store; raise `ConfigurationError` for a name that no store can have."""
    if STORE_NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{name[:80]!r} cannot name a store: expected 1 to 63 of a-z, 0-9, - and _, with a letter or digit first"
        )
    return Key(
        f"stores.{name}",
        _location,
        "a URL like s3://bucket/prefix, the path of a folder, or a table with a url and options",
    )


KEYS: tuple[Key, ...] = (
    Key("home", _folder, "the path of a folder"),
    Key(
        "database_url",
        _url,
        "a URL like postgresql://user:password@host:5432/name or sqlite:///file.db, special characters %-encoded, or the path of an "
        "SQLite file",
        aliases=("SIMPLEML_DATABASE_URI",),
    ),
    Key("database_drivername", _driver, "a name like postgresql, mariadb, sqlite or postgresql+psycopg"),
    Key("database_username", _text, "a text"),
    Key("database_password", _password, "a text"),
    Key("database_host", _host, "the name or address of one host"),
    Key("database_port", _port, "a whole number from 1 to 65535"),
    Key("database_name", _text, "the name of a database, or the path of an SQLite file"),
    Key("database_query", _query, "a table of texts, or a text like sslmode=require&connect_timeout=5"),
    Key("stores", _stores, "a table of store names and their URLs or paths"),
    Key("trust", _one_of("trusted", "safe"), "'trusted' or 'safe'"),
    Key("trusted_stores", _names(STORE_NAME), "a list of store names (in a variable: separated by commas)"),
    Key("trusted_types", _names(PACKAGE_NAME), "a list of types such as 'mypackage.MyEstimator'"),
    Key("offline", _flag, "true or false"),
    Key("cache_size", _bytes, "a number of bytes, or a text like '20 GB'; 0 for no cache"),
    Key("cache_folder", _folder, "the path of a folder"),
    Key("environment", _one_of("warn", "strict", "ignore"), "'warn', 'strict' or 'ignore'"),
    Key("durability", _one_of("full", "normal"), "'full' or 'normal'"),
    Key("grace", _seconds, "a number of seconds, 0 or more"),
    Key("lock_timeout", _seconds, "a number of seconds, 0 or more"),
    Key("claim_lease", _lease, "a number of seconds, more than 0"),
    Key("import_packages", _names(PACKAGE_NAME), "a list of package names (in a variable: separated by commas)"),
    Key("author", _label, "a text of 1 to 255 characters"),
    Key("project", _label, "a text of 1 to 255 characters"),
    Key("progress", _flag, "true or false"),
    Key("configuration_file", _folder, "the path of a TOML file", in_file=False),
    Key("database_conf", _text, "the name of a section of the settings file", in_file=False),
)
BY_NAME = {key.name: key for key in KEYS}
PARTS = tuple(
    key.name for key in KEYS if key.in_file and key.name.startswith("database_") and key.name != "database_url"
)
