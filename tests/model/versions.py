"""How writers of one name come by their version numbers, as a model.

`counter`: one transaction takes the counter's row (which locks it), inserts the record with the number, and commits; it
may be aborted between any two steps, and then all of it is undone. `max_plus_one`: reads the highest number, and inserts
the next one without a constraint. `sequence`: the number is taken in a transaction of its own (or from a sequence), which
an abort does not undo. A writer may delete its record in the end; a number that was handed out is never used again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

PROGRAMS = {
    "counter": ("take", "insert", "commit"),
    "max_plus_one": ("read_highest", "insert", "commit"),
    "max_plus_one_alone": ("read_insert_commit",),
    "sequence": ("take_and_commit", "insert", "commit"),
}
ENDED = "ended"


class Writer(NamedTuple):
    """What a writer does next, and its number once it has one."""

    at: str
    number: int = 0


class Shelf(NamedTuple):
    """The versions of one name: the committed records, the counter's row and who holds it, every number ever committed."""

    writers: tuple[Writer, ...]
    records: tuple[int, ...] = ()
    counter: int = 0
    holder: int | None = None  # the open transaction that has changed the counter
    ever: tuple[int, ...] = ()


class Versions:
    """`writers` that each save one version by the program `way`; `aborts` may fall anywhere, `deletes` follow a commit."""

    def __init__(self, way: str, *, writers: int = 3, deletes: bool = False) -> None:
        self.program = PROGRAMS[way]
        self.writers = writers
        self.after = dict(zip(self.program, (*self.program[1:], "delete" if deletes else ENDED), strict=True))

    def initial(self) -> Shelf:
        """Return the shelf before the first version."""
        return Shelf((Writer(self.program[0]),) * self.writers)

    def successors(self, shelf: Shelf) -> Iterator[tuple[str, Shelf]]:
        """Yield each writer's next step, and its abort (or death), which the database rolls back."""
        for me, writer in enumerate(shelf.writers):
            if writer.at == ENDED:
                continue
            for after in getattr(self, writer.at)(shelf, me):
                yield f"w{me + 1} {writer.at}", after
            if writer.at != self.program[0]:
                freed = None if shelf.holder == me else shelf.holder
                yield f"w{me + 1} abort", self._go(shelf._replace(holder=freed), me, to=ENDED)

    def take(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """UPDATE counter SET value = value + 1 RETURNING value; waits while another open transaction has changed it."""
        if shelf.holder is None:
            yield self._go(shelf._replace(holder=me), me, number=shelf.counter + 1)

    def take_and_commit(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """Take the next number for good, whatever becomes of the record."""
        yield self._go(shelf._replace(counter=shelf.counter + 1), me, number=shelf.counter + 1)

    def read_highest(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """SELECT max(version) + 1."""
        yield self._go(shelf, me, number=max(shelf.records, default=0) + 1)

    def insert(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """INSERT the record with that number: nobody else sees it yet."""
        yield self._go(shelf, me)

    def commit(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """Commit: record and counter are seen by all, the counter's row is free."""
        number = shelf.writers[me].number
        if shelf.holder == me:
            shelf = shelf._replace(counter=number, holder=None)
        yield self._with_record(shelf, me, number)

    def read_insert_commit(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """Do all of `max_plus_one` at once, as a writer that has the database to itself."""
        yield self._with_record(shelf, me, max(shelf.records, default=0) + 1)

    def delete(self, shelf: Shelf, me: int) -> Iterator[Shelf]:
        """Delete the record; its number stays used."""
        records = list(shelf.records)
        records.remove(shelf.writers[me].number)
        yield self._go(shelf._replace(records=tuple(records)), me, to=ENDED)

    def broken(self, shelf: Shelf) -> str | None:
        """Say which number was given twice, or (when everyone has ended) that one was left out."""
        twice = [number for number, times in Counter(shelf.ever).items() if times > 1]
        if twice:
            return f"version {twice[0]} was given twice"
        if all(writer.at == ENDED for writer in shelf.writers) and shelf.ever != tuple(range(1, len(shelf.ever) + 1)):
            return f"versions {list(shelf.ever)} have a gap"
        return None

    def canonical(self, shelf: Shelf) -> Shelf:
        """Return the shelf itself: there are few, and each writer may be told from the others."""
        return shelf

    def describe(self, shelf: Shelf) -> str:
        """Return the shelf on one line."""
        return f"records{list(shelf.records)} counter={shelf.counter} ever{list(shelf.ever)}"

    def _with_record(self, shelf: Shelf, me: int, number: int) -> Shelf:
        records, ever = tuple(sorted([*shelf.records, number])), tuple(sorted([*shelf.ever, number]))
        return self._go(shelf._replace(records=records, ever=ever), me, number=number)

    def _go(self, shelf: Shelf, me: int, *, to: str | None = None, number: int | None = None) -> Shelf:
        writer = shelf.writers[me]
        at = to or self.after[writer.at]
        after = Writer(at) if at == ENDED else Writer(at, writer.number if number is None else number)
        return shelf._replace(writers=(*shelf.writers[:me], after, *shelf.writers[me + 1 :]))
