"""Artifacts in chunks: how they are cut, what a manifest may say, and what a save stores of what it has already."""

from __future__ import annotations

import errno
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

import simpleml
from simpleml import failpoints
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactMissingError,
    MissingDependencyError,
    SavePatternError,
    SerializationError,
    StoreError,
    TrustError,
)
from simpleml.orm import Database
from simpleml.persistables.ports import current_database
from simpleml.save_patterns import chunks
from simpleml.save_patterns.catalogue import patterns, serializers
from simpleml.save_patterns.chunks import cut
from simpleml.save_patterns.manifest import (
    LARGEST_CHUNK,
    Chunk,
    Chunks,
    File,
    Tree,
    parts_of,
    read_chunks,
    read_tree,
    write_chunks,
    write_tree,
)
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.types import Reference
from tests.integration.kinds import Box

MB = 1_000_000
HEX = "blake3:" + "ab" * 32


def noise(size: int, seed: int = 0) -> bytearray:
    """Return bytes that do not shrink."""
    return bytearray(np.random.default_rng(seed).bytes(size))


def pieces(data: bytes | bytearray) -> list[bytes]:
    """Return `data` as it is cut."""
    return [bytes(piece) for piece in cut(io.BytesIO(data), len(data))]  # type: ignore[arg-type]


def new_bytes(old: bytes | bytearray, new: bytes | bytearray) -> float:
    """Return which part of `new` is in chunks that `old` does not have."""
    known = {blake3(piece).digest() for piece in pieces(old)}
    fresh = {blake3(piece).digest(): len(piece) for piece in pieces(new)}
    return sum(size for digest, size in fresh.items() if digest not in known) / len(new)


def stored(folder: Path) -> int:
    """Return how many bytes the objects below a folder have."""
    return sum(path.stat().st_size for path in folder.glob("objects-*/*/*") if path.is_file())


def reference(box: Box) -> Reference:
    """Return the one reference of a saved box, a copy."""
    [found] = box.filepaths["data"].values()
    return json.loads(json.dumps(found))


@pytest.fixture
def chunked(local: Database) -> Database:
    """The current database, on SQLite, whose store keeps big objects in chunks."""
    local.places.store("default").chunked = True
    return local


# cutting


