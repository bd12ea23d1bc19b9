"""What users get wrong about places: each is an error that teaches, nothing is lost by it, and the next save works."""

from __future__ import annotations

import datetime as dt
import logging
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import numpy as np
import pytest

import simpleml
from simpleml.errors import (
    ArtifactLoadError,
    ConfigurationError,
    MissingDependencyError,
    StoreCredentialsError,
    StoreFullError,
    StoreReadOnlyError,
    StoreUnreachableError,
    UnknownStoreError,
)
from simpleml.orm.housekeeping import collect, verify
from tests.backends.places import Place
from tests.faults.stages import on_stage
from tests.integration.kinds import Box
from tests.integration.sites import FAR, ROOT, Site, allow_writing, expire

BIG = np.random.default_rng(0).random(500_000)
"""4 MB of numbers, which go far away from where they are."""

LONG = "text" * 500_000
"""2 MB of text, which need a temporary file."""


@pytest.fixture(params=FAR)
def site(request: pytest.FixtureRequest, new_place: Callable[..., Any], new_database: Callable[[str], str]) -> Site:
    """A fresh database on SQLite and a fresh place on each kind of server, which holds a box named `kept`."""
    return Site(request.param, new_database("sqlite"), new_place(request.param))


@pytest.fixture
def sftp(new_place: Callable[..., Any], new_database: Callable[[str], str]) -> Site:
    """The same on SFTP alone."""
    return Site("sftp", new_database("sqlite"), new_place("sftp"))


def box(name: str, value: object = (1, 2)) -> Box:
    """Return a box that the store `cloud` is to keep."""
    return Box(name=name, data=value, save_patterns={"data": "cloud_pickled"})


def refused(site: Site, tmp_path: Path, wrong: Site, error: type[Exception], words: str, *, loads: bool = False) -> str:
    """Save to a place that is wrong, and then right; return what was told of the first."""
    site.connect(tmp_path / "home")
    box("kept").save()
    wrong.connect(tmp_path / "wrong")
    made = box("x", BIG)
    with pytest.raises(error, match=words) as caught:
        made.save()
    assert (made.version, made.is_saved, Box.versions("kept")) == (None, False, [1])
    assert simpleml.orm.current().count("persistable", {"name": "x"}) == 0
    if loads:
        assert Box.load(name="kept").data == (1, 2)
    else:
        with pytest.raises((error, ArtifactLoadError, FileNotFoundError)):
            _ = Box.load(name="kept").data
    database = site.connect(tmp_path / "home", grace=0)
    assert made.save().version == 1
    expire(database)
    collect(database, leftovers_after=-1)
    assert verify(database, everything=True).findings == ()
    assert len(site.objects(database)) == 2
    site.connect(tmp_path / "other")
    assert np.array_equal(Box.load(name="x").data, BIG)
    return str(caught.value)


def test_a_bucket_that_is_not_there(site: Site, tmp_path: Path) -> None:
    """The message says what is not there, to make it, and where in the settings the store is."""
    assert site.place is not None
    url = site.place.url.replace("://simpleml-", "://no-such-")
    noun = {"s3": "bucket", "azure": "container", "sftp": "folder"}[site.kind]
    if site.kind == "sftp":
        url = f"{site.place.url}/no/such"
    wrong = replace(site, place=replace(site.place, url=url))
    refused(
        site, tmp_path, wrong, StoreUnreachableError, rf"no such {noun}: make it.*\[stores\.cloud\] in simpleml\.toml"
    )


def test_wrong_credentials(site: Site, tmp_path: Path) -> None:
    """The message says that nobody is let in, where credentials are given, and shows neither the right nor the wrong ones."""
    assert site.place is not None
    place = site.place
    right = {name: str(value) for name, value in place.options.items()}
    if site.kind == "s3":
        wrong = place.but(secret="guessed-secret")
    elif site.kind == "azure":
        key = "Z3Vlc3NlZC1zZWNyZXQ="
        wrong = place.but(
            account_key=key, connection_string=right["connection_string"].replace(right["account_key"], key)
        )
    else:
        (tmp_path / "guessed").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
        (tmp_path / "guessed").chmod(0o600)
        wrong = place.but(client_keys=[str(tmp_path / "guessed")])
    said = refused(
        site, tmp_path, replace(site, place=wrong), StoreCredentialsError, r"Give credentials.*\[stores\.cloud\]"
    )
    secrets = {
        "guessed-secret",
        "Z3Vlc3NlZC1zZWNyZXQ=",
        right.get("secret", "guessed"),
        right.get("account_key", "guessed"),
    }
    assert not any(secret in said for secret in secrets)


