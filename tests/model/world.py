"""What the model of the save protocol is about: the tables, the store, the processes, at one instant, as plain values."""

from __future__ import annotations

from typing import NamedTuple

ENDED = "ended"


class Blob(NamedTuple):
    """A row of `blobs`."""

    key: str
    digest: str
    state: str  # pending | live | condemned | damaged
    refs: int


class Record(NamedTuple):
    """A record and its one reference; `name` stands for the UUID that its writer gave it."""

    name: str
    key: str
    digest: str


class Database(NamedTuple):
    """What a new transaction sees."""

    blobs: tuple[Blob, ...] = ()
    records: tuple[Record, ...] = ()

    def blob(self, key: str) -> Blob | None:
        """Return the row of `key`."""
        return next((blob for blob in self.blobs if blob.key == key), None)

    def record(self, name: str) -> Record | None:
        """Return the record with that UUID."""
        return next((record for record in self.records if record.name == name), None)

    def with_blob(self, blob: Blob) -> Database:
        """Return the database with this row, in place of the one of the same key if there is one."""
        others = [other for other in self.blobs if other.key != blob.key]
        return self._replace(blobs=tuple(sorted([*others, blob])))

    def without_blob(self, key: str) -> Database:
        """Return the database without the row of `key`."""
        return self._replace(blobs=tuple(blob for blob in self.blobs if blob.key != key))

    def with_record(self, record: Record) -> Database:
        """Return the database with one record more."""
        return self._replace(records=tuple(sorted([*self.records, record])))


class File(NamedTuple):
    """A file of the store; `flushed` and `entry` say what of it a power cut may take."""

    name: str  # the key, or `tmp-…` for a temporary file
    digest: str
    content: str = "whole"  # whole | short (also empty, torn) | flipped (the right size, wrong bytes)
    flushed: bool = True  # its bytes
    entry: str = "kept"  # its name: kept | new (may be lost) | renamed (may be lost, or be the temporary one) | removed (may return)


class Process(NamedTuple):
    """How far a process has come (`at` is its next step) and what it remembers."""

    at: str
    key: str = ""
    attempt: int = 0
    names: tuple[str, ...] = ()  # sweeper: what it listed; collector: the keys it condemned
    rows: tuple[str, ...] = ()  # sweeper: the keys that had a row
    unclear: bool = False  # writer: the answer to a commit of its own was lost


class Role(NamedTuple):
    """Who takes part: a name, the program (an attribute of `SaveProtocol`), what it saves, whether it then deletes it."""

    name: str
    program: str
    digest: str = "A"
    deletes: bool = False


class World(NamedTuple):
    """Everything at one instant."""

    database: Database
    files: tuple[File, ...]
    processes: tuple[Process, ...]
    promised: frozenset[str] = frozenset()  # records whose `save()` returned, and that nobody deleted
    refused: frozenset[str] = frozenset()  # records whose `save()` raised that they are another's
    past: tuple[Database, ...] = ()  # what a cut may take the database back to: commits that are not flushed
    in_flight: tuple[tuple[int, str], ...] = ()  # T3 of (process, key) whose answer was lost; it may still land
    cuts: int = 0  # power cuts still to come
    losses: int = 0  # answers still to be lost

    def file(self, name: str) -> File | None:
        """Return what the store shows under `name`."""
        return next((file for file in self.files if file.name == name and file.entry != "removed"), None)

    def with_file(self, file: File) -> tuple[File, ...]:
        """Return the files with this one, in place of the one of the same name if there is one."""
        return tuple(sorted([*self.without_file(file.name), file]))

    def without_file(self, name: str) -> list[File]:
        """Return the files but that one."""
        return [other for other in self.files if other.name != name]


def survivals(file: File) -> list[File | None]:
    """Return what a power cut may leave of a file: any part of what was not flushed, each as it then lies on the disk."""
    temporary = file.name.startswith("tmp-")  # its writer is dead: nobody will ask what is in it
    torn = [] if file.flushed or temporary or file.content == "short" else [File(file.name, file.digest, "short")]
    left: list[File | None] = [File(file.name, file.digest, file.content), *torn]
    if file.entry == "renamed":
        left.append(File(f"tmp-{file.name.partition('-')[2]}", file.digest))
    return left if file.entry == "kept" else [*left, None]
