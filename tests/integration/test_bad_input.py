"""What a user gets wrong is told: what it was, what is known, what to do; and nothing half-written is left behind."""

from __future__ import annotations

import logging
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from sqlalchemy import select

import simpleml
from simpleml import Artifact, Lineage, Persistable
from simpleml.errors import (
    ArtifactMissingError,
    ArtifactTypeError,
    ArtifactUnsetError,
    ConfigurationError,
    DatabaseError,
    DatabaseReadOnlyError,
    DuplicateNameError,
    EncodingError,
    IdentityError,
    ImmutableVersionError,
    LineageError,
    MissingDependencyError,
    RecordNotFoundError,
    SavePatternError,
    SerializationError,
    SimpleMLError,
    TransactionError,
    UnknownNameError,
    UnknownStoreError,
    UnsavedReferenceError,
    VersionConflictError,
    WrongClassError,
)
from simpleml.orm import Database, ORMGeneral, open_database
from simpleml.orm.housekeeping import collect, verify
from simpleml.orm.tables import Blob
from simpleml.persistables.classes import classes
from tests.backends.client import Servers
from tests.integration.kinds import Box, Pair, SpecialBox, Vocabulary


@pytest.fixture
def strict(database_url: str, tmp_path: Path) -> Iterator[Database]:
    """The current database without any grace, which must hold nothing but whole records when the test is over."""
    opened = simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "home", grace=0)
    yield opened
    _check_clean(opened, tmp_path / "store")


def _check_clean(database: Database, store: Path) -> None:
    """Nothing is damaged or miscounted; what no record refers to can be collected, to the last file and row."""
    assert verify(database, everything=True).findings == ()
    collect(database, leftovers_after=-1)
    wanted = {
        reference["key"]
        for row in database.select("persistable", {})
        for patterns in row["filepaths"].values()
        for reference in patterns.values()
    }
    found = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file() and path.name != ".ready"}
    with database.engine.connect() as connection:
        rows = set(connection.execute(select(Blob.key)).scalars())
    assert found == rows == wanted
    assert verify(database, everything=True).findings == ()


class _Lock:
    def __init__(self) -> None:
        self.inner = {"lock": threading.Lock(), "call": lambda: None}


class _Unrepresentable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"d": value}
    return value


