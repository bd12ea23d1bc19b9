"""What the databases' own codes for errors mean, whichever database it was."""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

BUSY_SQLITE = {5, 6}  # SQLITE_BUSY, SQLITE_LOCKED; extended codes keep them in the low byte
_ADVICE_SQLITE: dict[int | str | None, str] = {
    14: ". Give this user the right to read and write the file and its folder, or give another place",  # SQLITE_CANTOPEN
    26: ". Give the path of a database, or of a file that is not there yet",  # SQLITE_NOTADB
}
_RETRY_MYSQL = {1020, 1205, 1213, 1040, 1203, 1047}
_GONE_MYSQL = {2002, 2003, 2006, 2013, 2055, 1053, 1927, 4031}
_RETRY_POSTGRESQL = {"40001", "40P01", "55P03", "53300"}
_STANDBY: set[int | str] = {"25006", 1290, 1836}  # of a server that only reads, perhaps since another one took over
_GONE_POSTGRESQL = {"57P01", "57P02", "57P03"}


def is_retryable(error: exc.DBAPIError) -> bool:
    """Whether the same work may succeed in a fresh transaction: the database was busy, or chose us as a deadlock's victim."""
    code = _code(error)
    return code in _RETRY_POSTGRESQL or code in _RETRY_MYSQL or code in BUSY_SQLITE


def is_gone(error: exc.DBAPIError) -> bool:
    """Whether the connection was lost or the server is not there: what was under way may or may not have happened."""
    code = _code(error)
    if error.connection_invalidated or code in _GONE_MYSQL or code in _GONE_POSTGRESQL:
        return True
    if isinstance(code, str):
        return code.startswith("08")
    return code is None and isinstance(error, exc.OperationalError) and not is_unreadable(error)


def is_unreadable(error: BaseException | None) -> bool:
    """Whether SQLite's driver could not read text, which somebody wrote as other bytes: the one failure without a code."""
    return isinstance(error, exc.OperationalError) and isinstance(error.orig, sqlite3.Error) and _code(error) is None


def is_read_only(error: exc.DBAPIError) -> bool:
    """Whether the database refuses to be written by this user at all."""
    return _code(error) in {8, "42501", 1142, 1792, 1044} | _STANDBY


def is_standby(error: exc.DBAPIError) -> bool:
    """Whether the server itself is one that only reads: the address may lead to another one by now."""
    return _code(error) in _STANDBY


def is_refused(error: exc.DBAPIError) -> bool:
    """Whether the database does not take this user, or this password."""
    return _code(error) in {"28000", "28P01", 1045, 1698}


def is_full(error: exc.DBAPIError) -> bool:
    """Whether the database has no space left."""
    return _code(error) in {13, "53100", 1021, 1114}


def advice(error: exc.DBAPIError) -> str:
    """Say what to do about a file that SQLite cannot open, or that is none of its own; empty for all else."""
    return _ADVICE_SQLITE.get(_code(error), "") if isinstance(error.orig, sqlite3.Error) else ""


def is_too_great(error: exc.DBAPIError) -> bool:
    """Whether a number would be beyond what its column holds."""
    return _code(error) in {"22003", 1264, 1690}


def is_too_wide(error: BaseException | None) -> bool:
    """Whether a table, a row or the key of an index would be more than this database takes, whoever tries."""
    return isinstance(error, exc.DBAPIError) and _code(error) in {18, "54000", "54011", 1071, 1117, 1118}


def _code(error: exc.DBAPIError) -> int | str | None:
    """Return the driver's own number or SQLSTATE; never its words, which depend on its language."""
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        code = getattr(origin, "sqlite_errorcode", None)
        return None if code is None else code & 0xFF
    if origin is not None and origin.args and isinstance(origin.args[0], int):
        return origin.args[0]  # MariaDB's number, which tells more than the SQLSTATE that newer drivers add
    state = getattr(origin, "sqlstate", None)
    # libpq gives no SQLSTATE for a connection that failed, but says whether a password was asked for and there was none. That
    # one was sent (`used_password`) tells nothing: a wrong database is refused only after the password was found right.
    if state is None and getattr(getattr(origin, "pgconn", None), "needs_password", False):
        return "28P01"
    return None if state is None else str(state)
