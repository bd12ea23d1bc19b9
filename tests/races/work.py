"""What the processes of the races do. Everything here is started by name in a fresh process."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import simpleml
from simpleml import Artifact, Lineage, Persistable
from simpleml.orm import backup as backups
from simpleml.orm import blobs, connections, housekeeping
from simpleml.orm.database import Database
from tests.races import twins
from tests.races.crew import asked_to_stop, failure_of, pause, tell


class Note(Persistable):
    """The smallest thing that has an artifact, a second one, and something it may be made from."""

    registered_name: ClassVar[str] = "RaceNote"
    data: Artifact[Any] = Artifact()
    more: Artifact[Any] = Artifact()
    source: Lineage[Persistable] = Lineage("persistable")


def note(name: str, data: object, **members: Any) -> Note:
    """Return an unsaved note."""
    return Note(name=name, data=data, **members)


def save_changed(name: str) -> None:
    """Save a note, change its artifact, and save it again."""
    made = note(name, "as it was").save()
    made.data = "as it is"
    made.save()


@dataclass(frozen=True)
class Place:
    """A database and the folder of its store; every process opens it for itself."""

    url: str
    store: str

    @property
    def kind(self) -> str:
        """Which database it is."""
        return self.url.partition(":")[0].partition("+")[0].replace("mysql", "mariadb")

    @contextmanager
    def opened(self, **settings: Any) -> Iterator[Database]:
        """The current database of the block."""
        settings.setdefault("home", Path(self.store).parent / "embedded")
        database = connections.open_database(self.url, store=self.store, **settings)
        try:
            with database:
                yield database
        finally:
            database.close()


Saved = tuple[UUID, int]


class BlockFailedError(Exception):
    """What a block is made to fail with."""


@contextmanager
def failing_block() -> Iterator[None]:
    """A transaction that raises at its end, after everything that is done in it."""
    with suppress(BlockFailedError), simpleml.transaction():
        yield
        raise BlockFailedError


def save_many(number: int, place: Place, name: str, count: int, twin: str = "") -> list[Saved]:
    """Save `count` new versions of one name."""
    twins.put_in(twin)
    with place.opened():
        saved = [note(name, {"writer": number, "save": index}).save() for index in range(count)]
        return [(each.id, each.version) for each in saved]


def save_one(place: Place, name: str, data: object, twin: str = "", more: object = None, **settings: Any) -> Saved:
    """Save one new version, with a second artifact if `more` is given."""
    twins.put_in(twin)
    with place.opened(**settings):
        saved = note(name, data, **({} if more is None else {"more": more})).save()
        return saved.id, saved.version


def save_settings(
    place: Place, name: str, data: object, settings: dict[str, Any], twin: str = "", more: object = None
) -> Saved:
    """Save one new version in a database that was opened with other settings."""
    return save_one(place, name, data, twin, more, **settings)


def save_block(place: Place, data: list[object], settings: dict[str, Any]) -> list[Saved]:
    """Save several names in one transaction, and stop before it ends."""
    with place.opened(**settings):
        with simpleml.transaction():
            saved = [note(f"block-{index}", each).save() for index, each in enumerate(data)]
            pause("block")
        return [(each.id, each.version) for each in saved]


def use_first(number: int, place: Place, twin: str = "", gate: Any = None) -> tuple[str, UUID, int]:
    """Open what may not be there, save once, load it back."""
    twins.put_in(twin, gate)
    with place.opened() as database:
        saved = note("first", {"user": number}).save()
        assert Note.load("first", version=saved.version).data == {"user": number}
        return database.ledger_id, saved.id, saved.version


def resave(number: int, place: Place, count: int, settings: dict[str, Any]) -> dict[UUID, object]:
    """Save contents that the others save too, beside one of its own; delete two of three; return what is still there."""
    left: dict[UUID, object] = {}
    with place.opened(**settings):
        kept: list[Note] = []
        for index in range(count):
            own = {"writer": number, "save": index}
            kept.append(note(f"writer-{number}", {"content": (number + index) % 3}, more=own).save())
            if index % 3:
                kept.pop(index % len(kept)).delete()
        for each in kept:
            left[each.id] = each.data
    return left


def claim_again_and_again(number: int, place: Place, keys: list[str], count: int) -> int:
    """Claim a choice of many blobs for a record, and give them up, so many times; return how often that was done."""
    with place.opened() as database:
        for index in range(count):
            record = uuid4()
            wanted = [(record, key) for key in keys[number * 7 :: 1 + index % 2]]
            database.run(lambda connection, wanted=wanted: blobs.claim(connection, wanted, 60.0))  # type: ignore[misc]
            database.run(lambda connection, record=record: blobs.release(connection, record, 60.0))  # type: ignore[misc]
    return count


def collect_once(place: Place, settings: dict[str, Any], twin: str = "") -> int:
    """Collect what nothing refers to."""
    twins.put_in(twin)
    with place.opened(**settings) as database:
        return housekeeping.collect(database).removed


def collect_in_steps(place: Place, twin: str) -> int:
    """Collect, and stop before and after the store is listed."""
    twins.put_in(twin)
    twins.pause_around_listing()
    with place.opened() as database:
        return housekeeping.collect(database).swept


def collect_on_and_on(place: Place, settings: dict[str, Any], at_least: int = 0) -> int:
    """Collect until the test has had enough and so many blobs went; return how many did."""
    removed = 0
    with place.opened(**settings) as database:
        while removed < at_least or not asked_to_stop():
            removed += housekeeping.collect(database, leftovers_after=60).removed
    return removed


def save_on_and_on(number: int, place: Place, settings: dict[str, Any]) -> None:
    """Save until the test has had enough; tell of every save that was acknowledged, and of every error."""
    with place.opened(**settings):
        index = 0
        while not asked_to_stop():
            data = {"writer": number if index % 2 else "any", "save": index}
            made = note(f"writer-{number}", data)
            try:
                made.save()
            except Exception as error:  # the test decides which errors may be
                tell(("failed", made.id, failure_of(error)))
            else:
                tell(("saved", made.id, made.version, data))
            index += 1


def delete_on_and_on(number: int, place: Place, settings: dict[str, Any]) -> None:
    """Save two, delete one, until the test has had enough; tell of everything before a deletion and after a save."""
    with place.opened(**settings):
        index = 0
        while not asked_to_stop():
            data = {"writer": "any", "save": index}
            made = note(f"writer-{number}", data).save()
            tell(("saved", made.id, made.version, data))
            if index % 2:
                tell(("deleting", made.id))
                made.delete()
            index += 1


def back_up(place: Place, folder: str, settings: dict[str, Any], twin: str = "") -> int:
    """Take a backup; return how many records it holds."""
    twins.put_in(twin)
    with place.opened(**settings) as database:
        return backups.backup(database, Path(folder)).records


def back_up_in_steps(place: Place, folder: str, twin: str) -> int:
    """Take a backup, and stop between two tables."""
    twins.pause_between_tables()
    return back_up(place, folder, {}, twin)


def bring_back(place: Place, folder: str) -> int:
    """Restore a backup; return how many records it held."""
    with place.opened() as database:
        return backups.restore(database, Path(folder)).records


def save_cut_before(place: Place, point: str) -> Saved:
    """Save one version, while the server ends all connections at this failpoint."""
    with place.opened() as database:
        cut = twins.cut_before(database, point)
        saved = note("cut", {"content": "cut"}).save()
        assert cut
        return saved.id, saved.version


def save_cut_after(place: Place, block: bool, twin: str) -> dict[str, Saved]:
    """Save one version, or two in a block, and lose the answer to the commit."""
    twins.put_in(twin)
    with place.opened() as database:
        made = [note(name, {"content": "cut"}) for name in ("cut", "other")[: 1 + block]]
        cut = twins.cut_after_commit(database)
        with simpleml.transaction() if block else nullcontext():
            for each in made:
                each.save()
        assert cut
        return {each.name: (each.id, each.version) for each in made}


def delete_cut_after(place: Place, id_: UUID) -> bool:
    """Delete one record, and lose the answer to the commit."""
    with place.opened() as database:
        found = Note.load(id=id_)
        cut = twins.cut_after_commit(database)
        found.delete()
        return bool(cut)


def delete_landing_late(place: Place, id_: UUID) -> None:
    """Delete one record, lose the answer to the commit, and have it land after the look whether it did."""
    with place.opened() as database:
        found = Note.load(id=id_)
        landed = twins.delete_late(database)
        found.delete()
        assert landed


def save_landing_late(place: Place) -> Saved:
    """Save one version whose commit lands when it is tried again; its bytes are then found damaged by somebody."""
    with place.opened() as database:
        made = note("late", {"content": "late"})
        landed = twins.save_late_and_distrusted(database)
        made.save()
        assert landed
        return made.id, made.version


def load_sent(place: Place, sent: bytes) -> tuple[Any, ...]:
    """Unpickle what another process sent, and tell what came."""
    with place.opened():
        came = pickle.loads(sent)
        return type(came).__name__, came.id, came.version, came.is_saved, came.data


def save_sent(place: Place, sent: bytes) -> tuple[Any, ...]:
    """Unpickle what another process sent, tell what came, and save it."""
    with place.opened():
        came = pickle.loads(sent)
        told = type(came).__name__, came.id, came.version, came.is_saved, came.data
        came.save()
        return told


def update_both(number: int, place: Place, ids: list[UUID], gate: Any, twin: str = "") -> None:
    """Update two records in one transaction, one process in this order and the other in that one."""
    twins.put_in(twin)
    with place.opened() as database:
        pair = [Note.load(id=id_) for id_ in (ids if number == 0 else reversed(ids))]
        twins.meet_after_first_update(database, gate)
        with simpleml.transaction():
            for each in pair:
                each.state[f"by-{number}"] = True
                each.save()


def save_both(number: int, place: Place, count: int) -> list[Saved]:
    """Save two names in one transaction, one process in this order and the other in that one, over and over."""
    saved: list[Note] = []
    names = ["left", "right"] if number == 0 else ["right", "left"]
    with place.opened():
        for index in range(count):
            with simpleml.transaction():
                saved += [note(name, {"content": index}).save() for name in names]
        return [(each.id, each.version) for each in saved]
