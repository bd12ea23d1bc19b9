"""`DatabaseStore`: a store in the tables of a database, that of the records or another one.

Bytes lie in chunks (`chunks`), frames in tables of their own (`tables`); to whoever copies, checks or collects objects,
a frame is the canonical bytes that its values stand for.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, exc, inspect

from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    DatabaseError,
    DatabaseReadOnlyError,
    StoreCredentialsError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
)
from simpleml.hashing.digester import digester
from simpleml.orm import dialects, failures
from simpleml.orm.forks import opened
from simpleml.orm.locations import chunks, filling, frames
from simpleml.orm.tables import OBJECT_TABLES, metadata
from simpleml.orm.transactions import Transactions
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import make_folder, store_error
from simpleml.save_patterns.locations.keys import checked, is_key
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.spool import Spool, clear_spools, digest_of, write_all
from simpleml.save_patterns.protocols import Buffer
from simpleml.settings.settings import OWN_DATABASE

T = TypeVar("T")

_FAMILIES = {"sqlite", "postgresql", "mysql", "mariadb"}
_PAGE = 500


def is_database(url: str) -> bool:
    """Whether a store's URL is that of a database: `database://` for the one that holds the records, or one of its own."""
    scheme, found, _ = url.partition("://")
    return bool(found) and (url == OWN_DATABASE or scheme.partition("+")[0] in _FAMILIES)


def open_database_store(
    name: str, url: str, home: Transactions, *, is_copy: bool = False, spool: Path
) -> DatabaseStore:
    """Return the store in the database at `url`, or in `home`, which holds the records; nothing is connected to yet.

    `is_copy` says that `home` is a copy of records that are on a server. `spool` is a folder of this machine for what is
    under way to the store.
    """
    if url == OWN_DATABASE:
        return DatabaseStore(name, home, spool, remote=_is_server(home) or is_copy)
    other = Transactions(home.settings.replace(database_url=str(url)))
    opened.add(other)  # which is told of forks
    return DatabaseStore(name, other, spool, own=True)


def _is_server(database: Transactions) -> bool:
    return database.url.get_backend_name() != "sqlite"


def _kind_of(error: DatabaseError) -> type[StoreError]:
    """Return what the failure of a database is of a store."""
    cause = error.__cause__
    if isinstance(error, DatabaseReadOnlyError):
        return StoreReadOnlyError
    if not isinstance(cause, exc.DBAPIError):
        return StoreError
    if failures.is_refused(cause):
        return StoreCredentialsError
    return StoreUnreachableError if failures.is_gone(cause) else StoreError


