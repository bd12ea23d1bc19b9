"""What every command shares: the database it opens, and how it prints."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer

from simpleml.errors import ConfigurationError, DatabaseError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from simpleml.orm.database import Database
    from simpleml.settings import Settings


@dataclass(frozen=True)
class Face:
    """How one call of the command line was asked to work."""

    as_json: bool = False
    database: str | None = None
    store: str | None = None
    modules: tuple[str, ...] = ()

    @classmethod
    def of(cls, context: typer.Context, as_json: bool, database: str | None, store: str | None) -> Face:
        """Return what was asked for before the command, overruled by what was asked for after it."""
        before = context.find_object(cls) or cls()
        return cls(as_json or before.as_json, database or before.database, store or before.store, before.modules)

    def settings(self) -> Settings:
        """Return the settings with the options of the command line on top."""
        from simpleml.settings import Settings

        return Settings.load(database_url=self.database, store=self.store, progress=False if self.as_json else None)

    def prepared(self, *, creating: bool = False) -> Settings:
        """Return the settings once all that was asked for is imported; a database that is not there is refused, as `opened` does."""
        for module in self.modules:
            _import(module)
        settings = self.settings()
        if not creating:
            _demand_there(settings)
        return settings

    @contextmanager
    def opened(self, *, creating: bool = False) -> Iterator[Database]:
        """Open the database and make it the current one of the block; only with `creating` is one made that was named and is not there."""
        from simpleml.orm.connections import open_with

        database = open_with(self.prepared(creating=creating))
        try:
            with database:
                yield database
        finally:
            database.close()

    def planning(self) -> AbstractContextManager[Database]:
        """Open the database; in place of one that has yet to be made an empty one in memory, so that nothing is written."""
        return (replace(self, database="sqlite://") if _is_yet_to_be_made(self.settings()) else self).opened()

    def data(self, value: Any) -> None:
        """Print `value` as JSON, if that was asked for."""
        if self.as_json:
            from simpleml.encoding import encode

            print(json.dumps(encode(value), indent=2))

    def say(self, text: str = "") -> None:
        """Print a line for people."""
        if not self.as_json:
            print(printable(text))

    def note(self, text: str) -> None:
        """Print a line for people beside the result, whatever form that has."""
        print(f"note: {printable(text)}", file=sys.stderr)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
        """Print a table for people: drawn in a terminal, plain aligned columns elsewhere."""
        if self.as_json:
            return
        cells = [[printable(cell, keep="") for cell in row] for row in rows]
        if sys.stdout.isatty():
            _draw(columns, cells, title)
        else:
            lines = [list(columns), *cells] if any(columns) else cells
            widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
            if title:
                print(title)
            for line in lines:
                print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _is_yet_to_be_made(settings: Settings) -> bool:
    """Whether the database that these settings name is not there, or without a schema."""
    from sqlalchemy.engine import make_url

    from simpleml import migrations
    from simpleml.orm.record_copies import is_server
    from simpleml.orm.transactions import Transactions

    if settings.database_file is not None and not settings.database_file.exists():
        return True
    if settings.offline and is_server(make_url(settings.database)):  # what was copied of it is looked at
        return False
    looking = Transactions(settings)
    try:
        return looking.run(migrations.guard, read=True) == "fresh"
    finally:
        looking.close()


def _demand_there(settings: Settings) -> None:
    """Refuse a database file that was named and is not there: who only looks has mistyped it. The embedded default may be made."""
    from simpleml.settings.settings import DEFAULT

    file = settings.database_file
    source = settings.sources["database_url" if settings.database_url is not None else "database_name"]
    if source != DEFAULT and file is not None and not file.exists():
        raise DatabaseError(
            f"there is no database {file} ({source}), and this command makes none. Correct the path; what saves something makes it, "
            "as do simpleml.connect() and: simpleml db init"
        )


def _import(module: str) -> None:
    """Import a module of the user's, who named it, from the working folder too."""
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(f"--import {module}: {error}; give a module that can be imported from here") from error


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def printable(text: str, keep: str = "\n\t") -> str:
    """Return `text` without anything that a terminal would obey: what is stored may have been written by anybody."""
    return "".join(
        character if character.isprintable() or character in keep else ascii(character)[1:-1] for character in text
    )


def shown(result: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a result as programs read them: lists for tuples, text for times and ids."""
    return {key.rstrip("_"): _plain(value) for key, value in asdict(result).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def counted(number: int, noun: str) -> str:
    """Return `1 record`, or `2 records`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def examples(*lines: str) -> str:
    """Return the examples that end the help of a command."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
