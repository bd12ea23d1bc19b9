"""Files that are no bundles, or no honest ones: every one is refused in our words, and nothing of it is left anywhere."""

from __future__ import annotations

import copy
import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simpleml.errors import BundleError
from simpleml.hashing.digester import digester
from simpleml.orm import Database, open_database
from simpleml.orm.bundles import Wanted, export_bundle, import_bundle
from simpleml.orm.bundles.archive import Archive
from simpleml.orm.bundles.manifest import LONGEST
from simpleml.orm.housekeeping import verify
from simpleml.orm.persistable import kinds_in
from tests.integration.kinds import Box, Pair
from tests.integration.test_bundles import is_empty, rows, save_score

Members = list[tuple[str, bytes]]


@pytest.fixture
def honest(local: Database, tmp_path: Path) -> Path:
    """A bundle of two records and two objects."""
    box = Box(name="below", data=[1, 2, 3]).save()
    Pair(name="pair", left={"a": 0.5}, source=box).save()
    export_bundle(local, [Wanted("pair")], tmp_path / "honest.zip")
    return tmp_path / "honest.zip"


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Database]:
    """An empty database to import into, in a folder with nothing else."""
    made = open_database(tmp_path / "second" / "t.db", home=tmp_path / "second")  # not the current one
    yield made
    made.close()


def members_of(path: Path) -> Members:
    """Return what is in a bundle, in order."""
    with zipfile.ZipFile(path) as file:
        return [(name, file.read(name)) for name in file.namelist()]


def packed(members: Members, *, sign: bool = True, comment: bytes | None = None, **options: Any) -> bytes:
    """Return an archive of these members, signed as ours are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as file:
        for name, data in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = file.compression
            file.writestr(info, data)
        hasher = digester()
        hasher.update(dict(members).get("manifest.json", b""))
        signed = f"blake3:{hasher.hexdigest()}".encode()
        file.comment = comment if comment is not None else signed if sign else b"blake3:" + b"0" * 64
    return buffer.getvalue()


def manifest_of(members: Members) -> Any:
    """Return the manifest as JSON."""
    return json.loads(dict(members)["manifest.json"])


def with_manifest(members: Members, manifest: Any) -> Members:
    """Return the members with another manifest."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest, separators=(",", ":")).encode()
    return [(name, text if name == "manifest.json" else data) for name, data in members]


def snapshot(folder: Path) -> set[str]:
    """Return every path in a folder but those of the databases and of the bundle under test."""
    return {str(path) for path in folder.rglob("*") if ".db" not in path.name and path.name != "hostile.zip"}


def refused(target: Database, tmp_path: Path, data: bytes, *, dry_run: bool = False) -> str:
    """Return the message with which a file is refused; it must leave nothing."""
    path = tmp_path / "hostile.zip"
    path.write_bytes(data)
    with pytest.raises(BundleError) as error:
        import_bundle(target, path, dry_run=dry_run)
    return str(error.value)


# shapes of archives


def hostile_names() -> list[str]:
    """Return names with which members try to get out, or in where they do not belong."""
    inside = "objects/" + "ab" * 32
    return [
        "../evil", "/etc/passwd", "objects/../../evil", "C:\\evil", "objects\\" + "ab" * 32, "objects/" + "AB" * 32, "objects/" + "ab" * 31, inside + "/",
        inside + "\n", "./manifest.json", "Manifest.json", "manifest.json/", "objects/", "//" + inside, inside + ".part", "objects/\u0660" + "a" * 63,
        "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 32, "~/.bashrc", "a" * 5000, "CON", "objects/..%2f..%2fevil", "", " manifest.json",
    ]  # fmt: skip


