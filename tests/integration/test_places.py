"""The whole library on every place that artifacts can be kept in: the same guarantees everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from simpleml import Folder
from simpleml.errors import (
    ArtifactDamagedError,
    ArtifactLoadError,
    ArtifactMissingError,
    ImmutableVersionError,
    StoreUnreachableError,
    TrustError,
)
from simpleml.hashing import hash_value
from simpleml.orm import Database
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.locations.database import DatabaseStore
from simpleml.orm.tables import Blob
from simpleml.save_patterns.locations.local import LocalStore
from simpleml.save_patterns.locations.remote import RemoteStore
from simpleml.save_patterns.locations.spool import Spool
from tests.backends.proxy import FaultyPlace
from tests.integration.kinds import Box
from tests.integration.sites import FAR, Site, dumped, expire, machine, secrets_of
from tests.training import training

SITES = ("local", "memory", "s3", "azure", "sftp", "sqlite", "postgresql", "mariadb")
TABLES = SITES[-3:]


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, new_place: Callable[..., Any], new_database: Callable[[str], str]) -> Site:
    """A fresh database on SQLite with a fresh place of each kind; and one database of each kind that is the place itself."""
    if request.param in TABLES:
        return Site("database", new_database(request.param))
    return Site(request.param, new_database("sqlite"), new_place(request.param))


@pytest.fixture
def database(site: Site, tmp_path: Path) -> Database:
    """The site as the machine `here` sees it, where leases last no time at all."""
    return site.connect(tmp_path / "here", grace=0)


def box(site: Site, value: object, format_: str = "pickled", name: str = "x", *others: str) -> Box:
    """Return a saved box whose value the place of this site keeps, and other stores after it."""
    return Box(name=name, data=value, save_patterns={"data": [site.pattern(format_), *others]}).save()


def keys(of: Box) -> set[str]:
    """Return the keys of all objects that a saved box refers to."""
    found = [reference for patterns in of.filepaths.values() for reference in patterns.values()]
    return {key for reference in found for key in (reference["key"], *reference.get("parts", []))}


def frame() -> pd.DataFrame:
    """Return a small frame of several types."""
    return pd.DataFrame({"a": [1, 2, 3], "b": [0.5, float("nan"), -1.0], "c": ["x", "ü", ""]})


def make_folder(where: Path) -> Folder:
    """Return a folder with a big file, a small one, and the small one again."""
    (where / "deep").mkdir(parents=True)
    (where / "big.bin").write_bytes(np.random.default_rng(1).bytes(300_000))
    (where / "small.txt").write_text("small")
    (where / "deep" / "again.txt").write_text("small")
    return Folder(where)


def numbers(seed: int = 0, megabytes: int = 5) -> np.ndarray[Any, Any]:
    """Return so many megabytes of numbers that do not shrink."""
    return np.random.default_rng(seed).random(megabytes * 125_000)


def test_an_array_that_another_thread_changes_is_saved_whole(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training may go on while an array, in whatever format, is saved: what comes back is whole, whichever moments it shows."""
    values, copied = np.zeros(2_500_000), []
    own = Spool.own
    monkeypatch.setattr(Spool, "own", lambda spool: copied.append(own(spool)) or copied[-1])

    with training(values):
        saved = [box(site, values, format_, format_) for format_ in ("numpy", "pickled")]
        saved.append(box(site, {"weights": values}, "safetensors", "safetensors"))
    for each in saved:
        found = Box.load(each.name).data
        found = found["weights"] if isinstance(found, dict) else found
        assert found.shape == values.shape
        assert 0 <= found.min() <= found.max() <= values[0]
    assert copied == ([] if site.place is None or site.kind == "local" else [True] * 3)
    assert verify(database, everything=True).findings == ()


