"""What must hold after any crash, looked at afresh, against what the broken process had said until then."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from simpleml.errors import SimpleMLError
from simpleml.orm import Database
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Blob
from simpleml.persistables.loading import from_row
from simpleml.persistables.ports import Row
from simpleml.save_patterns.locations.local import LocalStore
from tests.faults.stages import Say
from tests.faults.twins import Twin, faithful
from tests.faults.workload import Place, content, expire, work

Key = tuple[str, int]
Attempt = tuple[str, str, int]


@dataclass
class Journal:
    """What was said: every version that was acknowledged, every save and delete that was begun."""

    saved: list[tuple[Key, Attempt]] = field(default_factory=list)
    attempts: set[Attempt] = field(default_factory=set)
    deleting: set[Key] = field(default_factory=set)
    deleted: set[Key] = field(default_factory=set)
    crashes: list[str] = field(default_factory=list)

    def take(self, said: Iterable[tuple[Any, ...]]) -> Journal:
        """Add what a process said."""
        for verb, *rest in said:
            if verb == "saving":
                self.attempts.add((rest[0], rest[1], rest[2]))
            elif verb == "saved":
                name, seed, size, version = rest
                self.saved.append(((name, version), (name, seed, size)))
            elif verb == "deleting":
                self.deleting.add((rest[0], rest[1]))
            elif verb == "deleted":
                self.deleted.add((rest[0], rest[1]))
            elif verb == "crashed":
                self.crashes.append(rest[0])
        return self

    @property
    def names(self) -> list[str]:
        """Every name that was worked on."""
        return sorted({name for name, _, _ in self.attempts})


def violations(database: Database, journal: Journal) -> list[str]:
    """Return what is wrong with the records of the journal's names, and with any blob."""
    rows = [row for name in journal.names for row in database.select("persistable", {"name": name})]
    there = {(row["name"], row["version"]): row for row in rows}
    found = [f"crashed: {crash}" for crash in journal.crashes]
    if len(there) != len(rows):
        found.append(f"{len(rows)} records have only {len(there)} names and versions")
    found += [wrong for row in rows if (wrong := _unlike_its_config(row, database))]
    found += _against(journal, there)
    found += [f"verify: {finding}" for finding in verify(database, everything=True).findings]
    return found


def _unlike_its_config(row: Row, database: Database) -> str | None:
    made = from_row(row, database)
    try:
        whole = made.data == content(made.config["seed"], made.config["size"])  # type: ignore[attr-defined]
    except SimpleMLError as error:
        return f"{made!r} does not load: {error}"
    return None if whole else f"{made!r} has another content than its config says"


def _against(journal: Journal, there: dict[Key, Row]) -> Iterator[str]:
    """Compare what is there with what was said."""
    known = dict(journal.saved)
    for key, count in Counter(key for key, _ in journal.saved).items():
        if count > 1:
            yield f"the version {key} was given out {count} times"
    for key, attempt in known.items():
        if key not in journal.deleting and (key not in there or _attempt(there[key]) != attempt):
            yield f"the acknowledged {key} of {attempt} is {'another' if key in there else 'missing'}"
    for key in journal.deleted & there.keys():
        yield f"the deleted {key} is there"
    for key, row in there.items():
        if key not in known and _attempt(row) not in journal.attempts:
            yield f"nobody tried to save {key}"
    for name in journal.names:
        numbers = {version for known_name, version in {*there, *journal.deleting} if known_name == name}
        if numbers != set(range(1, len(numbers) + 1)):
            yield f"the versions of {name} have a gap: {sorted(numbers)}"


def _attempt(row: Row) -> Attempt:
    config = row["metadata_"]["config"]
    return row["name"], config["seed"], config["size"]


def stored_files(database: Database) -> set[str]:
    """Return every file in the store by its path there, but for the markers that say a folder is made."""
    store = database.places.store("default")
    assert isinstance(store, LocalStore)
    paths = (path for path in Path(store.root).rglob("*") if not path.is_dir() and path.name != ".ready")
    return {str(path.relative_to(store.root)) for path in paths}


def referenced_keys(database: Database) -> set[str]:
    """Return the keys that records refer to."""
    patterns = (found for row in database.select("persistable", {}) for found in row["filepaths"].values())
    references = [reference for found in patterns for reference in found.values()]
    return {key for reference in references for key in (reference["key"], *reference.get("parts", []))}


def strays(database: Database) -> list[str]:
    """Collect with all leases over; return every file and row that is left though nothing refers to it, and the reverse."""
    expire(database)
    collect(database, leftovers_after=0.0)
    rows = set(database.run(lambda connection: connection.execute(select(Blob.key)).scalars().all(), read=True))
    files, referenced = stored_files(database), referenced_keys(database)
    found = [f"the row {key} is left" for key in rows - referenced]
    found += [f"the file {key} is left" for key in files - referenced]
    return found + [f"the object {key} is gone" for key in referenced - (files & rows)]


def aftermath(say: Say, place: Place, said: list[tuple[Any, ...]], name: str | None, twin: Twin = faithful) -> None:
    """Say what is wrong now, after the same work was done again (if a name is given), and after collecting."""
    twin()
    journal = Journal().take(said)
    heard: list[tuple[Any, ...]] = []
    try:
        with place.open() as database:
            _tell(say, "at once", violations(database, journal))
            if name is not None:
                work(heard.append, database, name)
                journal.take(heard)
                _tell(say, "after the same work", violations(database, journal))
            _tell(say, "after collecting", strays(database))
            _tell(say, "after collecting", violations(database, journal))
    except Exception:
        say(("wrong", traceback.format_exc()))


def _tell(say: Say, when: str, found: list[str]) -> None:
    for wrong in found:
        say(("wrong", f"{when}: {wrong}"))
