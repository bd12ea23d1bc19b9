"""The active-record verbs of the mapped classes, and every defect of the mixin under them that ours must not have."""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, MetaData, String, event, exc, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

import simpleml
from simpleml.errors import (
    DatabaseError,
    IdentityError,
    RecordNotFoundError,
    ReferencedError,
    SimpleMLError,
    TransactionError,
    VersionConflictError,
)
from simpleml.orm import Database, ORMGeneral, ORMMetric, ORMModel, open_database
from simpleml.orm.housekeeping import verify
from simpleml.orm.record import Record
from simpleml.orm.transactions import Again
from simpleml.orm.types import mutable_json
from tests.integration.kinds import Box, Pair, SpecialBox


class _Own(Record):
    __abstract__ = True
    metadata = MetaData()


class Note(_Own):
    """A record of somebody else's: a length of zero, a column with two underscores, an `__init__` that needs a name."""

    __tablename__ = "notes"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(String(50))
    rank: Mapped[int] = mapped_column(default=7)
    dunder__x: Mapped[int | None] = mapped_column()
    tags: Mapped[Any] = mapped_column(mutable_json(), nullable=True)

    def __init__(self, *, name: str, **values: Any) -> None:
        super().__init__(name=name, **values)

    @property
    def twice(self) -> int:
        return 2 * self.rank

    def __len__(self) -> int:
        return 0


class Line(_Own):
    """A record whose key the database counts."""

    __tablename__ = "lines"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50))


@pytest.fixture
def notes(database: Database) -> Database:
    """The current database, with the tables of `Note` and `Line`."""
    _Own.metadata.create_all(database.engine)
    return database


def _record(name: str, **values: Any) -> ORMGeneral:
    return ORMGeneral.create(name=name, hash_="h", registered_name="R", **values)