@pytest.mark.parametrize("option", ["client_keys", "known_hosts", "config"])
def test_a_file_for_logging_in_that_is_not_there(option: str, sftp: Site, tmp_path: Path) -> None:
    """On SFTP: it is named, and what it opens the way to is not taken for missing: nothing is distrusted, nor collected."""
    assert sftp.place is not None
    lost = str(tmp_path / "lost")
    wrong = replace(sftp, place=sftp.place.but(**{option: lost if option == "known_hosts" else [lost]}))
    said = refused(
        sftp, tmp_path, wrong, StoreCredentialsError, "cannot be read: No such file.*client_keys, known_hosts"
    )
    assert repr(lost) in said
    Box.load(name="x").delete()
    expire(database := wrong.connect(tmp_path / "wrong", grace=0))
    assert (collect(database).removed, collect(database).unreachable) == (0, ("cloud",))
    assert {finding.problem for finding in verify(database, everything=True).findings} == {"unreadable"}
    database = sftp.connect(tmp_path / "home", grace=0)
    assert (collect(database).removed, verify(database, everything=True).findings) == (1, ())


def test_a_folder_that_may_not_be_written(sftp: Site, tmp_path: Path) -> None:
    """On SFTP: what is there is loaded, nothing is added, and the message says what right is missing."""
    assert sftp.place is not None
    sftp.connect(tmp_path / "first")
    box("before").save()
    folders = ("", "tmp")
    sftp.connect(tmp_path / "home", grace=0)
    for folder in folders:
        allow_writing(sftp.place, folder, 0o500)
    made = box("x", BIG)
    with pytest.raises(StoreReadOnlyError, match=r"right to write there, or name another place in \[stores\.cloud\]"):
        made.save()
    assert made.version is None
    assert Box.load(name="before").data == (1, 2)
    for folder in folders:
        allow_writing(sftp.place, folder, 0o700)
    assert made.save().version == 1
    database = simpleml.orm.current()
    expire(database)
    collect(database, leftovers_after=-1)
    assert len(sftp.objects(database)) == 2


@pytest.mark.parametrize("site", ["azure"], indirect=True)
def test_a_container_that_may_only_be_read(site: Site, tmp_path: Path) -> None:
    """On Azure, with a signature that allows reading alone, loading works and saving is told to need the right to write."""
    from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

    assert site.place is not None
    options = dict(site.place.options)
    words = dict(word.split("=", 1) for word in options["connection_string"].strip(";").split(";"))
    token = generate_account_sas(
        options["account_name"],
        options["account_key"],
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, list=True),
        expiry=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1),
    )
    text = f"BlobEndpoint={words['BlobEndpoint']};SharedAccessSignature={token}"
    reading = Place("azure", site.place.url, {"account_name": options["account_name"], "connection_string": text})
    wrong = replace(site, place=reading)
    said = refused(site, tmp_path, wrong, StoreReadOnlyError, r"right to write there.*\[stores\.cloud\]", loads=True)
    assert token not in said


def test_a_store_that_this_machine_does_not_know(sftp: Site, tmp_path: Path) -> None:
    """Saving to it and loading from it name the settings key to add; a save to another store works meanwhile."""
    sftp.connect(tmp_path / "home")
    box("kept").save()
    simpleml.disconnect()
    simpleml.connect(sftp.database_url, home=tmp_path / "ignorant")
    key = r'where the store \'cloud\' is; known: .*simpleml\.toml: \[stores\] cloud = "<path or URL>"'
    made = box("x", BIG)
    with pytest.raises(UnknownStoreError, match=key):
        made.save()
    with pytest.raises(UnknownStoreError, match=key):
        _ = Box.load(name="kept").data
    assert Box(name="elsewhere", data=1).save().version == 1
    sftp.connect(tmp_path / "ignorant")
    assert made.save().version == 1
    assert Box.load(name="kept").data == (1, 2)