def test_an_array_that_changes_once_it_is_stored_is_what_it_was(
    site: Site, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What changes between the last byte on its way and the commit changes nothing of what was saved, nor of what is told of it."""
    values = np.zeros(2_500_000)
    for kind in (RemoteStore, LocalStore, DatabaseStore):

        def put(store: Any, spool: Spool, key: str, real: Any = kind.put) -> None:
            real(store, spool, key)
            values[:] += 1

        monkeypatch.setattr(kind, "put", put)
    box(site, values, "numpy")
    assert values[0] == 1
    assert Box.load("x").data.max() == 0
    assert verify(database, everything=True).findings == ()


# another machine


def test_another_machine_loads_by_name_and_version_and_needs_no_place_again(
    site: Site, database: Database, tmp_path: Path
) -> None:
    """With nothing but settings and an empty home another process loads what was saved; what it read once it has for good.

    From then on a far place may be out of reach, and the network away; with `mmap` the pages are those of a file.
    """
    saved = [box(site, {"number": number, 2: {number}}, name="values") for number in range(3)]
    saved += [box(site, numbers(), "numpy", "array"), box(site, frame(), "parquet", "frame")]
    saved.append(box(site, make_folder(tmp_path / "folder"), "folder", "folder"))
    if site.place is None:
        saved.append(box(site, frame(), "table", "table"))
    chunked = site.but(chunked=True)
    chunked.connect(tmp_path / "here", grace=0)
    saved.append(box(chunked, numbers(1), "numpy", "chunked"))
    wanted = [[each.name, each.version, each.hash_, hash_value(each.data), type(each.data).__name__] for each in saved]

    home, asked = tmp_path / "there", [(each.name, each.version, False) for each in saved]
    if site.kind == "memory":  # nobody else can see it
        assert read_here(site, home, asked) == wanted
    else:
        *found, latest, array = machine(
            home, chunked.settings(), *asked, ("values", None, False), ("array", None, True)
        )
        assert [each[:-1] for each in found] == wanted
        assert latest[:3] == ["values", 3, saved[2].hash_]
        folder = str(tmp_path if site.kind == "local" else home)
        assert any(path.startswith(folder) for path in array[-1])
    if site.kind in {"s3", "azure", "sftp"}:
        assert read_here(site.dead(), home / ".simpleml", asked) == wanted
    elif site.far:  # its place is where the records are
        database.run(lambda connection: connection.execute(sa.text("DELETE FROM blob_chunks")).close())
        assert read_here(site, home / ".simpleml", asked) == wanted
    assert read_here(site, home / ".simpleml", asked, offline=True) == wanted


def read_here(site: Site, home: Path, asked: list[tuple[str, Any, bool]], **arguments: Any) -> list[list[Any]]:
    """Load each, as a machine with this home, and return what `second_machine` would tell."""
    site.connect(home, **arguments)
    found = [Box.load(name=name, version=version) for name, version, _ in asked]
    return [[each.name, each.version, each.hash_, hash_value(each.data), type(each.data).__name__] for each in found]


@pytest.mark.parametrize("chunked", [False, True])
def test_the_second_load_asks_the_server_for_nothing(
    chunked: bool, faulty_s3: FaultyPlace, tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    """A load in an empty home makes requests for the bytes; the second, the mapped one and that of equal bytes make none."""
    site = Site("s3", new_database("sqlite"), faulty_s3.place, {"chunked": chunked})
    site.connect(tmp_path / "here")
    box(site, numbers(), "numpy")
    box(site, numbers(), "numpy", "equal")
    counts = faulty_s3.proxy.counts
    seen = [counts["requests"]]
    for name, mmap in (("x", False), ("x", False), ("equal", False), ("x", True)):
        site.connect(tmp_path / "there")
        assert np.array_equal(Box.load(name=name, mmap=mmap).data, numbers())
        seen.append(counts["requests"])
    assert seen[1] > seen[0]
    assert seen[2:] == [seen[1]] * 3


# what is stored


def test_versions_are_immutable_and_equal_bytes_are_stored_once(site: Site, database: Database) -> None:
    """Changed content is refused and becomes a version of its own; the same bytes, and inherited ones, take no place."""
    first = box(site, numbers(megabytes=1), "numpy")
    stored = site.objects(database)
    assert keys(first) <= stored
    other = box(site, numbers(megabytes=1), "numpy", "other")
    inherited = first.new_version()
    inherited.config["changed"] = True
    inherited.save()
    loaded = Box.load(name="x", version=1).new_version()  # whose array nobody reads
    loaded.config["changed"] = "again"
    loaded.save()
    assert (inherited.version, loaded.version) == (2, 3)
    assert keys(other) == keys(inherited) == keys(loaded) == keys(first)
    assert site.objects(database) == stored
    first.data = numbers(1, megabytes=1)
    with pytest.raises(ImmutableVersionError, match=r"new_version\(\)"):
        first.save()
    assert site.objects(database) == stored
    assert np.array_equal(Box.load(name="x", version=1).data, numbers(megabytes=1))


def test_deleting_and_collecting_frees_the_place(site: Site, database: Database, tmp_path: Path) -> None:
    """After the last record is deleted nothing is left of it in the place, and what others refer to is untouched."""
    chunked = site.but(chunked=True)
    before = site.objects(database)
    kept = box(site, {"kept": 1})
    shared = [box(site, numbers(megabytes=1), "numpy", name) for name in ("one", "two")]
    gone = [box(site, make_folder(tmp_path / "folder"), "folder"), box(site, ["gone"])]
    if site.place is None:
        gone.append(box(site, frame(), "table"))
    database = chunked.connect(tmp_path / "here", grace=0)
    gone.append(box(chunked, numbers(), "numpy"))
    for each in (*gone, shared[0]):
        Box.load(id=each.id).delete()
    expire(database)
    collected = collect(database, leftovers_after=-1)
    assert set(collected.keys) == {key for each in gone for key in keys(each)}
    assert site.objects(database) == before | keys(kept) | keys(shared[1])
    assert np.array_equal(Box.load(name="two").data, numbers(megabytes=1))
    for each in (shared[1], kept):
        Box.load(id=each.id).delete()
    expire(database)
    assert collect(database, leftovers_after=-1).removed == 2
    assert site.objects(database) == before
    assert database.run(lambda connection: connection.execute(sa.select(Blob.key)).all(), read=True) == []


def test_what_changed_little_takes_little_place(site: Site, tmp_path: Path) -> None:
    """In chunks, a version of which one number changed adds a few objects, and both come back in an empty home."""
    site = site.but(chunked=True)
    database = site.connect(tmp_path / "here")
    first, second = numbers(), numbers()
    second[300_000] = 7
    one, two = box(site, first, "numpy"), box(site, second, "numpy")
    [reference] = one.filepaths["data"].values()
    assert reference["layout"] == "chunks"
    assert len(reference["parts"]) > 20
    assert len(keys(two) - keys(one)) <= 4
    assert site.objects(database) >= keys(one) | keys(two)
    site.connect(tmp_path / "there")
    for version, value in ((1, first), (2, second)):
        assert np.array_equal(Box.load(name="x", version=version).data, value)
        assert np.array_equal(Box.load(name="x", version=version, mmap=True).data, value)


@pytest.mark.parametrize("site", TABLES, indirect=True)
def test_a_table_is_an_artifact_as_any_other(site: Site, database: Database, tmp_path: Path) -> None:
    """Equal frames are one table, which anyone can select from and which goes with its last record; changed rows are found."""
    first, second = (box(site, frame(), "table", name) for name in ("one", "two"))
    assert keys(first) == keys(second)
    [table] = (name for name in site.objects(database) if name.startswith("sml_"))
    schemas = (
        sa.inspect(database.engine).get_schema_names() if database.url.get_backend_name() == "postgresql" else [None]
    )
    look = sa.inspect(database.engine)
    [schema] = (schema for schema in schemas if look.has_table(table, schema=schema))
    held = sa.Table(table, sa.MetaData(), autoload_with=database.engine, schema=schema)
    with database.engine.begin() as connection:
        assert connection.execute(sa.select(held.c.a, held.c.c).order_by(held.c.a)).all() == [
            (1, "x"),
            (2, "ü"),
            (3, ""),
        ]
    site.connect(tmp_path / "there", grace=0)
    pd.testing.assert_frame_equal(Box.load(name="one").data, frame())
    database = site.connect(tmp_path / "here", grace=0)
    assert verify(database, everything=True).findings == ()
    with database.engine.begin() as connection:
        connection.execute(sa.update(held).where(held.c.a == 2).values(a=5))
    findings = verify(database, everything=True).findings
    assert {(each.problem, each.key) for each in findings} == {("damaged", key) for key in keys(first)}
    for name in ("one", "two"):
        Box.load(name=name).delete()
    expire(database)
    collect(database, leftovers_after=-1)
    assert site.objects(database) == set()


# what goes wrong


def test_another_pattern_helps_when_the_first_place_is_gone(site: Site, database: Database, tmp_path: Path) -> None:
    """Where the object, or the whole place, is away, the next pattern is read; if that is away too, every cause is told."""
    saved = box(site, {"a": [1, 2]}, "pickled", "x", "pickled")
    for key in keys(saved) & site.objects(database):
        site.remove(database, key)
    store = tmp_path / "here" / "store"
    shutil.copytree(store, tmp_path / "there" / "store")
    site.connect(tmp_path / "there")
    assert Box.load(name="x").data == {"a": [1, 2]}
    shutil.copytree(store, tmp_path / "third" / "store")
    if site.place is not None and site.kind != "memory":
        site.dead().connect(tmp_path / "third")
        assert Box.load(name="x").data == {"a": [1, 2]}
    site.connect(tmp_path / "fourth")
    with pytest.raises(ArtifactLoadError) as caught:
        _ = Box.load(name="x").data
    assert set(caught.value.causes) == {site.pattern("pickled"), "pickled"}
    assert all(isinstance(each, ArtifactMissingError) for each in caught.value.causes.values())


def test_verifying_finds_a_flipped_bit_and_a_missing_object(site: Site, database: Database, tmp_path: Path) -> None:
    """`verify --all` reads the place, not the cache; what it finds is not loaded elsewhere, nor reused by the next save."""
    values = {name: {name: list(range(100))} for name in ("whole", "flipped", "missing")}
    saved = {name: box(site, value, name=name) for name, value in values.items()}
    folder = box(site, make_folder(tmp_path / "folder"), "folder", "folder")
    [reference] = folder.filepaths["data"].values()
    assert verify(database, everything=True).findings == ()
    [flipped], [missing] = keys(saved["flipped"]), keys(saved["missing"])
    site.flip(database, flipped)
    site.remove(database, missing)
    site.flip(database, reference["parts"][0])
    found = {
        (each.problem, each.record, each.key) for each in verify(database, everything=True).findings if each.record
    }
    assert found == {
        ("damaged", "persistable 'flipped' version 1", flipped),
        ("missing", "persistable 'missing' version 1", missing),
        ("damaged", "persistable 'folder' version 1", reference["parts"][0]),
    }
    site.connect(tmp_path / "there", grace=0)
    assert Box.load(name="whole").data == values["whole"]
    for name, error in (("flipped", ArtifactDamagedError), ("missing", ArtifactMissingError)):
        with pytest.raises(error):
            _ = Box.load(name=name).data
    again = box(site, values["flipped"], name="flipped")
    assert keys(again) != {flipped}
    site.connect(tmp_path / "third")
    assert Box.load(name="flipped").data == values["flipped"]


@pytest.mark.parametrize("format_", ["pickled", "numpy", "folder"])
def test_what_this_process_found_damaged_is_not_shared(
    site: Site, database: Database, tmp_path: Path, format_: str
) -> None:
    """Saving a value again, which is the natural answer to the error, stores its damaged bytes anew, in one piece or in parts."""
    site = site.but(chunked=format_ == "numpy")
    site.connect(tmp_path / "here", grace=0)
    value = {"pickled": lambda: {"a": 1}, "numpy": numbers, "folder": lambda: make_folder(tmp_path / "folder")}[
        format_
    ]()
    [reference] = box(site, value, format_).filepaths["data"].values()
    flipped = reference.get("parts", [reference["key"]])[0]
    site.flip(database, flipped)
    site.connect(tmp_path / "there", grace=0)
    assert flipped in keys(box(site, value, format_))  # as nobody looked, it is believed
    with pytest.raises(ArtifactDamagedError, match=r"save the value again .* this process then stores its bytes anew"):
        _ = Box.load(name="x", version=1).data
    again = box(site, value, format_)
    assert flipped not in keys(again)
    site.connect(tmp_path / "third", grace=0)
    assert hash_value(Box.load(name="x").data) == again.metadata_["artifacts"]["data"]["hash"]
    assert flipped not in keys(box(site, value, format_))  # which every process knows by now


def test_records_tell_nothing_of_where_the_place_is(site: Site, database: Database, tmp_path: Path) -> None:
    """No credential, server, bucket or folder is in any row of the database; the same search finds one that is put there."""
    box(site, numbers(), "numpy")
    box(site, make_folder(tmp_path / "folder"), "folder")
    if site.place is None:
        box(site, frame(), "table")
    secrets = secrets_of(site) | {str(tmp_path / "here")}
    text = dumped(database)
    assert "cloud_numpy" in text or "database_numpy" in text
    assert [secret for secret in secrets if secret in text] == []
    for secret in secrets:
        Box(name="canary", data=1, config={"canary": secret}).save()
    text = dumped(database)
    assert [secret for secret in secrets if secret.split("\\")[0] not in text] == []


def test_a_store_that_nobody_trusts_gives_no_pickles(site: Site, database: Database, tmp_path: Path) -> None:
    """The same bytes that a trusted store may hand over are refused from this one, also once they are in the cache."""
    box(site, {1, 2}, "pickled", "code")
    box(site, [1, 2], "json", "text")
    for trusted in (("default", "disk"), (site.store,), ("default", "disk")):
        site.connect(tmp_path / "there", trusted_stores=trusted)
        assert Box.load(name="text").data == [1, 2]
        if site.store in trusted:
            assert Box.load(name="code").data == {1, 2}
            continue
        with pytest.raises(TrustError, match=f"the store '{site.store}' is not trusted.*trusted_stores"):
            _ = Box.load(name="code").data


@pytest.mark.parametrize("site", FAR, indirect=True)
def test_a_place_that_comes_back_is_used_as_if_nothing_had_been(site: Site, database: Database, tmp_path: Path) -> None:
    """A save while the place is away is an error that names the store and saves nothing; the next is version 1, and whole."""
    site.dead().connect(tmp_path / "here")
    made = Box(name="x", data=numbers(megabytes=1), save_patterns={"data": site.pattern("numpy")})
    with pytest.raises(StoreUnreachableError, match=r"\[stores\.cloud\].*retries_for"):
        made.save()
    assert (made.version, Box.versions("x")) == (None, [])
    database = site.connect(tmp_path / "here", grace=0)
    assert made.save().version == 1
    expire(database)
    collect(database, leftovers_after=-1)
    assert site.objects(database) == keys(made)
