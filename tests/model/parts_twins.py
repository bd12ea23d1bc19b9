"""The protocol for several blobs with one thing wrong each time; none of these faults needs more than one blob to be there.

They are what a check that was right for one blob becomes when it is made for many: asked of the wrong ones, or of too few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.model.parts import PartsProtocol
from tests.model.world import ENDED, Database, World

# committing


class ManifestOnly(PartsProtocol):
    """T3 looks at the row count of the manifest's UPDATE alone: a part that was condemned gets a record."""

    def lost(self, database: Database, me: int, keys: Sequence[str]) -> set[str]:
        """Ask for the last key."""
        return super().lost(database, me, keys[-1:])


class AnyRow(PartsProtocol):
    """T3 takes an UPDATE of many rows that found any for one that found all."""

    def lost(self, database: Database, me: int, keys: Sequence[str]) -> set[str]:
        """Name the lost ones only if all are."""
        lost = super().lost(database, me, keys)
        return lost if lost == set(keys) else set()


class ReuseUnchecked(PartsProtocol):
    """What was found live at T1 is live, so T3 checks only what this writer announced; no lease was extended either."""

    def lost(self, database: Database, me: int, keys: Sequence[str]) -> set[str]:
        """Ask for the keys of this writer's own."""
        return super().lost(database, me, [key for key in keys if f"-{self.roles[me].name}." in key])


class InheritUnchecked(PartsProtocol):
    """What another record refers to is live, so whoever inherits it need not ask: that record is deleted meanwhile."""

    def lost(self, database: Database, me: int, keys: Sequence[str]) -> set[str]:
        """Ask only who has announced something."""
        return set() if self.roles[me].program == "heir" else super().lost(database, me, keys)


class KeepsStaleKey(PartsProtocol):
    """A refused T3 stores anew only what it missed, and the next one checks only that: what was kept is lost meanwhile."""

    def committed(self, database: Database, me: int, key: str) -> Database | None:
        """Check what is new, and refer to all."""
        new = [each for each in key.split() if not each.startswith("=")]
        return None if self.lost(database, me, new) else self.referred(database, me, key.replace("=", "").split())

    def refused(self, world: World, me: int) -> Iterator[World]:
        """Remember of the kept keys that they have been checked."""
        keys = world.processes[me].key.split()
        lost = self.lost(world.database, me, [key for key in keys if not key.startswith("=")])
        yield self.gone_on(world, me, ["" if key in lost else f"={key.lstrip('=')}" for key in keys], [])


class ReferredBeforeChecked(PartsProtocol):
    """The blobs are counted one after the other, and the first that is lost ends it without a rollback: those before it stay counted."""

    def refused(self, world: World, me: int) -> Iterator[World]:
        """Commit what was counted, and begin anew."""
        keys, database = sorted(world.processes[me].key.split()), world.database
        for key in keys[: min(keys.index(key) for key in self.lost(database, me, keys))]:
            database = self.claimed(database, key)
        yield self._go(world, me, to=self.first[me], database=database)


class CountsManifestOnly(PartsProtocol):
    """All blobs are checked, and only the manifest's references are counted, as it stands for its parts: they are collected."""

    def referred(self, database: Database, me: int, keys: Sequence[str]) -> Database:
        """Take back what was counted for the parts."""
        database = super().referred(database, me, keys)
        for key in keys[:-1]:
            blob = database.blob(key)
            database = database.with_blob(blob._replace(refs=blob.refs - 1)) if blob else database
        return database

    def _unsafe(self, world: World, when: str = "") -> str | None:
        """Do not compare the counts: this way of counting is meant."""
        refs = [record.key for record in world.database.records]
        blobs = tuple(blob._replace(refs=refs.count(blob.key)) for blob in world.database.blobs)
        return super()._unsafe(world._replace(database=world.database._replace(blobs=blobs)), when)


class ClaimedTwice(PartsProtocol):
    """After a lost answer the same T3 is tried again and finds its record there, but its blobs are counted once more."""

    def T3(self, world: World, me: int) -> Iterator[World]:
        """Count before the UUID is looked at, and keep it."""
        if world.database.record(self.roles[me].name):
            database = world.database
            for key in world.processes[me].key.split():
                database = self.claimed(database, key)
            yield self._go(world, me, database=database)
        else:
            yield from super().T3(world, me)


# announcing and placing


class RecordBeforeParts(PartsProtocol):
    """T3 begins when everything is announced, and does not wait for the threads that put the parts."""

    def placed(self, keys: Sequence[str], orders: Sequence[str]) -> bool:
        """Ask for the keys alone."""
        return all(keys)


class DeletesOnFailure(PartsProtocol):
    """A writer that cannot put one part removes the objects of all it has announced: also of those that it found there."""

    def failed(self, world: World, me: int) -> World:
        """Remove them, and give up."""
        gone = set(world.processes[me].names)
        return self._go(world, me, to=ENDED, files=tuple(file for file in world.files if file.name not in gone))


class SameKeyAgain(PartsProtocol):
    """What was lost is announced anew under its old key, whose row is set back to pending: a collector that stalled removes it."""

    def new_key(self, me: int, content: str, attempt: int) -> str:
        """Return always the first key."""
        return super().new_key(me, content, 1)


class NoteWithoutGuard(PartsProtocol):
    """What was put is noted as live whatever its row says: condemned meanwhile, it passes T3 and is then removed."""

    def note_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Set the state of any row."""
        blob = world.database.blob(key)
        database = world.database.with_blob(blob._replace(state="live")) if blob else world.database
        yield self.done(world, me, f"note {key}", database=database)


class ReuseWithoutLook(PartsProtocol):
    """Of many live blobs nobody looks at each object: the record shares the loss of one."""

    def look_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Take it for whole."""
        yield self.done(world, me, f"look {key}")


class FlushesManifestFolder(PartsProtocol):
    """After many renames one folder is flushed, the manifest's: a power cut takes the names of parts from a committed record."""

    def flush_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Flush only for the last content."""
        if key == world.processes[me].names[-1]:
            yield from super().flush_key(world, me, key)
        else:
            yield self.done(world, me, f"flush {key}")


# collecting


class BelievesItsList(PartsProtocol):
    """The collector condemns what it listed, without asking the row again: meanwhile a record has come to refer to it."""

    def condemn(self, world: World, me: int) -> Iterator[World]:
        """Condemn the next one, if it is there."""
        names = world.processes[me].names
        blob = world.database.blob(names[0])
        if blob is None:
            yield self._go(world, me, to="condemn" if names[1:] else ENDED, names=names[1:])
        else:
            yield self._go(world, me, database=world.database.with_blob(blob._replace(state="condemned")))
