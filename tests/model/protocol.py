"""The save protocol (DESIGN section 4) as a model: what is shared, who acts on it, and every step that anyone may take.

How to read it. A `World` (`world.py`) is everything that exists at one instant: the tables, what a power cut may take back from them,
the files of the store, and how far every process has come. A process runs a *program*, a tuple of step names (`writer`,
`collector`, `sweeper` below); each step is the method of that name and yields the worlds that may be next. A step is
what happens at once: one transaction, or one call to the store. Between any two steps anything else may happen:

* every other process takes steps (so a stall of any length is simply a process whose turn does not come);
* the process dies (`crash`): it takes no further step, and what it knew is gone;
* a lease runs out: whether it is over is decided anew whenever a collector asks (`condemn` takes any set of the blobs
  without references), so every order of running out and being extended is there, and no safety can rest on leases;
* the power is cut, where a scenario says so: every process dies, and of each effect that was not flushed any part may
  survive or not; or only the database server's power is cut, and the processes of other machines go on;
* the answer to a commit is lost, where a scenario says so: the transaction may still land, at any later time, or never.

`broken` holds the invariants. They hold in every reachable world, and when all processes have ended, also after what the
next `gc` and `sweep` do (`_recovered`): then nothing is left in the store or in the tables that no record refers to.

Two kinds of store: `writer` puts into an object store (`put` is one durable step), `local_writer` into a folder (`write`,
`fsync`, `rename`, `fsync_folder`). A known-bad twin (`twins.py`) changes one program or one step, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, product
from typing import ClassVar

from tests.model.world import ENDED, Blob, Database, File, Process, Record, Role, World, survivals


class SaveProtocol:
    """The protocol with a cast of processes; `cut` is "power" (everything), "database" (its server alone) or none."""

    writer: ClassVar[tuple[str, ...]] = ("look", "T1", "put", "T3")
    local_writer: ClassVar[tuple[str, ...]] = ("write", "look", "T1", "fsync", "rename", "fsync_folder", "T3")
    collector: ClassVar[tuple[str, ...]] = ("condemn", "remove", "forget")
    sweeper: ClassVar[tuple[str, ...]] = ("list", "read_rows", "sweep")
    lazy: ClassVar[frozenset[str]] = frozenset({"T1"})  # commits that are not flushed (`synchronous_commit = off`)

    def __init__(
        self,
        *roles: Role,
        cut: str = "",
        losses: int = 0,
        database: Database | None = None,
        files: tuple[File, ...] = (),
    ) -> None:
        self.roles = roles
        self.cut = cut
        self.losses = losses
        self.database = database or Database()
        self.files = files
        whole = {file.name for file in files if file.content == "whole"}
        self.lost_before = frozenset(  # their loss is how it all begins
            record.name for record in self.database.records if record.key not in whole
        )
        programs = [(*getattr(self, role.program), *(("delete",) if role.deletes else ())) for role in roles]
        self.first = [program[0] for program in programs]
        self.after = [dict(zip(program, (*program[1:], ENDED), strict=True)) for program in programs]
        self.alike = [me for me, role in enumerate(roles) if role.program == "collector"]
        self._known: dict[tuple[Database, tuple[File, ...]], World] = {}

    def initial(self) -> World:
        """Return the world before the first step: everyone ready to begin, nothing saved (unless the scenario says so)."""
        processes = tuple(Process(at=first) for first in self.first)
        return World(self.database, self.files, processes, cuts=int(bool(self.cut)), losses=self.losses)

    # the writer

    def write(self, world: World, me: int) -> Iterator[World]:
        """Write the bytes into a private temporary file (step 0); nothing of it is flushed."""
        attempt = world.processes[me].attempt + 1
        file = self._new_file(world, f"tmp-{self.roles[me].name}.{attempt}", self.roles[me].digest)
        yield self._go(world, me, files=world.with_file(file), attempt=attempt)

    def look(self, world: World, me: int) -> Iterator[World]:
        """Find a live blob with this digest and look at its object: it exists and its size is right. Else remember none."""
        found = [blob.key for blob in world.database.blobs if self.may_reuse(world, blob, self.roles[me].digest)]
        for key in found or [""]:
            yield self._go(world, me, key=key)

    def may_reuse(self, world: World, blob: Blob, digest: str) -> bool:
        """Say whether `look` accepts this blob; it sees the row and the object's size, not every byte."""
        file = world.file(blob.key)
        return blob.digest == digest and blob.state == "live" and file is not None and file.content != "short"

    def T1(self, world: World, me: int) -> Iterator[World]:
        """Extend the lease of the blob that was found, if it is still live; else announce a key never used before."""
        process, role = world.processes[me], self.roles[me]
        blob = world.database.blob(process.key)
        if blob is not None and blob.state == "live":
            files = tuple(world.without_file(f"tmp-{role.name}.{process.attempt}"))
            yield self._go(world, me, to="T3", files=files)
        else:
            attempt = process.attempt if world.file(f"tmp-{role.name}.{process.attempt}") else process.attempt + 1
            key = f"{role.digest}-{role.name}.{attempt}"
            database = world.database.with_blob(Blob(key, role.digest, "pending", 0))
            yield self._go(world, me, database=database, key=key, attempt=attempt)

    def put(self, world: World, me: int) -> Iterator[World]:
        """Create the object, whole and durable; if it is there already, it is ours."""
        process = world.processes[me]
        files = world.files
        if world.file(process.key) is None:
            files = world.with_file(File(process.key, self.roles[me].digest))
        yield self._go(world, me, files=files)

    def fsync(self, world: World, me: int) -> Iterator[World]:
        """Flush the bytes of the temporary file (through its open descriptor: a swept name is no error yet)."""
        process = world.processes[me]
        file = world.file(f"tmp-{self.roles[me].name}.{process.attempt}")
        yield self._go(world, me, files=world.with_file(file._replace(flushed=True)) if file else world.files)

    def rename(self, world: World, me: int) -> Iterator[World]:
        """Give the temporary file its key; if a sweeper took it for a leftover, begin anew."""
        process = world.processes[me]
        file = world.file(f"tmp-{self.roles[me].name}.{process.attempt}")
        if file is None:
            yield self._go(world, me, to=self.first[me])
            return
        gone = world._replace(files=tuple(world.without_file(file.name)))
        entry = "renamed" if self._losing(world) else "kept"
        yield self._go(world, me, files=gone.with_file(file._replace(name=process.key, entry=entry)))

    def fsync_folder(self, world: World, me: int) -> Iterator[World]:
        """Flush the name; others' names in the same folder may survive or not, as without it."""
        file = world.file(world.processes[me].key)
        yield self._go(world, me, files=world.with_file(file._replace(entry="kept")) if file else world.files)

    def T3(self, world: World, me: int) -> Iterator[World]:
        """Commit: the blob, if pending or live, gets live and one reference more, and the record is there. Else begin anew."""
        record, key = self.roles[me].name, world.processes[me].key
        if world.database.record(record):  # its UUID is taken: by an earlier T3 that landed after all, if there was one
            if world.processes[me].unclear:
                yield self._go(world, me, promised=world.promised | {record})
            else:
                yield self._go(world, me, to=ENDED, refused=world.refused | {record})
            return
        database = self.committed(world.database, me, key)
        if database is None:
            yield from self.refused(world, me)
            return
        yield self._go(world, me, database=database, promised=world.promised | {record})
        if world.losses:
            lost = world._replace(losses=world.losses - 1, in_flight=(*world.in_flight, (me, key)))
            yield self._go(lost, me, to="look_up")

    def committed(self, database: Database, me: int, key: str) -> Database | None:
        """Return the database after T3, or None: the row count of the guarded UPDATE was 0."""
        blob = database.blob(key)
        if blob is None or blob.state not in {"pending", "live"}:
            return None
        live = blob._replace(state="live", refs=blob.refs + 1)
        return database.with_blob(live).with_record(Record(self.roles[me].name, key, self.roles[me].digest))

    def refused(self, world: World, me: int) -> Iterator[World]:
        """Begin anew: T3 was rolled back, as its blob was condemned meanwhile."""
        yield self._go(world, me, to=self.first[me])

    def look_up(self, world: World, me: int) -> Iterator[World]:
        """Outcome unknown: the record is there, then it is saved; else begin anew with the same UUID, and remember. Delete nothing."""
        record = self.roles[me].name
        if world.database.record(record):
            yield self._go(world, me, to=self.after[me]["T3"], promised=world.promised | {record})
        else:
            yield self._go(world, me, to=self.first[me], unclear=True)

    def delete(self, world: World, me: int) -> Iterator[World]:
        """Delete the record and its reference in one transaction; the bytes are the collector's."""
        record = world.database.record(self.roles[me].name)
        blob = world.database.blob(record.key) if record else None
        if record is None or blob is None:
            yield self._go(world, me)
            return
        database = world.database.with_blob(blob._replace(refs=blob.refs - 1))
        database = database._replace(records=tuple(other for other in database.records if other != record))
        yield self._go(world, me, database=database, promised=world.promised - {record.name})

    # the collector

    def condemn(self, world: World, me: int) -> Iterator[World]:
        """UPDATE blobs SET condemned WHERE refs = 0 AND lease over; take up also what others condemned and left."""
        unused = [blob for blob in world.database.blobs if blob.refs == 0 and blob.state != "condemned"]
        for leases_over in _subsets(unused):
            yield self._take_up(world, me, leases_over)

    def _take_up(self, world: World, me: int, blobs: Iterable[Blob]) -> World:
        """Condemn `blobs`, and go on with all that are condemned; if none is, the collector has nothing to do."""
        database = world.database
        for blob in blobs:
            database = database.with_blob(blob._replace(state="condemned"))
        names = tuple(blob.key for blob in database.blobs if blob.state == "condemned")
        return self._go(world, me, to=None if names else ENDED, database=database, names=names)

    def remove(self, world: World, me: int) -> Iterator[World]:
        """Delete the bytes of a condemned blob."""
        yield self._go(world, me, files=self._removed(world, world.processes[me].names[0]))

    def forget(self, world: World, me: int) -> Iterator[World]:
        """DELETE the row, if it is condemned still; on to the next blob."""
        names = world.processes[me].names
        blob = world.database.blob(names[0])
        database = world.database
        if blob is not None and blob.state == "condemned":
            database = database.without_blob(blob.key)
        yield self._go(world, me, to="remove" if names[1:] else ENDED, database=database, names=names[1:])

    # the sweeper

    def list(self, world: World, me: int) -> Iterator[World]:
        """List the store; every temporary file counts as old (a stall of its writer makes it so)."""
        rows = world.processes[me].rows
        names = tuple(file.name for file in world.files if file.entry != "removed" and file.name not in rows)
        yield self._go(world, me, to=None if names else ENDED, names=names, rows=())

    def read_rows(self, world: World, me: int) -> Iterator[World]:
        """Read which keys have a row; what was listed and has none is garbage."""
        listed = world.processes[me].names
        rows = tuple(blob.key for blob in world.database.blobs)
        if self.after[me]["read_rows"] == "list":  # the wrong order, of a twin
            yield self._go(world, me, rows=rows)
            return
        garbage = tuple(name for name in listed if name not in rows)
        yield self._go(world, me, to=None if garbage else ENDED, names=garbage)

    def sweep(self, world: World, me: int) -> Iterator[World]:
        """Delete one piece of garbage; again until none is left."""
        garbage = world.processes[me].names
        yield self._go(
            world, me, to="sweep" if garbage[1:] else ENDED, files=self._removed(world, garbage[0]), names=garbage[1:]
        )

    # whatever else may happen

    def successors(self, world: World) -> Iterator[tuple[str, World]]:
        """Yield every single step from here: of each process its own, or its death; of the world around them the rest."""
        for me, process in enumerate(world.processes):
            if process.at != ENDED:
                for step, after in self.steps(world, me):
                    yield f"{self.roles[me].name} {step}", after
                yield f"{self.roles[me].name} crash", self._go(world, me, to=ENDED)
        for me, key in world.in_flight:
            rest = tuple(other for other in world.in_flight if other != (me, key))
            taken = world.database.record(self.roles[me].name)
            database = world.database if taken else self.committed(world.database, me, key) or world.database
            yield f"{self.roles[me].name} T3 lands", world._replace(database=database, in_flight=rest)
        if world.cuts:
            yield from ((f"{self.cut} cut", after) for after in self._cut(world))

    def steps(self, world: World, me: int) -> Iterator[tuple[str, World]]:
        """Yield what a process may do next, by name, and the world after it."""
        at = world.processes[me].at
        for after in getattr(self, at)(world, me):
            yield at, after

    def _cut(self, world: World) -> Iterator[World]:
        """Take back any tail of the commits that were not flushed, and (power) any part of the files' unflushed effects.

        Whoever has begun is dead after a power cut; a process that has not begun yet starts when the power is back.
        """
        for database in (world.database, *world.past):
            after = world._replace(database=database, past=(), cuts=world.cuts - 1, in_flight=())
            if self.cut == "database":
                yield after
                continue
            processes = tuple(
                process if process == Process(at=first) else Process(at=ENDED)
                for process, first in zip(world.processes, self.first, strict=True)
            )
            for files in product(*(survivals(file) for file in world.files)):
                yield after._replace(processes=processes, files=tuple(sorted(file for file in files if file)))

    # what must hold

    def broken(self, world: World) -> str | None:
        """Say which invariant does not hold, here or (when everyone has ended) after the next gc and sweep."""
        problem = self._unsafe(world)
        if problem or any(process.at != ENDED for process in world.processes):
            return problem
        at_rest = self._recovered(world)
        return self._unsafe(at_rest, "after gc and sweep ") or self._unclean(at_rest)

    def _unsafe(self, world: World, when: str = "") -> str | None:
        """Saves ended as was told; every record's object is there, whole, its own; its row is live, with the right refs."""
        database = world.database
        for name in world.promised:
            if not database.record(name):
                return f"{when}the save of {name} was acknowledged and its record is gone"
        for name in world.refused:
            if database.record(name):
                return f"{when}the save of {name} was refused and its record is there"
        for record in database.records:
            if record.name in self.lost_before:
                continue
            file, blob = world.file(record.key), database.blob(record.key)
            if file is None:
                return f"{when}record {record.name} is committed and its object {record.key} is missing"
            if (file.content, file.digest) != ("whole", record.digest):
                return f"{when}record {record.name} is committed and its object {record.key} is {file.content}, of {file.digest}"
            if blob is None or blob.state != "live":
                return f"{when}record {record.name} is committed and its blob {record.key} is {blob.state if blob else 'unknown'}"
        keys = [record.key for record in database.records]
        for blob in database.blobs:
            if blob.refs != keys.count(blob.key):
                return f"{when}blob {blob.key} has refs = {blob.refs} and {keys.count(blob.key)} records"
        return None

    @staticmethod
    def _unclean(world: World) -> str | None:
        """No row without a record, no object without a row, no temporary file."""
        keys = {blob.key for blob in world.database.blobs}
        for blob in world.database.blobs:
            if blob.refs == 0:
                return f"after gc and sweep the row {blob.key} ({blob.state}) is left, and no record refers to it"
        for file in world.files:
            if file.entry != "removed" and file.name not in keys:
                return f"after gc and sweep the object {file.name} is left, and no row knows it"
        return None

    def _recovered(self, world: World) -> World:
        """Return the world after all leases ran out and one collector and one sweeper went through, undisturbed."""
        here = (world.database, world.files)
        if here not in self._known:
            helpers = type(self)(Role("gc", "collector"), Role("sweep", "sweeper"))
            after = helpers.initial()._replace(database=world.database, files=world.files)
            for me in range(2):
                while after.processes[me].at != ENDED:
                    *_, after = getattr(helpers, after.processes[me].at)(after, me)  # the last: all leases are over
            self._known[here] = after
        after = self._known[here]
        return world._replace(database=after.database, files=after.files)

    # the bookkeeping of a step

    def _go(
        self,
        world: World,
        me: int,
        *,
        to: str | None = None,
        database: Database | None = None,
        files: tuple[File, ...] | None = None,
        promised: frozenset[str] | None = None,
        refused: frozenset[str] | None = None,
        **remember: object,
    ) -> World:
        """Return the world after a step of `me`: on to the next step of its program, or to `to`; commit `database` if given."""
        before = world.processes[me]
        at = to or self.after[me][before.at]
        if at == ENDED:
            process = Process(at=ENDED)
        elif at == self.first[me]:
            process = Process(at=at, attempt=before.attempt, unclear=bool(remember.get("unclear", before.unclear)))
        else:
            process = before._replace(at=at, **remember)  # type: ignore[arg-type]
        past = world.past
        if database is not None and database != world.database and world.cuts:
            past = tuple(dict.fromkeys((*past, world.database))) if before.at in self.lazy else ()
        return World(
            world.database if database is None else database,
            world.files if files is None else files,
            (*world.processes[:me], process, *world.processes[me + 1 :]),
            world.promised if promised is None else promised,
            world.refused if refused is None else refused,
            past,
            world.in_flight,
            world.cuts,
            world.losses,
        )

    def _losing(self, world: World) -> bool:
        """Say whether what is not flushed can still get lost."""
        return self.cut == "power" and world.cuts > 0

    def _new_file(self, world: World, name: str, digest: str) -> File:
        if self._losing(world):
            return File(name, digest, flushed=False, entry="new")
        return File(name, digest)

    def _removed(self, world: World, name: str) -> tuple[File, ...]:
        """Return the files after an unlink, which is not flushed: a power cut may bring the name back."""
        file = world.file(name)
        if file is None:
            return world.files
        return (
            world.with_file(file._replace(entry="removed")) if self._losing(world) else tuple(world.without_file(name))
        )

    def canonical(self, world: World) -> World:
        """Return the world with its collectors in order: they have nothing of their own, so it is all one who is which."""
        processes = [world.processes[me] for me in self.alike]
        ordered = sorted(processes)
        if ordered == processes:
            return world
        placed = dict(zip(self.alike, ordered, strict=True))
        return world._replace(processes=tuple(placed.get(me, process) for me, process in enumerate(world.processes)))

    def describe(self, world: World) -> str:
        """Return the tables and the store on one line."""
        rows = " ".join(f"{b.key}:{b.state},refs={b.refs}" for b in world.database.blobs)
        records = " ".join(f"{r.name}->{r.key}" for r in world.database.records)
        files = " ".join(
            f.name + ("" if f.content == "whole" else f":{f.content}") for f in world.files if f.entry != "removed"
        )
        return f"rows[{rows}] records[{records}] store[{files}]"


def _subsets(blobs: list[Blob]) -> Iterator[tuple[Blob, ...]]:
    """Yield every subset, the empty one first and the whole last."""
    return chain.from_iterable(combinations(blobs, size) for size in range(len(blobs) + 1))
