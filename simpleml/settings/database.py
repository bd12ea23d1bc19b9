"""The database URL: joined from parts, completed with the driver that this package installs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, quote_plus, unquote

DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""The full driver name of a database that was named alone."""

URL_FORM = re.compile(
    r"(?P<driver>[A-Za-z]\w*(?:\+\w+)?)://"
    r"(?P<where>(?:[^:/?@]*(?::[^@]*)?@)?(?:\[[^/?\]@]+\]|[^/:?@]*)(?::[0-9]*)?)"
    r"(?:/(?P<name>[^?]*))?"
    r"(?P<query>\?.*)?",
    re.DOTALL,
)


def is_sqlite(drivername: str | None) -> bool:
    """Say whether this driver name, or URL, means SQLite."""
    return drivername is not None and re.match(r"sqlite(\+\w+)?(:|$)", drivername) is not None


def is_file(name: str) -> bool:
    """Say whether this SQLite database name is a path (and not memory, nor a `file:` address)."""
    return name not in ("", ":memory:") and not name.startswith("file:")


def file_of(url: str) -> str | None:
    """Return the path of the file that a complete URL names, or None if it is no SQLite file."""
    found = URL_FORM.fullmatch(url)
    name = unquote(found["name"] or "") if found is not None and is_sqlite(found["driver"]) else ""
    return name if is_file(name) else None


def sqlite_url(path: str, drivername: str = "sqlite") -> str:
    """Return the URL of an SQLite file, with what a URL cannot hold encoded."""
    return f"{drivername}:///" + path.replace("%", "%25").replace("?", "%3F")


def complete(url: str, anchor: Callable[[str], str]) -> str:
    """Return `url` with its driver named in full and, for SQLite, its path made absolute by `anchor`.

    Raises `ValueError` when it has not the form of a database URL.
    """
    found = URL_FORM.fullmatch(url)
    if found is None:
        raise ValueError
    driver, name = found["driver"].lower(), found["name"] or ""
    rest = url[len(found["driver"]) :]
    if is_sqlite(driver):
        if found["where"]:
            raise ValueError("a path takes three slashes: sqlite:///folder/file.db")
        if is_file(name):
            return sqlite_url(anchor(unquote(name)), driver) + (found["query"] or "")
    return DRIVERS.get(driver, driver) + rest


def join(
    *,
    drivername: str,
    username: str | None,
    password: str | None,
    host: str | None,
    port: int | None,
    name: str | None,
    query: Mapping[str, str],
) -> str:
    """Return the URL that these parts make, each of them quoted as SQLAlchemy reads it back."""
    drivername = DRIVERS.get(drivername, drivername)
    tail = "?" + "&".join(f"{quote_plus(key)}={quote_plus(query[key])}" for key in query) if query else ""
    if is_sqlite(drivername):
        return sqlite_url(name or "", drivername) + tail
    user = ""
    if username is not None:
        user = quote(username, safe="") + ("" if password is None else ":" + quote(password, safe="")) + "@"
    place = "" if host is None else f"[{host}]" if ":" in host else host
    place += "" if port is None else f":{port}"
    return f"{drivername}://{user}{place}" + ("" if name is None else "/" + quote(name, safe="")) + tail
