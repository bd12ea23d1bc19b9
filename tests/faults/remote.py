"""Work on a far place that fails in every way, in several processes and threads; and what has to be true of it in the end."""

from __future__ import annotations

import importlib
import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from simpleml.errors import SimpleMLError, StoreError
from simpleml.orm import Database, open_database
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Blob
from simpleml.save_patterns.locations.transport import Source
from simpleml.save_patterns.protocols import Store
from tests.backends.places import Place as FarPlace
from tests.faults.invariants import Journal, referenced_keys
from tests.faults.stages import Child, Say, forked
from tests.faults.twins import Twin, faithful
from tests.faults.workload import LARGE, SMALL, Sample, content, expire, save
from tests.integration.sites import Site

PARTS = 20_000_000
"""More than one part of an upload."""

_SIZES = (SMALL, LARGE, SMALL, SMALL, LARGE, SMALL, LARGE, PARTS)  # as many as let each thread have its share of each
_SETTLING = 20  # tries until a server has done what it was still at when its client died


@dataclass(frozen=True)
class Far:
    """A database, and a far place that is the default store, as a machine with this home sees them."""

    url: str
    place: FarPlace
    home: str
    retries_for: float = 120.0

    @contextmanager
    def open(self, **settings: Any) -> Iterator[Database]:
        """Open both afresh, as the current database of the block."""
        table = {"url": self.place.url, **self.place.options, "retries_for": self.retries_for}
        database = open_database(self.url, stores={"default": table}, home=self.home, lock_timeout=60.0, **settings)
        try:
            with database:
                yield database
        finally:
            database.close()

    def objects(self, database: Database) -> set[str]:
        """Return all that is in the place, seen without the library."""
        return Site(self.place.kind, self.url, self.place).objects(database)

    def spooled(self) -> set[str]:
        """Return the temporary files of this machine."""
        folder = Path(self.home) / "cache" / "spool"
        return {str(path) for path in folder.rglob("*") if path.is_file()}


@dataclass
class Told:
    """What the workers said."""

    saved: Counter[int] = field(default_factory=Counter)
    loaded: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    said: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, said: list[tuple[Any, ...]]) -> None:
        """Add what a process said."""
        self.said += said
        for verb, *rest in said:
            if verb == "saved":
                self.saved[rest[2]] += 1
            elif verb == "loaded":
                self.loaded += 1
            elif verb == "failed":
                self.failed[rest[0]] += 1
            elif verb in {"wrong", "crashed"}:
                self.wrong.append(rest[0])


def imported(kind: str) -> None:
    """Import what a place of this kind takes, so that no forked child has to; nothing is connected."""
    clients = {"s3": ("s3fs", "aiobotocore.session"), "sftp": ("sshfs",), "azure": ("adlfs",)}[kind]
    for module in (f"simpleml.save_patterns.locations.{kind}", *clients):
        importlib.import_module(module)


# under faults


