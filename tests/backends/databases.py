"""Fresh databases on a running server, each with a name of its own, dropped after use."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit, urlunsplit


@contextmanager
def fresh(server: str) -> Iterator[str]:
    """Yield the URL of a new, empty database on `server`; it is dropped at the end, whoever is still connected."""
    name = f"simpleml_{uuid.uuid4().hex}"
    create, drop = (
        (_create_postgresql, _drop_postgresql) if server.startswith("postgresql") else (_create_mariadb, _drop_mariadb)
    )
    create(server, name)
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        drop(server, name)


def _create_postgresql(server: str, name: str) -> None:
    _on_postgresql(server, f"CREATE DATABASE {name}")


def _drop_postgresql(server: str, name: str) -> None:
    _on_postgresql(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _on_postgresql(server: str, statement: str) -> None:
    """Use a connection for one statement: one kept open would be carried into the processes that tests fork."""
    import psycopg

    parts = urlsplit(server)._replace(scheme="postgresql")
    with psycopg.connect(urlunsplit(parts), autocommit=True) as connection:
        connection.execute(statement.encode())


def _create_mariadb(server: str, name: str) -> None:
    _on_mariadb(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")


def _drop_mariadb(server: str, name: str) -> None:
    """End the database's connections first: a forgotten transaction would let DROP wait for a day."""
    import pymysql

    for (process,) in _on_mariadb(server, f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"):
        try:
            _on_mariadb(server, f"KILL {process}")
        except pymysql.err.OperationalError as error:
            if error.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:  # it was just leaving
                raise
    _on_mariadb(server, f"DROP DATABASE IF EXISTS {name}")


def _on_mariadb(server: str, statement: str) -> list[tuple[int, ...]]:
    import pymysql

    parts = urlsplit(server)
    connection = pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        ssl_disabled="ssl_disabled" in parts.query,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
