"""A bundle as a file: a ZIP archive of exactly one shape, written to be read with any tool, read with none.

`manifest.json`, then `objects/<hex digest>` in the order of their digests, one after the other without gaps, uncompressed;
the archive's comment is the digest of the manifest. What differs in anything is refused: so there is no name to escape
with, no link, no member hidden from one reader and shown to another, and nothing that grows when it is unpacked.
"""

from __future__ import annotations

import os
import stat
import struct
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

from simpleml.errors import BundleError
from simpleml.hashing.digester import digester
from simpleml.orm.bundles.carrying import BLOCK
from simpleml.orm.bundles.manifest import LONGEST, MOST, Manifest, hex_of, hex_of_member, member, read_manifest, sign
from simpleml.progress import Progress
from simpleml.save_patterns.locations.spool import AS_BYTES, digest_of

_MANIFEST = "manifest.json"
_COMMENT = len("blake3:") + 64
_END = struct.Struct("<4sHHHHIIH")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_CENTRAL = struct.Struct("<4sBBHHHHHIIIHHHHHII")
_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_BIG = 0xFFFFFFFF
_FORCE = 1 << 30  # from here on an entry has room for sizes beyond 4 GB
_TIME = (1980, 1, 1, 0, 0, 0)  # the same bundle gives the same file


