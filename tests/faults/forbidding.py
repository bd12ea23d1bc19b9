"""Stores and databases that may be read and not written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import NullPool, create_engine, exc, make_url, text

from simpleml.errors import SimpleMLError
from simpleml.orm.housekeeping import collect, verify
from tests.faults.invariants import Journal, aftermath, violations
from tests.faults.mounts import mounted, own_mounts, run
from tests.faults.stages import Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import LARGE, SMALL, Place, Sample, delete, expire, save

NAME = "forbidden"
_NOBODY = 65534


def prepare(say: Say, place: Place) -> None:
    """Save two versions."""
    with place.open():
        save(say, NAME, "a", SMALL)
        save(say, NAME, "b", LARGE)


def try_everything(say: Say, place: Place) -> None:
    """Read what is there and try to write, as whoever this process is by now; say what came of it."""
    with place.open() as database:
        journal = Journal().take([("saved", NAME, "a", SMALL, 1), ("saved", NAME, "b", LARGE, 2)])
        journal.attempts.add((NAME, "a", SMALL))
        for wrong in violations(database, journal):
            say(("wrong", f"while it was forbidden: {wrong}"))
        for action, what in {
            "save small": lambda: save(say, NAME, "c", SMALL),
            "save large": lambda: save(say, NAME, "d", LARGE),
            "save known": lambda: save(say, NAME, "a", SMALL),
            "delete": lambda: delete(say, Sample.load(NAME, version=2)),
            "collect": lambda: (expire(database), collect(database, leftovers_after=0.0)),
            "verify": lambda: verify(database, everything=True),
        }.items():
            try:
                what()
                say(("done", action))
            except SimpleMLError as error:
                say(("failed", action, type(error).__name__, str(error)))


def as_somebody_else(say: Say, place: Place, twin: Twin) -> None:
    """Try everything as a user whom permissions bind: as nobody, if this one may do anything."""
    twin()
    if _is_almighty(Path(place.home)):
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    try:
        try_everything(say, place)
    except SimpleMLError as error:
        say(("failed", "open", type(error).__name__, str(error)))


def _report(place: Place, before: list[Any], said: list[Any]) -> dict[str, Any]:
    """Return what came of each action, and what is wrong in the end, when everything is allowed again."""
    outcome: dict[str, Any] = {}
    for verb, *rest in said:
        if verb == "done":
            outcome[rest[0]] = "done"
        elif verb == "failed":
            outcome[rest[0]] = (rest[1], rest[2])
    wrong = [message[1] for message in said if message[0] in {"wrong", "crashed"}]
    wrong += [message[1] for message in forked(aftermath, place, before + said, NAME)[1]]
    return {**outcome, "wrong": wrong}


def _is_almighty(folder: Path) -> bool:
    """Whether permissions do not bind this process: what nobody may write, it may."""
    probe = folder / "probe"
    probe.touch(mode=0)
    try:
        return os.access(probe, os.W_OK)
    finally:
        probe.unlink()


def _chmod(folder: Path, *, writable: bool) -> None:
    """Give everything in a folder to whom permissions bind, and let them write, or not."""
    almighty = _is_almighty(folder.parent)
    for path in [folder, *folder.rglob("*")]:
        if almighty:
            os.chown(path, _NOBODY, _NOBODY)
        mode = 0o700 if path.is_dir() else 0o600
        path.chmod(mode if writable else mode & 0o500)


def permissions(folder: str, store: bool, database: bool, files_only: bool, twin: Twin = faithful) -> dict[str, Any]:
    """Take the right to write from the store, the database, or both."""
    top = Path(folder)
    top.chmod(0o755)
    (top / "db").mkdir()
    place = Place(f"sqlite:///{top / 'db' / 'records.db'}", str(top / "store"), folder)
    _, before = forked(prepare, place)
    _chmod(top / "store", writable=not store)
    _chmod(top / "db", writable=not database)
    if files_only:
        (top / "db").chmod(0o700)
    _, said = forked(as_somebody_else, place, twin)
    _chmod(top / "store", writable=True)
    _chmod(top / "db", writable=True)
    return _report(place, before, said)


def read_only_mount(folder: str) -> dict[str, Any]:
    """Mount the store's folder once more, to be read only."""
    own_mounts()
    place = Place(f"sqlite:///{folder}/records.db", f"{folder}/store", folder)
    _, before = forked(prepare, place)
    with mounted(Path(place.store), "--bind", place.store):
        run("mount", "-o", "remount,bind,ro", place.store)
        _, said = forked(try_everything, place)
    return _report(place, before, said)


def prepared(place: Place) -> list[Any]:
    """Save two versions, and return what was said."""
    return forked(prepare, place)[1]


def tried(place: Place, before: list[Any], forbidden_url: str) -> dict[str, Any]:
    """Try everything through a URL that may not write."""
    return _report(place, before, forked(try_everything, replace(place, url=forbidden_url))[1])


@contextmanager
def reader_of(url: str) -> Iterator[str]:
    """Give the URL of a user who may only read this database of a server; without the right to make one, of a session."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    parts, name, password = make_url(url), f"reader_{uuid4().hex[:12]}", uuid4().hex
    begin, end = _READERS[parts.get_backend_name()]
    words = {"name": name, "password": password, "database": parts.database}
    try:
        with engine.connect() as connection:
            for statement in begin:
                connection.execute(text(statement.format(**words)))
    except exc.DBAPIError as error:
        print(f"no user can be made here ({error.orig}): a session that may not write stood in")
        yield read_only_session(url)
        return
    try:
        yield parts.set(username=name, password=password).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            for statement in end:
                connection.execute(text(statement.format(**words)))


_READERS = {
    "postgresql": (
        [
            "CREATE ROLE {name} LOGIN PASSWORD '{password}'",
            "GRANT USAGE ON SCHEMA public TO {name}",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
        ],
        ["DROP OWNED BY {name}", "DROP ROLE {name}"],
    ),
    "mysql": (
        ["CREATE USER {name} IDENTIFIED BY '{password}'", "GRANT SELECT ON {database}.* TO {name}"],
        ["DROP USER {name}"],
    ),
}


def read_only_session(url: str) -> str:
    """Return a URL whose sessions may not write."""
    parts = make_url(url)
    query = {
        "postgresql": {"options": "-c default_transaction_read_only=on"},
        "mysql": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
    }[parts.get_backend_name()]
    return parts.update_query_dict(query).render_as_string(hide_password=False)