def _count_statements(database: Database) -> list[str]:
    """A list that grows by every statement that the database is sent."""
    seen: list[str] = []

    def listen(connection: Connection, cursor: Any, statement: str, *rest: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", listen)
    return seen


def _refused(call: Callable[[], object]) -> IdentityError:
    """Return the error of a call that has to be refused."""
    with pytest.raises(IdentityError) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    return caught.value


# finding


def test_a_record_is_found_by_its_id_however_it_is_written(database: Database) -> None:
    """`find` takes a UUID or its text in any usual form, and gives None for what is not there."""
    made = _record("a")
    for id_ in (made.id, str(made.id), str(made.id).upper(), made.id.hex, f"{{{made.id}}}"):
        found = ORMGeneral.find(id_)
        assert found is not None
        assert found.to_dict() == made.to_dict()
    assert ORMGeneral.find(uuid4()) is None
    assert ORMGeneral.find_or_fail(str(made.id)).name == "a"
    with pytest.raises(RecordNotFoundError, match="no ORMGeneral with id") as caught:
        ORMGeneral.find_or_fail(uuid4())
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("id_", ["nonsense", "", None, 5, b"x", ["a"]])
def test_an_id_that_is_none_is_refused(local: Database, id_: object) -> None:
    """What is no UUID never reaches the database."""
    for verb in (ORMGeneral.find, ORMGeneral.find_or_fail, ORMGeneral.destroy):
        with pytest.raises(IdentityError, match="UUID") as caught:
            verb(id_)
        assert isinstance(caught.value, ValueError)


def test_an_empty_object_is_there(notes: Database) -> None:
    """An object whose length is zero is found, is not missing, and can be destroyed."""
    made = Note.create(name="a")
    assert len(made) == 0
    assert Note.find(made.id) is not None
    assert Note.find_or_fail(made.id).name == "a"
    assert Note.first() is not None
    Note.destroy(made.id)
    assert Note.where().count() == 0


@pytest.fixture
def six(database: Database) -> Database:
    """The current database, with six records whose names are alike."""
    for name in ("churn", "Churn", "50%", "50_", "500", "back\\slash"):
        _record(name, project="p" if name == "500" else "other", metadata_={"config": {"n": name}})
    return database


OPERATORS: list[tuple[dict[str, Any], set[str]]] = [
    ({"name": "churn"}, {"churn"}),
    ({"name__exact": "Churn"}, {"Churn"}),
    ({"name__ne": "churn", "name__istartswith": "c"}, {"Churn"}),
    ({"name__gt": "Churn"}, {"churn", "back\\slash"}),
    ({"name__ge": "Churn"}, {"Churn", "churn", "back\\slash"}),
    ({"name__lt": "500"}, {"50%"}),
    ({"name__le": "500"}, {"50%", "500"}),
    ({"name__in": ["churn", "none", "500"]}, {"churn", "500"}),
    ({"name__in": []}, set()),
    ({"name__notin": ["churn", "Churn"]}, {"50%", "50_", "500", "back\\slash"}),
    ({"name__notin": []}, {"churn", "Churn", "50%", "50_", "500", "back\\slash"}),
    ({"name__between": ["50%", "50_"]}, {"50%", "50_", "500"}),
    ({"name__like": "50_"}, {"50%", "50_", "500"}),
    ({"name__like": "50\\_"}, {"50_"}),
    ({"name__like": "back\\\\%"}, {"back\\slash"}),
    ({"name__like": "CH%"}, set()),
    ({"name__ilike": "CH%"}, {"churn", "Churn"}),
    ({"name__startswith": "50_"}, {"50_"}),
    ({"name__startswith": "ch"}, {"churn"}),
    ({"name__istartswith": "CH"}, {"churn", "Churn"}),
    ({"name__endswith": "%"}, {"50%"}),
    ({"name__endswith": "RN"}, set()),
    ({"name__iendswith": "RN"}, {"churn", "Churn"}),
    ({"name__contains": "%"}, {"50%"}),
    ({"name__contains": "_"}, {"50_"}),
    ({"name__contains": "\\"}, {"back\\slash"}),
    ({"name__contains": "/"}, set()),
    ({"name__contains": "HUR"}, set()),
    ({"name__icontains": "HUR"}, {"churn", "Churn"}),
    ({"project": "p"}, {"500"}),
    ({"version_description": None, "project": "p"}, {"500"}),
    ({"version_description__ne": None}, set()),
    ({"version_description__isnull": True, "name__contains": "ur"}, {"churn", "Churn"}),
    ({"version_description__isnull": False}, set()),
    ({"metadata__config__n": "50%"}, {"50%"}),
    ({"metadata__config__n__contains": "%"}, {"50%"}),
    ({"filepaths__isnull": True}, set()),
]


def test_every_operator_means_the_same_on_every_database(six: Database) -> None:
    """Comparisons are by bytes and respect case, `%`, `_` and backslashes are literal where a text is meant."""
    for filters, found in OPERATORS:
        selection = ORMGeneral.where(**filters)
        assert {record.name for record in selection} == found, filters
        assert selection.count() == len(found), filters


def test_moments_and_numbers_are_compared_as_what_they_are(database: Database) -> None:
    """Timestamps compare as instants whatever their zone, versions as numbers."""
    made = _record("a", version=10)
    _record("b", version=9)
    zone = datetime.now(UTC).astimezone().tzinfo
    assert ORMGeneral.where(version__gt=9).count() == 1
    assert ORMGeneral.where(version__between=(9, 10)).count() == 2
    assert made.created_timestamp is not None
    assert ORMGeneral.where(created_timestamp=made.created_timestamp.astimezone(zone)).count() == 1
    assert ORMGeneral.where(created_timestamp__gt=datetime.now(UTC) + timedelta(days=1)).count() == 0
    with pytest.raises(IdentityError, match="time zone"):
        ORMGeneral.where(created_timestamp__gt=datetime(2020, 1, 1))


def test_metadata_of_mixed_types_is_compared_type_by_type(database: Database) -> None:
    """A number is compared with numbers, text with text; another type is merely different, and null is no value."""
    values: dict[str, Any] = {
        "text": "abc", "digits": "3", "float": 2.5, "int": 3, "true": True, "null": None, "list": [3], "big": 2**53,
        "tiny": 1e-9, "inf": float("inf"), "tuple": (1, 2), "umlaut": "größe",
    }  # fmt: skip
    for name, value in values.items():
        _record(name, metadata_={"config": {"C": value, "größe x.y": name}})
    _record("absent", metadata_={"config": {}})
    _record("bare")
    there = set(values) - {"null"}
    expected: dict[str, tuple[Any, set[str]]] = {
        "C__gt": (2, {"float", "int", "big"}),
        "C__lt": (2.75, {"float", "tiny"}),
        "C": (3, {"int"}),
        "C__exact": (3.0, {"int"}),
        "C__in": ([2.5, 3], {"float", "int"}),
        "C__between": ([1e-10, 2.5], {"float", "tiny"}),
        "C__ne": (3, there - {"int"}),
        "C__notin": ([3, 2.5], there - {"int", "float"}),
        "C__isnull": (True, {"null", "absent", "bare"}),
        "C__startswith": ("a", {"text"}),
        "C__like": ("gr__e", {"umlaut"}),
    }
    for key, (value, names) in expected.items():
        assert {record.name for record in ORMGeneral.where(**{f"metadata__config__{key}": value})} == names, key
    for value, names in [
        (True, {"true"}),
        (False, set()),
        ("3", {"digits"}),
        (None, {"null", "absent", "bare"}),
        (2**53, {"big"}),
    ]:
        assert {record.name for record in ORMGeneral.where(metadata__config__C=value)} == names, value
    assert ORMGeneral.where(**{"metadata__config__größe x.y": "text"}).count() == 1


NONSENSE: list[dict[str, Any]] = [
    {"nme": "x"}, {"pipeline___name__like": "x"}, {"name__lke": "x"}, {"__name": "x"}, {"": "x"}, {"name": 5}, {"name__like": None}, {"name__in": "abc"}, {"name__in": 5},
    {"name__in": [None]}, {"name": "a\0"}, {"name__contains": "\ud800"}, {"version": "1"}, {"version": True}, {"version": 1.0},
    {"version__like": "1"}, {"version": 2**31}, {"version__lt": 2**70}, {"version__between": [1]}, {"version__between": [1, 2, 3]},
    {"id": "x"}, {"id__in": ["x"]}, {"filepaths": {}}, {"metadata_": {}}, {"metadata_": "x"}, {"filepaths__contains": "x"},
    {"name__isnull": 1}, {"has_external_files": 1}, {"created_timestamp": "2020-01-01"}, {"metadata__config__C": [1]},
    {"metadata__config__C": {}}, {"metadata__config__C": object()}, {"metadata__config__C__in": [1, "a"]}, {"metadata__config__C__in": 3},
    {"metadata__config__C__like": 3}, {"metadata__config__C": float("nan")}, {"metadata__config__C": 2**64}, {"metadata__config__C": "\0"},
    {'metadata__config__a"b': 1}, {"metadata__config____x": 1}, {"metadata__config__a\\b": 1},
]  # fmt: skip


def test_a_filter_that_makes_no_sense_is_refused(database: Database) -> None:
    """Unknown columns and operators, and values of another type, are told before any database could take them its own way."""
    for filters in NONSENSE:
        for read in (ORMGeneral.where, Box.query):
            error = _refused(lambda read=read, filters=filters: list(read(**filters)))
            assert len(str(error)) > 30, filters


def test_an_unknown_column_lists_the_known_ones(local: Database) -> None:
    """The message of a wrong filter or sort key names the columns, the nearest one and the operators."""
    with pytest.raises(
        IdentityError, match=r"'projct'; columns known: author.*did you mean 'project'.*operators exact, ne"
    ):
        ORMGeneral.where(projct="x")
    with pytest.raises(IdentityError, match=r"sort a persistable by '-nme'; known: author.*did you mean 'name'"):
        ORMGeneral.sort("-nme")
    with pytest.raises(IdentityError, match="sort"):
        ORMGeneral.where().order_by(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [-1, "5", 1.0, True, None, 2**64])
def test_a_limit_is_a_whole_number(database: Database, count: Any) -> None:
    """A limit or an offset that is none is refused, where databases would do three different things."""
    with pytest.raises(IdentityError, match="whole number"):
        ORMGeneral.where().limit(count)
    with pytest.raises(IdentityError, match="whole number"):
        ORMGeneral.where().limit(1, offset=count)


def test_selections_sort_limit_and_count(database: Database) -> None:
    """Sorting by several keys, pages, `all`, `first`, `count`, `smart_query` and plain dicts agree on every database."""
    for name, version in [("b", 1), ("a", 2), ("a", 10), ("Z", 3)]:
        _record(name, version=version)
    assert [(r.name, r.version) for r in ORMGeneral.sort("name", "-version")] == [
        ("Z", 3),
        ("a", 10),
        ("a", 2),
        ("b", 1),
    ]
    assert [r.version for r in ORMGeneral.where(name="a").order_by("version").limit(1, offset=1)] == [10]
    assert [r.name for r in ORMGeneral.smart_query({"version__gt": 2}, ["-version"])] == ["a", "Z"]
    assert len(ORMGeneral.smart_query().all()) == len(ORMGeneral.all()) == ORMGeneral.where().count() == 4
    first = ORMGeneral.sort("-version").first()
    assert first is not None
    assert first.version == 10
    assert ORMGeneral.where(name="none").first() is None
    assert ORMGeneral.where(name="a").where(version=2).to_dicts()[0]["version"] == 2
    base = ORMGeneral.where(name="a")
    base.limit(1)
    assert base.count() == 2  # a selection is never changed, only added to
    with pytest.raises(TransactionError, match="load_reference"):
        ORMGeneral.smart_query(schema={})  # type: ignore[arg-type]


def test_an_offset_needs_no_limit(database: Database) -> None:
    """What comes after the first few is found without saying how many are wanted."""
    for number in range(3):
        _record("a", author=str(number))
    assert [row["author"] for row in database.select("persistable", {}, order_by=("author",), offset=1)] == ["1", "2"]


def test_a_column_with_two_underscores_can_be_filtered(notes: Database) -> None:
    """The name of a column comes before the reading of an operator."""
    Note.create(name="a", dunder__x=1)
    Note.create(name="b", dunder__x=5)
    assert [note.name for note in Note.where(dunder__x=1)] == ["a"]
    assert [note.name for note in Note.where(dunder__x__gt=1)] == ["b"]


# writing


def test_create_gives_a_complete_record(database: Database) -> None:
    """After `create` every attribute can be read, and equals what another reader finds."""
    made = ORMModel.create(name="m", hash_="h", registered_name="R", params={"a": (1, 2)})
    values = made.to_dict()
    assert (values["version"], values["project"], values["author"], values["filepaths"]) == (
        1,
        "default",
        "default",
        {},
    )
    assert (values["has_external_files"], values["pipeline_id"], values["metadata_"]) == (False, None, None)
    assert ORMModel.find_or_fail(made.id).to_dict() == values


def test_none_is_null(database: Database) -> None:
    """None in a JSON column is SQL NULL, not the text `null`, also after it was something else."""
    made = _record("a", metadata_=None)
    query = text("SELECT count(*) FROM persistables WHERE metadata IS NULL")
    with database.engine.connect() as connection:
        assert connection.execute(query).scalar() == 1
    made.update(metadata_={"x": None})
    with database.engine.connect() as connection:
        assert connection.execute(query).scalar() == 0
    ORMGeneral.find_or_fail(made.id).update(metadata_=None)
    with database.engine.connect() as connection:
        assert connection.execute(query).scalar() == 1


def test_an_unknown_column_leaves_nothing_half_done(database: Database) -> None:
    """`create`, `fill` and `update` refuse an unknown or read-only name, set nothing, and write nothing."""
    made = _record("a")
    for call in (
        lambda: ORMGeneral.create(name="x", hash_="h", registered_name="R", projct="p"),
        lambda: made.fill(project="new", projct="p"),
        lambda: made.update(project="new", kind="p"),
    ):
        with pytest.raises(IdentityError, match="has no column") as caught:
            call()
        assert "known: author" in str(caught.value)
    assert made.project == "default"
    assert ORMGeneral.find_or_fail(made.id).project == "default"
    assert ORMGeneral.where().count() == 1


def test_a_property_cannot_be_filled(notes: Database) -> None:
    """What looks like an attribute and has no setter is no column: `fill` refuses it before it sets anything."""
    note = Note.create(name="a")
    with pytest.raises(IdentityError, match="'twice'"):
        note.fill(rank=9, twice=3)
    assert note.rank == 7


IMPOSSIBLE: list[dict[str, Any]] = [
    {"name": "x" * 256}, {"name": ""}, {"name": "a\0b"}, {"name": "\ud800"}, {"name": 5}, {"name": None}, {"project": "x" * 256}, {"author": ""},
    {"registered_name": "x" * 256}, {"registered_name": None}, {"hash_": None}, {"version": 0}, {"version": -1}, {"version": "1"},
    {"version": True}, {"version": 2**31}, {"id": "nope"}, {"version_description": "\0"}, {"version_description": 5},
]  # fmt: skip


def test_what_a_record_cannot_be_called_is_refused_on_every_database(database: Database) -> None:
    """SQLite would take a name of 300 characters, or a number for a name; no database gets to see one."""
    good: dict[str, Any] = {"name": "good", "hash_": "h", "registered_name": "R"}
    for values in IMPOSSIBLE:
        for write in (ORMGeneral.create, ORMGeneral.save_record):
            _refused(lambda write=write, values=values: write(**{"id": uuid4(), **good, **values}))
    assert ORMGeneral.where().count() == 0


def test_what_a_record_needs_is_told(database: Database) -> None:
    """A record without a hash, a class, a name, or the model that its versions are counted for says which of them."""
    with pytest.raises(IdentityError, match=r"a new ORMGeneral needs hash_, registered_name"):
        ORMGeneral.create(name="a")
    with pytest.raises(IdentityError, match="a new ORMMetric needs model_id"):
        ORMMetric.create(name="a", hash_="h", registered_name="R")


def test_update_and_save_write_what_was_changed(database: Database) -> None:
    """Attributes, and containers changed in place at any depth, are written; the time of the change with them."""
    made = _record("a", metadata_={"config": {"layers": [1, {"deep": [2]}]}})
    created = ORMGeneral.find_or_fail(made.id)
    found = ORMGeneral.find_or_fail(made.id)
    assert found.metadata_ is not None
    found.metadata_["config"]["layers"][1]["deep"].append(3)
    found.save()
    again = ORMGeneral.find_or_fail(made.id)
    assert again.metadata_ == {"config": {"layers": [1, {"deep": [2, 3]}]}}
    assert again.modified_timestamp > created.modified_timestamp
    assert again.created_timestamp == created.created_timestamp
    again.update(project="p", metadata_={"new": 1})
    final = ORMGeneral.find_or_fail(made.id)
    assert (final.project, final.metadata_) == ("p", {"new": 1})


def test_filepaths_changed_in_place_keep_the_references_in_step(database: Database) -> None:
    """A reference that is added to or taken from `filepaths` in place is saved and counted; one to nothing is refused."""
    box, other = (Box(name="b", data=[number]).save() for number in range(2))
    record = ORMGeneral.find_or_fail(box.id)
    assert record.filepaths is not None
    record.filepaths["data"]["second"] = other.filepaths["data"]["json"]
    record.save()
    assert set(Box.load(id=box.id).filepaths["data"]) == {"json", "second"}
    assert verify(database, everything=True).findings == ()
    del record.filepaths["data"]["json"]
    record.save()
    assert Box.load(id=box.id).data == [1]
    assert verify(database, everything=True).findings == ()
    record.filepaths["data"]["second"]["key"] = "no such key"
    with pytest.raises(simpleml.errors.ArtifactMissingError, match="no such blob is live"):
        record.save()
    assert Box.load(id=box.id).data == [1]


@pytest.mark.parametrize(
    "values", [{"name": "b"}, {"version": 7}, {"hash_": "other"}, {"registered_name": "Other"}], ids=str
)
def test_what_a_version_stands_for_cannot_be_updated(database: Database, values: dict[str, Any]) -> None:
    """Name, version, hash and class of a saved record are refused by every verb, and stay as they were."""
    made = _record("a")
    for write in (made.update, lambda **given: ORMGeneral.save_record(made.id, **given)):
        with pytest.raises(simpleml.errors.ImmutableVersionError, match="of a saved version cannot change"):
            write(**values)
    found = ORMGeneral.find_or_fail(made.id)
    assert (found.name, found.version, found.hash_, found.registered_name) == ("a", 1, "h", "R")


DICT_CHANGES: list[Callable[[Any], object]] = [
    lambda d: d.update(b=1), lambda d: d.setdefault("b", []).append(1), lambda d: d.pop("a"), lambda d: d.popitem(), lambda d: d.clear(),
    lambda d: d.__ior__({"b": 1}), lambda d: d.__delitem__("a"), lambda d: d.__setitem__("a", {"c": 1}),
]  # fmt: skip
LIST_CHANGES: list[Callable[[Any], object]] = [
    lambda x: x.append({"x": 1}), lambda x: x.extend([1]), lambda x: x.insert(0, 9), lambda x: x.pop(), lambda x: x.remove(3), lambda x: x.sort(),
    lambda x: x.reverse(), lambda x: x.clear(), lambda x: x.__setitem__(0, {"y": 1}), lambda x: x.__setitem__(slice(0, 2), [7]),
    lambda x: x.__delitem__(0), lambda x: x.__iadd__([4]), lambda x: x.__imul__(2),
]  # fmt: skip


def test_every_way_to_change_a_container_is_seen(local: Database) -> None:
    """Whatever changes a nested dict or list in place, `save` writes it."""
    before = {"top": [{"d": {"a": 1}, "x": [3, 1, 2]}]}
    for number, change in enumerate([*DICT_CHANGES, *LIST_CHANGES]):
        made = _record(f"n{number}", metadata_=before)
        found = ORMGeneral.find_or_fail(made.id)
        assert found.metadata_ is not None
        change(found.metadata_["top"][0]["d" if number < len(DICT_CHANGES) else "x"])
        after = found.to_dict()["metadata_"]
        assert after != before, number
        found.save()
        assert ORMGeneral.find_or_fail(made.id).to_dict()["metadata_"] == after, number


def test_saving_what_was_not_changed_writes_nothing(database: Database) -> None:
    """`save` of an untouched record sends no UPDATE and moves no timestamp."""
    found = ORMGeneral.find_or_fail(_record("a", metadata_={"a": 1}).id)
    before = found.to_dict()
    sent = _count_statements(database)
    found.save()
    assert not [statement for statement in sent if "UPDATE" in statement]
    assert ORMGeneral.find_or_fail(found.id).to_dict() == before


def test_a_record_that_is_gone_cannot_be_updated(database: Database) -> None:
    """The update of a deleted row is an error of ours, and the record can still be read."""
    found = _record("a")
    ORMGeneral.destroy(found.id)
    with pytest.raises(RecordNotFoundError, match=r"not in the database any more, so nothing was updated"):
        found.update(project="p")
    assert (found.name, found.project) == ("a", "p")
    found.delete()  # nothing is there any more: no error


def test_an_update_survives_a_transaction_that_is_tried_again(database: Database) -> None:
    """When the database gives a transaction up as a deadlock's victim, the second try writes the same again."""
    found = ORMGeneral.find_or_fail(_record("a").id)
    failures = iter([True])
    victim = {"sqlite": ("database is locked", 5), "postgresql": ("40P01",), "mysql": (1213, "Deadlock")}

    class Victim(database.engine.dialect.loaded_dbapi.OperationalError):  # type: ignore[name-defined, misc]
        sqlite_errorcode = 5
        sqlstate = "40P01" if database.url.get_backend_name() == "postgresql" else None

    def interfere(connection: Connection, clause: Any, *rest: object) -> None:
        if "UPDATE persistables" in str(clause) and next(failures, False):
            error = Victim(*victim[database.url.get_backend_name()])
            raise exc.OperationalError("UPDATE", {}, error)

    event.listen(database.engine, "after_execute", interfere)
    found.update(project="p")
    assert list(failures) == []
    assert ORMGeneral.find_or_fail(found.id).project == "p"
    _Own.metadata.create_all(database.engine)
    note = Note.create(name="n")
    assert Note.find_or_fail(note.id).rank == 7


def test_save_record_inserts_and_then_updates(database: Database) -> None:
    """`save_record` is an upsert by id that leaves out what is no column, also twice in one transaction."""
    id_ = uuid4()
    ORMGeneral.save_record(str(id_), name="a", hash_="h", registered_name="R", config={"no": "column"})
    ORMGeneral.save_record(id_, project="p", metadata_={"x": [1]})
    found = ORMGeneral.find_or_fail(id_)
    assert (found.name, found.version, found.project, found.metadata_) == ("a", 1, "p", {"x": [1]})
    with simpleml.transaction():
        other = uuid4()
        ORMGeneral.save_record(other, name="b", hash_="h", registered_name="R")
        ORMGeneral.save_record(other, project="q")
    assert ORMGeneral.find_or_fail(other).project == "q"
    assert ORMGeneral.where().count() == 2


def test_a_version_is_counted_or_chosen_once(database: Database) -> None:
    """`create` counts on from the highest number ever given out; a taken one is refused."""
    assert ORMGeneral.get_latest_version("a") == 1
    _record("a")
    _record("a", version=5)
    assert ORMGeneral.get_latest_version("a") == 6
    assert _record("a").version == 6
    with pytest.raises(VersionConflictError, match=r"cannot get version 5.*Leave version out to get 7"):
        _record("a", version=5)
    ORMGeneral.destroy(*[record.id for record in ORMGeneral.all()])
    assert ORMGeneral.get_latest_version("a") == 7  # the next number, deleted ones included
    assert ORMGeneral.get_latest_version("b") == 1


def test_the_last_number_is_the_last(database: Database) -> None:
    """After the highest version there can be, which somebody chose, a save is refused and told; no number is given out beyond it."""
    Box(name="a", data=1, version=2**31 - 1).save()
    for _ in range(2):
        with pytest.raises(
            VersionConflictError, match=r"2147483647, the last number there can be, was given out.*another name"
        ):
            Box(name="a", data=2).save()
    assert Box.versions("a") == [2**31 - 1]
    assert Box(name="b", data=2).save().version == 1


def test_metrics_count_per_name_and_model(database: Database) -> None:
    """The versions of a metric are counted for its name and its model."""
    first, second = (ORMModel.create(name="m", hash_="h", registered_name="R") for _ in range(2))
    for model in (first, first, second):
        ORMMetric.create(name="auc", hash_="h", registered_name="R", model_id=model.id, values={"auc": 0.5})
    assert sorted(record.version for record in ORMMetric.where(name="auc")) == [1, 1, 2]
    assert ORMMetric.get_latest_version("auc", str(first.id)) == 3
    assert ORMMetric.get_latest_version("auc", str(second.id)) == 2


def test_destroy_is_one_transaction(database: Database) -> None:
    """Many ids go with one commit, unknown ones are no error, and if one may not go, none does."""
    box = Box(name="b", data=1).save()
    others = [_record("a").id for _ in range(5)]
    Pair(name="p", left=1, source=box).save()
    with pytest.raises(ReferencedError, match="'p' version 1"):
        ORMGeneral.destroy(*others, box.id)
    assert ORMGeneral.where(name="a").count() == 5
    commits: list[object] = []
    event.listen(database.engine, "commit", lambda connection: commits.append(connection))
    ORMGeneral.destroy(*others, uuid4(), str(others[0]))
    assert ORMGeneral.where(name="a").count() == 0
    assert len(commits) <= 4  # of which one writes
    ORMGeneral.destroy()


def test_a_note_is_destroyed_by_one_statement(notes: Database) -> None:
    """Records without lineage go by one DELETE, however many they are."""
    ids = [Note.create(name="n").id for _ in range(5)]
    sent = _count_statements(notes)
    Note.destroy(*ids)
    assert len([statement for statement in sent if "DELETE" in statement]) == 1
    assert Note.all() == []


def test_to_dict_gives_copies_under_the_mapped_names(database: Database) -> None:
    """`to_dict` uses the attributes' names, leaves out what it is told to, and shares nothing with the record."""
    made = _record("a", metadata_={"a": [1]})
    values = made.to_dict(exclude=["id"])
    assert {"hash_", "metadata_", "filepaths"} <= set(values)
    assert "id" not in values
    values["metadata_"]["a"].append(2)
    assert type(values["metadata_"]) is dict
    assert type(values["metadata_"]["a"]) is list
    assert made.metadata_ == {"a": [1]}


def test_load_and_load_reference_give_native_objects(database: Database) -> None:
    """A record loads as the most specific class, with its artifacts if asked; a reference by class and id."""
    SpecialBox(name="s", data=[1, 2]).save()
    record = ORMGeneral.where(name="s").first()
    assert record is not None
    assert type(record.load()) is SpecialBox
    assert record.load().__dict__["_values"] == {}
    assert record.load(load_externals=True).__dict__["_values"] == {"data": [1, 2]}
    assert ORMGeneral.load_reference(ORMGeneral, str(record.id)).data == [1, 2]  # type: ignore[attr-defined]
    with pytest.raises(simpleml.errors.LineageError, match="not in the database"):
        ORMGeneral.load_reference(ORMGeneral, uuid4())


# transactions and sessions


def test_records_take_part_in_a_transaction(notes: Database) -> None:
    """Create, change and delete in one block are written together, in their order, or not at all."""
    with simpleml.transaction():
        kept, gone = _record("kept"), _record("gone")
        kept.update(project="p")
        gone.delete()
        note, lost = Note.create(name="n"), Note.create(name="lost")
        note.update(rank=1)
        lost.delete()
        assert ORMGeneral.where().count() == Note.where().count() == 0
    assert [(record.name, record.project) for record in ORMGeneral.all()] == [("kept", "p")]
    assert [(found.name, found.rank) for found in Note.all()] == [("n", 1)]
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        kept.update(project="q")
        note.update(rank=2)
        fresh = Note.create(name="fresh")
        raise ZeroDivisionError
    assert ORMGeneral.find_or_fail(kept.id).project == "p"
    assert Note.find_or_fail(note.id).rank == 1
    assert Note.where().count() == 1
    kept.save()
    note.save()
    fresh.save()  # what was not written then is written now
    assert ORMGeneral.find_or_fail(kept.id).project == "q"
    assert Note.find_or_fail(note.id).rank == 2
    assert Note.find_or_fail(fresh.id).name == "fresh"


def test_a_block_looks_its_records_up_at_once(local: Database) -> None:
    """Saving a record into a block takes as many steps whether the block holds few or many."""

    def steps() -> int:
        counted: list[str] = []
        sys.setprofile(lambda *told: counted.append(told[1]))
        try:
            _record("a")
        finally:
            sys.setprofile(None)
        return len(counted)

    with simpleml.transaction():
        _record("a")
        few = steps()
        for _ in range(1000):
            _record("a")
        assert steps() < 2 * few


def test_a_refused_write_leaves_the_others_alone(database: Database) -> None:
    """A `create` that fails takes nothing of the thread's other work with it, and commits nothing of it."""
    _record("a", version=1)
    with pytest.raises(VersionConflictError), simpleml.transaction():
        _record("b")
        _record("a", version=1)
    assert ORMGeneral.where(name="b").count() == 0
    with Session(database.engine) as foreign:  # somebody's own session, on the same engine
        pending = ORMGeneral(name="pending", hash_="h", registered_name="R", version=1, id=uuid4())
        foreign.add(pending)
        _record("c")
        assert ORMGeneral.where(name="pending").count() == 0
        assert pending in foreign.new
        foreign.rollback()
    assert sorted(record.name for record in ORMGeneral.all()) == ["a", "c"]


def test_a_block_that_is_refused_says_so_in_our_words(notes: Database) -> None:
    """Where the database refuses a row of a block in which nothing else is saved, the error is ours, and nothing is written."""
    made = Note.create(name="made")
    with pytest.raises(DatabaseError, match="refused the row"), simpleml.transaction():
        Line.create(name="before")
        Note.create(name="again", id=made.id)
    assert (Note.where().count(), Line.where().count()) == (1, 0)


def test_a_row_with_a_counted_key_outlives_a_rollback(notes: Database) -> None:
    """What a failed block would have inserted can be saved afterwards, though others were counted meanwhile, and updated."""
    made = Note.create(name="made")
    mine = Line(name="mine")
    with pytest.raises(DatabaseError), simpleml.transaction():
        mine.save()
        Note.create(name="again", id=made.id)
    other = Line.create(name="other")
    mine.save()
    assert mine.id != other.id
    mine.update(name="still mine")
    assert sorted(line.name for line in Line.all()) == ["other", "still mine"]


def test_a_counted_key_is_counted_again_with_the_transaction(notes: Database) -> None:
    """If another row got the number while a block waits for its second try, the row of the block gets its own."""
    _record("a")
    beside = ThreadPoolExecutor(1)
    tries: list[str] = []

    def create_theirs() -> None:
        beside.submit(Line.create, name="theirs").result()

    def interfere(connection: Connection, clause: Any, *rest: object) -> None:
        if "DELETE FROM persistables" in str(clause) and not tries:
            tries.append("first")
            raise Again(create_theirs)

    event.listen(notes.engine, "after_execute", interfere)
    with beside, simpleml.transaction():
        mine = Line.create(name="mine")
        ORMGeneral.first().delete()  # type: ignore[union-attr]
    assert tries == ["first"]
    mine.update(name="still mine")
    assert sorted(line.name for line in Line.all()) == ["still mine", "theirs"]


@pytest.mark.parametrize("verb", ["save", "delete"])
def test_there_is_no_saving_without_committing(local: Database, verb: str) -> None:
    """`commit=False`, which in the mixin adds without flushing, is refused and names the transaction."""
    made = _record("a")
    with pytest.raises(TransactionError, match=r"simpleml\.transaction\(\)"):
        getattr(made, verb)(commit=False)
    with pytest.raises(TransactionError):
        ORMGeneral.create(commit=False, name="b", hash_="h", registered_name="R")
    with pytest.raises(TransactionError):
        ORMGeneral.destroy(made.id, commit=False)
    assert ORMGeneral.where().count() == 1


def test_there_is_no_session_to_leak(local: Database) -> None:
    """The mixin's session and its legacy query are refused, and the message says what to use."""
    for name in ("session", "query"):
        with pytest.raises(TransactionError, match="records have no session of their own"):
            getattr(ORMGeneral, name)
    for name in ("with_joined", "with_subquery"):
        with pytest.raises(TransactionError):
            getattr(ORMGeneral, name)()
    with pytest.raises(TransactionError):
        ORMGeneral.with_({})


def _idle(database: Database) -> int:
    """How many connections of this database are in a transaction and do nothing."""
    with database.engine.connect() as connection:
        if database.url.get_backend_name() == "postgresql":
            return connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' "
                    "AND pid <> pg_backend_pid()"
                )
            ).scalar_one()
        if database.url.get_backend_name() == "mysql":
            return connection.execute(
                text(
                    "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id "
                    "WHERE db = database() AND id <> connection_id()"
                )
            ).scalar_one()
    return 0


