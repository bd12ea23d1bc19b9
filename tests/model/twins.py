"""The protocol with one thing wrong each time. The search must find the fault; each class says how it loses data.

Each of these is, or was, the way of a tool that people trust; none of the faults shows in an ordinary test run.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.protocol import SaveProtocol
from tests.model.world import ENDED, Blob, Database, File, Record, World

# garbage collection


class MarkSweepByAge(SaveProtocol):
    """No intent rows; garbage is an old object without a row: a writer that stalls before T3 loses its object."""

    collector = SaveProtocol.sweeper

    def T1(self, world: World, me: int) -> Iterator[World]:
        """Reuse the blob that was found, or choose a new key and tell nobody."""
        process, role = world.processes[me], self.roles[me]
        if process.key:
            yield self._go(world, me, to="T3")
        else:
            attempt = process.attempt + 1
            yield self._go(world, me, key=f"{role.digest}-{role.name}.{attempt}", attempt=attempt)

    def committed(self, database: Database, me: int, key: str) -> Database | None:
        """Insert the row with the record, as there is none before."""
        blob = database.blob(key) or Blob(key, self.roles[me].digest, "live", 0)
        return super().committed(database.with_blob(blob), me, key)


class MarkSweepLookAgain(MarkSweepByAge):
    """The same, and the writer looks right before it commits that its object is still there: between the two it is swept."""

    writer = ("look", "T1", "put", "look_again", "T3")

    def look_again(self, world: World, me: int) -> Iterator[World]:
        """Go on only if the object is there."""
        yield self._go(world, me, to=None if world.file(world.processes[me].key) else self.first[me])


class UncheckedCommit(SaveProtocol):
    """T3 does not look at its row count: a blob that was condemned meanwhile gets a record."""

    def committed(self, database: Database, me: int, key: str) -> Database | None:
        """Do the same UPDATE, and insert the record whether it found its row or not."""
        record = Record(self.roles[me].name, key, self.roles[me].digest)
        return super().committed(database, me, key) or database.with_record(record)


class KeyIsDigest(SaveProtocol):
    """The key is the digest alone, so it is used again: who stalled goes on with a row and an object that are another's now."""

    def T1(self, world: World, me: int) -> Iterator[World]:
        """Join the row of this digest, whoever made it; wait while it is condemned; insert it if there is none."""
        digest = self.roles[me].digest
        blob = world.database.blob(digest)
        if blob is None:
            yield self._go(world, me, database=world.database.with_blob(Blob(digest, digest, "pending", 0)), key=digest)
        elif blob.state != "condemned":
            yield self._go(world, me, key=digest)


class RowsThenList(SaveProtocol):
    """The sweep reads the rows first and lists the store afterwards: what is announced and put between the two is swept."""

    sweeper = ("read_rows", "list", "sweep")


class CondemnBySnapshot(SaveProtocol):
    """NOT EXISTS (SELECT … records): the subquery sees its snapshot, the UPDATE the row of now (READ COMMITTED)."""

    collector = ("search", "condemn", "remove", "forget")

    def search(self, world: World, me: int) -> Iterator[World]:
        """Find the blobs that no record refers to, as of this instant."""
        used = {record.key for record in world.database.records}
        names = tuple(blob.key for blob in world.database.blobs if blob.key not in used)
        yield self._go(world, me, to=None if names else ENDED, names=names)

    def condemn(self, world: World, me: int) -> Iterator[World]:
        """Condemn them, if their leases are over; a reference that came in between is not seen."""
        found = [world.database.blob(key) for key in world.processes[me].names]
        yield self._take_up(world, me, [blob for blob in found if blob is not None])


class RemoveThenCondemn(SaveProtocol):
    """The bytes go first and the row is condemned afterwards: in between a writer commits to what is gone."""

    collector = ("search", "remove", "condemn", "forget")

    def search(self, world: World, me: int) -> Iterator[World]:
        """Find the blobs that could be condemned."""
        names = tuple(blob.key for blob in world.database.blobs if blob.refs == 0)
        yield self._go(world, me, to=None if names else ENDED, names=names)


# writing


class RowFirst(SaveProtocol):
    """The record is committed before its bytes are put: whoever reads in between, or after a crash, finds none."""

    writer = ("look", "T1", "T3", "put")


class InPlace(SaveProtocol):
    """Bytes are written in place at a key made of the name: the older record's object is torn, then it is another's."""

    writer = ("announce", "truncate", "fill", "T3")

    def announce(self, world: World, me: int) -> Iterator[World]:
        """Insert the row of this name unless it is there."""
        blob = world.database.blob("churn") or Blob("churn", self.roles[me].digest, "pending", 0)
        yield self._go(world, me, database=world.database.with_blob(blob), key="churn")

    def truncate(self, world: World, me: int) -> Iterator[World]:
        """Open for writing: what was there is gone."""
        yield self._go(world, me, files=world.with_file(File("churn", self.roles[me].digest, "short")))

    def fill(self, world: World, me: int) -> Iterator[World]:
        """Write it all."""
        yield self._go(world, me, files=world.with_file(File("churn", self.roles[me].digest)))


class ReuseWithoutLooking(SaveProtocol):
    """A live row is enough to be reused: the new record shares the old one's loss."""

    def may_reuse(self, world: World, blob: Blob, digest: str) -> bool:
        """Accept by the row alone."""
        return blob.digest == digest and blob.state == "live"


class ReuseDamaged(SaveProtocol):
    """What `verify` marked as damaged is reused if its size is right."""

    def may_reuse(self, world: World, blob: Blob, digest: str) -> bool:
        """Accept by digest and size, whatever the state."""
        file = world.file(blob.key)
        return blob.digest == digest and file is not None and file.content != "short"

    def T1(self, world: World, me: int) -> Iterator[World]:
        """Take the blob that was found as if it were live."""
        blob = world.database.blob(world.processes[me].key)
        if blob is not None and blob.state == "damaged":
            world = world._replace(database=world.database.with_blob(blob._replace(state="live")))
        yield from super().T1(world, me)


class DeleteOnUnknown(SaveProtocol):
    """The commit's answer is lost, and the writer cleans up what it put: the transaction had landed, or lands later."""

    def look_up(self, world: World, me: int) -> Iterator[World]:
        """Delete the object, and begin anew."""
        files = tuple(world.without_file(world.processes[me].key))
        yield self._go(world, me, to=self.first[me], files=files)


class ForgottenLoss(SaveProtocol):
    """Who begins anew forgets that a commit of its own may still land, and takes its own record for another's."""

    def look_up(self, world: World, me: int) -> Iterator[World]:
        """Look, and do not remember why."""
        for after in super().look_up(world, me):
            processes = [process._replace(unclear=False) for process in after.processes]
            yield after._replace(processes=tuple(processes))


# durability


class NoFileFsync(SaveProtocol):
    """Renamed without a flush of its bytes: a power cut leaves a committed record with an empty file."""

    local_writer = ("write", "look", "T1", "rename", "fsync_folder", "T3")


class NoFolderFsync(SaveProtocol):
    """The folder is not flushed after the rename: a power cut takes the name from a committed record."""

    local_writer = ("write", "look", "T1", "fsync", "rename", "T3")


class LazyCommit(SaveProtocol):
    """T3 is not flushed: a power cut takes back a save that was acknowledged (SQLite with WAL and NORMAL)."""

    lazy = frozenset({"T1", "T3"})


class LazyCondemn(SaveProtocol):
    """`condemn` is not flushed: the database forgets it after the bytes are removed, and a writer commits to what is gone."""

    lazy = frozenset({"T1", "condemn"})