def shapes(members: Members) -> Iterator[tuple[str, bytes]]:
    """Give hostile archives around honest members, each with what it is."""
    whole = packed(members)
    for name in hostile_names():
        yield f"a member {name[:40]!r} more", packed([*members, (name, b"evil")])
        yield f"a member {name[:40]!r} instead of an object", packed([*members[:-1], (name, members[-1][1])])
    yield "an unlisted object", packed([*members, ("objects/" + "ab" * 32, b"evil")])
    for number in range(len(members)):
        yield f"without member {number}", packed(members[:number] + members[number + 1 :])
        yield f"member {number} twice", packed([*members, members[number]])
        for change in (lambda data: data[:-1], lambda data: data + b"x", lambda data: bytes([data[0] ^ 1]) + data[1:]):
            changed = [(name, change(data) if at == number else data) for at, (name, data) in enumerate(members)]
            yield f"member {number} changed", packed(changed, sign=number != 0)
    yield "compressed", packed(members, compression=zipfile.ZIP_DEFLATED)
    yield "bzip2", packed(members, compression=zipfile.ZIP_BZIP2)
    bomb = [*members[:-1], (members[-1][0], b"\0" * 50_000_000)]
    yield "a bomb", packed(bomb, compression=zipfile.ZIP_DEFLATED)
    yield "the wrong sign", packed(members, sign=False)
    yield "no sign", packed(members, comment=b"")
    yield "another comment", packed(members, comment=b"x" * 71)
    yield "empty", b""
    yield "no archive", b"this is no archive" * 100
    yield "an empty archive", packed([])
    yield "something before it", b"#!/bin/sh\n" + whole
    yield "something behind it", whole + b"\0"
    yield "two in one", whole + whole
    for cut in range(0, len(whole), max(1, len(whole) // 60)):
        yield f"cut after {cut}", whole[:cut]
    yield from links(members)
    yield from edits(whole)


def links(members: Members) -> Iterator[tuple[str, bytes]]:
    """Give archives with members that are links, devices, folders or encrypted."""
    for kind in (stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK):
        data = bytearray(packed(members))
        at = data.rindex(b"PK\1\2")
        struct.pack_into("<I", data, at + 38, (kind | 0o777) << 16)
        yield f"a member of the kind {kind:o}", bytes(data)
    for flags in (1, 8, 0x800, 0x2000):
        data = bytearray(packed(members))
        for sign, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
            struct.pack_into("<H", data, data.rindex(sign) + place, flags)
        yield f"a member with the flags {flags:x}", bytes(data)


def edits(whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Give archives whose sizes, offsets, counts and names were changed, in one header or the other."""
    central, local, end = whole.rindex(b"PK\1\2"), whole.index(b"PK\3\4"), len(whole) - 71 - 22
    places = [(central + at, 4) for at in (20, 24, 42)] + [(central + at, 2) for at in (10, 28, 30, 32, 34)]
    places += [(local + at, 4) for at in (18, 22)] + [(local + at, 2) for at in (8, 26, 28)]
    places += [(end + at, 2) for at in (4, 6, 8, 10, 20)] + [(end + at, 4) for at in (12, 16)]
    for at, width in places:
        top = 2 ** (8 * width) - 1
        found = int.from_bytes(whole[at : at + width], "little")
        for value in {0, 1, found + 1, max(found - 1, 0), top - 1, top} - {found}:
            changed = whole[:at] + (value & top).to_bytes(width, "little") + whole[at + width :]
            yield f"{value} at {at}", changed


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_of_another_shape_are_refused(target: Database, tmp_path: Path, honest: Path) -> None:
    """Hundreds of hostile archives: none gets a record, a row, an object or any other file in, here or elsewhere."""
    before = snapshot(tmp_path)
    count = 0
    for what, data in shapes(members_of(honest)):
        told = refused(target, tmp_path, data)
        assert "Nothing was imported" in told, what
        assert len(told) < 1000, what
        count += 1
    assert count > 200
    assert snapshot(tmp_path) == before
    assert is_empty(target, tmp_path / "second")
    import_bundle(target, honest)
    assert len(rows(target)) == 2


def test_every_single_bit_counts(target: Database, tmp_path: Path, honest: Path) -> None:
    """A bundle with one bit flipped anywhere is refused, or is one that says nothing else (a time, a right, a checksum)."""
    whole = honest.read_bytes()
    chance = random.Random(7)
    with Archive(honest) as opened:
        meant = opened.digest
    for place in chance.sample(range(len(whole)), 250):
        data = bytearray(whole)
        data[place] ^= 1 << chance.randrange(8)
        path = tmp_path / "hostile.zip"
        path.write_bytes(data)
        try:
            assert import_bundle(target, path, dry_run=True).digest == meant
        except BundleError:
            continue
    assert is_empty(target, tmp_path / "second")


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "zero"])
def test_what_is_no_file_is_refused(target: Database, tmp_path: Path, kind: str) -> None:
    """A path of nothing, of a folder, of a pipe that nobody writes, or of a device is told, at once."""
    import os

    path = {"zero": Path("/dev/zero")}.get(kind, tmp_path / kind)
    if kind == "folder":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(BundleError, match=str(path)):
        import_bundle(target, path)


def test_a_big_archive_is_read_as_its_wide_fields_say(
    target: Database, tmp_path: Path, honest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fields for sizes and counts beyond 4 GB are read, here made by a low limit; each edit of one is refused."""
    members = members_of(honest)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 20)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    whole = packed(members)
    monkeypatch.undo()
    assert whole.count(b"PK\6\6") == whole.count(b"PK\6\7") == 1
    for sign, places in ((b"PK\6\6", range(4, 56)), (b"PK\6\7", range(4, 20))):
        at = whole.index(sign)
        for place in places:
            if sign == b"PK\6\6" and 12 <= place < 16:
                continue  # the versions that made and can read it
            changed = bytearray(whole)
            changed[at + place] ^= 0x41
            assert "Nothing was imported" in refused(target, tmp_path, bytes(changed)), place
    (tmp_path / "wide.zip").write_bytes(whole)
    assert len(import_bundle(target, tmp_path / "wide.zip").records) == 2


# manifests that are signed again after they were edited


def spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every value in a JSON structure."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from spots(item, (*path, key))


def edited(manifest: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """Return a copy of a manifest in which `change` was done to the container and key at `path`."""
    made = copy.deepcopy(manifest)
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    change(inside, path[-1])
    return made


JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, 10**40, 1.5, "", "x", "x" * 300, "../../etc/passwd", "\0", "\ud800", [], [None], {}, {"a": 1},
    {"__simpleml__": "UUID", "value": "x"}, {"__simpleml__": "nonsense", "value": []}, {"__simpleml__": "tuple", "value": [1]},
    {"__simpleml__": "str", "value": "\\0000"}, {"__simpleml__": "float", "value": "nan"}, {"__simpleml__": "bytes", "value": "!"},
    {"__simpleml__": "dataclass", "value": {"class": "os:system", "state": {}}},
)  # fmt: skip


def _replaced(junk: Any, inside: Any, key: Any) -> None:
    inside[key] = junk


def _removed(inside: Any, key: Any) -> None:
    del inside[key]


def _doubled(inside: Any, key: Any) -> None:
    if isinstance(inside, list):
        inside.append(inside[key])
    else:
        inside["more"] = inside[key]


def test_edited_manifests_are_refused_or_whole(tmp_path: Path, local: Database) -> None:
    """Each value of a manifest replaced by junk, removed or doubled, and signed again: refused in our words, or it is another whole bundle."""
    save_score()
    export_bundle(local, [Wanted("score")], tmp_path / "honest.zip")
    members = members_of(tmp_path / "honest.zip")
    manifest = manifest_of(members)
    chance = random.Random(11)
    refusals = taken = 0
    with open_database(tmp_path / "second" / "t.db", home=tmp_path / "second", grace=0) as target:
        for path in spots(manifest):
            changes = (partial(_replaced, chance.choice(JUNK)), chance.choice((_removed, _doubled)))
            for change in changes:
                data = packed(with_manifest(members, edited(manifest, path, change)))
                (tmp_path / "hostile.zip").write_bytes(data)
                try:
                    result = import_bundle(target, tmp_path / "hostile.zip", dry_run=True)
                except BundleError as error:
                    assert "Nothing was imported" in str(error) or "circle" in str(error)  # noqa: PT017
                    refusals += 1
                    continue
                taken += 1
                if taken % 8 == 0:
                    assert len(import_bundle(target, tmp_path / "hostile.zip").records) == len(result.records)
                    assert verify(target, everything=True).findings == ()
                    clear(target)
    target.close()
    assert refusals > 300
    assert 0 < taken < refusals / 2


def clear(database: Database) -> None:
    """Delete every record, the children first."""
    with database:
        for kind in ("metric", "model", "dataset", "pipeline", "dataset", "persistable"):
            for row in database.select(kind, {}, order_by=("-created_timestamp", "-name")):
                if kind != "dataset" or not database.count("pipeline", {"dataset_id": row["id"]}):
                    database.delete(kind, row["id"])
        assert sum(database.count(kind, {}) for kind in database.run(kinds_in, read=True)) == 0


def record(manifest: Any, place: int = -1) -> Any:
    """Return a record of a manifest, the asked one last."""
    return manifest["records"][place]


def reference(manifest: Any) -> Any:
    """Return the first reference of the last record."""
    [patterns] = record(manifest)["row"]["filepaths"].values()
    [found] = patterns.values()
    return found


def _kind(manifest: Any) -> None:
    record(manifest)["kind"] = "gizmo"


def _column(manifest: Any) -> None:
    record(manifest)["row"]["owner"] = "me"


def _orphan(manifest: Any) -> None:
    del manifest["records"][0]


def _circle(manifest: Any) -> None:
    below = manifest["records"][0]
    below["edges"] = {"source": ["persistable", record(manifest)["row"]["id"]["value"]]}


def _same_version(manifest: Any) -> None:
    manifest["records"][0]["row"]["name"] = record(manifest)["row"]["name"]


def _other_object(manifest: Any) -> None:
    found = reference(manifest)
    found["key"] = next(f"objects/{name}" for name in manifest["objects"] if not found["key"].endswith(name))


def _stored_key(manifest: Any) -> None:
    reference(manifest)["key"] = "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 32


def _foreign_part(manifest: Any) -> None:
    reference(manifest)["parts"] = ["objects/" + "0" * 64]


def _extra_field(manifest: Any) -> None:
    reference(manifest)["path"] = "/etc/passwd"


def _details(manifest: Any) -> None:
    reference(manifest)["details"] = {"x": {"__simpleml__": "tuple", "value": [1]}}


def _size(manifest: Any) -> None:
    reference(manifest)["size"] += 1


def _unused(manifest: Any) -> None:
    record(manifest)["row"]["filepaths"] = {}
    record(manifest)["row"]["has_external_files"] = False


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_kind, "its kind 'gizmo' is not known here.*--import"),
        (_column, "the columns .*owner"),
        (_orphan, "which is not in the bundle|what was asked for"),
        (_circle, "goes round in a circle"),
        (_same_version, "two of this version"),
        (_other_object, "does not say which object"),
        (_stored_key, "does not say which object"),
        (_foreign_part, "not in the bundle"),
        (_extra_field, "has the fields .*path"),
        (_details, "is no JSON"),
        (_size, "a size that is not the object's"),
        (_unused, "none of its records refers to"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_wrong_with_a_manifest_is_told(
    target: Database, tmp_path: Path, honest: Path, change: Callable[[Any], None], told: str
) -> None:
    """Kinds, columns, lineage, versions and references that do not fit are refused by name."""
    import re

    members = members_of(honest)
    manifest = manifest_of(members)
    change(manifest)
    message = refused(target, tmp_path, packed(with_manifest(members, manifest)))
    assert re.search(told, message), message
    assert is_empty(target, tmp_path / "second")


@pytest.mark.parametrize(
    "text",
    [
        b"", b"null", b"[]", b"{}", b'{"simpleml_bundle":2}', b'{"simpleml_bundle":1}', b'{"simpleml_bundle":1,"simpleml_bundle":1}', b"NaN",
        b'{"simpleml_bundle":NaN}', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"[]," * 3_000_000, b" " * (LONGEST + 1), b"1" * 5000,
        b'{"simpleml_bundle":1,"wanted":[],"objects":{},"records":[]}',
    ],
    ids=lambda text: f"{text[:24]!r}-{len(text)}",
)  # fmt: skip
def test_texts_that_are_no_manifest_are_refused(target: Database, tmp_path: Path, honest: Path, text: bytes) -> None:
    """Empty, foreign, deep, huge and doubled JSON is refused before much is made of it."""
    assert "Nothing was imported" in refused(target, tmp_path, packed(with_manifest(members_of(honest), text)))


def test_a_wrong_object_leaves_nothing_although_others_are_right(
    target: Database, tmp_path: Path, honest: Path
) -> None:
    """Every object is compared before the first is stored: one bad one at the end leaves no row and no file."""
    members = members_of(honest)
    name, data = members[-1]
    told = refused(target, tmp_path, packed([*members[:-1], (name, data[:-1] + b"?")]))
    assert "is damaged" in told
    assert is_empty(target, tmp_path / "second")