def test_no_verb_leaves_a_transaction_or_a_connection_behind(database: Database) -> None:
    """After every verb, also one that failed, no transaction is open and every connection is back in the pool."""
    made = _record("a")
    verbs: list[Callable[[], object]] = [
        lambda: ORMGeneral.find(made.id), lambda: ORMGeneral.find_or_fail(uuid4()), lambda: ORMGeneral.where(name="a").all(),
        lambda: ORMGeneral.where().count(), lambda: ORMGeneral.first(), lambda: list(ORMGeneral.where()), lambda: made.update(project="p"),
        lambda: _record("a", version=1), lambda: _record("b").delete(), lambda: ORMGeneral.get_latest_version("a"),
        lambda: Box(name="x", data=1).save(), lambda: Box.load(name="x").data, lambda: Box.load(name="none"), lambda: Box.query().all(),
        lambda: next(iter(Box.query())), lambda: ORMGeneral.destroy(made.id),
    ]  # fmt: skip
    for verb in verbs:
        with contextlib.suppress(SimpleMLError):
            verb()
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert _idle(database) == 0


def test_a_record_outlives_its_transaction(database: Database) -> None:
    """What was found can be read after the connection is gone: nothing is loaded later, nothing is expired."""
    found = ORMGeneral.find_or_fail(_record("a", metadata_={"a": 1}).id)
    database.close()
    assert found.to_dict()["metadata_"] == {"a": 1}
    sent = _count_statements(database)
    found.update(project="p")
    assert found.project == "p"
    assert not [statement for statement in sent if statement.startswith("SELECT") and "persistables" in statement]


