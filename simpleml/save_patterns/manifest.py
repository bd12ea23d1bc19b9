"""Manifests: what an artifact that is kept as several objects consists of, as the bytes of one more object.

A manifest is canonical JSON (ASCII, no spaces, one way to write it) and holds no keys: the same content has the same manifest
in every store of every database, so that it is stored once as well. The keys are the `parts` of the reference, in its order.

```
{"format":1,"layout":"chunks","digest":"blake3:…","size":N,"parts":[["blake3:…",stored,raw,"zstd"], …]}
{"format":1,"layout":"folder","files":[["a/b.txt",executable,size,"blake3:…"], …],"folders":["empty", …]}
```

Whoever may write to a store or a database can write a manifest, so nothing in one is believed: a path that could lead out of
its folder, a size that does not add up or is more than what is stored can unpack to, or anything that simpleml does not
write is a `SerializationError`, before anything is made of it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from simpleml.encoding import jsontext
from simpleml.encoding.faults import Fault, short
from simpleml.errors import SavePatternError, SerializationError
from simpleml.save_patterns.protocols import Buffer
from simpleml.types import JSON, Reference

FORMAT = 1
LARGEST_CHUNK = 16 * 1024 * 1024
"""No chunk has more bytes than this, unpacked."""

_UNPACKS_TO = 32 * 1024  # times as much: four bytes of zstd are one block of 128 KiB at most (RFC 8878, 3.1.1.2)

_LARGEST = 64 * 1024 * 1024  # bytes of a manifest: some 500,000 files or chunks
_LONGEST_NAME = 255  # bytes, as on every usual file system
_LONGEST_PATH = 3072  # of the 4096 that Linux opens, the rest for the path of the folder itself
_DIGEST = re.compile(r"blake3:[0-9a-f]{64}", re.ASCII)
_DRIVE = re.compile(r"[A-Za-z]:", re.ASCII)
PACKED = "zstd"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of an artifact: the digest and size of its stored bytes, its own size, and whether they are packed."""

    digest: str
    size: int
    raw: int
    packed: bool


@dataclass(frozen=True, slots=True)
class Chunks:
    """An artifact's own digest and size, and the pieces that it is put together from, in order."""

    digest: str
    size: int
    parts: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class File:
    """One file of a folder, by its relative path with forward slashes."""

    path: str
    executable: bool
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a folder and those of its folders that are empty, each sorted by path."""

    files: tuple[File, ...]
    folders: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many bytes all files have."""
        return sum(file.size for file in self.files)


def write_chunks(chunks: Chunks) -> bytes:
    """Return the manifest of an artifact in chunks."""
    parts: list[JSON] = [[part.digest, part.size, part.raw, PACKED if part.packed else ""] for part in chunks.parts]
    return _written(
        {"format": FORMAT, "layout": "chunks", "digest": chunks.digest, "size": chunks.size, "parts": parts}
    )


def write_tree(tree: Tree) -> bytes:
    """Return the manifest of a folder; `SavePatternError` names a path that not every machine could have."""
    check_paths((file.path for file in tree.files), tree.folders)
    files: list[JSON] = [[file.path, int(file.executable), file.size, file.digest] for file in tree.files]
    return _written({"format": FORMAT, "layout": "folder", "files": files, "folders": [*tree.folders]})


def _written(manifest: dict[str, JSON]) -> bytes:
    data = jsontext.write(manifest).encode("ascii")
    if len(data) > _LARGEST:
        raise SavePatternError(
            f"the list of its parts has {len(data)} bytes, more than the {_LARGEST} that a manifest may have: save it as several "
            "artifacts, or a folder of very many small files as one archive"
        )
    return data