class Writer:
    """Writes an archive, the manifest first; a block, whose end writes the list of members."""

    def __init__(self, file: BinaryIO, manifest: bytes) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._zip.comment = sign(manifest).encode("ascii")
        self._write(_MANIFEST, len(manifest), iter([memoryview(manifest)]))

    def add(self, name: str, size: int, blocks: Iterator[memoryview]) -> str:
        """Append the object with this hex digest and return the digest of what came."""
        return self._write(member(name), size, blocks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the list of members, if all went well."""
        if kind is None:
            self._zip.close()
        else:
            with suppress(OSError, ValueError):  # what went wrong first is told
                self._zip.close()

    def _write(self, name: str, size: int, blocks: Iterator[memoryview]) -> str:
        info = zipfile.ZipInfo(name, _TIME)
        info.file_size = size
        info.create_system = 3
        info.external_attr = (stat.S_IFREG | 0o600) << 16
        hasher = digester()
        with self._zip.open(info, "w", force_zip64=size >= _FORCE) as target:
            for block in blocks:
                hasher.update(block)
                target.write(block)
        return digest_of(hasher.hexdigest())


@dataclass(frozen=True, slots=True)
class _Member:
    """Where the bytes of a member are."""

    start: int
    size: int


class Archive:
    """A bundle in a file: opened, and known to be of our shape; `check` compares every byte. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        self.remedy = "Take the file that `simpleml export` wrote, unchanged, or export it again"
        self._lock = threading.Lock()
        try:
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | AS_BYTES)
        except (OSError, ValueError) as error:  # ValueError: a NUL
            raise BundleError(
                f"the bundle {str(path)!r} cannot be read: {getattr(error, 'strerror', error)}"
            ) from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                self._refuse("it is no file")
        except BaseException:
            os.close(descriptor)
            raise
        self._file = open(descriptor, "rb", buffering=0)  # noqa: SIM115 - closed with the archive
        try:
            self._open(found.st_size)
        except BaseException:
            self._file.close()
            raise

    def _open(self, length: int) -> None:
        members, self.digest = self._members(length)
        if _MANIFEST not in members or members[_MANIFEST].size > LONGEST:
            self._refuse(f"it has no {_MANIFEST}, or one that nobody could read")
        text = b"".join(bytes(block) for block in self._blocks(members[_MANIFEST]))
        if sign(text) != self.digest:
            self._refuse("its manifest was changed after it was written")
        self.manifest: Manifest = read_manifest(text, f"the file {self.where}")
        self._objects = {hex_of_member(name) or "": at for name, at in members.items() if name != _MANIFEST}
        if {name: at.size for name, at in self._objects.items()} != dict(self.manifest.objects):
            self._refuse("its members are not those that its manifest lists")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def blocks(self, name: str) -> Iterator[memoryview]:
        """Give the bytes of the object with this hex digest, which the reader has to compare with it."""
        return self._blocks(self._objects[name])

    def check(self) -> None:
        """Read every object and compare it with its digest; `BundleError` names the first that is not what it should be."""
        with Progress("checking", self.manifest.size, bytes_=True) as bar:
            for name in self.manifest.objects:
                hasher = digester()
                for block in self.blocks(name):
                    hasher.update(block)
                    bar.advance(len(block))
                if hasher.hexdigest() != name:
                    self._refuse(f"the object {name} is damaged")

    def _refuse(self, why: str) -> NoReturn:
        raise BundleError(f"{self.where} is no bundle, or not a whole one: {why}. Nothing was imported. {self.remedy}")

    def _read(self, start: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(start)
            found = self._file.read(size)
        if found is None or len(found) != size:
            self._refuse("it ends too early")
        return found

    def _blocks(self, at: _Member) -> Iterator[memoryview]:
        for start in range(0, at.size, BLOCK):
            yield memoryview(self._read(at.start + start, min(BLOCK, at.size - start)))

    # the list of members

    def _members(self, length: int) -> tuple[Mapping[str, _Member], str]:
        """Return the members by name, and the digest in the archive's comment; every byte of the file is accounted for."""
        start = length - _END.size - _COMMENT
        if start < 0:
            self._refuse("it is too short")
        end = _END.unpack(self._read(start, _END.size))
        comment = self._read(start + _END.size, _COMMENT).decode("latin-1")
        if end[0] != b"PK\5\6" or end[7] != _COMMENT or hex_of(comment) is None or (end[1], end[2]) != (0, 0):
            self._refuse("it does not end as one")
        count, size, offset, stop = self._extent(end, start)
        if count > MOST + 1 or size > count * 160 or offset + size != stop:
            self._refuse("its list of members is not where it should be")
        return self._listed(self._read(offset, size), count, offset), comment

    def _extent(self, end: tuple[int, ...], start: int) -> tuple[int, int, int, int]:
        """Return how many members there are, how long their list is, where it begins, and where it has to end."""
        short = (end[4], end[5], end[6])
        before = start - _LOCATOR.size
        locator = _LOCATOR.unpack(self._read(before, _LOCATOR.size)) if before >= _END64.size else (b"",)
        if locator[0] != b"PK\6\7":
            if end[3] != end[4]:
                self._refuse("it says twice how many members it has, and not the same")
            return (*short, start)
        stop = before - _END64.size
        found = _END64.unpack(self._read(stop, _END64.size))
        wide = found[7], found[8], found[9]
        said = all(a in (b, limit) for a, b, limit in zip(short, wide, (0xFFFF, _BIG, _BIG), strict=True))
        if (locator[1:], found[0], found[1]) != ((0, stop, 1), b"PK\6\6", _END64.size - 12) or not said:
            self._refuse("it does not end as one")
        if (found[4], found[5], found[6]) != (0, 0, found[7]):
            self._refuse("it is a part of several")
        return (*wide, stop)

    def _listed(self, directory: bytes, count: int, stop: int) -> dict[str, _Member]:
        found: dict[str, _Member] = {}
        at = following = 0
        for _ in range(count):
            if at + _CENTRAL.size > len(directory):
                self._refuse("its list of members ends too early")
            entry = _CENTRAL.unpack_from(directory, at)
            at += _CENTRAL.size
            name = directory[at : at + entry[11]].decode("latin-1")
            extra = directory[at + entry[11] : at + entry[11] + entry[12]]
            at += entry[11] + entry[12]
            if name != _MANIFEST and hex_of_member(name) is None:
                self._refuse(f"it has a member {name[:100]!r}")
            if name in found:
                self._refuse(f"it has two members {name}")
            packed, size, begin = self._wide(name, extra, entry[9], entry[10], entry[17])
            kind = stat.S_IFMT(entry[16] >> 16)
            plain = (entry[0], entry[4], entry[5], entry[13], entry[14]) == (b"PK\1\2", 0, 0, 0, 0)
            if not plain or packed != size or kind not in (0, stat.S_IFREG):
                self._refuse(f"its member {name} is compressed, encrypted, a link, or no plain file for another reason")
            if begin != following:
                self._refuse(f"its member {name} is not where the one before ends")
            found[name] = self._located(name, begin, size)
            following = found[name].start + size
            if following > stop:
                self._refuse(f"its member {name} is longer than the file")
        if at != len(directory) or following != stop:
            self._refuse("it holds more than its members")
        return found

    def _located(self, name: str, begin: int, size: int) -> _Member:
        """Return where the bytes of a member are, whose own header must say the same as the list."""
        header = _LOCAL.unpack(self._read(begin, _LOCAL.size))
        rest = self._read(begin + _LOCAL.size, header[9] + header[10])
        extra = rest[header[9] :]
        packed, unpacked, _ = self._wide(name, extra, header[7], header[8], 0)
        same = rest[: header[9]] == name.encode("latin-1") and packed == unpacked == size
        if (header[0], header[2], header[3]) != (b"PK\3\4", 0, 0) or not same:
            self._refuse(f"its member {name} says two things of itself")
        return _Member(begin + _LOCAL.size + len(rest), size)

    def _wide(self, name: str, extra: bytes, packed: int, size: int, begin: int) -> tuple[int, int, int]:
        """Return sizes and offset of a member, from the extra field where they are beyond 4 GB."""
        given = [size, packed, begin]
        wanted = [place for place, value in enumerate(given) if value == _BIG]
        if len(extra) != (4 + 8 * len(wanted) if wanted else 0):
            self._refuse(f"its member {name} has more fields than it needs")
        if wanted:
            kind, length, *values = struct.unpack(f"<HH{len(wanted)}Q", extra)
            if (kind, length) != (1, 8 * len(wanted)):
                self._refuse(f"its member {name} has a field of another kind")
            for place, value in zip(wanted, values, strict=True):
                given[place] = value
        return given[1], given[0], given[2]
