"""How a worker gets to the database and the stores that a run is about."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simpleml.errors import ConfigurationError
from simpleml.orm.connections import open_database
from simpleml.orm.database import Database
from simpleml.orm.forks import opened
from simpleml.settings import Settings

_ARGUMENT = "argument"

_held: dict[str, Database] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class Connection:
    """What a worker needs to open the database that the sender works with. Shows no secret.

    Of the sender's settings only what was given to `connect()` (or by option of the command line) travels. What came from
    a settings file or from variables stays where it is: a worker has its own, or inherits the variables. So a password
    travels if it is part of a URL given to `connect()`, and does not if it is in the environment.
    """

    ledger_id: str
    shown: str
    arguments: Mapping[str, Any] = field(repr=False)
    configuration_file: str | None = None
    owner: int = field(default_factory=os.getpid)

    @classmethod
    def to(cls, database: Database) -> Connection:
        """Return what leads to an open database."""
        settings = database.settings
        given: dict[str, Any] = {
            key: getattr(settings, key)
            for key, source in settings.sources.items()
            if source == _ARGUMENT and not key.startswith("stores.")
        }
        stores = {
            name: place for name, place in settings.stores.items() if settings.sources[f"stores.{name}"] == _ARGUMENT
        }
        if stores:
            given["stores"] = stores
        file = settings.configuration_file
        section = _section(settings)
        if section is not None:
            given["database_conf"] = section
        return cls(database.ledger_id, settings.database_shown, given, None if file is None else str(file))

    def open(self) -> Database:
        """Return that database: the sender's own if this is its process, else one that is opened once and then held.

        Raises `ConfigurationError` when this machine's settings lead to another database.
        """
        if self.owner == os.getpid():
            for each in list(opened):
                if isinstance(each, Database) and each.ledger_id == self.ledger_id:
                    return each
        with _lock:
            if self.ledger_id not in _held:
                _held[self.ledger_id] = self._opened()
            return _held[self.ledger_id]

    def _opened(self) -> Database:
        file = self.configuration_file
        database = open_database(**self.arguments, configuration_file=file if file and Path(file).is_file() else None)
        if database.ledger_id != self.ledger_id:
            other = database.settings.database_shown
            database.close()
            raise ConfigurationError(
                f"this worker's settings lead to the database {other}, but the run is about {self.shown}: set "
                "SIMPLEML_DATABASE_URL and the stores for the workers too, or give both to connect(), from where they travel"
            )
        return database


def _section(settings: Settings) -> str | None:
    """Return the name of the section of the settings file that describes the database, if it is not [database]."""
    head = f"{settings.configuration_file}:"
    for key, source in settings.sources.items():
        if key.startswith("database_") and source.startswith(head):
            table = source.removeprefix(head).rpartition(".")[0]
            return None if table == "database" else table.removeprefix("databases.")
    return None
