"""Writing a bundle into a file, which is there whole or not at all."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from uuid import uuid4

from simpleml.errors import ConfigurationError, SimpleMLError, StoreFullError
from simpleml.orm.bundles.archive import Writer
from simpleml.orm.bundles.carrying import Piece, damaged, in_order, workers
from simpleml.orm.bundles.gathering import Gathered, gather, readable
from simpleml.orm.bundles.manifest import sign
from simpleml.orm.bundles.results import Exported
from simpleml.orm.bundles.wanted import Wanted
from simpleml.progress import Progress
from simpleml.save_patterns.locations.disk import FULL, flush_file, flush_folder
from simpleml.save_patterns.locations.spool import PLAIN, hold, is_held

if TYPE_CHECKING:
    from simpleml.orm.database import Database


_LONGEST = 100  # bytes of its name that an unfinished file is called after: with what follows, names have 255 at most
_PATIENCE = 60.0  # seconds after which a file that nobody holds was left by an export that was killed


def export_bundle(
    database: Database, wanted: Sequence[Wanted], path: Path, *, force: bool = False, dry_run: bool = False
) -> Exported:
    """Write what is asked for, and all that it was made from, into the file `path`; it is there whole, or not at all.

    The same records give the same file. One that is there is refused with `ConfigurationError`, unless `force` is set. Raises
    `RecordNotFoundError`, `ArtifactMissingError`, or `ArtifactDamagedError` if stored bytes are not what was saved.
    """
    path = Path(path)
    with _writing(path):
        _refuse_existing(path, force=force)
    [gathered] = gather(database, wanted)
    text = gathered.manifest.write()
    if not dry_run:
        with _writing(path), _appearing(path, force=force) as file, Writer(file, text) as writer:
            _write_objects(database, gathered, writer)
    manifest = gathered.manifest
    return Exported(sign(text), manifest.lines, len(manifest.objects), manifest.size)


def _write_objects(database: Database, gathered: Gathered, writer: Writer) -> None:
    places = readable(database, gathered.places, gathered.places)
    stores = {name: database.places.store(name) for name in sorted({place.store for place in places.values()})}
    names = sorted(places)
    pieces = (Piece(stores[places[name].store], places[name].key, places[name].size) for name in names)
    with (
        Progress("exporting", gathered.manifest.size, bytes_=True) as bar,
        closing(in_order(pieces, workers(*stores.values()))) as following,
    ):
        for name, piece in zip(names, following, strict=True):
            place = places[name]
            found = writer.add(name, place.size, piece.blocks())
            if found != f"blake3:{name}":
                raise damaged(place.key, stores[place.store], found, f"blake3:{name}")
            bar.advance(place.size)


def _refuse_existing(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise ConfigurationError(f"{path} is a folder: give the name of a file, such as {path / 'bundle.zip'}")
    if path.exists() and not force:
        raise ConfigurationError(f"{path} is there already: give another name, or force=True (--force) to replace it")


@contextmanager
def _appearing(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Give a file that appears under `path`, durably, when the block ends well, and goes otherwise."""
    part = path.with_name(f"{_beginning(path)}{uuid4().hex}.part")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | PLAIN
    descriptor = os.open(part, flags, 0o666)  # handed on by the user, so the user's own umask decides
    hold(descriptor)
    _clear_leftovers(path)
    try:
        with open(descriptor, "r+b") as file:
            yield cast("BinaryIO", file)
            file.flush()
            flush_file(file.fileno())
        _refuse_existing(path, force=force)
        os.replace(part, path)
        flush_folder(path.absolute().parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _beginning(path: Path) -> str:
    """Return how the names of unfinished files begin, short enough for every file system."""
    return f".{os.fsencode(path.name)[:_LONGEST].decode(errors='ignore')}."


def _clear_leftovers(path: Path) -> None:
    """Remove what exports of this file left that were killed."""
    limit = time.time() - _PATIENCE
    for part in path.parent.glob(f"{escape(_beginning(path))}{'[0-9a-f]' * 32}.part"):
        with suppress(OSError):  # others export too, and not every file is this user's
            if part.lstat().st_mtime < limit and not is_held(part):
                part.unlink()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say of a failure in the block that it hit the file, and what to do."""
    try:
        yield
    except SimpleMLError:
        raise
    except ValueError as error:  # a NUL
        raise ConfigurationError(f"{str(path)!r} cannot be the name of a file: {error}") from error
    except OSError as error:
        if error.errno in FULL:
            raise StoreFullError(
                f"no room for {path}: {error.strerror}. Nothing was left behind; free some space, or export to another place"
            ) from error
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Give a file in a folder that is there, where this user may write"
        ) from error
