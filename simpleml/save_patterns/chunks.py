"""Chunks: a big artifact cut by its content, so that a version of which little changed stores and moves little.

A cut depends only on the bytes just before it (FastCDC, 2020), so bytes that stay the same are cut in the same way wherever
they lie; every chunk is an object of its own, and equal chunks are stored once. The average length grows with the artifact,
so that it has one to three thousand chunks. Where the cuts are and how chunks are packed may change with any version of the
libraries: then less is shared, and everything stays readable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import TYPE_CHECKING

from simpleml.errors import ArtifactDamagedError, MissingDependencyError
from simpleml.hashing.digester import digester
from simpleml.progress import Progress
from simpleml.save_patterns.locations.private_memory import private_memory
from simpleml.save_patterns.locations.spool import Spool, digest_of
from simpleml.save_patterns.manifest import Chunk, Chunks, read_chunks, write_chunks
from simpleml.save_patterns.parts import Parts, each_part
from simpleml.save_patterns.protocols import Buffer, Places, Serializer, Store
from simpleml.types import Reference

if TYPE_CHECKING:
    from pyfastcdc import FastCDC

LEAST = 4 * 1024 * 1024
"""Artifacts with fewer bytes stay whole."""

_SHORTEST_AVERAGE = 96 * 1024
_LONGEST_AVERAGE = 3 * 1024 * 1024
_GROWS_FROM = 256 * 1024 * 1024  # up to here the average is the shortest; it doubles whenever the artifact does
_WINDOW = 2 * 1024 * 1024  # what is read stays in the processor's cache while it is cut, digested and copied …
_LONGEST_CHUNKS = 4  # … but this many always fit, as the last one is looked at again
_SAMPLE = 16 * 1024
_WORTH = 0.9  # packing a sample must shrink it to this, or packing the chunk is not tried: most floats do not shrink
_LEVEL = 1
_PACKED_WINDOW = 16 * 1024 * 1024  # the most memory that unpacking may use besides what it fills


def save_chunks(spool: Spool, serializer: Serializer, store: Store, places: Places) -> Reference:
    """Place what `serializer` wrote as chunks, with their manifest; memory stays below 100 MB however many they are."""
    pack = _packer()
    path, _ = spool.materialize()
    parts: list[Chunk] = []
    with (
        path.open("rb", buffering=0) as file,
        Progress("storing", spool.size, bytes_=True) as bar,
        Parts(store, places) as placing,
    ):
        for piece in cut(file, spool.size):
            packed = pack(piece)
            part = placing.spool()
            size = part.write(piece if packed is None else packed)
            parts.append(Chunk(placing.add(part), size, len(piece), packed is not None))
            bar.advance(len(piece))
        manifest = write_chunks(Chunks(spool.digest, spool.size, tuple(parts)))
        return placing.finish(manifest, "chunks", spool.size, serializer=serializer.name, format=serializer.format)


def load_chunks(reference: Reference, places: Places) -> Buffer:
    """Return the bytes that were cut, in memory of their own: each chunk and the whole have the digests that were saved."""
    where = reference["store"]
    places = places.mapped(False)  # the pieces are copied into one memory anyway
    manifest = places.fetch(where, reference["key"], reference["size"], reference["digest"])
    chunks = read_chunks(reference, manifest)
    data = memoryview(private_memory(chunks.size))
    with Progress("reading", chunks.size, bytes_=True) as bar:

        def put(job: tuple[str, Chunk, memoryview]) -> None:
            key, chunk, target = job
            stored = places.fetch(where, key, chunk.size, chunk.digest)
            if chunk.packed:
                _unpack(stored, target, key)
            else:
                target[:] = memoryview(stored)
            bar.advance(chunk.raw)

        each_part(put, _targets(reference["parts"], chunks.parts, data), places.store(where))
    hasher = digester()
    hasher.update(data)
    if (found := digest_of(hasher.hexdigest())) != chunks.digest:
        raise ArtifactDamagedError(
            f"the chunks of {reference['key']} in the store {where!r} are each as they were saved, but together their digest is "
            f"{found}, and {chunks.digest} was saved: the record or the manifest was edited"
        )
    return data


def _targets(keys: list[str], chunks: tuple[Chunk, ...], data: memoryview) -> Iterator[tuple[str, Chunk, memoryview]]:
    """Give each chunk with its key and the part of `data` that is its own."""
    start = 0
    for key, chunk in zip(keys, chunks, strict=True):
        yield key, chunk, data[start : start + chunk.raw]
        start += chunk.raw


def cut(file: RawIOBase, size: int) -> Iterator[memoryview]:
    """Yield the `size` bytes of `file` in chunks; each is only there until the next is asked for."""
    cutter, longest = _cutter(size)
    window = memoryview(bytearray(min(max(_WINDOW, _LONGEST_CHUNKS * longest), size + 1)))
    filled, ended = 0, False
    while not ended:
        while filled < len(window) and not ended:
            count = file.readinto(window[filled:])
            filled, ended = filled + (count or 0), not count
        done = 0
        for chunk in cutter.cut_buf(window[:filled]):
            if not ended and filled - done < longest:  # what follows decides where this one ends
                break
            yield window[done : done + chunk.length]
            done += chunk.length
        window[: filled - done] = window[done:filled]
        filled -= done


def _cutter(size: int) -> tuple[FastCDC, int]:
    """Return what cuts an artifact of `size` bytes, and the length of its longest chunks."""
    try:
        from pyfastcdc import FastCDC
    except ImportError as error:
        raise _missing("pyfastcdc") from error
    average, grown = _SHORTEST_AVERAGE, _GROWS_FROM
    while size >= grown and average < _LONGEST_AVERAGE:
        average, grown = 2 * average, 2 * grown
    shortest, longest = average // 12, average * 8 // 3
    return FastCDC(average, min_size=shortest, max_size=longest, normalized_chunking=1), longest


def _packer() -> Callable[[memoryview], bytes | None]:
    """Return a function that packs a chunk, or gives None where that is not worth it; not for several threads."""
    try:
        from zstandard import ZstdCompressor
    except ImportError as error:
        raise _missing("zstandard") from error
    packer = ZstdCompressor(level=_LEVEL)

    def pack(piece: memoryview) -> bytes | None:
        start = max(0, (len(piece) - _SAMPLE) // 2)
        sample = piece[start : start + _SAMPLE]
        if len(packer.compress(sample)) > _WORTH * len(sample):
            return None
        packed = packer.compress(piece)
        return packed if len(packed) <= _WORTH * len(piece) else None

    return pack


def _unpack(stored: Buffer, target: memoryview, key: str) -> None:
    """Fill `target` with what a packed chunk holds, which must be neither less nor more; no more is ever made of it."""
    try:
        from zstandard import ZstdDecompressor, ZstdError
    except ImportError as error:
        raise _missing("zstandard") from error
    try:
        with ZstdDecompressor(max_window_size=_PACKED_WINDOW).stream_reader(stored) as reader:
            done = 0
            while done < len(target) and (count := reader.readinto(target[done:])):
                done += count
            if done == len(target) and not reader.read(1):
                return
    except ZstdError as error:
        raise ArtifactDamagedError(f"the chunk {key} is as it was saved, but cannot be unpacked: {error}") from error
    raise ArtifactDamagedError(
        f"the chunk {key} does not unpack to the {len(target)} bytes that its manifest says: the manifest was edited"
    )


def _missing(package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{package} is not installed, and an artifact in chunks cannot be cut or put together without it: "
        "pip install 'simpleml[chunks]'. (Saving in one piece: chunked = false for the store.)"
    )