def test_records_stay_with_their_database(database: Database, tmp_path: Path) -> None:
    """A record remembers where it came from: its verbs work there, whatever database is current."""
    here = _record("a")
    with open_database(tmp_path / "other.db", store=tmp_path / "other") as other:
        there = _record("a")
        here.update(project="here")
        assert ORMGeneral.find(here.id) is None
    there.update(project="there")
    assert ORMGeneral.find_or_fail(here.id).project == "here"
    there.delete()
    with other:
        assert ORMGeneral.where().count() == 0
        here.delete()
    assert ORMGeneral.where().count() == 0
    other.close()


def test_threads_do_not_meet(database: Database) -> None:
    """Threads that create and find at once get their own rows, all of them, with no error and no connection kept."""
    barrier = threading.Barrier(4)

    def work(number: int) -> list[int]:
        barrier.wait()
        made = [_record("shared", project=f"p{number}") for _ in range(8)]
        assert all(ORMGeneral.find_or_fail(record.id).project == f"p{number}" for record in made)
        return [record.version for record in made]

    with ThreadPoolExecutor(4) as pool:
        versions = [version for each in pool.map(work, range(4)) for version in each]
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert sorted(versions) == list(range(1, 33))


def test_a_block_is_of_its_thread(database: Database) -> None:
    """What another thread writes while a block is open is committed by itself, at once."""
    with simpleml.transaction():
        _record("mine")
        thread = threading.Thread(target=lambda: _record("theirs"))
        thread.start()
        thread.join()
        assert [record.name for record in ORMGeneral.all()] == ["theirs"]
    assert sorted(record.name for record in ORMGeneral.all()) == ["mine", "theirs"]


def test_no_verb_warns(database: Database) -> None:
    """The verbs use no deprecated call: under errors for warnings they all work."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = _record("a")
        ORMGeneral.find_or_fail(made.id)
        ORMGeneral.where(name__contains="a", metadata__config__x=1).order_by("name").first()
        made.update(project="p")
        ORMGeneral.destroy(made.id)


def test_a_value_that_cannot_be_written_is_our_error(database: Database) -> None:
    """What JSON cannot hold, and a naive time, come out as errors of ours, not as the library's, and write nothing."""
    with pytest.raises(simpleml.errors.EncodingError, match="object"):
        _record("a", metadata_={"x": object()})
    made = _record("b")
    with pytest.raises(simpleml.errors.DatabaseError, match="no time zone"):
        made.update(modified_timestamp=datetime(2020, 1, 1))
    assert ORMGeneral.where(name="a").count() == 0


def test_selections_by_core_agree_with_the_table(database: Database) -> None:
    """The mapped classes can be used in SQL of one's own, with a session on the database's engine."""
    _record("a")
    with Session(database.engine) as session:
        assert session.scalars(select(ORMGeneral.name)).all() == ["a"]