BAD_OBJECTS: list[tuple[dict[str, Any], type[SimpleMLError], type[Exception], str]] = [
    ({"name": None}, IdentityError, ValueError, r"name is None \(NoneType\), but must be text of 1 to 255"),
    ({"name": ""}, IdentityError, ValueError, r"name has 0 characters .*1 to 255"),
    ({"name": "x" * 256}, IdentityError, ValueError, r"name has 256 characters .*1 to 255"),
    ({"name": "日" * 300}, IdentityError, ValueError, r"name has 300 characters"),
    ({"name": "a\0b"}, IdentityError, ValueError, r"NUL"),
    ({"name": "\udc80"}, IdentityError, ValueError, r"lone surrogates"),
    ({"name": b"bytes"}, IdentityError, ValueError, r"b'bytes' \(bytes\)"),
    ({"name": _Unrepresentable()}, IdentityError, ValueError, r"name is .*Unrepresentable"),
    ({"name": 10**5000}, IdentityError, ValueError, r"name is .*\(int\)"),
    ({"project": ""}, IdentityError, ValueError, "project has 0"),
    ({"author": "x" * 256}, IdentityError, ValueError, "author has 256"),
    ({"version": 0}, IdentityError, ValueError, "version is 0, but must be between 1 and 2147483647"),
    ({"version": -1}, IdentityError, ValueError, "version is -1"),
    ({"version": True}, IdentityError, ValueError, r"version is True \(bool\)"),
    ({"version": "1"}, IdentityError, ValueError, r"version is '1' \(str\)"),
    ({"version": 1.0}, IdentityError, ValueError, r"version is 1.0 \(float\)"),
    ({"version": 2**40}, IdentityError, ValueError, "version is 1099511627776"),
    ({"version": 10**5000}, IdentityError, ValueError, "a number of 16610 bits"),
    ({"id": "not-a-uuid"}, IdentityError, ValueError, r"id is 'not-a-uuid', which is no UUID.*versions\(name=…\)"),
    ({"id": 5}, IdentityError, ValueError, "must be a UUID"),
    ({"version_description": 5}, IdentityError, ValueError, "version_description is 5"),
    ({"version_description": "\0"}, IdentityError, ValueError, "NUL"),
    ({"config": [1]}, IdentityError, ValueError, r"config is \[1\] \(list\), but must be a mapping"),
    ({"config": "C=1"}, IdentityError, ValueError, "must be a mapping"),
    ({"state": 5}, IdentityError, ValueError, "state is 5"),
    ({"metadata_": 5}, IdentityError, ValueError, "metadata_ is 5"),
    ({"metadata_": {"config": 5}}, IdentityError, ValueError, r"metadata_\['config'\] is 5"),
    (
        {"projct": "x"},
        IdentityError,
        ValueError,
        r"no keyword 'projct'; known: author, .*did you mean 'project'.*config=\{",
    ),
    ({"C": 1}, IdentityError, ValueError, r"Parameters of your own belong in config=\{…\}"),
    ({"save_patterns": "json"}, IdentityError, ValueError, "save_patterns is 'json'"),
    (
        {"save_patterns": {"data": "jsn"}},
        SavePatternError,
        ValueError,
        r"'jsn' \(did you mean 'json'\?\); known: bytes, .*disk_, cloud_.*register_serializer",
    ),
    ({"save_patterns": {"data": ["json", "disk_jsn"]}}, SavePatternError, ValueError, "did you mean 'disk_json'"),
    ({"save_patterns": {"data": 5}}, SavePatternError, ValueError, "given by its name"),
    ({"save_patterns": {"dta": "json"}}, SavePatternError, ValueError, r"Box has no artifact 'dta'; known: data"),
]


def test_an_object_that_cannot_be_is_refused_at_construction(strict: Database) -> None:
    """Every wrong keyword is an error of ours and of the standard kind, before anything is written."""
    for keywords, error, base, message in BAD_OBJECTS:
        with pytest.raises(error, match=message) as caught:
            Box(**{"name": "q", **keywords})
        assert isinstance(caught.value, base), keywords
        assert len(str(caught.value)) < 1000, keywords
    assert ORMGeneral.where().count() == 0


