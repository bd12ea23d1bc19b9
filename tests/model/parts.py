"""Writers of several blobs: an artifact in chunks or a folder, or a record with several artifacts, step by step as the code goes.

What a writer saves is written `AB.M+C`: artifacts joined by `+`, of each the batches that are announced together, joined by
`.`. The last of several batches is the manifest, announced when all parts are placed; the batches of parts before it need not
wait for each other, and what is announced is placed in any order (several threads). An artifact begins when the one before
it is placed. One T3 refers to all of them: a `Record` is one reference here, and a record is all references of its name.

Closer to the code than the writer of one blob (`protocol.py`): T1 comes before the look at the object that is reused; an
object that is not there is distrusted and announced alone; a refused T3 stores anew only the artifacts that lost a blob and keeps
the keys of the others; after a lost answer the same T3 is tried again; a collector condemns each blob just before it
removes it, long after it listed them. Whether a lease is over is decided by the search, as ever.
`vague` scenarios also have what databases may see too late or not exactly.

A put that fails for good ends its writer. What it asked for may still come into being, at any later time: that is a
writer which stalls, puts and dies, so the search has those states too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.model.protocol import SaveProtocol
from tests.model.world import ENDED, Blob, Database, File, Record, Role, World


class Batch(NamedTuple):
    """Contents (by their place in the plan) that are announced in one transaction."""

    places: tuple[int, ...]
    waits: bool  # until all before it is placed


class Plan(NamedTuple):
    """What a writer saves."""

    contents: tuple[str, ...]
    artifacts: tuple[tuple[int, ...], ...]  # what is stored anew together
    batches: tuple[Batch, ...]


def plan_of(text: str) -> Plan:
    """Return the plan that is written as `AB.M+C`."""
    artifacts, batches, done = [], [], 0
    for artifact in text.split("+"):
        parts, begin = artifact.split("."), done
        for number, part in enumerate(parts):
            manifest = number > 0 and number == len(parts) - 1
            batches.append(Batch(tuple(range(done, done + len(part))), manifest or number == 0))
            done += len(part)
        artifacts.append(tuple(range(begin, done)))
    return Plan(tuple(text.replace("+", "").replace(".", "")), tuple(artifacts), tuple(batches))


class PartsProtocol(SaveProtocol):
    """The protocol for records that refer to several blobs.

    A writer remembers in `names` the key of each content (none yet: empty), in `rows` what is still to be done with which key.
    """

    writer = ("T1", "store", "T3")
    local_writer = writer  # into a folder, whose new name has to be flushed after the rename
    importer = writer  # notes as live what it has put, before its T3
    heir = ("inherit", "T3")  # refers to what the record `old` refers to, and announces nothing
    deleter = ("delete",)  # deletes the record of its own name
    collector = ("idle", "condemn", "remove", "forget")
    lazy = frozenset({"T1", "store"})

    def __init__(
        self,
        *roles: Role,
        cut: str = "",
        losses: int = 0,
        database: Database | None = None,
        files: tuple[File, ...] = (),
        vague: bool = False,
    ) -> None:
        self.vague = vague
        super().__init__(*roles, cut=cut, losses=losses, database=database, files=files)
        self.plans = [plan_of(role.digest) for role in roles]

    # announcing

    def T1(self, world: World, me: int) -> Iterator[World]:
        """Announce the first batch."""
        yield from self.announced(world, me, self.plans[me].batches[0].places)

    def announced(self, world: World, me: int, places: Sequence[int]) -> Iterator[World]:
        """In one transaction: of each content extend the lease of the first live blob, or announce a key never used before.

        Vaguely: or announce them all under new keys, as a live blob may have come or gone since the transaction looked.
        """
        process, plan = world.processes[me], self.plans[me]
        live = {place: self.reusable(world.database, me, plan.contents[place]) for place in places}
        for reusing in (True, False) if self.vague and any(live.values()) else (True,):
            database, attempt = world.database, process.attempt
            keys, orders = list(process.names or [""] * len(plan.contents)), list(process.rows)
            for place, found in live.items():
                if reusing and found:
                    keys[place] = found
                    orders.append(f"look {found}")
                else:
                    attempt = process.attempt + 1
                    keys[place] = self.new_key(me, plan.contents[place], attempt)
                    database = database.with_blob(Blob(keys[place], plan.contents[place], "pending", 0))
                    orders.append(f"put {keys[place]}")
            yield self.gone_on(world, me, keys, orders, database=database, attempt=attempt)

    def reusable(self, database: Database, me: int, content: str) -> str:
        """Return the first key of a live blob with this content, or nothing."""
        return next((blob.key for blob in database.blobs if (blob.digest, blob.state) == (content, "live")), "")

    def new_key(self, me: int, content: str, attempt: int) -> str:
        """Return a key that was never used."""
        return f"{content}-{self.roles[me].name}.{attempt}"

    # placing: what the threads of a writer do, one thing at a time

    def steps(self, world: World, me: int) -> Iterator[tuple[str, World]]:
        """Yield what any thread of a writer may do next: go on with something announced, or announce the next batch."""
        process, plan = world.processes[me], self.plans[me]
        if process.at != "store":
            yield from super().steps(world, me)
            return
        for order in process.rows:
            verb, key = order.split()
            yield from ((verb, after) for after in getattr(self, f"{verb}_key")(world, me, key))
            if verb == "put":
                yield "fail", self.failed(world, me)
        for batch in plan.batches:
            if not process.names or not process.names[batch.places[0]]:
                if not (batch.waits and process.rows):
                    yield from (("T1", after) for after in self.announced(world, me, batch.places))
                return

    def put_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Create the object, whole; if it is there already, it is ours."""
        program, files = self.roles[me].program, world.files
        unsure = program == "local_writer" and self._losing(world)
        if world.file(key) is None:
            files = world.with_file(File(key, key[0], entry="renamed" if unsure else "kept"))
        then = {"local_writer": "flush", "importer": "note"}.get(program, "")
        yield self.done(world, me, f"put {key}", then, files=files)

    def failed(self, world: World, me: int) -> World:
        """Give up, as a put fails for good: what was announced and put is the collector's."""
        return self._go(world, me, to=ENDED)

    def flush_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Flush the folder that the object is in; each has its own."""
        file = world.file(key)
        files = world.with_file(file._replace(entry="kept")) if file else world.files
        yield self.done(world, me, f"flush {key}", files=files)

    def note_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Let the blob be live, if it is pending still: its bytes are there, though no record refers to it yet."""
        blob = world.database.blob(key)
        pending = blob is not None and blob.state == "pending"
        database = world.database.with_blob(blob._replace(state="live")) if blob and pending else world.database
        yield self.done(world, me, f"note {key}", database=database)

    def look_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Look at the object that is reused: it is there and its size is right, or it is to be distrusted."""
        file = world.file(key)
        bad = file is None or file.content == "short"
        yield self.done(world, me, f"look {key}", "distrust" if bad else "")

    def distrust_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Mark the blob as damaged, if it is live still."""
        blob = world.database.blob(key)
        live = blob is not None and blob.state == "live"
        database = world.database.with_blob(blob._replace(state="damaged")) if blob and live else world.database
        yield self.done(world, me, f"distrust {key}", "again", database=database)

    def again_key(self, world: World, me: int, key: str) -> Iterator[World]:
        """Announce this content alone, once more."""
        process = world.processes[me]
        rest = process._replace(rows=tuple(order for order in process.rows if order != f"again {key}"))
        before = world._replace(processes=(*world.processes[:me], rest, *world.processes[me + 1 :]))
        yield from self.announced(before, me, [process.names.index(key)])

    def done(
        self,
        world: World,
        me: int,
        order: str,
        then: str = "",
        *,
        database: Database | None = None,
        files: tuple[File, ...] | None = None,
    ) -> World:
        """Return the world in which `order` is done, and `then` is to be done with the same key, if anything."""
        process = world.processes[me]
        orders = [other for other in process.rows if other != order]
        if then:
            orders.append(f"{then} {order.split()[1]}")
        return self.gone_on(world, me, process.names, orders, database=database, files=files)

    def gone_on(
        self,
        world: World,
        me: int,
        keys: Sequence[str],
        orders: Sequence[str],
        *,
        database: Database | None = None,
        files: tuple[File, ...] | None = None,
        attempt: int | None = None,
    ) -> World:
        """Return the world in which a writer has these keys and orders: when all is placed, T3 is next."""
        attempt = world.processes[me].attempt if attempt is None else attempt
        ready = self.placed(keys, orders)
        return self._go(
            world,
            me,
            to="T3" if ready else "store",
            database=database,
            files=files,
            attempt=attempt,
            key=" ".join(keys) if ready else "",
            names=() if ready else tuple(keys),
            rows=() if ready else tuple(sorted(orders)),
        )

    def placed(self, keys: Sequence[str], orders: Sequence[str]) -> bool:
        """Say whether T3 may begin: every content has a key, and nothing is left to be done."""
        return all(keys) and not orders

    def inherit(self, world: World, me: int) -> Iterator[World]:
        """Take over the keys of the record `old`; without it there is nothing to save."""
        keys = {record.digest: record.key for record in world.database.records if record.name == "old"}
        names = [keys.get(content, "") for content in self.plans[me].contents]
        yield self._go(world, me, to="T3" if all(names) else ENDED, key=" ".join(names))

    # committing

    def committed(self, database: Database, me: int, key: str) -> Database | None:
        """Return the database after T3, which refers to all keys, or None: a guarded UPDATE missed a row."""
        keys = key.split()
        return None if self.lost(database, me, keys) else self.referred(database, me, keys)

    def lost(self, database: Database, me: int, keys: Sequence[str]) -> set[str]:
        """Return the keys whose rows are neither pending nor live."""
        usable = {blob.key for blob in database.blobs if blob.state in {"pending", "live"}}
        return set(keys) - usable

    def referred(self, database: Database, me: int, keys: Sequence[str]) -> Database:
        """Return the database with the record, and with these rows after their guarded UPDATEs."""
        for key in keys:
            database = self.claimed(database, key).with_record(Record(self.roles[me].name, key, key[0]))
        return database

    @staticmethod
    def claimed(database: Database, key: str) -> Database:
        """Return the database after the guarded UPDATE of one row."""
        blob = database.blob(key)
        if blob is None or blob.state not in {"pending", "live"}:
            return database
        return database.with_blob(blob._replace(state="live", refs=blob.refs + 1))

    def refused(self, world: World, me: int) -> Iterator[World]:
        """Store anew the artifacts that lost a blob; the others keep their keys, which the next T3 checks again.

        Vaguely: all may be named, as when the database cannot tell afterwards which of them it missed. What was inherited must be read for that.
        """
        keys = world.processes[me].key.split()
        if self.roles[me].program == "heir" and not all(self.readable(world, key) for key in keys):
            yield self._go(world, me, to=ENDED)
            return
        lost = self.lost(world.database, me, keys)
        for named in (lost, set(keys)) if self.vague else (lost,):
            names = list(keys)
            for artifact in self.plans[me].artifacts:
                if named.intersection(keys[place] for place in artifact):
                    names = ["" if place in artifact else key for place, key in enumerate(names)]
            yield self.gone_on(world, me, names, [])

    @staticmethod
    def readable(world: World, key: str) -> bool:
        """Say whether the store still has the object."""
        file = world.file(key)
        return file is not None and file.content == "whole"

    def look_up(self, world: World, me: int) -> Iterator[World]:
        """Outcome unknown: the record is there, then it is saved; else try the very same T3 again, and remember."""
        record = self.roles[me].name
        if world.database.record(record):
            yield self._go(world, me, to=self.after[me]["T3"], promised=world.promised | {record})
        else:
            yield self._go(world, me, to="T3", unclear=True)

    def delete(self, world: World, me: int) -> Iterator[World]:
        """Delete the record and all its references in one transaction."""
        name, database = self.roles[me].name, world.database
        for record in database.records:
            blob = database.blob(record.key)
            if record.name == name and blob is not None:
                database = database.with_blob(blob._replace(refs=blob.refs - 1))
        database = database._replace(records=tuple(other for other in database.records if other.name != name))
        yield self._go(world, me, database=database, promised=world.promised - {name})

    # collecting

    def idle(self, world: World, me: int) -> Iterator[World]:
        """List the blobs that nothing refers to, and those condemned before."""
        names = tuple(blob.key for blob in world.database.blobs if blob.refs == 0)
        yield self._go(world, me, to=None if names else ENDED, names=names)

    def condemn(self, world: World, me: int) -> Iterator[World]:
        """Condemn the next one, if it is idle still and its lease is over, or take it up if somebody has; else leave it alone."""
        names = world.processes[me].names
        blob = world.database.blob(names[0])
        if blob is None or blob.state != "condemned":
            yield self._go(world, me, to="condemn" if names[1:] else ENDED, names=names[1:])
        if blob is not None and (blob.refs == 0 or blob.state == "condemned"):
            yield self._go(world, me, database=world.database.with_blob(blob._replace(state="condemned")))

    def forget(self, world: World, me: int) -> Iterator[World]:
        """DELETE the row, if it is condemned still; on to the next blob."""
        names = world.processes[me].names
        blob = world.database.blob(names[0])
        condemned = blob is not None and blob.state == "condemned"
        database = world.database.without_blob(names[0]) if condemned else world.database
        yield self._go(world, me, to="condemn" if names[1:] else ENDED, database=database, names=names[1:])

    # what must hold

    def _unsafe(self, world: World, when: str = "") -> str | None:
        """As for one blob, and every record refers to all that was saved, or is not there."""
        for role, plan in zip(self.roles, self.plans, strict=True):
            found = [record.digest for record in world.database.records if record.name == role.name]
            if found and role.name not in self.lost_before and sorted(found) != sorted(plan.contents):
                return f"{when}record {role.name} refers to {found}, and {list(plan.contents)} was saved"
        return super()._unsafe(world, when)
