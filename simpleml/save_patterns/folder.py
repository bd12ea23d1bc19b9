"""Folders as artifacts: a Keras SavedModel, a Hugging Face directory, anything that is several files.

Every file is an object of its own, so a file that did not change is stored once for all versions. What counts is the paths,
the bytes and the executable bits of the files, and which folders are empty; owners, times and other rights do not. Symbolic
links are refused: what they lead to may not be there tomorrow.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import NoReturn, Self

from simpleml.encoding.faults import short
from simpleml.errors import SavePatternError, SerializationError
from simpleml.hashing import register_hasher
from simpleml.progress import Progress
from simpleml.save_patterns.files import BLOCK, Stamp, digest_file, opened, scan, write_file
from simpleml.save_patterns.manifest import FORMAT, File, Tree, check_paths, read_tree, write_tree
from simpleml.save_patterns.parts import Parts, each_part
from simpleml.save_patterns.protocols import Places
from simpleml.save_patterns.workspace import Found, Use, Workspace
from simpleml.types import Reference

NAME = "folder"
"""The `serializer` of references to folders."""

_BIG = 4 * 1024 * 1024  # bytes from which a file is mapped, and written alone
_SETTLED = 2.0  # seconds after which a file system tells two changes of a file apart by their times


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder whose content is an artifact; usable wherever a path is (`open(folder / "config.json")`, `str(folder)`).

    Its content hash is that of its files, wherever it lies. A folder that was loaded is private to this user and shared by all
    that load the same content on this machine: copy it before you change anything in it. Collecting garbage leaves it there for
    as long as this object lives.
    """

    path: Path
    _known: dict[str, tuple[Stamp, str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _use: Use | None = field(default=None, init=False, repr=False, compare=False)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        object.__setattr__(self, "path", Path(path).absolute())
        object.__setattr__(self, "_known", {})
        object.__setattr__(self, "_use", None)
        if not os.path.isdir(self.path):  # `Path.is_dir` raises where this user may not look
            raise SavePatternError(
                f"{self.path} is no folder, or none that this user may see: make it first, or give the path of one"
            )

    @classmethod
    def of(cls, found: Found, digests: dict[str, str]) -> Self:
        """Return a folder of the workspace, whose files have these digests, and keep it there."""
        made = cls(found.path)
        object.__setattr__(made, "_use", found.use)
        for path, digest in digests.items():
            made.remember(path, found.stamps[path], digest)
        return made

    def __reduce__(self) -> NoReturn:
        raise SerializationError(
            "a Folder inside another value would be pickled as its path, without its files: make it an artifact of its own "
            "(pattern 'folder'), or keep str(folder), which is the path alone and what another process of this machine needs; "
            f"it is {self.path}"
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        return self  # it names what is on the disk, as it cannot be changed to name something else

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str | os.PathLike[str]) -> Path:
        return self.path / name

    def __iter__(self) -> Iterator[Path]:
        """Give the relative path of every file, sorted."""
        return map(Path, scan(self.path)[0])

    def digest(self, path: str) -> str:
        """Return the digest of a file, which is read only if it may have changed since it was read last."""
        known = self._known.get(path)
        if known is not None and known[0] == Stamp.of(os.stat(self.path / path, follow_symlinks=False)):
            return known[1]
        stamp, found = digest_file(self.path / path)
        self.remember(path, stamp, found)
        return found

    def remember(self, path: str, stamp: Stamp, digest: str) -> None:
        """Take the digest of a file for known as long as its stamp stays; one that was changed just now is not believed."""
        if stamp.changed < time.time_ns() - _SETTLED * 1e9:
            self._known[path] = (stamp, digest)


@dataclass(frozen=True, slots=True)
class FolderPattern:
    """Keeps a `Folder` as one object of `store` for each different file, and a manifest."""

    name: str
    store: str

    def save(self, value: object, places: Places) -> Reference:
        """Put every file and the manifest; a folder that is changed meanwhile is refused."""
        if not isinstance(value, Folder):
            raise SavePatternError(
                f"{self.name!r} keeps folders, and this is {short(value)} ({type(value).__name__}): give Folder(path), whose hash is "
                "that of the content (from simpleml import Folder)"
            )
        stamps, empty = scan(value.path)
        check_paths(stamps, empty)
        size = sum(stamp.size for stamp in stamps.values())
        with Progress("storing", size, bytes_=True) as bar, Parts(places.store(self.store), places) as parts:
            files = []
            for path, stamp in stamps.items():
                files.append(_stored(value, path, stamp, parts))
                bar.advance(stamp.size)
            again = scan(value.path)
            if again != (stamps, empty):
                names = sorted(dict(again[0].items() ^ stamps.items()) | dict.fromkeys({*again[1]} ^ {*empty}))
                raise _changed(value.path / names[0])
            tree = Tree(tuple(files), empty)
            return parts.finish(write_tree(tree), "folder", tree.size, serializer=NAME, format=FORMAT)

    def load(self, reference: Reference, places: Places) -> object:
        """Return the `Folder`, with all its files."""
        return load_folder(reference, places)


def _stored(folder: Folder, path: str, stamp: Stamp, parts: Parts) -> File:
    """Hand one file to `parts`, as it was when it was stamped."""
    spool = parts.spool()
    with opened(folder.path / path) as file:
        while block := file.read(BLOCK):
            spool.write(block)
        if Stamp.of(os.fstat(file.fileno())) != stamp or spool.size != stamp.size:
            raise _changed(folder.path / path)
    digest = parts.add(spool)
    folder.remember(path, stamp, digest)
    return File(path, stamp.executable, stamp.size, digest)


def _changed(path: Path) -> SavePatternError:
    return SavePatternError(
        f"{path} was changed while its folder was saved, so nothing was saved: save again once nobody writes to it"
    )


def load_folder(reference: Reference, places: Places) -> Folder:
    """Return the folder that `reference` stands for: in the workspace of this machine, made there if it is not there yet.

    It is there as a whole or not at all. Nothing is written before every path of the manifest was found harmless.
    """
    if reference["format"] > FORMAT or reference["serializer"] != NAME:
        raise SerializationError(
            f"the artifact is in format {reference['format']} of {reference['serializer']!r}, and this version of simpleml reads "
            f"folders up to {FORMAT} of {NAME!r}: upgrade simpleml, or the record was edited"
        )
    where = reference["store"]
    tree = read_tree(reference, places.fetch(where, reference["key"], reference["size"], reference["digest"]))
    keys = dict(zip((file.path for file in tree.files), reference["parts"], strict=True))
    alone = Lock()  # one big file at a time: where files cannot be mapped, they are read into memory

    def write(job: tuple[File, Path]) -> None:
        file, target = job
        with alone if file.size >= _BIG else nullcontext():
            source = places.mapped() if file.size >= _BIG else places
            write_file(target, file, source.fetch(where, keys[file.path], file.size, file.digest))

    def fill(files: list[tuple[File, Path]]) -> None:
        each_part(write, files, places.store(where))

    workspace, digest = Workspace(places.workspace), reference["digest"]
    found = workspace.find(digest, tree) or workspace.make(digest, tree, fill)
    return Folder.of(found, {file.path: file.digest for file in tree.files})


@register_hasher(Folder)
def _content(folder: Folder) -> object:
    """Return what a folder is: its files by their digests, and the folders in it that are empty."""
    files, empty = scan(folder.path)
    return [(path, folder.digest(path)) for path in files], list(empty)
