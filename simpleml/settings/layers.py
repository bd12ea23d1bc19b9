"""The three places that set keys: a TOML file, the environment, arguments; each read into one checked layer."""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from simpleml.errors import ConfigurationError, known_names
from simpleml.settings.keys import BY_NAME, KEYS, PARTS, Key, Origin, store_key

FILE_NAME = "simpleml.toml"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Given:
    """One checked value, where it was given, and the folder that anchors it."""

    value: object
    source: str
    folder: Path | None = None


Layer = dict[str, Given]
"""Key (`trust`, `database_host`, `stores.default`) → what one place gave for it."""


def user_home(environ: Mapping[str, str]) -> Path | None:
    """Return the user's home folder, or `None` when neither the environment nor the system knows one."""
    for variable in ("HOME", "USERPROFILE"):
        if os.path.isabs(environ.get(variable, "")):
            return Path(environ[variable])
    try:
        import pwd

        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except (ImportError, KeyError):
        return None


def find_file(folder: Path | None, home: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the nearest settings file from `folder` upward, else the user's own, else `None`.

    A file that somebody else put into a folder that everybody may write is passed over, with a warning: it could send
    this user's data, and trust, anywhere.
    """
    for place in (folder, *folder.parents) if folder is not None else ():
        path = place / FILE_NAME
        if os.path.isfile(path):
            if not _is_foreign(path):
                return path
            _log.warning(
                "%s is not read: another user put it where everybody may write; name it in "
                "SIMPLEML_CONFIGURATION_FILE to use it",
                path,
            )
    configured = environ.get("XDG_CONFIG_HOME", "")
    if os.path.isabs(configured):
        own = Path(configured) / "simpleml" / FILE_NAME
    elif home is not None:
        own = home / ".config" / "simpleml" / FILE_NAME
    else:
        return None
    return own if os.path.isfile(own) else None


def _is_foreign(path: Path) -> bool:
    if not hasattr(os, "getuid"):
        return False
    open_to_all = bool(path.parent.stat().st_mode & stat.S_IWOTH)
    return open_to_all and path.stat().st_uid not in (0, os.getuid())


def _parsed(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(
            f"the settings file {path} cannot be read: {error.strerror or error}; correct its path or its permissions"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines())
        raise ConfigurationError(f"{path}, line {line}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: its values are nested too deeply") from error


class File:
    """One settings file, read and checked whole: `layer`, and the databases that it describes by name."""

    def __init__(self, path: Path, home: Path | None, *, section: str | None = None) -> None:
        """Read `path`; `section` is the table that SIMPLEML_DATABASE_CONF names, which may be a top-level one."""
        self.path = path
        self._home = home
        self.layer: Layer = {}
        self.sections: dict[str, Layer] = {}
        for name, value in _parsed(path).items():
            if name == "database":
                self.layer |= self._database(name, value)
            elif name == "databases":
                for inner, table in self._table(name, value).items():
                    self.sections[inner] = self._database(f"{name}.{inner}", table)
            elif name == "stores":
                for store, at in self._table(name, value).items():
                    self.layer[f"stores.{store}"] = self._read(f"stores.{store}", self._store(store), at)
            elif name in BY_NAME and BY_NAME[name].path == name and BY_NAME[name].in_file:
                self.layer[name] = self._read(name, BY_NAME[name], value)
            elif name == section:
                self.sections.setdefault(name, self._database(name, value))
            else:
                raise self._unknown(name)

    def section(self, name: str, source: str) -> Layer:
        """Return the database parts of the section `name`; raise `ConfigurationError` when there are none."""
        if not self.sections.get(name):
            raise ConfigurationError(
                f"{source}: {self.path} has no section [databases.{name}] that describes a database; "
                + known_names(self.sections, near=name)
            )
        return self.sections[name]

    def _database(self, table: str, value: object) -> Layer:
        layer: Layer = {}
        for name, item in self._table(table, value).items():
            key = BY_NAME.get(f"database_{name}")
            if key is None or not key.in_file:
                raise self._unknown(f"{table}.{name}", *(f"{table}.{part[9:]}" for part in (*PARTS, "database_url")))
            layer[key.name] = self._read(f"{table}.{name}", key, item)
        refuse_both(layer)
        return layer

    def _table(self, name: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise ConfigurationError(f"{self.path}:{name}: expected a table [{name}], not {type(value).__name__}")
        return value

    def _store(self, name: str) -> Key:
        try:
            return store_key(name)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self.path}:stores: {error}") from None

    def _read(self, at: str, key: Key, value: object) -> Given:
        source = f"{self.path}:{at}"
        folder = self.path.parent
        return Given(key.read(value, Origin(source, folder, self._home)), source, folder)

    def _unknown(self, name: str, *known: str) -> ConfigurationError:
        names = known or [key.path for key in KEYS if key.in_file] + ["databases"]
        return ConfigurationError(
            f"{self.path}: unknown key {name[:80]!r}; {known_names(names, near=name, limit=40)}. "
            "config/simpleml.toml documents every key"
        )


def from_environment(environ: Mapping[str, str], origin: Origin) -> Layer:
    """Return what the `SIMPLEML_*` variables give; `SIMPLEML_TEST_*` belong to the test command and are passed over."""
    by_variable = {variable: key for key in KEYS if key.name != "stores" for variable in key.variables}
    layer: Layer = {}
    for variable in sorted(environ):
        if not variable.startswith("SIMPLEML_") or variable.startswith("SIMPLEML_TEST_"):
            continue
        if variable == "SIMPLEML_STORE":
            key = store_key("default")
        elif variable.startswith("SIMPLEML_STORES_"):
            key = _store_of(variable)
        elif variable in by_variable:
            key = by_variable[variable]
        else:
            names = [*by_variable, "SIMPLEML_STORE", "SIMPLEML_STORES_<NAME>"]
            raise ConfigurationError(
                f"unknown variable {variable[:80]}; {known_names(names, near=variable, limit=40)}. Correct or unset it"
            )
        value = key.read(environ[variable], replace(origin, source=variable, text=True))
        before = layer.get(key.name)
        if before is not None and before.value != value:
            raise ConfigurationError(f"{before.source} and {variable} both set {key.path}, differently; unset one")
        layer[key.name] = Given(value, variable, origin.folder)
    refuse_both(layer)
    return layer


def _store_of(variable: str) -> Key:
    try:
        return store_key(variable.removeprefix("SIMPLEML_STORES_").lower())
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable}: {error}") from None


def from_arguments(arguments: Mapping[str, object], origin: Origin) -> Layer:
    """Return what a caller gave by keyword: fields of `Settings`, or `store` for the default one; `None` is nothing."""
    layer: Layer = {}
    for name, value in arguments.items():
        if name not in BY_NAME and name != "store":
            raise ConfigurationError(
                f"unknown setting {name[:80]!r}; {known_names([*BY_NAME, 'store'], near=name, limit=40)}"
            )
        if value is None:
            continue
        if name == "stores" and isinstance(value, Mapping):
            given = {f"stores.{store}": (store_key(str(store)), at) for store, at in value.items()}
        elif name == "store":
            given = {"stores.default": (store_key("default"), value)}
        else:
            given = {name: (BY_NAME[name], value)}
        for at, (key, item) in given.items():
            if at in layer:
                raise ConfigurationError(f"store and stores both give {at}; give it once")
            layer[at] = Given(key.read(item, replace(origin, source=f"argument {name}")), "argument", origin.folder)
    refuse_both(layer)
    return layer


def refuse_both(layer: Layer) -> None:
    """Raise `ConfigurationError` when one place gives the database as a URL and in another way too."""
    others = [name for name in (*PARTS, "database_conf") if name in layer]
    if "database_url" in layer and others:
        raise ConfigurationError(
            f"the database is given twice: as a URL ({layer['database_url'].source}) and by "
            + ", ".join(f"{BY_NAME[name].path} ({layer[name].source})" for name in others)
            + "; keep the URL or the parts"
        )


def merge(*layers: Layer) -> Layer:
    """Return the layers merged, the last one on top.

    A database URL replaces every part below it; parts replace a URL below and merge over parts. Stores merge by name.
    """
    merged: Layer = {}
    for layer in layers:
        hidden: tuple[str, ...] = ()
        if "database_url" in layer:
            hidden = PARTS
        elif any(name in layer for name in PARTS):
            hidden = ("database_url",)
        merged = {name: given for name, given in merged.items() if name not in hidden} | layer
    return merged