@given(
    st.integers(0, 3_000_000),
    st.integers(1, 20),
    st.sampled_from(["noise", "zeros", "repeats"]),
    st.sampled_from([1_048_577, 1_500_000]),
)
@settings(max_examples=25)
def test_cutting_loses_nothing_whatever_the_window(size: int, seed: int, kind: str, window: int) -> None:
    """The pieces are the whole in order, none too long, and the same for every size of the window they are read through."""
    data = {
        "noise": noise(size, seed),
        "zeros": bytes(size),
        "repeats": (noise(1000, seed) * (size // 1000 + 1))[:size],
    }
    through = pieces(data[kind])
    assert b"".join(through) == bytes(data[kind])
    assert all(0 < len(piece) <= 256 * 1024 for piece in through)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "_WINDOW", window)
        assert pieces(data[kind]) == through


def test_a_changed_part_makes_few_new_chunks() -> None:
    """Of 200 MB with 1 % changed, at most 3 % are in new chunks: in one region, in ten, and moved by an insertion."""
    data = noise(200 * MB)
    for regions in (1, 10):
        changed = bytearray(data)
        length = len(data) // 100 // regions
        for start in np.random.default_rng(regions).integers(0, len(data) - length, regions):
            changed[start : start + length] = noise(length, int(start))
        assert 0.009 < new_bytes(data, changed) <= 0.03, regions
    assert new_bytes(data, data[: 50 * MB] + b"inserted" + data[50 * MB :]) < 0.003
    fixed = {bytes(data[start : start + 100_000]) for start in range(0, 20 * MB, 100_000)}
    shifted = b"inserted" + data[: 20 * MB]
    twin = [bytes(shifted[start : start + 100_000]) not in fixed for start in range(0, 20 * MB, 100_000)]
    assert all(twin)  # cutting every 100,000 bytes would share nothing after an insertion


def test_the_number_of_chunks_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The average grows with the artifact, up to chunks that no manifest refuses."""
    lengths = []
    for size in (0, 4 * MB, 255 * 2**20, 256 * 2**20, 2**30, 10 * 2**30, 2**40):
        cutter, longest = chunks._cutter(size)
        assert longest <= LARGEST_CHUNK
        assert size / cutter.avg_size < 3500 or size > 10 * 2**30
        lengths.append(cutter.avg_size)
    assert lengths == sorted(lengths)
    assert lengths[0] == lengths[2] < lengths[3]


# manifests


def in_chunks(*parts: Chunk, digest: str = HEX) -> tuple[Reference, bytes]:
    """Return the manifest of chunks and a reference to it."""
    data = write_chunks(Chunks(digest, sum(part.raw for part in parts), parts))
    return _reference("chunks", data, len(parts), sum(part.raw for part in parts)), data


def in_folder(*files: File, folders: tuple[str, ...] = ()) -> tuple[Reference, bytes]:
    """Return the manifest of a folder and a reference to it."""
    data = write_tree(Tree(files, folders))
    return _reference("folder", data, len(files), sum(file.size for file in files)), data


def _reference(layout: str, data: bytes, parts: int, total: int) -> Reference:
    keys = [f"objects-0123456789ab/ab/{'ab' * 16}-{number:032x}" for number in range(parts)]
    return Reference(
        store="default",
        key="k",
        digest=HEX,
        size=len(data),
        serializer="x",
        format=1,
        layout=layout,
        parts=keys,
        total=total,
    )


_digests = st.binary(min_size=32, max_size=32).map(lambda data: f"blake3:{data.hex()}")
_whole = st.builds(
    lambda digest, size: Chunk(digest, size, size, packed=False), _digests, st.integers(1, LARGEST_CHUNK)
)
_packed = st.builds(
    lambda digest, size, more: Chunk(digest, size, min(size + more, 32 * 1024 * size), packed=True),
    _digests,
    st.integers(1, LARGEST_CHUNK // 2),
    st.integers(1, LARGEST_CHUNK // 2),
)


@given(st.lists(_whole | _packed, max_size=20), _digests)
@settings(max_examples=50)
def test_a_manifest_of_chunks_is_read_as_it_was_written(parts: list[Chunk], digest: str) -> None:
    """Every manifest comes back equal, is plain ASCII, and names each part's size and digest beside its key."""
    reference, data = in_chunks(*parts, digest=digest)
    assert read_chunks(reference, data) == Chunks(digest, reference["total"], tuple(parts))
    assert data.isascii()
    expected = [(key, part.size, part.digest) for key, part in zip(reference["parts"], parts, strict=True)]
    assert parts_of(reference, data) == expected


FILES = (
    File("a.txt", False, 3, HEX),
    File("b/c", True, 0, HEX),
    File("b/ü.bin", False, 7, HEX),
    File("b.txt", False, 1, HEX),
)


def test_a_manifest_of_a_folder_is_read_as_it_was_written() -> None:
    """Paths, executable bits, sizes, digests and empty folders come back; an empty folder has a manifest too."""
    files = tuple(sorted(FILES, key=lambda file: file.path))
    reference, data = in_folder(*files, folders=("empty", "void/deep"))
    assert read_tree(reference, data) == Tree(files, ("empty", "void/deep"))
    assert [size for _, size, _ in parts_of(reference, data)] == [file.size for file in files]
    assert read_tree(*in_folder()) == Tree((), ())


BAD_PATHS: tuple[tuple[str, ...], ...] = (
    ("",), ("/",), ("/etc/passwd",), (".",), ("..",), ("../x",), ("a/../../x",), ("a/..",), ("a/./b",), ("a//b",), ("a/",), ("a\0b",), ("a\\b",),
    ("..\\x",), ("C:",), ("C:/x",), ("c:x",), ("a/D:/x",), ("\ud800",), ("x" * 256,), ("ü" * 128,), ("/".join(["x"] * 3000),), ("a", "a"), ("b", "a"),
    ("A", "a"), ("A/x", "a/y"), ("STRASSE", "straße"), ("a", "a/b"), ("a/b", "a/b/c"), ("e\u0301", "\u00e9"), ("ﬁ/x", "fi/y"),
)  # fmt: skip
"""Paths that no manifest may hold, be it as those of its files or of its empty folders."""


@pytest.mark.parametrize("paths", BAD_PATHS, ids=lambda paths: ascii(paths)[:40])
def test_a_path_that_is_not_harmless_everywhere_is_refused(paths: tuple[str, ...]) -> None:
    """Neither written nor read: what leads out, is taken twice, or is another path on another system."""
    ordered = paths if paths == ("b", "a") else tuple(sorted(paths))
    with pytest.raises(SavePatternError, match="path"):
        in_folder(*(File(path, False, 1, HEX) for path in ordered))
    with pytest.raises(SavePatternError, match="path"):
        in_folder(folders=ordered)
    reference, _ = in_folder()
    files = [[path, 0, 1, HEX] for path in ordered]
    for forged in ({"files": files, "folders": []}, {"files": [], "folders": [*ordered]}):
        text = json.dumps({"format": 1, "layout": "folder", **forged}, separators=(",", ":")).encode()
        reference["parts"] = ["k"] * len(forged["files"])
        reference["total"] = len(forged["files"])
        with pytest.raises(SerializationError, match="no manifest that simpleml wrote"):
            read_tree(reference, text)


def test_a_path_that_only_looks_odd_is_taken() -> None:
    """Names that no system takes for another path are taken, also those that Windows lacks."""
    paths = (
        ".hidden",
        "a b/.c d",
        "a..b",
        "2024-01-01T12:30.log",
        "aux.txt",
        "ends in a dot.",
        "what?",
        "~#%&'()+,;=@[]^`{}$!",
    )
    files = tuple(File(path, False, 1, HEX) for path in sorted(paths))
    assert read_tree(*in_folder(*files)).files == files


def test_a_file_and_an_empty_folder_cannot_be_one() -> None:
    """An empty folder that is a file, or has a file in it, is refused."""
    for file, folder in (("a", "a"), ("a/b", "a"), ("a", "a/b"), ("A", "a")):
        with pytest.raises(SavePatternError, match="cannot be beside"):
            in_folder(File(file, False, 1, HEX), folders=(folder,))
    assert in_folder(File("a/b", False, 1, HEX), folders=("a/c",))


ODD: dict[str, Any] = {
    "another format": lambda m: m | {"format": 2},
    "a format that is true": lambda m: m | {"format": True},
    "another layout": lambda m: m | {"layout": "folder"},
    "a member more": lambda m: m | {"more": 1},
    "a member less": lambda m: {key: value for key, value in m.items() if key != "size"},
    "another order": lambda m: dict(reversed(m.items())),
    "no mapping": lambda m: [m],
    "no digest": lambda m: m | {"digest": "md5:00"},
    "a negative size": lambda m: m | {"size": -1},
    "a size that is a float": lambda m: m | {"size": 30.0},
    "parts that are none": lambda m: m | {"parts": {}},
    "a part that is none": lambda m: m | {"parts": [1, 2]},
    "a part without a size": lambda m: m | {"parts": [[HEX, None, 10, ""], [HEX, 20, 20, ""]]},
    "a part of nothing": lambda m: m | {"parts": [[HEX, 0, 0, ""], [HEX, 30, 30, ""]]},
    "a part that grew": lambda m: m | {"parts": [[HEX, 20, 10, "zstd"], [HEX, 20, 20, ""]]},
    "a part that shrank without packing": lambda m: m | {"parts": [[HEX, 5, 10, ""], [HEX, 20, 20, ""]]},
    "a packing that nobody knows": lambda m: m | {"parts": [[HEX, 5, 10, "xz"], [HEX, 20, 20, ""]]},
    "sizes that do not add up": lambda m: m | {"parts": [[HEX, 10, 10, ""], [HEX, 21, 21, ""]]},
    "more than a part can unpack to": lambda m: (
        m | {"size": 2**20, "parts": [[HEX, 31, 2**20 - 20, "zstd"], [HEX, 20, 20, ""]]}
    ),
    "a part that is too big": lambda m: m | {"size": 2**40, "parts": [[HEX, 9, 2**40 - 20, "zstd"], [HEX, 20, 20, ""]]},
}


@pytest.mark.parametrize("how", ODD)
def test_a_forged_manifest_of_chunks_is_refused(how: str) -> None:
    """What simpleml never writes is a typed error, whatever else is right."""
    reference, data = in_chunks(Chunk(HEX, 10, 10, packed=False), Chunk(HEX, 20, 20, packed=False))
    forged = ODD[how](json.loads(data))
    text = json.dumps(forged, separators=(",", ":")).encode()
    if isinstance(forged, dict) and forged.get("size") in {2**20, 2**40}:
        reference["total"] = forged["size"]
    with pytest.raises(SerializationError, match="no manifest that simpleml wrote"):
        read_chunks(reference, text)


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff\xfe", b"null", b"{", b"[" * 100_000, b'{"format":1,"format":1}', b"NaN", b'"\xc3\xbc"', b"1" * 5000],
    ids=lambda text: repr(text[:12]),
)
def test_bytes_that_are_no_manifest_are_a_typed_error(text: bytes) -> None:
    """Neither the parser's own errors nor its limits come out."""
    for layout, read in (("chunks", read_chunks), ("folder", read_tree)):
        with pytest.raises(SerializationError, match="no manifest"):
            read(_reference(layout, text, 0, 0), text)


def test_one_manifest_has_one_way_to_be_written() -> None:
    """Spaces, escapes and repeated members are refused: equal content has equal bytes."""
    reference, data = in_folder(File("a", False, 1, HEX))
    for odd in (
        data + b" ",
        data.replace(b'"a"', b'"\\u0061"'),
        data.replace(b'{"format":1', b'{"format":1,"format":1'),
    ):
        assert odd != data
        with pytest.raises(SerializationError, match="no manifest"):
            read_tree(reference, odd)


def test_a_record_that_does_not_fit_the_manifest_is_refused() -> None:
    """Another number of parts, another total, another layout or none: each is told as an edited record."""
    good, data = in_chunks(Chunk(HEX, 10, 10, packed=False))
    edits: tuple[dict[str, Any], ...] = (
        {"parts": []}, {"parts": good["parts"] * 2}, {"total": 11}, {"total": -1}, {"total": True}, {"total": "10"}, {"layout": "folder"},
        {"layout": "tar"}, {"layout": 5}, {"layout": None},
    )  # fmt: skip
    for edit in edits:
        with pytest.raises(SavePatternError, match=r"edited|no manifest"):
            parts_of({**good, **edit}, data)  # type: ignore[typeddict-item]
    for missing in ("parts", "total", "layout"):
        cut_out = {key: value for key, value in good.items() if key != missing}
        with pytest.raises(SavePatternError, match="edited"):
            parts_of(cut_out, data)  # type: ignore[arg-type]
    whole = {key: value for key, value in good.items() if key not in {"parts", "total", "layout"}}
    assert parts_of(whole, data) == []  # type: ignore[arg-type]


# packing


@pytest.mark.parametrize("size", [100, 1_000, 10 * MB])
def test_a_chunk_never_unpacks_to_another_size(size: int) -> None:
    """More than the manifest says (a bomb), less, no frame at all, and a frame that is cut off are typed errors."""
    packed = zstandard.ZstdCompressor().compress(bytes(size))
    target = memoryview(bytearray(size))
    chunks._unpack(bytearray(packed), target, "k")
    for wrong in (size - 1, size + 1, size // 2):
        with pytest.raises(ArtifactDamagedError, match="does not unpack to"):
            chunks._unpack(bytearray(packed), memoryview(bytearray(wrong)), "k")
    for broken in (b"", b"no frame", packed[:-1], packed[:5]):
        with pytest.raises(ArtifactDamagedError, match="unpack"):
            chunks._unpack(bytearray(broken), target, "k")


@pytest.mark.parametrize("size", [4096, MB, 8 * MB, 16 * MB])
@pytest.mark.parametrize("level", [1, 22])
def test_what_is_packed_best_may_be_claimed(size: int, level: int) -> None:
    """The bound on what a chunk may claim lets pass what zstd makes of nothing but zeros."""
    packed = len(zstandard.ZstdCompressor(level=level).compress(bytes(size)))
    found = read_chunks(*in_chunks(Chunk(HEX, packed, size, packed=True)))
    assert found.size == size


def test_unpacking_needs_no_more_memory_than_it_fills() -> None:
    """A frame that asks for a window of 128 MB is refused before that is allocated."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    frame = writer.compress(b"x" * 1000) + writer.flush()
    with pytest.raises(ArtifactDamagedError, match="cannot be unpacked"):
        chunks._unpack(bytearray(frame), memoryview(bytearray(1000)), "k")


# saving and loading


def test_what_did_not_change_is_stored_once(chunked: Database, tmp_path: Path) -> None:
    """Ten saves take the space of one; after a change of 1 % in one region, at most 3 % more; each version is its own."""
    data = np.random.default_rng(0).random(5_000_000)
    Box(name="m", data=data).save()
    first = stored(tmp_path / "store")
    assert data.nbytes < first < 1.002 * data.nbytes
    for _ in range(9):
        Box(name="m", data=data.copy()).save()
    assert stored(tmp_path / "store") <= 1.01 * first
    changed = data.copy()
    changed[1_000_000:1_050_000] = np.random.default_rng(1).random(50_000)
    Box(name="m", data=changed).save()
    assert stored(tmp_path / "store") - first <= 0.03 * data.nbytes
    for version, expected in ((1, data), (10, data), (11, changed)):
        loaded = Box.load(name="m", version=version)
        assert reference(loaded)["layout"] == "chunks"
        assert (loaded.data == expected).all()
        loaded.data[0] = 7.0  # memory of its own
    assert (Box.load(name="m").data == changed).all()


def test_small_artifacts_and_other_stores_stay_whole(local: Database) -> None:
    """Below 4 MiB, or where nobody asked for chunks, an artifact is one object with its own digest."""
    store = local.places.store("default")
    for wanted, size in ((True, 3 * MB), (False, 5 * MB)):
        store.chunked = wanted
        box = Box(name="b", data=bytes(noise(size)), save_patterns={"data": ["bytes"]})
        box.save()
        found = reference(box)
        assert found["size"] == size
        assert not {"layout", "parts", "total"} & found.keys()


def test_a_pattern_may_ask_for_chunks(local: Database) -> None:
    """A pattern registered with `chunked` cuts whatever the store says, and what it saved is read without it."""
    patterns.register("in_chunks", ObjectPattern("in_chunks", serializers.get("cloudpickle"), "default", chunked=True))
    try:
        value = {"weights": np.random.default_rng(1).random(1_000_000), "note": "text " * 1000}
        box = Box(name="b", data=value, save_patterns={"data": ["in_chunks"]})
        box.save()
    finally:
        patterns.drop("in_chunks")
    found = reference(box)
    assert (found["layout"], found["serializer"]) == ("chunks", "cloudpickle")
    assert found["total"] > 8 * MB > found["size"]
    loaded = Box.load(name="b").data
    assert (loaded["weights"] == value["weights"]).all()
    assert loaded["note"] == value["note"]


def test_what_shrinks_is_packed_and_what_repeats_is_kept_once(chunked: Database, tmp_path: Path) -> None:
    """Text takes a fraction of its size, and zeros next to nothing, also within one artifact that nobody saved before."""
    text = " ".join(str(number) for number in range(1_500_000))
    Box(name="text", data=text).save()
    assert stored(tmp_path / "store") < 0.6 * len(text)
    before = stored(tmp_path / "store")
    box = Box(name="zeros", data=np.zeros(5_000_000))
    box.save()
    assert stored(tmp_path / "store") - before < 100_000
    assert len(set(reference(box)["parts"])) < 10 < len(reference(box)["parts"])
    assert Box.load(name="text").data == text
    assert not Box.load(name="zeros").data.any()


@pytest.fixture
def saved(chunked: Database) -> Box:
    """A saved box in chunks."""
    box = Box(name="b", data=np.random.default_rng(2).random(1_000_000))
    box.save()
    return box


def test_a_damaged_or_missing_chunk_is_told(saved: Box, tmp_path: Path) -> None:
    """One flipped bit of one chunk, and one chunk that is gone, are the errors that whole objects give."""
    path = tmp_path / "store" / reference(saved)["parts"][3]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactDamagedError, match=path.name):
        _ = Box.load(name="b").data
    path.unlink()
    with pytest.raises(ArtifactMissingError, match=path.name):
        _ = Box.load(name="b").data


def edited(box: Box, **changes: Any) -> None:
    """Change the reference in the record, as whoever may write to the database could."""
    [(pattern, found)] = box.filepaths["data"].items()
    database = current_database()
    values = {"filepaths": {"data": {pattern: {**found, **changes}}}}
    table = database.table_of("persistable").__table__
    database.run(lambda connection: connection.execute(table.update().values(**values)).close())


def test_an_edited_record_never_gives_another_object(saved: Box) -> None:
    """Keys that were swapped, taken away, added or exchanged, another total or layout: each is a typed error."""
    parts = reference(saved)["parts"]
    for changes in (
        {"parts": [parts[1], parts[0], *parts[2:]]},
        {"parts": parts[:-1]},
        {"parts": [*parts, parts[0]]},
        {"parts": ["../../etc/passwd", *parts[1:]]},
        {"parts": []},
        {"total": 1},
        {"layout": "folder"},
        {"layout": "tar"},
        {"key": parts[0]},
    ):
        edited(saved, **changes)
        with pytest.raises((SavePatternError, ArtifactDamagedError, StoreError)):
            _ = Box.load(name="b").data
    edited(saved)
    assert Box.load(name="b").data.shape == (1_000_000,)


def test_the_whole_is_compared_besides_its_chunks(saved: Box, chunked: Database) -> None:
    """A manifest whose chunks are all right, but not those of the artifact, is found out by the digest of the whole."""
    found = reference(saved)
    store = chunked.places.store("default")
    manifest = read_chunks(found, store.read(found["key"], found["size"])[0])
    forged = write_chunks(Chunks(manifest.digest, manifest.size, manifest.parts[::-1]))
    spool = store.spool()
    spool.write(forged)
    key = chunked.places.ledger.intend(digest=spool.digest, size=spool.size, store="default").key
    digest = spool.digest
    store.put(spool, key)
    edited(saved, key=key, digest=digest, size=len(forged), parts=found["parts"][::-1])
    with pytest.raises(ArtifactDamagedError, match="together their digest is"):
        _ = Box.load(name="b").data


def test_the_trust_policy_holds_for_chunks(chunked: Database, tmp_path: Path) -> None:
    """A pickle in chunks is not read where pickles are forbidden."""
    Box(name="b", data=bytes(noise(5 * MB)), save_patterns={"data": ["pickled"]}).save()
    with (
        simpleml.orm.open_database(tmp_path / "local.db", store=tmp_path / "store", trust="safe") as database,
        pytest.raises(TrustError, match="safe"),
    ):
        assert database.settings.trust == "safe"
        _ = Box.load(name="b").data


@pytest.mark.parametrize("package", ["pyfastcdc", "zstandard"])
def test_a_missing_extra_is_told_with_its_pip_line(
    chunked: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str
) -> None:
    """Without the extra a save says what to install, and leaves nothing behind."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'simpleml\[chunks\]'"):
        Box(name="b", data=np.ones(1_000_000)).save()
    assert stored(tmp_path / "store") == 0
    assert list((tmp_path / "store" / "tmp").glob("*.part")) == []


@pytest.mark.parametrize("at", [0, 5, 30])
def test_a_failing_store_ends_the_save_at_once(
    chunked: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: int
) -> None:
    """The error of the first chunk that cannot be put comes out; no spool stays open, and hardly a chunk is tried after it."""
    puts: list[str] = []

    def put(name: str) -> None:
        if name == "put.rename.before":
            puts.append(name)
            if len(puts) > at:
                raise OSError(errno.EIO, "no more")

    monkeypatch.setattr(failpoints, "_hook", put)
    with pytest.raises(StoreError, match="no more"):
        Box(name="b", data=np.random.default_rng(3).random(5_000_000)).save()
    assert len(puts) <= at + 20
    assert list((tmp_path / "store" / "tmp").glob("*.part")) == []
    assert Box.versions("b") == []
