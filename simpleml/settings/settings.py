"""`Settings`: what the user may set, checked, with the source of every value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast

from simpleml.errors import ConfigurationError, known_names
from simpleml.settings import database
from simpleml.settings.keys import BY_NAME, PARTS, Origin
from simpleml.settings.layers import (
    File,
    Given,
    Layer,
    find_file,
    from_arguments,
    from_environment,
    merge,
    refuse_both,
    user_home,
)
from simpleml.settings.secret import MaskedMapping, MaskedText, Secret, masked
from simpleml.settings.stores import StorePlace, is_folder, options_of

DEFAULT = "default"
TRUSTED = (DEFAULT, "disk", "cloud", "database")
"""The stores that are trusted unless somebody says otherwise; nobody need have named a `cloud`."""
OWN_DATABASE = "database://"
"""Where the store `database` is unless somebody says otherwise: in the tables of the database that holds the records."""


def _default_home(home: Path | None, folder: Path | None) -> tuple[Path, str]:
    """Return the default of `home`, and its source."""
    if home is not None:
        return home / ".simpleml", DEFAULT
    try:
        return (folder or Path.cwd()) / ".simpleml", f"{DEFAULT}, in the working folder: no home folder is known"
    except OSError as error:
        raise ConfigurationError("no home folder is known and the working folder is gone; set SIMPLEML_HOME") from error


def _home() -> Path:
    return _default_home(user_home(os.environ), None)[0]


@dataclass(frozen=True)
class Settings:
    """Every setting, each of its documented type; nothing is created on disk, and no secret shows in `repr`.

    `sources` tells for every field (and every store, as `stores.<name>`) where its value came from: `default`,
    `<file>:<key>`, a variable's name, or `argument`. Made by `load`; a direct call reads no file and no variable.
    """

    home: Path = field(default_factory=_home)
    database_url: str | None = None
    database_drivername: str | None = None
    database_username: str | None = None
    database_password: Secret | None = None
    database_host: str | None = None
    database_port: int | None = None
    database_name: str | None = None
    database_query: Mapping[str, str] | None = None
    stores: Mapping[str, str] = field(default_factory=MaskedMapping)
    trust: Literal["trusted", "safe"] = "trusted"
    trusted_stores: tuple[str, ...] = TRUSTED
    trusted_types: tuple[str, ...] = ()
    offline: bool = False
    cache_size: int = 20_000_000_000
    cache_folder: Path | None = None
    environment: Literal["warn", "strict", "ignore"] = "warn"
    durability: Literal["full", "normal"] = "full"
    grace: float = 604800.0
    lock_timeout: float = 60.0
    claim_lease: float = 60.0
    import_packages: tuple[str, ...] | None = None
    author: str = "default"
    project: str = "default"
    progress: bool = True
    configuration_file: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def load(
        cls, *, start: Path | None = None, environ: Mapping[str, str] | None = None, **arguments: object
    ) -> Settings:
        """Return the defaults, under the settings file, under the `SIMPLEML_*` variables, under `arguments`.

        `start` is the working folder: the file is looked for from there upward, then in the user's configuration
        folder (the first one found counts alone), and relative paths in variables and arguments are relative to it.
        `arguments` are fields by name, `store` (the default one), `configuration_file` and `database_conf`; `None`
        means not given. Raises `ConfigurationError`.
        """
        environ = os.environ if environ is None else environ
        home = user_home(environ)
        try:
            folder = Path(os.path.abspath(start or Path.cwd()))
        except FileNotFoundError:
            folder = None
        origin = Origin("", folder, home)
        variables = from_environment(environ, origin)
        given = from_arguments(arguments, origin)
        section = given.pop("database_conf", None) or variables.pop("database_conf", None)
        variables.pop("database_conf", None)
        chosen = given.pop("configuration_file", None) or variables.pop("configuration_file", None)
        variables.pop("configuration_file", None)
        path = Path(str(chosen.value)) if chosen else find_file(folder, home, environ)
        source = chosen.source if chosen else "found"
        layers = [variables, given]
        if chosen and not os.path.isfile(str(path)):
            raise ConfigurationError(f"{source}: there is no settings file {path}; correct the path or leave it out")
        if path is not None:
            layers.insert(0, _file_layer(path, home, section) | {"configuration_file": Given(path, source)})
        elif section is not None:
            raise ConfigurationError(
                f"{section.source} names the section {section.value!r}, but no settings file was found; "
                "name one in SIMPLEML_CONFIGURATION_FILE"
            )
        return cls._of(merge(*layers), Given(*_default_home(home, folder)))

    @classmethod
    def _of(cls, layer: Layer, home: Given) -> Settings:
        layer = {"home": home} | layer
        values: dict[str, Any] = {key: given.value for key, given in layer.items() if not key.startswith("stores.")}
        stores = {
            key.removeprefix("stores."): cast("str", given.value) for key, given in layer.items() if key not in values
        }
        name = values.get("database_name")
        if name is not None and database.is_sqlite(values.get("database_drivername")) and database.is_file(name):
            known = layer["database_name"]
            origin = Origin(known.source, known.folder, user_home(os.environ))
            values["database_name"] = origin.anchor(name)
        sources = {key: given.source for key, given in layer.items()}
        return cls(**values, stores=stores, sources=sources)

    def __post_init__(self) -> None:
        origin = Origin("argument", None, user_home(os.environ))
        sources = dict(self.sources)
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name == "sources" or (value is None and known.default is None):
                sources.setdefault(known.name, DEFAULT)
                continue
            value = BY_NAME[known.name].read(value, origin)
            object.__setattr__(self, known.name, value)
            sources.setdefault(known.name, DEFAULT if value == known.default else origin.source)
        for name in self.stores:
            sources.setdefault(f"stores.{name}", origin.source)
        own = self._own_stores()
        object.__setattr__(self, "stores", MaskedMapping(own | dict(self.stores)))
        sources |= {f"stores.{name}": DEFAULT for name in own}
        del sources["sources"], sources["stores"]
        object.__setattr__(self, "sources", sources)
        self._check_database()
        self._check_trusted()

    def _own_stores(self) -> dict[str, str]:
        """Return where the stores are that nobody named: `disk` is where `default` is, as long as that is a local folder.

        `database` is the database that holds the records; what was brought from elsewhere is kept apart, in `imported`.
        """
        folder = str(self.home / "store")
        default = self.stores.get(DEFAULT, folder)
        own = {
            DEFAULT: StorePlace(folder),
            "disk": default if is_folder(default) else StorePlace(folder),
            "database": StorePlace(OWN_DATABASE),
            "imported": StorePlace(str(self.home / "imported")),
        }
        return {name: place for name, place in own.items() if name not in self.stores}

    def _check_trusted(self) -> None:
        known = {*self.stores, *TRUSTED}
        unknown = [name for name in self.trusted_stores if name not in known]
        if unknown:
            raise ConfigurationError(
                f"{self.sources['trusted_stores']}: trusted_stores has {unknown[0]!r}, but there is no store of that name; "
                f"{known_names(known, near=unknown[0])}"
            )

    def _check_database(self) -> None:
        parts = [name for name in PARTS if getattr(self, name) is not None]
        given = {name: Given(None, self.sources[name]) for name in (*parts, "database_url") if getattr(self, name)}
        refuse_both(given)
        told = ", ".join(f"{BY_NAME[name].path} ({self.sources[name]})" for name in parts)
        if parts and self.database_drivername is None:
            raise ConfigurationError(
                f"the database is given by parts, {told}, but none of them is the driver; set database.drivername or "
                "SIMPLEML_DATABASE_DRIVERNAME to postgresql, mariadb, mysql or sqlite"
            )
        if self.database_password is not None and self.database_username is None:
            raise ConfigurationError(f"a database password without a username is never sent: {told}; set both")
        unused = [name for name in PARTS[1:5] if name in parts]
        if database.is_sqlite(self.database_drivername) and unused:
            raise ConfigurationError(
                "SQLite is a file and takes only drivername, name (the path) and query; drop "
                + ", ".join(f"{BY_NAME[name].path} ({self.sources[name]})" for name in unused)
            )

    @property
    def database(self) -> str:
        """The URL of the database, with its driver; its `repr` is masked, its text holds the password."""
        if self.database_url is not None:
            return self.database_url
        default = str(self.home / "simpleml.db")
        if self.database_drivername is None:
            return MaskedText(database.sqlite_url(default))
        own = default if database.is_sqlite(self.database_drivername) else None
        return MaskedText(
            database.join(
                drivername=self.database_drivername,
                username=self.database_username,
                password=None if self.database_password is None else self.database_password.reveal(),
                host=self.database_host,
                port=self.database_port,
                name=self.database_name or own,
                query=self.database_query or {},
            )
        )

    @property
    def database_file(self) -> Path | None:
        """The file of an SQLite database; None of every other one, and of one in memory."""
        name = database.file_of(self.database)
        return None if name is None else Path(name)

    @property
    def cache(self) -> Path:
        """The folder of what was read from other machines: bytes by digest, and the records that go with them."""
        return self.cache_folder or self.home / "cache"

    @property
    def database_shown(self) -> str:
        """The URL of the database to show and to log: passwords and tokens as `***`."""
        return masked(self.database)

    def replace(self, **changes: object) -> Settings:
        """Return these settings with `changes` on top, checked and merged as arguments of `load` are."""
        for name in ("configuration_file", "database_conf"):
            if changes.get(name) is not None:
                raise ConfigurationError(f"{name} says what to read: give it to Settings.load, not to replace")
        kept: Layer = {}
        for key, source in self.sources.items():
            if source != DEFAULT and key not in ("home", "sources"):
                value = self.stores[key[7:]] if key.startswith("stores.") else getattr(self, key)
                kept[key] = Given(value, source)
        given = from_arguments(changes, Origin("", None, user_home(os.environ)))
        return self._of(merge(kept, given), Given(self.home, self.sources["home"]))

    def rows(self) -> list[tuple[str, str, str]]:
        """Return (key, value as it may be shown, source) of everything in force, to be printed."""
        parts = [name for name in ("database_url", *PARTS) if getattr(self, name) is not None]
        told = ", ".join(dict.fromkeys(self.sources[name] for name in parts)) or DEFAULT
        rows = [("home", str(self.home), self.sources["home"]), ("database", self.database_shown, told)]
        rows += [
            (f"stores.{name}", StorePlace(at, options_of(at)).shown, self.sources[f"stores.{name}"])
            for name, at in self.stores.items()
        ]
        for known in fields(self):
            if known.name not in ("home", "stores", "sources", "database_url", *PARTS):
                value = self.cache if known.name == "cache_folder" else getattr(self, known.name)
                text = "" if value is None else ", ".join(value) if isinstance(value, tuple) else str(value)
                rows.append((known.name, text, self.sources[known.name]))
        return rows


def _file_layer(path: Path, home: Path | None, section: Given | None) -> Layer:
    if section is None:
        return File(path, home).layer
    name = str(section.value)
    file = File(path, home, section=name)
    others = {key: given for key, given in file.layer.items() if not key.startswith("database_")}
    return others | file.section(name, section.source)