def storm(far: Far, rounds: int, seed: int, twin: Twin = faithful, processes: int = 2) -> Told:
    """Save and load `rounds` artifacts in several processes of three threads each, and return what they said."""
    imported(far.place.kind)
    with far.open():  # so that its schema is there
        pass
    children = [Child(_working, far, rounds // processes, seed + number, twin) for number in range(processes)]
    told = Told()
    for child in children:
        told.take(child.rest())
        if status := child.end():
            told.wrong.append(f"a worker ended with {status}")
    return told


def _working(say: Say, far: Far, rounds: int, seed: int, twin: Twin) -> None:
    """Three threads: two that try for long, and one that gives up at its first failure, as an impatient user would."""
    twin()
    lock = threading.Lock()

    def tell(what: tuple[Any, ...]) -> None:
        with lock:
            say(what)

    with ThreadPoolExecutor(3) as pool:
        homes = [replace(far, retries_for=patience) for patience in (far.retries_for, far.retries_for, 0.0)]
        shares = [range(first, rounds, 3) for first in range(3)]
        for done in [pool.submit(_share, tell, *each, seed) for each in zip(homes, shares, strict=True)]:
            done.result()


def _share(say: Say, far: Far, share: range, seed: int) -> None:
    name = f"{seed}/{share.start}"
    with far.open() as database, replace(far, home=f"{far.home}-reader").open(cache_size=0) as reader:
        for number in share:
            size = _SIZES[number % len(_SIZES)]
            try:
                with database:
                    made = save(say, name, f"{name}/{number - number % 5 // 4}", size)  # some equal the one before
            except SimpleMLError as error:
                say(("failed", type(error).__name__, str(error)))
                if far.retries_for:
                    say(("wrong", f"a patient save failed: {error}"))
                continue
            try:
                with reader:
                    data = Sample.load(name, version=made.version).data
                whole = data == content(made.config["seed"], size)
                say(("loaded",) if whole else ("wrong", f"{name} version {made.version} is torn"))
            except SimpleMLError as error:
                say(("failed", type(error).__name__, str(error)))
                if far.retries_for or not isinstance(error, StoreError):
                    say(("wrong", f"a patient load failed: {error}"))


def calm_after(far: Far, told: Told, twin: Twin = faithful) -> list[str]:
    """Return what is wrong now that all is well: everything that was acknowledged loads elsewhere, nothing else is there."""
    twin()
    journal = Journal().take(told.said)
    with replace(far, home=f"{far.home}-elsewhere").open() as database:
        found = _against(journal)
    with far.open(grace=0) as database:
        expire(database)
        collect(database, leftovers_after=-1)
        found += untidy(far, database)
        found += [f"verify: {each}" for each in verify(database, everything=True).findings]
    return found + told.wrong


def _against(journal: Journal) -> list[str]:
    known, found = dict(journal.saved), []
    if len(known) != len(journal.saved):
        found.append("a version was given out twice")
    for (name, version), (_, seed, size) in known.items():
        try:
            if Sample.load(name, version=version).data != content(seed, size):
                found.append(f"{name} version {version} has another content")
        except SimpleMLError as error:
            found.append(f"{name} version {version} does not load: {error}")
    for name in journal.names:
        there = set(Sample.versions(name)) if any(key[0] == name for key in known) else set()
        if extra := there - {version for known_name, version in known if known_name == name}:
            found.append(f"of {name}, nobody was told of the versions {sorted(extra)}")
    return found


def untidy(far: Far, database: Database) -> list[str]:
    """Return every object, temporary one, upload and row that nothing refers to, and what is referred to and not there."""
    objects, referenced = far.objects(database), referenced_keys(database)
    rows = set(database.run(lambda connection: connection.execute(select(Blob.key)).scalars().all(), read=True))
    found = [f"{each} is left in the place" for each in objects - referenced]
    found += [f"the row {key} is left" for key in rows - referenced]
    found += [f"the object {key} is gone" for key in referenced - (objects & rows)]
    return found + [f"the temporary file {path} is left" for path in far.spooled()]


# known-bad twins


def lost_answers_are_good_news() -> None:
    """Whatever fails is taken for a put that was done and whose answer got lost, without a look."""
    from simpleml.save_patterns.locations.remote import RemoteStore

    RemoteStore._is_ours = lambda *_: True  # type: ignore[method-assign]


def uploads_are_left() -> None:
    """An upload that fails is begun anew, and neither the writer nor the sweep aborts the first one."""
    from simpleml.save_patterns.locations import uploads
    from simpleml.save_patterns.locations.s3 import S3Transport

    uploads._abort = lambda *_: None
    S3Transport.clear_leftovers = lambda *_: 0  # type: ignore[method-assign]


class _Half:
    """The first half of a source, with the digest of all."""

    def __init__(self, source: Source) -> None:
        self.size, self.digest = source.size // 2, source.digest
        self._source = source

    def whole(self) -> bytes:
        return self._source.whole()[: self.size]

    def pieces(self) -> Iterator[bytes]:
        yield self.whole()


def torn_put() -> None:
    """Half of the bytes are put under the key first, and what is there already is then taken for the whole."""
    from simpleml.save_patterns.locations.remote import RemoteStore
    from simpleml.save_patterns.locations.s3 import S3Transport

    create = S3Transport.create

    def halves(self: S3Transport, key: str, source: Source) -> None:
        create(self, key, _Half(source))
        create(self, key, source)

    S3Transport.create = halves  # type: ignore[method-assign]
    RemoteStore._is_ours = lambda *_: True  # type: ignore[method-assign]


# kills


@dataclass
class Kills:
    """What many kills came to."""

    rounds: int = 0
    interrupted: int = 0
    visible: int = 0  # objects that no record refers to, in the place after a kill: every one of them whole
    hidden: int = 0  # uploads and temporary names that a kill left
    wrong: list[str] = field(default_factory=list)


def killed_in_upload(
    far: Far, straight: FarPlace, rounds: int, size: int, seed: int, twin: Twin = faithful, until_caught: bool = False
) -> Kills:
    """Kill a saving process at random instants until `rounds` kills met a save that was under way; look each time."""
    chance, outcome = random.Random(seed), Kills()
    said: list[tuple[Any, ...]] = []
    calm = replace(far, place=straight)
    imported(straight.kind)
    patience = _time_of_a_save(far, size, said)
    while outcome.interrupted < rounds:
        child = Child(_saving, far, outcome.rounds, size, twin)
        heard = [child.hear()]  # the beginning of the save
        time.sleep(chance.uniform(0, patience))
        child.kill()
        heard += child.rest()
        assert child.end() == -9, heard
        said += heard
        _, told = forked(_look, calm, said, outcome.rounds, twin)
        outcome.rounds += 1
        outcome.interrupted += heard[-1][0] == "saving"
        for verb, *rest in told:
            if verb == "left":
                outcome.visible += rest[0]
                outcome.hidden += rest[1]
            elif verb in {"wrong", "crashed"}:
                outcome.wrong.append(f"round {outcome.rounds} of seed {seed}: {rest[0]}")
            else:
                said.append((verb, *rest))
        if outcome.wrong and until_caught:
            break
    return outcome


def _time_of_a_save(far: Far, size: int, said: list[tuple[Any, ...]]) -> float:
    """Save in a process of its own, for connections do not like to be forked, and return how long it took."""
    _, told = forked(_timed, far, size)
    said += [message for message in told if message[0] != "took"]
    [took] = (float(message[1]) for message in told if message[0] == "took")
    return took


def _timed(say: Say, far: Far, size: int) -> None:
    with far.open():
        save(say, "killed", "first", SMALL)
        start = time.perf_counter()
        save(say, "killed", "second", size)
        say(("took", time.perf_counter() - start))


def _saving(say: Say, far: Far, number: int, size: int, twin: Twin) -> None:
    twin()
    with far.open():
        for count in range(1000):
            save(say, "killed", f"{number}/{count}", size)


def _look(say: Say, far: Far, said: list[tuple[Any, ...]], number: int, twin: Twin) -> None:
    """Say what is wrong with what can be seen; then save, delete all but that, collect, and look again."""
    twin()
    journal = Journal().take(said)
    try:
        with far.open(grace=0) as database:
            for wrong in _visible(say, far, database) + _whole(database, journal):
                say(("wrong", wrong))
            save(say, "killed", f"after {number}", SMALL)
            for version in Sample.versions("killed")[:-1]:
                say(("deleting", "killed", version))
                Sample.load("killed", version=version).delete()
                say(("deleted", "killed", version))
            for wrong in _tidied(far, database):
                say(("wrong", wrong))
            if Sample.load("killed").data != content(f"after {number}", SMALL):
                say(("wrong", "the save after the kill is another"))
    except Exception:
        say(("wrong", traceback.format_exc()))


def _visible(say: Say, far: Far, database: Database) -> list[str]:
    """Return which objects can be seen whose bytes are not those that were announced; tell what nothing refers to."""
    store: Store = database.places.store("default")
    keys = set(store.keys(f"objects-{database.ledger_id[:12]}"))
    say(("left", len(keys - referenced_keys(database)), len(far.objects(database) - keys)))
    rows = database.run(
        lambda connection: connection.execute(select(Blob.key, Blob.size, Blob.digest)).all(), read=True
    )
    announced = {row.key: (row.size, row.digest) for row in rows}
    found = [f"{key} is there, and was never announced" for key in keys - set(announced)]
    for key in keys & set(announced):
        size, digest = announced[key]
        try:
            if store.read(key, size)[1] != digest:
                found.append(f"{key} can be seen, but has other bytes")
        except (SimpleMLError, OSError) as error:
            found.append(f"{key} can be seen, but is not whole: {error}")
    return found


def _whole(database: Database, journal: Journal) -> list[str]:
    """Return what is wrong with the records: each loads, each that was acknowledged and not deleted is there."""
    known, found = dict(journal.saved), []
    there = set(Sample.versions("killed"))
    for version in there:
        sample = Sample.load("killed", version=version)
        try:
            if sample.data != content(sample.config["seed"], sample.config["size"]):
                found.append(f"version {version} is torn")
        except SimpleMLError as error:
            found.append(f"version {version} does not load: {error}")
    found += [f"the acknowledged {key} is missing" for key in set(known) - journal.deleting if key[1] not in there]
    return found


def _tidied(far: Far, database: Database) -> list[str]:
    """Collect until the place is tidy, as long as the server may still be at what its client died of."""
    found: list[str] = []
    for _ in range(_SETTLING):
        expire(database)
        collect(database, leftovers_after=-1)
        found = untidy(far, database)
        if not found:
            break
        time.sleep(0.25)
    return found