class DatabaseStore:
    """Objects in the tables `blob_chunks` and `data_tables`; safe for threads, for processes, and for a kill at any instant.

    With `own`, the database is not that of the records, and has these two tables made on first use.
    """

    chunked = False

    def __init__(
        self, name: str, database: Transactions, spool: Path, *, own: bool = False, remote: bool | None = None
    ) -> None:
        self.name = name
        self.database = database
        self.remote = _is_server(database) if remote is None else remote
        self._folder = spool
        self._own = own
        self._ready = not own

    def __repr__(self) -> str:
        return f"DatabaseStore({self.name!r}, {self.describe()!r})"

    def close(self) -> None:
        """Give the connections back to a database that is not that of the records; the next use opens new ones."""
        if self._own:
            self.database.close()

    def describe(self) -> str:
        """The URL of the database, without its password."""
        return self.database.url.set(query={}).render_as_string(hide_password=True)

    def guarantees(self) -> Mapping[str, str]:
        """What transactions give."""
        return {
            "put": "atomic: an object is there from the transaction on that adds its last row",
            "durable": dialects.durability_of(self.database.url),
            "listing": "sees every object from its put on",
        }

    # writing

    def spool(self) -> Spool:
        """Open a private temporary file on this machine."""
        with self.failures("prepare"):
            make_folder(self._folder)
        return Spool(self._folder, lambda: self.failures("write"))

    def put(self, spool: Spool, key: str) -> None:
        """Store the spooled bytes: a frame's canonical bytes in a table of its own, if this database can hold it, others as chunks.

        The last of several short transactions makes the object whole, durably. Several may put the same bytes under one key at
        once. What is whole there is left alone, and compared.
        """
        key = checked(key, self.name)
        self.prepare()
        if not self._add(spool, key) and not self._holds(key, spool):
            raise StoreError(
                f"the store {self.name!r} ({self.describe()}) has another object under {key}: it is damaged, or of another program. "
                "Nothing was changed. Run `simpleml verify --all`, and remove it"
            )

    def _add(self, spool: Spool, key: str) -> bool:
        """Store the spooled bytes; False if an object is whole under the key, which is left as it is."""
        with self.failures("write"):
            small = spool.held
            with spool.materialize()[0].open("rb") if small is None else io.BytesIO(b"".join(small)) as stream:
                seems_frame = filling.seems_frame(stream)
                # Only a frame can be a table under a key with this digest: all else needs no look, chunks meet those there are.
                may_be_table = seems_frame or spool.digest.partition(":")[2][:32] not in key
                if may_be_table and self.size(key) is not None:
                    return False
                if seems_frame and filling.take(self.database, key, stream, spool.size, spool.digest):
                    return True
                return chunks.write(self.database, key, stream, spool.size)

    def _holds(self, key: str, spool: Spool) -> bool:
        """Whether the object under `key` has just the spooled bytes."""
        try:
            digest = self._drain(self._pieces(key, spool.size), key, spool.size, lambda _: None)
        except ArtifactDamagedError:
            return False
        return digest == spool.digest

    def prepare(self) -> None:
        """Make the two tables, if this database is not that of the records and does not have them."""
        if self._ready:
            return
        wanted = [metadata.tables[name] for name in sorted(OBJECT_TABLES)]

        def look(connection: Connection) -> bool:
            return OBJECT_TABLES.issubset(inspect(connection).get_table_names())

        def make(connection: Connection) -> None:
            with dialects.schema_lock(connection, self.database.settings.lock_timeout):
                metadata.create_all(connection, wanted, checkfirst=True)

        with self.failures("prepare"):
            if not self.database.run(look, read=True):
                self.database.run(make)
        self._ready = True

    # reading

    def size(self, key: str) -> int | None:
        """Return the number of bytes of a whole object (of a frame: of its canonical bytes), or None."""
        key = checked(key, self.name)

        def look(connection: Connection) -> int | None:
            found = chunks.size_of(connection, key)
            return frames.size_of(connection, key) if found is None else found

        return self._read(look)

    def read(self, key: str, size: int) -> tuple[Buffer, str]:
        """Return a private copy of the object and the digest of that copy."""
        pieces = self._pieces(key, size)
        data = private_memory(size)
        done = 0

        def take(piece: memoryview) -> None:
            nonlocal done
            data[done : done + piece.nbytes] = piece
            done += piece.nbytes

        return data, self._drain(pieces, key, size, take)

    def download(self, key: str, size: int, descriptor: int) -> str:
        """Write the object to `descriptor`, piece by piece, and return the digest of what was written."""
        return self._drain(self._pieces(key, size), key, size, lambda piece: write_all(descriptor, piece))

    def _drain(self, pieces: Iterator[Any], key: str, size: int, take: Callable[[memoryview], None]) -> str:
        """Pass on every piece and return the digest of all; exactly `size` bytes have to come."""
        hasher, done = digester(), 0
        with closing(cast("Any", pieces)), Progress("reading", size, bytes_=True) as bar:
            while True:
                with self.failures("read"):  # and not of what the pieces are written to
                    each = next(pieces, None)
                if each is None:
                    break
                piece = memoryview(each).cast("B")
                done += piece.nbytes
                if done > size:
                    break
                hasher.update(piece)
                take(piece)
                bar.advance(piece.nbytes)
        if done != size:
            raise ArtifactDamagedError(
                f"the object {key} in the store {self.name!r} ({self.describe()}) has rows for "
                f"{'more than ' if done > size else ''}{min(done, size)} bytes, but {size} bytes were saved"
            )
        return digest_of(hasher.hexdigest())

    def _pieces(self, key: str, size: int) -> Iterator[Any]:
        """Return the bytes of an object of this size, as they come."""
        key = checked(key, self.name)

        def look(connection: Connection) -> tuple[int | None, frames.Kept | None]:
            found = chunks.size_of(connection, key)
            kept = None if found is not None else frames.find(connection, key)
            return (found if kept is None else kept.size), kept

        found, kept = self._read(look) or (None, None)
        if found is None:
            raise ArtifactMissingError(
                f"the object {key} is not in the store {self.name!r} ({self.describe()}). If its rows are in another database, "
                f'say so: [stores] {self.name} = "<URL>" in simpleml.toml.'
            )
        if found != size:
            raise ArtifactDamagedError(
                f"the object {key} in the store {self.name!r} ({self.describe()}) has {found} bytes, but {size} bytes were saved"
            )
        return chunks.pieces(self.database, key) if kept is None else frames.pieces(self.database, kept)

    def kept(self, key: str) -> frames.Kept | None:
        """Return the whole table that the frame under `key` is kept in, or None if the object is none, or not whole."""
        key = checked(key, self.name)
        return self._read(lambda connection: frames.find(connection, key))

    # housekeeping

    def delete(self, key: str) -> None:
        """Remove the rows of an object, or drop the table of a frame; one that is not there is no error."""
        key = checked(key, self.name)
        if self._there():
            with self.failures("delete"):
                chunks.remove(self.database, key)
                frames.remove(self.database, key)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys below the folder `prefix`, also those whose writing was cut short: they are garbage to be found."""
        if not self._there():
            return
        for listed in (chunks.keys, frames.keys):
            after = ""
            while True:
                page = self._read(partial(listed, prefix=f"{prefix}/", after=after, limit=_PAGE))
                yield from filter(is_key, page or ())
                if not page or len(page) < _PAGE:
                    break
                after = page[-1]

    def clear_leftovers(self, older_than: float) -> int:
        """Remove the temporary files that no writer has open, or has touched for `older_than` seconds."""
        with self.failures("clear"):
            return clear_spools(self._folder, older_than)

    def _there(self) -> bool:
        """Whether the tables are there; reading does not make them."""
        if not self._ready:
            with self.failures("read"):
                self._ready = self.database.run(
                    lambda connection: OBJECT_TABLES.issubset(inspect(connection).get_table_names()), read=True
                )
        return self._ready

    def _read(self, look: Callable[[Connection], T]) -> T | None:
        if not self._there():
            return None
        with self.failures("read"):
            return self.database.run(look, read=True)

    def count(self, kept: frames.Kept) -> int:
        """Return how many rows the table of a frame has."""
        return self._read(lambda connection: frames.count(connection, kept)) or 0

    @contextmanager
    def failures(self, action: str) -> Iterator[None]:
        """Say of any failure of the database or the temporary file which store it hit, where that is, and what to do."""
        try:
            yield
        except DatabaseError as error:
            if failures.is_unreadable(error.__cause__):
                raise ArtifactDamagedError(
                    f"what the store {self.name!r} ({self.describe()}) holds is no text that was saved: it was changed since ({error})"
                ) from error
            raise _kind_of(error)(f"cannot {action} in the store {self.name!r}: {error}") from error
        except exc.IntegrityError as error:
            raise StoreError(
                f"cannot {action} in the store {self.name!r}: another writer was first: {error.orig}"
            ) from error
        except StoreFullError as error:
            if repr(self.name) in str(error):  # of the temporary file
                raise
            raise StoreFullError(f"cannot {action} in the store {self.name!r}: {error}") from error
        except (ArtifactMissingError, StoreError):
            raise
        except OSError as error:
            raise store_error(error, action, self.name, str(self._folder)) from error