BAD_CONTENT: list[tuple[Callable[[Box], object], type[SimpleMLError], type[Exception], str]] = [
    (lambda box: setattr(box, "name", 5), IdentityError, ValueError, "name is 5"),
    (lambda box: setattr(box, "version", "2"), IdentityError, ValueError, "version is '2'"),
    (lambda box: setattr(box, "id", "x"), IdentityError, ValueError, "no UUID"),
    (lambda box: setattr(box, "project", "\0"), IdentityError, ValueError, "NUL"),
    (lambda box: setattr(box, "version_description", "\ud800"), IdentityError, ValueError, "surrogates"),
    (lambda box: setattr(box, "metadata_", 5), IdentityError, ValueError, "metadata_ is 5"),
    (lambda box: box.metadata_.update(config=5), IdentityError, ValueError, "config is 5"),
    (lambda box: box.metadata_.update(state=[1]), IdentityError, ValueError, "state is "),
    (lambda box: box.config.update(a={"b": [1, object()]}), EncodingError, ValueError, r"<Box 'q' \(not saved\)> cannot be saved: metadata\['config'\]\['a'\]\['b'\]\[1\]"),
    (lambda box: box.state.update(f=open), EncodingError, ValueError, r"metadata\['state'\]\['f'\]"),
    (lambda box: box.metadata_.update(mine=lambda: 0), EncodingError, ValueError, r"metadata\['mine'\]"),
    (lambda box: box.state.update(deep=_deep(200)), EncodingError, ValueError, r"deeper than 100 levels: keep it as an artifact"),
    (lambda box: box.state.update(box=box), EncodingError, ValueError, r"metadata\['state'\]\['box'\]"),
    (lambda box: box.state.update(me=box.state), EncodingError, ValueError, "contains itself"),
    (lambda box: setattr(box, "data", (i for i in [1])), SerializationError, ValueError, r"artifact 'data' of <Box 'q'.*generator cannot be pickled"),
    (lambda box: setattr(box, "data", socket.socket()), SerializationError, ValueError, "socket"),
    (lambda box: setattr(box, "data", sys._getframe()), SerializationError, ValueError, "frame"),
    (lambda box: box.set_save_patterns("data", "numpy"), SerializationError, ValueError, r"artifact 'data' of <Box 'q' .*by 'numpy'"),
    (lambda box: box.set_save_patterns("data", "parquet"), SerializationError, ValueError, "by 'parquet'"),
    (lambda box: (box.set_save_patterns("data", ["pickled", "json"]), setattr(box, "data", {1: {object}})), SerializationError, ValueError, "by 'json'"),
    (lambda box: box.set_save_patterns("data", "cloud_json"), UnknownStoreError, LookupError, r"\[stores\] cloud = "),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_cannot_be_saved_leaves_nothing(strict: Database) -> None:
    """A save that fails names object and place, leaves the object unsaved and as it was, and no record and no byte."""
    for number, (change, error, base, message) in enumerate(BAD_CONTENT):
        box = Box(name="q", data=[1])
        change(box)
        with pytest.raises(error, match=message) as caught:
            box.save()
        assert isinstance(caught.value, base), number
        assert not box.is_saved, number
        assert box.filepaths == {}, number
    assert ORMGeneral.where().count() == 0
    assert Box(name="q", data=[1]).save().version == 1  # no number was lost


def test_a_lock_inside_is_found(strict: Database) -> None:
    """The error of what does not pickle names the part that is to blame."""
    with pytest.raises(SerializationError, match=r"`\.inner\['lock'\]`, a _thread\.lock,.*__getstate__"):
        Pair(name="q", right=_Lock()).save()
    assert ORMGeneral.where().count() == 0


def test_the_second_artifact_fails_and_the_first_goes_with_it(strict: Database) -> None:
    """When one artifact of several cannot be stored, the others leave at most what the next collection takes."""
    with pytest.raises(SerializationError, match="'right'"):
        Pair(name="q", left=list(range(100_000)), right=threading.Lock()).save()
    assert ORMGeneral.where().count() == 0


def test_a_saved_object_that_cannot_be_updated_stays_as_it_was(strict: Database) -> None:
    """A wrong state or description is refused, and the record keeps the old one."""
    box = Box(name="q", data=[1], state={"a": 1}).save()
    for change in (lambda: box.state.update(a=object()), lambda: setattr(box, "version_description", 5)):
        change()
        with pytest.raises((EncodingError, IdentityError)):
            box.save()
        box.state["a"] = 2
    box.version_description = "fine"
    box.save()
    assert (Box.load(name="q").state, Box.load(name="q").version_description) == ({"a": 2}, "fine")


def test_an_artifact_takes_only_its_type(local: Database) -> None:
    """Assigning another type than the annotated one is refused, whatever the value's `repr` does."""

    class Typed(Persistable):
        table: Artifact[dict[str, int]] = Artifact()
        number: Artifact[float] = Artifact()
        maybe: Artifact[list[int] | None] = Artifact()
        any: Artifact[Any] = Artifact()

    typed = Typed(name="t", table={"a": 1}, number=3, maybe=None, any=object())
    typed.maybe = [1]
    for name, value, wanted in [
        ("table", [1], "dict"), ("table", None, "dict"), ("table", _Unrepresentable(), "dict"), ("table", list(range(10**6)), "dict"),
        ("number", "3", "int or float"), ("maybe", (1,), "list or NoneType"),
    ]:  # fmt: skip
        with pytest.raises(
            ArtifactTypeError, match=rf"Typed\.{name} takes {wanted}, but was given .*convert the value"
        ) as caught:
            setattr(typed, name, value)
        assert isinstance(caught.value, TypeError)
        assert len(str(caught.value)) < 400
    with pytest.raises(ArtifactTypeError):
        Typed(name="t", table=5)
    assert typed.table == {"a": 1}


def test_an_artifact_that_was_never_set_is_told(local: Database) -> None:
    """Reading what was never assigned, or was not there when the object was saved, says so."""
    box = Box(name="q")
    with pytest.raises(
        ArtifactUnsetError, match=r"'data' of <Box 'q' \(not saved\)> was never set: assign it"
    ) as caught:
        _ = box.data
    assert isinstance(caught.value, AttributeError)
    assert not hasattr(box, "data")
    box.save()
    with pytest.raises(ArtifactUnsetError, match="never set"):
        _ = Box.load(name="q").data
    with pytest.raises(ArtifactMissingError, match=r"Box has no artifact 'dta'; known: data \(did you mean"):
        box.get_artifact("dta")
    box.data = 1
    with pytest.raises(ImmutableVersionError, match="artifact 'data' changed"):
        box.save()


BAD_LOADS: list[tuple[dict[str, Any], type[SimpleMLError], type[Exception], str]] = [
    ({}, IdentityError, ValueError, r"Box\.load\(…\) does not say what to load: give a name="),
    ({"version": 1}, IdentityError, ValueError, "does not say what to load"),
    (
        {"name": "chrun"},
        RecordNotFoundError,
        LookupError,
        r"no persistable with name='chrun' in Database\(.*known: churn \(did you mean 'churn'",
    ),
    ({"name": "Churn"}, RecordNotFoundError, LookupError, "did you mean 'churn'"),
    ({"name": "churn", "version": 7}, RecordNotFoundError, LookupError, "known versions of 'churn': 1"),
    ({"name": "churn", "project": "x"}, RecordNotFoundError, LookupError, "project='x'"),
    ({"name": "'; DROP TABLE persistables; --"}, RecordNotFoundError, LookupError, "DROP TABLE"),
    ({"name": "%"}, RecordNotFoundError, LookupError, "'%'"),
    ({"name": 5}, IdentityError, ValueError, "name is 5"),
    ({"name": ""}, IdentityError, ValueError, "0 characters"),
    ({"name": "x" * 300}, IdentityError, ValueError, "300 characters"),
    ({"name": "\0"}, IdentityError, ValueError, "NUL"),
    ({"name": "churn", "version": "1"}, IdentityError, ValueError, "version is '1'"),
    ({"name": "churn", "version": 0}, IdentityError, ValueError, "version is 0"),
    ({"name": "churn", "version": True}, IdentityError, ValueError, "bool"),
    ({"name": "churn", "version": 2**40}, IdentityError, ValueError, "between 1 and"),
    ({"name": "churn", "projct": "x"}, IdentityError, ValueError, "did you mean 'project'"),
    ({"name": "churn", "version__lte": 3}, IdentityError, ValueError, "operators exact"),
    ({"id": "zz"}, IdentityError, ValueError, "no UUID"),
    ({"id": uuid4()}, RecordNotFoundError, LookupError, "no persistable with id="),
]


def test_what_cannot_be_loaded_is_told_with_what_can(strict: Database) -> None:
    """Each wrong way to ask names what was asked for, and what there is."""
    Box(name="churn", data=1).save()
    for keywords, error, base, message in BAD_LOADS:
        with pytest.raises(error, match=message) as caught:
            Box.load(**keywords)
        assert isinstance(caught.value, base), keywords
    with pytest.raises(
        WrongClassError, match=r"'churn' version 1 is a Box, not a SpecialBox: load it with Box\.load"
    ) as caught:
        SpecialBox.load(name="churn")
    assert isinstance(caught.value, TypeError)
    with pytest.raises(UnknownNameError, match=r"no kind 'modle'; known: dataset, .*did you mean 'model'"):
        simpleml.load("modle", name="churn")
    with pytest.raises(UnknownNameError, match="no kind 'churn'; known: dataset, "):
        simpleml.load("churn")
    with pytest.raises(IdentityError, match=r"does not say of which kind: simpleml\.load\('model', 'NAME'\)"):
        simpleml.load(name="churn")
    assert simpleml.load("persistable", "churn").version == 1
    with pytest.raises(IdentityError, match=r"simpleml\.load\('persistable', …\) does not say what"):
        simpleml.load("persistable")
    with pytest.raises(IdentityError):
        Box.versions(None)  # type: ignore[arg-type]
    assert Box.load(name="churn").data == 1


def test_lineage_that_cannot_be_is_refused(strict: Database, tmp_path: Path) -> None:
    """A parent that is unsaved, unknown, of another kind, or in another database is told, and nothing is saved."""
    unsaved = Box(name="b", data=1)
    for keywords, message in [
        ({"source": unsaved}, r"made from <Box 'b' \(not saved\)> \(source\), which is not saved: save that first"),
        ({"source_id": uuid4()}, "not in the database"),
    ]:  # fmt: skip
        with pytest.raises(LineageError, match=message) as caught:
            Pair(name="p", left=1, **keywords).save()
        assert isinstance(caught.value, ValueError)
    record = ORMGeneral.create(name="record", hash_="h", registered_name="Box")
    for source in (5, "b", Box, record):
        with pytest.raises(LineageError, match=r"Pair\.source takes an object of kind 'persistable'"):
            Pair(name="p", source=source)
    with pytest.raises(IdentityError, match="no UUID"):
        Pair(name="p", source_id="b")
    with open_database(tmp_path / "other.db", store=tmp_path / "other"):
        elsewhere = Box(name="b", data=1).save()
    with pytest.raises(UnsavedReferenceError, match="saved in another database"):
        Pair(name="p", left=1, source=elsewhere).save()
    deleted = Box(name="b", data=1).save()
    child = Pair(name="p", left=1, source=deleted)
    deleted.delete()
    with pytest.raises(LineageError):
        child.save()
    assert ORMGeneral.where().count() == 1


def test_saving_in_somebody_elses_transaction_is_told(strict: Database) -> None:
    """An object that waits for one thread's block cannot be updated, used as a parent, or saved again from another."""
    errors: list[Exception] = []

    def attempt(work: Callable[[], object]) -> None:
        def run() -> None:
            try:
                work()
            except SimpleMLError as error:
                errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()

    with simpleml.transaction():
        box = Box(name="b", data=1).save()
        attempt(box.save)
        attempt(Pair(name="p", left=1, source=box).save)
        attempt(lambda: Box(name="mine", data=1).save())
    assert [type(error) for error in errors] == [RecordNotFoundError, UnsavedReferenceError]
    assert "nothing was updated" in str(errors[0])
    assert (box.version, Box.versions("mine"), Pair.versions("p")) == (1, [1], [])


def test_a_transaction_that_fails_at_its_end_leaves_nothing(strict: Database) -> None:
    """When one of several saves of a block is refused at the end, none happened, and every object is unsaved again."""
    Box(name="taken", data=1).save()
    first, second = Box(name="first", data=[1]), Box(name="taken", data=2, version=1)
    with (
        pytest.raises(VersionConflictError, match=r"'taken' cannot get version 1: .*Leave version out to get 2"),
        simpleml.transaction(),
    ):
        first.save()
        second.save()
    assert not first.is_saved
    assert not second.is_saved
    assert Box.versions("first") == []
    assert first.save().version == 1


def test_a_registered_name_belongs_to_one_class(local: Database) -> None:
    """A second class of a taken name, and a name that is none, are refused when the class is made."""
    with pytest.raises(
        DuplicateNameError, match=r"'Box' is tests\.integration\.kinds:Box already.*registered_name"
    ) as caught:
        type("Mine", (Persistable,), {"registered_name": "Box"})
    assert isinstance(caught.value, ValueError)
    for name in ("", "x" * 256, 5, None, "a\0"):
        with pytest.raises(IdentityError, match="registered_name"):
            type("Mine", (Persistable,), {"registered_name": name})
    assert classes.get("Box") is Box


@pytest.mark.parametrize(
    "name", ["name", "version", "id", "config", "save", "filepaths", "metadata_", "hash_", "_values", "kind"]
)
def test_an_artifact_cannot_hide_what_every_object_has(name: str) -> None:
    """An artifact or a lineage named like a part of every persistable is refused when the class is made."""
    for member in (Artifact(), Lineage("persistable")):
        with pytest.raises(
            IdentityError, match=rf"Mine\.{name} cannot be an artifact or a lineage.*choose another name"
        ):
            type("Mine", (Persistable,), {name: member})
    assert "Mine" not in classes


def test_an_unknown_save_pattern_is_told_when_an_object_is_made(local: Database) -> None:
    """A class may be written before its pattern is registered; the first object of it needs the pattern."""

    class Odd(Persistable):
        data: Artifact[Any] = Artifact(save_patterns=["disk_odd"])

    with pytest.raises(SavePatternError, match=r"no save pattern 'disk_odd'.*; known: "):
        Odd(name="o", data=1)
    for wrong in (5, [5], [["json"]], {"json": 1}.items()):
        with pytest.raises(SavePatternError, match="given by its name"):
            Artifact(save_patterns=wrong)  # type: ignore[arg-type]


def test_a_class_that_is_nowhere_is_told(local: Database) -> None:
    """A record whose class is not imported and cannot be says which name, which module was tried, and what to do."""
    ORMGeneral.create(name="a", hash_="h", registered_name="Bxo", metadata_={"module": "no_such_package:Bxo"})
    ORMGeneral.create(name="b", hash_="h", registered_name="Bxo")
    with pytest.raises(
        UnknownNameError, match=r"registered as 'Bxo'; known: .*did you mean 'Box'.*Import the module.*'no_such_package"
    ) as caught:
        Box.load(name="a")
    assert isinstance(caught.value, LookupError)
    with pytest.raises(UnknownNameError, match="the record does not say where it was defined"):
        Box.load(name="b")


def test_a_store_that_this_machine_does_not_know_is_told(database_url: str, tmp_path: Path) -> None:
    """A reference to a store that the settings do not name says which line of the settings file is missing."""
    simpleml.connect(database_url, store=tmp_path / "store", stores={"cloud": str(tmp_path / "cloud")})
    Box(name="a", data=[1], save_patterns={"data": "cloud_json"}).save()
    simpleml.connect(database_url, store=tmp_path / "store")
    with pytest.raises(
        UnknownStoreError,
        match=r"where the store 'cloud' is; known: database, default, disk.*\[stores\] cloud = \"<path or URL>\"",
    ) as caught:
        _ = Box.load(name="a").data
    assert isinstance(caught.value, OSError)
    simpleml.disconnect()
    simpleml.connect(database_url, store=tmp_path / "store", stores={"cloud": "gopher://x"})
    with pytest.raises(ConfigurationError, match=r"'cloud' is at gopher://x, and artifacts cannot be kept at gopher"):
        _ = Box.load(name="a").data


# connecting


SECRET = "s3cr3t-p4ssw0rd"


def _with_password(url: str, password: str = SECRET, port: int | None = None) -> str:
    parts = urlsplit(url)
    host = f"{parts.hostname}:{port or parts.port}"
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{password}@{host}"))


def _told(url: Any, caplog: pytest.LogCaptureFixture, **arguments: Any) -> SimpleMLError:
    """Return the error of connecting to `url`, after a look for the password wherever it could show."""
    with caplog.at_level(logging.DEBUG), pytest.raises(SimpleMLError) as caught:
        simpleml.connect(url, **arguments)
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caplog.text
    assert SECRET not in text
    return caught.value


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_wrong_password_is_told_and_not_shown(servers: Servers, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The error says where and whom, to check the password, and shows it nowhere: message, traceback, log."""
    error = _told(_with_password(servers.url(kind)), caplog)
    assert isinstance(error, DatabaseError | RuntimeError)
    assert re.search(r"Database\('.*://simpleml:\*\*\*@127\.0\.0\.1.*the user and the password", str(error))


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_password_that_was_not_given_is_told(
    servers: Servers, kind: str, caplog: pytest.LogCaptureFixture, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that asks for a password is there: the error says that it lets nobody in without, and not to look for the server."""
    monkeypatch.delenv("PGPASSWORD", raising=False)
    error = _told(_with_password(servers.url(kind), ""), caplog)
    assert isinstance(error, DatabaseError)
    assert "does not let this user in" in str(error)
    assert "cannot be reached" not in str(error)


def test_a_database_that_is_not_there_is_not_taken_for_a_wrong_password(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL's driver tells both alike, but for the server's words: nothing is said that might be wrong."""
    error = _told(urlunsplit(urlsplit(servers.url("postgresql"))._replace(path="/nowhere")), caplog)
    assert 'database "nowhere" does not exist' in str(error)
    assert "does not let this user in" not in str(error)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_is_not_there_is_told_at_once(
    servers: Servers, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens: the first connection is not tried for as long as a busy database would be."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        begun = time.monotonic()
        error = _told(_with_password(servers.url(kind), port=unused.getsockname()[1]), caplog, lock_timeout=600)
    assert time.monotonic() - begun < 300
    assert isinstance(error, DatabaseError)
    assert "cannot be reached" in str(error)
    assert "Check the address" in str(error)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_server_that_never_answers_is_given_up(servers: Servers, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody takes the connection and says nothing: the driver's own patience, here two seconds, ends it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = _with_password(servers.url(kind), port=silent.getsockname()[1])
        extra = "connect_timeout=2" if kind == "postgresql" else "read_timeout=2"
        error = _told(f"{url}{'&' if '?' in url else '?'}{extra}", caplog, lock_timeout=600)
    assert "cannot be reached" in str(error)


BAD_URLS: list[tuple[Any, type[SimpleMLError], str]] = [
    (5, ConfigurationError, r"cannot be 5 \(it is of type int\).*or the path"),
    (b"x.db", ConfigurationError, "bytes"),
    ("", ConfigurationError, "it is empty.*or the path"),
    ("   ", ConfigurationError, "it is empty.*or the path"),
    ("://", ConfigurationError, "expected a URL like"),
    ("foo://bar/baz", ConfigurationError, r"no database that can be opened.*A URL looks like"),
    ("postgresql+nodriver://u@h/d", ConfigurationError, "no database that can be opened"),
    (f"postgresql://u:{SECRET}@h:port/d", ConfigurationError, r"u:\*\*\*@h:port"),
    ("sqlite:///a\0b", ConfigurationError, "NUL"),
]


@pytest.mark.parametrize(("url", "error", "message"), BAD_URLS, ids=lambda value: ascii(value)[:30])
def test_a_database_that_is_none_is_told(
    home: Path, caplog: pytest.LogCaptureFixture, url: Any, error: type[SimpleMLError], message: str
) -> None:
    """What is no URL or path of a database is a `ConfigurationError`, also a `ValueError`, and makes no file."""
    told = _told(url, caplog)
    assert isinstance(told, error)
    assert isinstance(told, ValueError)
    assert re.search(message, str(told), re.DOTALL)
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_a_file_that_is_no_database_is_told(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder, another file, and a place where no folder can be made are errors that name them, and are left as they are."""
    garbage = home / "garbage.db"
    garbage.write_bytes(b"not a database " * 100)
    for path, message in [
        (garbage, "file is not a database. Give the path of a database"),
        (home, rf"is a folder, and SQLite keeps a database in a file.*{re.escape(str(home))}/simpleml\.db"),
        (Path("/proc/nope/x.db"), "cannot make the folder"),
    ]:
        error = _told(path, caplog)
        assert isinstance(error, DatabaseError)
        assert str(path.parent if "make the folder" in message else path) in str(error)
        assert re.search(message, str(error))
    assert isinstance(error, DatabaseReadOnlyError)
    assert garbage.read_bytes() == b"not a database " * 100
    told = _told(f"sqlite:///file:{home / 'nowhere' / 'x.db'}?uri=true", caplog)
    assert re.search("unable to open database file.*right to read and write the file and its folder", str(told))


@pytest.mark.parametrize(
    ("module", "url", "remedy"),
    [
        ("psycopg", f"postgresql://u:{SECRET}@h/d", r"needs psycopg: pip install 'simpleml\[postgres\]'"),
        ("pymysql", f"mariadb+pymysql://u:{SECRET}@h/d", r"needs pymysql: pip install 'simpleml\[mysql\]'"),
        (
            "MySQLdb",
            f"mysql+mysqldb://u:{SECRET}@h/d",
            r"write mysql\+pymysql:// in the URL, and pip install 'simpleml\[mysql\]'",
        ),
        ("asyncpg", f"postgresql+asyncpg://u:{SECRET}@h/d", r"write postgresql\+psycopg:// in the URL"),
        (
            "oracledb",
            f"oracle+oracledb://u:{SECRET}@h/d",
            "simpleml works with SQLite, PostgreSQL and MariaDB or MySQL, not with oracle",
        ),
    ],
)
def test_a_driver_that_is_not_installed_is_told(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: str, url: str, remedy: str
) -> None:
    """The error names the extra that brings the driver, or the driver to write instead."""
    monkeypatch.setitem(sys.modules, module, None)
    error = _told(url, caplog)
    assert isinstance(error, MissingDependencyError)
    assert isinstance(error, ImportError)
    assert re.search(remedy, str(error))


def test_a_typo_in_the_settings_is_told(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown key in the file, in the environment or in the call names the nearest known one, and nothing is opened."""
    settings = home / "work" / "simpleml.toml"
    for content, message in [
        ('trsut = "safe"', r"simpleml\.toml.*trsut.*'?trust'?"),
        ('trust = "sfe"', r"trust cannot be 'sfe'"),
        ("[database]\nurll = 'x'", r"urll.*url"),
        ("trust = [", r"simpleml\.toml"),
        ("grace = -1", "grace"),
    ]:
        settings.write_text(content)
        error = _told(None, caplog)
        assert isinstance(error, ConfigurationError)
        assert re.search(message, str(error)), str(error)
    settings.unlink()
    monkeypatch.setenv("SIMPLEML_TRSUT", "safe")
    assert re.search("SIMPLEML_TRSUT.*SIMPLEML_TRUST", str(_told(None, caplog)))
    monkeypatch.delenv("SIMPLEML_TRSUT")
    assert re.search("trsut.*trust", str(_told(None, caplog, trsut="safe")))
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_blocks_that_cannot_be_are_told(local: Database, tmp_path: Path) -> None:
    """Leaving databases out of order, and sending one to another process, are errors of ours."""
    import pickle

    with (
        open_database(tmp_path / "other.db", store=tmp_path / "other") as other,
        pytest.raises(TransactionError, match="out of order"),
    ):
        local.__exit__()
    with pytest.raises(
        TransactionError, match=r"cannot be sent to another process.*simpleml\.connect\(\) there"
    ) as caught:
        pickle.dumps(other)
    assert isinstance(caught.value, RuntimeError)


def test_a_typo_in_a_users_own_parameter_is_told(local: Database) -> None:
    """A class with parameters of its own refuses a keyword that neither it nor any persistable has."""
    with pytest.raises(IdentityError, match="takes no keyword 'mincount'"):
        Vocabulary(name="v", mincount=2)