def read_chunks(reference: Reference, data: Buffer) -> Chunks:
    """Return what the manifest of `reference` says, if it fits the reference and itself."""
    fields = _fields(reference, data, "chunks", ("digest", "size", "parts"))
    parts = tuple(_chunk(entry) for entry in _list(fields["parts"]))
    digest, size = fields["digest"], fields["size"]
    if not _is_digest(digest) or not _is_size(size):
        _refuse(f"its digest and size are {short(digest)} and {short(size)}")
    found = Chunks(str(digest), int(str(size)), parts)
    if sum(part.raw for part in parts) != found.size:
        _refuse(f"its chunks have {sum(part.raw for part in parts)} bytes, not the {found.size} that it says")
    _same(reference, len(parts), found.size, write_chunks(found), data)
    return found


def read_tree(reference: Reference, data: Buffer) -> Tree:
    """Return what the manifest of `reference` says, if it fits the reference and itself and every path is harmless."""
    fields = _fields(reference, data, "folder", ("files", "folders"))
    folders = _list(fields["folders"])
    if not all(isinstance(folder, str) for folder in folders):
        _refuse("its folders are not all text")
    found = Tree(tuple(_file(entry) for entry in _list(fields["files"])), tuple(str(folder) for folder in folders))
    try:
        check_paths((file.path for file in found.files), found.folders)
    except SerializationError:
        raise
    except SavePatternError as error:
        raise SerializationError(f"{_NOT_OURS}: {error}") from error
    _same(reference, len(found.files), found.size, write_tree(found), data)
    return found


def parts_of(reference: Reference, data: Buffer) -> list[tuple[str, int, str]]:
    """Return the key, the size and the digest of each further object that `reference` stands for, given its own bytes."""
    if reference.get("layout") == "chunks":
        objects = [(part.size, part.digest) for part in read_chunks(reference, data).parts]
    elif reference.get("layout") == "folder":
        objects = [(file.size, file.digest) for file in read_tree(reference, data).files]
    else:
        check_layout(reference, None)
        return []
    return [(key, size, digest) for key, (size, digest) in zip(reference["parts"], objects, strict=True)]


def check_layout(reference: Reference, wanted: str | None) -> None:
    """Raise `SavePatternError` unless `reference` is laid out as `wanted` and says all that this layout needs."""
    layout, total = reference.get("layout"), reference.get("total")
    if layout != wanted:
        raise SavePatternError(
            f"the artifact is kept in the layout {short(layout)}, where {short(wanted)} was expected; known: None (one object), "
            "'chunks', 'folder'. A newer version of simpleml wrote it (upgrade), or the record was edited"
        )
    named = "parts" in reference or total is not None
    if (layout is None and named) or (layout is not None and not ("parts" in reference and _is_size(total))):
        raise SavePatternError(
            f"the reference has layout {short(layout)}, total {short(total)} and parts {short(reference.get('parts'))}, which "
            "simpleml never writes: the record was edited"
        )


def check_paths(files: Iterable[str], folders: Iterable[str]) -> None:
    """Raise `SavePatternError` unless these files and empty folders are harmless on every machine, and stay as many.

    Paths are relative and sorted, with forward slashes. None leads out, none needs another to be a file and a folder, and
    no two become one where upper and lower case, or ways to write an accent, are the same. Names that only Windows lacks
    (`12:30.log`, `aux`) are taken: it is there that such a folder cannot be made.
    """
    top: _Names = {}
    for paths in (files, folders):
        last = ""
        for path in paths:
            if last and path <= last:
                raise SavePatternError(f"the path {short(path)} comes after {short(last)}: twice, or out of order")
            last = path
            _check_path(path)
            _take(path, top)


_Names: TypeAlias = "dict[str, tuple[str, _Names | None]]"
"""What a folder holds: a name as a careless file system sees it → the name, and what is below it if that is a folder."""