@pytest.mark.parametrize(
    ("url", "missing", "extra"),
    [
        ("s3://bucket/prefix", "s3fs", "s3"),
        ("az://container", "adlfs", "azure"),
        ("gs://bucket", "gcsfs", "gcs"),
        ("sftp://me@127.0.0.1:1/folder", "sshfs", "sftp"),
    ],
)
def test_an_extra_that_is_not_installed(url: str, missing: str, extra: str, tmp_path: Path) -> None:
    """The message is the pip line; a save to another store works in the same process."""
    program = f"""
import sys
sys.modules[{missing!r}] = None
import simpleml
from simpleml.errors import MissingDependencyError
from tests.integration.kinds import Box
simpleml.connect({str(tmp_path / "t.db")!r}, home={str(tmp_path / "home")!r}, stores={{"cloud": {url!r}}})
try:
    Box(name="x", data=[1], save_patterns={{"data": "cloud_json"}}).save()
except MissingDependencyError as error:
    print(error)
print(Box(name="x", data=[1]).save().version, Box.load(name="x").data)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told, saved = done.stdout.splitlines()
    assert f"pip install 'simpleml[{extra}]'" in told
    assert saved == "1 [1]"


def test_a_store_that_cannot_be_opened_is_checked_like_the_others(home: Path, cli: Any) -> None:
    """`store check` tells of a place that is none, and goes on to the stores after it."""
    places = '[stores]\ncloud = "simplecache::s3://bucket"\nlab = "lab"\n'
    Path("simpleml.toml").write_text(places, encoding="utf-8")
    code, out, err = cli("store", "check")
    assert (code, err) == (1, "")
    assert "cloud (simplecache::s3://bucket): does not work\n  open: the store 'cloud' is at" in out
    assert out.index("cloud (") < out.index("lab (") < out.index("works\n", out.index("lab ("))


def test_chunks_without_their_extra(local: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is to cut and cannot names the pip line and the setting; whole artifacts are saved and loaded."""
    simpleml.disconnect()
    place = {"url": str(tmp_path / "place"), "chunked": True}
    simpleml.connect(tmp_path / "c.db", home=tmp_path / "home", stores={"cloud": place})
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyfastcdc", None)
        made = box("x", np.concatenate([BIG, BIG]))
        with pytest.raises(MissingDependencyError, match=r"pip install 'simpleml\[chunks\]'.*chunked = false"):
            made.save()
        assert box("small").save().version == 1
        assert Box.load(name="small").data == (1, 2)
    assert made.save().version == 1


# no room on this machine


@pytest.mark.parametrize("limit", ["cache_size", "disk"])
def test_a_full_cache_only_makes_loading_slow(
    limit: str, sftp: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An object that the cache has no room for is loaded each time, mapped or not, and one warning names the settings."""
    sftp.connect(tmp_path / "home")
    box("x", BIG).save()
    box("y", BIG[::-1].copy()).save()
    if limit == "cache_size":
        sftp.connect(tmp_path / "small", cache_size=1_000_000)
        with caplog.at_level(logging.WARNING, "simpleml"):
            for name, mmap in (("x", False), ("x", True), ("y", False)):
                assert np.array_equal(Box.load(name=name, mmap=mmap).data, BIG if name == "x" else BIG[::-1])
        said = [record.getMessage() for record in caplog.records]
    else:
        said = on_stage(_load_without_room, sftp, str(tmp_path / "small"))
    assert len(said) == 1
    assert "cache_size" in said[0]
    assert "cache_folder" in said[0]
    sftp.connect(tmp_path / "small")
    assert np.array_equal(Box.load(name="x", mmap=True).data, BIG)


def _load_without_room(site: Site, home: str) -> list[str]:
    """Load where no file may have more than a megabyte, and return the warnings."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("simpleml").addHandler(handler)
    with _no_room(1_000_000):
        site.connect(Path(home))
        for name, mmap in (("x", False), ("x", True), ("y", False)):
            assert np.array_equal(Box.load(name=name, mmap=mmap).data, BIG if name == "x" else BIG[::-1])
    return said


@pytest.mark.parametrize("site", ["s3", "sftp"], indirect=True)
def test_no_room_for_what_is_on_its_way(site: Site, tmp_path: Path) -> None:
    """Without room for the temporary file a save is told so, with the folder; with room again it works. An array needs none."""
    site.connect(tmp_path / "home")
    box("kept").save()
    said, spool = on_stage(_save_without_room, site, str(tmp_path / "home"))
    assert "its spool on this machine" in said
    assert spool in said
    database = site.connect(tmp_path / "home", grace=0)
    assert (Box.versions("kept"), Box.versions("x"), Box.versions("array")) == ([1], [1], [1])
    expire(database)
    collect(database, leftovers_after=-1)
    assert len(site.objects(database)) == 3
    assert Box.load(name="x").data == LONG
    assert np.array_equal(Box.load(name="array").data, BIG)


def _save_without_room(site: Site, home: str) -> tuple[str, str]:
    site.connect(Path(home))
    made = box("x", LONG)
    with _no_room(1_000_000):
        assert box("array", BIG).save().version == 1
        try:
            made.save()
        except StoreFullError as error:
            said = str(error)
    assert made.version is None
    assert made.save().version == 1
    return said, str(Path(home) / "cache" / "spool")


@contextmanager
def _no_room(size: int) -> Any:
    """Let no file grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("url", ["s3://bucket", "sftp://me@127.0.0.1:1/folder"])
def test_an_option_that_is_none(url: str, tmp_path: Path) -> None:
    """An option that no client knows is told, with where options are given, and without any secret."""
    place = {"url": url, "pasword": "hunter22", "secret": "hunter23"}
    simpleml.connect(tmp_path / "t.db", home=tmp_path / "home", stores={"cloud": place})
    with pytest.raises(
        ConfigurationError, match=r"options of a store at .* are wrong: .*pasword.*\[stores\.cloud\]"
    ) as caught:
        box("x").save()
    assert "hunter2" not in str(caught.value)
    assert Box(name="x", data=1).save().version == 1
