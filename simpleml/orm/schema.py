"""The schema of a database that is opened: made where there is none, refused where it is another one, raised on demand."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Table, inspect

from simpleml import migrations
from simpleml.errors import DatabaseReadOnlyError
from simpleml.orm import dialects, identity
from simpleml.orm.identity import Identity
from simpleml.orm.transactions import Transactions

_log = logging.getLogger(__name__)


def open_schema(database: Transactions, *, is_copy: bool) -> Identity:
    """Return who it is; a database without any table of ours gets the schema, an older or newer one is refused."""
    found = database.run(_look, read=True)
    if found is None:
        return database.run(lambda connection: _make(connection, database.settings.lock_timeout))
    who, settled = found
    return who if settled or is_copy else _settle(database, who)


def _look(connection: Connection) -> tuple[Identity, bool] | None:
    return None if migrations.guard(connection) == "fresh" else identity.look(connection)


def _make(connection: Connection, patience: float) -> Identity:
    with dialects.schema_lock(connection, patience):
        if migrations.guard(connection) == "fresh":
            migrations.upgrade(connection)
        return identity.settle(connection)[0]


def _settle(database: Transactions, who: Identity) -> Identity:
    """Return who the database is at the place where it is now, and say so if it was another one that it was copied from."""
    try:
        who, moved = database.run(identity.settle)
    except DatabaseReadOnlyError:  # what it holds can be read
        return who
    if moved:
        _log.warning(
            "%r is a copy of another database, or was moved. What is saved in it from now on is its own. The objects that "
            "its records refer to already are left to that other database: they can be read here for as long as that one "
            "keeps them, and gc does not remove them. If there is no other one (any more), run: simpleml db adopt",
            database,
        )
    return who


def upgrade_schema(database: Transactions) -> None:
    """Bring an older schema up to date, and make one where there is none."""

    def work(connection: Connection) -> None:
        with dialects.schema_lock(connection, database.settings.lock_timeout):
            migrations.upgrade(connection)

    database.run(work)


def make_table(database: Transactions, table: Table) -> None:
    """Make the table of a kind that users bring, if it is not there; where it is, nothing is written."""
    if database.run(lambda connection: inspect(connection).has_table(table.name), read=True):
        return

    def work(connection: Connection) -> None:
        with dialects.schema_lock(connection, database.settings.lock_timeout):
            table.create(connection, checkfirst=True)

    database.run(work)