def _take(path: str, top: _Names) -> None:
    """Note `path` and the folders above it, none of which may be taken by something else."""
    here, names = top, path.split("/")
    for depth, name in enumerate(names, 1):
        folded, ends = _folded(name), depth == len(names)
        if folded not in here:
            here[folded] = (name, None if ends else {})
        elif ends or here[folded][0] != name or here[folded][1] is None:
            taken = "/".join([*names[: depth - 1], here[folded][0]])
            raise SavePatternError(
                f"the path {short(path)} cannot be beside {short(taken)} on every machine (upper and lower case count as the "
                "same, and no file is a folder): rename one of them"
            )
        below = here[folded][1]
        here = {} if below is None else below


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _check_path(path: str) -> None:
    wrong = None
    names = path.split("/")
    try:
        size, longest = len(path.encode()), max(len(name.encode()) for name in names)
    except UnicodeEncodeError:
        wrong = "is not text in UTF-8"
    else:
        if "\0" in path or "\\" in path:
            wrong = "holds a backslash or a NUL, which other systems take for something else"
        elif any(name in {"", ".", ".."} for name in names):
            wrong = "is not a plain relative path (no leading or double slash, no . or ..)"
        elif any(_DRIVE.match(name) for name in names):
            wrong = "begins like a drive of Windows"
        elif size > _LONGEST_PATH or longest > _LONGEST_NAME:
            wrong = f"is too long (names up to {_LONGEST_NAME} bytes, paths up to {_LONGEST_PATH})"
    if wrong:
        raise SavePatternError(f"the path {short(path)} {wrong}: rename it")


_NOT_OURS = "this is no manifest that simpleml wrote"


def _refuse(reason: str) -> NoReturn:
    raise SerializationError(
        f"{_NOT_OURS}: {reason}. Its digest is right, so the record refers to something else: it was edited, or belongs to a newer "
        "version"
    )


def _fields(reference: Reference, data: Buffer, layout: str, names: tuple[str, ...]) -> dict[str, JSON]:
    """Return the members of a manifest that has exactly these, in this order."""
    check_layout(reference, layout)
    if len(data) > _LARGEST:
        _refuse(f"it has {len(data)} bytes")
    try:
        found = jsontext.read(bytes(data).decode("ascii"))
    except (Fault, UnicodeDecodeError) as error:
        raise SerializationError(f"{_NOT_OURS}: {error}") from error
    if not isinstance(found, dict) or tuple(found) != ("format", "layout", *names):
        _refuse(f"it holds {short(found)}")
    if found["format"] != FORMAT or found["layout"] != layout:
        _refuse(f"it is in format {short(found['format'])} of {short(found['layout'])}, not in {FORMAT} of {layout!r}")
    return found


def _same(reference: Reference, parts: int, size: int, written: bytes, data: Buffer) -> None:
    """Refuse a manifest that does not fit the record, or that could have been written in another way."""
    if parts != len(reference["parts"]) or size != reference["total"]:
        raise SavePatternError(
            f"the record names {len(reference['parts'])} parts of {reference['total']} bytes, and the manifest {parts} of {size}: "
            "the record was edited"
        )
    if written != bytes(data):
        _refuse("it is not written in the one way in which simpleml writes it")


def _chunk(entry: JSON) -> Chunk:
    if isinstance(entry, list) and len(entry) == 4:
        digest, size, raw, packing = entry
        if _is_digest(digest) and _is_size(size) and _is_size(raw) and packing in ("", PACKED):
            chunk = Chunk(str(digest), int(str(size)), int(str(raw)), packing == PACKED)
            fits = 0 < chunk.size <= chunk.raw <= min(LARGEST_CHUNK, _UNPACKS_TO * chunk.size)
            if fits and (chunk.size < chunk.raw) == chunk.packed:
                return chunk
    _refuse(f"a chunk is {short(entry)}")


def _file(entry: JSON) -> File:
    if isinstance(entry, list) and len(entry) == 4:
        path, executable, size, digest = entry
        executes = executable == 1 and not isinstance(executable, bool)
        known = executes or (executable == 0 and not isinstance(executable, bool))
        if isinstance(path, str) and known and _is_size(size) and _is_digest(digest):
            return File(path, executes, int(str(size)), str(digest))
    _refuse(f"a file is {short(entry)}")


def _list(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        _refuse(f"a list is {short(value)}")
    return value


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
