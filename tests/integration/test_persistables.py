"""Save and load of native objects, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import MetaData
from sqlalchemy.orm import Mapped, mapped_column

import simpleml
from simpleml import Artifact, Lineage, Persistable
from simpleml.errors import (
    ImmutableVersionError,
    LineageError,
    RecordNotFoundError,
    ReferencedError,
    UnsavedReferenceError,
    VersionConflictError,
    WrongClassError,
)
from simpleml.orm import Database, ORMPersistable, open_database
from simpleml.orm.backup import backup, restore
from simpleml.orm.housekeeping import verify
from simpleml.orm.offline import OfflineDatabase
from simpleml.orm.record_copies import RecordCopy, path_of
from tests.integration.kinds import Box, Pair, SpecialBox, Vocabulary

ROOT = Path(__file__).resolve().parents[2]


def test_an_object_comes_back_by_name_and_version(database: Database) -> None:
    """What was saved is loaded equal, with its identity, config, state and artifact."""
    saved = Vocabulary(name="words", project="crm", author="ada", min_count=3, state={"seen": 9})
    saved.fit("a a a b b c").save()
    found = Vocabulary.load(name="words", version=1)
    assert type(found) is Vocabulary
    assert (found.id, found.name, found.project, found.author, found.version) == (saved.id, "words", "crm", "ada", 1)
    assert found.config == {"min_count": 3}
    assert found.state == {"seen": 9}
    assert found.hash_ == saved.hash_
    assert found.tokens == {"a": 3}
    assert found.created_timestamp is not None
    assert abs((datetime.now(UTC) - found.created_timestamp).total_seconds()) < 300


@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, None, "ü"]},
        (1, 2),
        np.arange(12, dtype="float32").reshape(3, 4),
        pd.DataFrame({"n": [1, 2], "s": ["x", None], "t": pd.to_datetime(["2020-01-01", None])}),
        {1, 2, 3},
        b"bytes" * 1000,
    ],
    ids=["json", "tuple", "array", "frame", "set", "bytes"],
)
def test_the_type_of_a_value_chooses_its_pattern_and_comes_back_exactly(local: Database, value: Any) -> None:
    """Without a pattern any picklable value round-trips to an equal value of the same type."""
    Box(name="any", data=value).save()
    found = Box.load(name="any").data
    assert type(found) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(found, value)
    else:
        assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


def test_versions_count_up_per_name_and_kind(database: Database) -> None:
    """Each save of a name makes the next version, whatever the class within a kind; other names count for themselves."""
    for _ in range(3):
        Box(name="a", data=1).save()
    SpecialBox(name="a", data=1).save()
    Box(name="b", data=1).save()
    assert Box.versions("a") == [1, 2, 3, 4]
    assert Box.versions("b") == [1]
    assert Box.versions("none") == []
    assert simpleml.load("persistable", name="a", version=3).version == 3


def test_names_compare_by_bytes_on_every_database(database: Database) -> None:
    """Case, accents, trailing spaces and look-alikes make different names."""
    names = [
        "churn",
        "Churn",
        "chürn",
        "churn ",
        " churn",
        "chu\u0308rn",
        "ß",
        "ss",
        "日本",
        "x" * 255,
        "'; DROP TABLE persistables; --",
    ]
    for name in names:
        assert Box(name=name, data=name).save().version == 1
    for name in names:
        assert Box.load(name=name).data == name


def test_the_latest_version_is_loaded_unless_another_is_named(database: Database) -> None:
    """`load(name=…)` gives the highest version that is left."""
    for number in range(3):
        Box(name="a", data=number).save()
    assert Box.load(name="a").data == 2
    assert Box.load(name="a", version=2).data == 1
    Box.load(name="a").delete()
    assert Box.load(name="a").data == 1


def test_a_deleted_number_is_never_used_again(database: Database) -> None:
    """After version 2 was deleted the next save is version 3."""
    Box(name="a", data=1).save()
    Box(name="a", data=2).save().delete()
    assert Box(name="a", data=3).save().version == 3
    assert Box.versions("a") == [1, 3]


def test_loading_by_id_and_by_other_columns(database: Database) -> None:
    """An id finds its record whatever form it has; columns narrow the choice."""
    first = Box(name="a", project="one", data=1).save()
    Box(name="a", project="two", data=2).save()
    assert Box.load(id=first.id).data == 1
    assert Box.load(id=str(first.id).upper()).data == 1
    assert Box.load(name="a", project="one").data == 1
    assert Box.load("a", version__lt=2).data == 1


def test_the_most_specific_class_comes_back(database: Database) -> None:
    """A base class loads records of its subclasses as what they are, and refuses those of other classes by name."""
    SpecialBox(name="a", data=1).save()
    assert type(Box.load(name="a")) is SpecialBox
    assert type(Persistable.load(name="a")) is SpecialBox
    with pytest.raises(WrongClassError, match=r"'a' version 1 is a SpecialBox, not a Vocabulary"):
        Vocabulary.load(name="a")


def test_what_is_not_there_is_told_with_what_is(database: Database) -> None:
    """An unknown name lists the near ones, an unknown version those of the name."""
    Box(name="churn", data=1).save()
    with pytest.raises(RecordNotFoundError, match=r"did you mean 'churn'"):
        Box.load(name="chrun")
    with pytest.raises(RecordNotFoundError, match=r"known versions of 'churn': 1"):
        Box.load(name="churn", version=7)
    with pytest.raises(RecordNotFoundError, match="no persistable with id="):
        Box.load(id=uuid4())


def test_artifacts_are_read_once_and_only_when_used(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading an object reads no artifact; the first use of one reads that one, once."""
    Pair(name="p", left=[1], right=[2]).save()
    read: list[str] = []
    store = database.places.store("default")
    original = store.read
    monkeypatch.setattr(store, "read", lambda key, size: (read.append(key), original(key, size))[1])
    found = Pair.load(name="p")
    assert read == []
    assert found.left == [1]
    assert found.left == [1]
    assert len(read) == 1
    assert found.right == [2]
    assert len(read) == 2


def test_an_artifact_may_have_several_patterns(database: Database) -> None:
    """Every pattern stores it; loading takes the first that works, and tells every cause if none does."""
    box = Box(name="a", data=[1, 2], save_patterns={"data": ["json", "pickled", "disk_pickled"]}).save()
    assert list(box.filepaths["data"]) == ["json", "pickled", "disk_pickled"]
    assert {reference["store"] for reference in box.filepaths["data"].values()} == {"default", "disk"}
    first = box.filepaths["data"]["json"]
    database.places.store("default").delete(first["key"])
    assert Box.load(name="a").data == [1, 2]
    for reference in box.filepaths["data"].values():
        database.places.store(reference["store"]).delete(reference["key"])
    with pytest.raises(simpleml.errors.ArtifactLoadError) as caught:
        _ = Box.load(name="a").data
    assert set(caught.value.causes) == {"json", "pickled", "disk_pickled"}


def test_a_saved_version_is_immutable_but_for_state_and_metadata(database: Database) -> None:
    """State, metadata and description may be saved again; identity, config and artifacts may not, in place or assigned."""
    box = Box(name="a", data=[1, 2], config={"k": 1}).save()
    box.state["note"] = "x"
    box.metadata_["mine"] = {"deep": [1]}
    box.version_description = "better"
    assert box.save().version == 1
    again = Box.load(name="a")
    assert (again.state["note"], again.metadata_["mine"], again.version_description) == ("x", {"deep": [1]}, "better")
    assert again.save().version == 1
    for change in (
        lambda x: x.config.update(k=2),
        lambda x: x.data.append(3),
        lambda x: setattr(x, "data", [9]),
        lambda x: setattr(x, "name", "b"),
        lambda x: setattr(x, "project", "other"),
    ):
        changed = Box.load(name="a")
        change(changed)
        with pytest.raises(ImmutableVersionError, match=r"new_version\(\)"):
            changed.save()
    assert Box.versions("a") == [1]
    assert Box.load(name="a").data == [1, 2]


def test_new_version_saves_what_changed_as_the_next_one(database: Database) -> None:
    """A copy with another id becomes the next version; artifacts that were not read keep their bytes, unread."""
    Pair(name="p", left=[1], right=[2]).save()
    found = Pair.load(name="p")
    found.left.append(5)
    second = found.new_version().save()
    assert (second.version, second.id != found.id) == (2, True)
    assert "right" not in second._values
    assert Pair.load(name="p").left == [1, 5]
    assert Pair.load(name="p").right == [2]
    assert Pair.load(name="p", version=1).left == [1]
    assert second.filepaths["right"] == found.filepaths["right"]


def test_equal_bytes_are_stored_once(database: Database) -> None:
    """Ten versions with the same artifact share one object."""
    boxes = [Box(name="a", data={"same": "content"}).save() for _ in range(10)]
    assert len({box.filepaths["data"]["json"]["key"] for box in boxes}) == 1


def test_the_content_hash_says_what_an_object_is(database: Database) -> None:
    """Equal class, config, artifacts and inputs give equal hashes, whatever the name; any difference gives another."""
    first = Box(name="a", data=[1], config={"k": 1}).save()
    assert Box(name="b", data=[1], config={"k": 1}).save().hash_ == first.hash_
    others = [
        Box(name="a", data=[2], config={"k": 1}).save(),
        Box(name="a", data=[1], config={"k": 1.0}).save(),
        SpecialBox(name="a", data=[1], config={"k": 1}).save(),
    ]
    assert len({first.hash_, *(other.hash_ for other in others)}) == 4
    assert Pair(name="p", left=1, source=first).save().hash_ != Pair(name="p", left=1, source=others[0]).save().hash_


def test_lineage_is_held_and_loaded_once(database: Database) -> None:
    """A parent comes back as what it is, once; an inline parent is not collected."""
    Pair(name="p", left=1, source=Box(name="b", data=[7]).save()).save()
    found = Pair.load(name="p")
    assert found.source is not None
    assert found.source.data == [7]
    assert found.source is found.source
    assert Pair(name="q", left=1, source_id=found.source.id).save().source.data == [7]
    assert Pair(name="r", left=1).save().source is None
    assert Pair.load(name="r").source is None


def test_an_unsaved_parent_is_refused(database: Database) -> None:
    """Saving a child of an unsaved object says to save that first, and stores nothing."""
    with pytest.raises(UnsavedReferenceError, match="save that first"):
        Pair(name="p", left=1, source=Box(name="b", data=1)).save()
    with pytest.raises(LineageError, match="not in the database"):
        Pair(name="p", left=1, source_id=uuid4()).save()
    assert Pair.versions("p") == []


def test_a_parent_cannot_be_deleted_before_its_children(database: Database) -> None:
    """Deleting what others were made from is refused and lists them; the other order works."""
    box = Box(name="b", data=1).save()
    pair = Pair(name="p", left=1, source=box).save()
    with pytest.raises(ReferencedError, match="persistable 'p' version 1"):
        box.delete()
    pair.delete()
    box.delete()
    assert Box.versions("b") == Pair.versions("p") == []


def test_a_deleted_object_is_an_unsaved_one(database: Database) -> None:
    """After `delete()` the object can be saved again, as a new version; deleting twice is told."""
    box = Box(name="b", data=[1]).save()
    box.delete()
    assert not box.is_saved
    with pytest.raises(LineageError, match="not saved"):
        box.delete()
    assert box.save().version == 2
    assert Box.load(name="b").data == [1]


def test_lineage_of_a_record_that_was_deleted_since_is_told(database: Database) -> None:
    """An object whose record somebody else deleted does not pass for one without parents, nor is a copy saved as such."""
    Pair(name="p", left=1, source=Box(name="b", data=1).save()).save()
    alone = Pair(name="alone", left=1).save()
    found, copied = Pair.load(name="p"), Pair.load(name="p")
    Pair.load(name="p").delete()
    with pytest.raises(RecordNotFoundError, match=r"'p' version 1.* was deleted since it was loaded"):
        _ = found.source
    with pytest.raises(RecordNotFoundError, match="was deleted since it was loaded"):
        copied.new_version()
    assert Pair.load(id=alone.id).source is None


def test_a_version_may_be_chosen_if_it_is_a_new_number(database: Database) -> None:
    """A chosen number above all that were given out is used, and counting goes on after it; no number comes twice."""
    assert Box(name="a", data=1, version=5).save().version == 5
    assert Box(name="a", data=1).save().version == 6
    Box.load(name="a").delete()
    for taken in (2, 5, 6):
        with pytest.raises(VersionConflictError, match=f"version {taken}: versions up to 6 were given out"):
            Box(name="a", data=1, version=taken).save()
    assert Box(name="a", data=1, version=np.int64(7)).save().version == 7
    with pytest.raises(VersionConflictError, match="version 9"), simpleml.transaction():
        Box(name="a", data=1, version=9).save()
        Box(name="a", data=2, version=9).save()
    assert Box.versions("a") == [5, 7]


def test_to_dict_and_from_dict_are_each_others_inverse(database: Database) -> None:
    """A record's values make the object again, hooks included."""
    restored: list[str] = []

    class Hooked(Persistable):
        data: Artifact[Any] = Artifact()
        made = 0

        def __post_init__(self) -> None:
            self.made = 1

        def __post_restore__(self) -> None:
            restored.append(self.name)

    first = Hooked(name="h", data=[3], config={"x": (1, 2)}).save()
    assert first.made == 1
    again = Hooked.from_dict(**first.to_dict())
    assert restored == ["h"]
    assert again.made == 0
    assert again.to_dict() == first.to_dict()
    assert again.data == [3]
    assert again.config == {"x": (1, 2)}


def test_saved_objects_travel_as_references_and_unsaved_ones_by_value(database: Database) -> None:
    """A pickle of a saved object is small and names its id; that of an unsaved one carries everything."""
    saved = Box(name="a", data=list(range(10_000))).save()
    sent = pickle.dumps(saved)
    assert len(sent) < 300
    assert pickle.loads(sent).data == saved.data
    unsaved = Box(name="u", data=[1])
    assert pickle.loads(pickle.dumps(unsaved)).data == [1]
    assert copy.deepcopy(unsaved).data == [1]


def test_queries_choose_by_columns_and_metadata(database: Database) -> None:
    """Operators, metadata paths of every plain type, order, limit, count and data frames work alike on all databases."""
    for number in range(6):
        Box(
            name=f"n{number % 2}",
            project="p%_" if number else "pp_",
            data=number,
            config={"C": number / 2, "i": number, "deep": {"s": f"v{number}"}, "on": number > 3},
        ).save()
    assert [box.config["i"] for box in Box.query(name="n0").order_by("-version")] == [4, 2, 0]
    assert Box.query(name__like="n%").count() == 6
    assert Box.query(project__startswith="p%").count() == 5
    assert Box.query(version__lt=3, name__in=["n1"]).count() == 2
    assert Box.query(version__between=[2, 3]).count() == 4
    assert Box.query(metadata__config__i=4).count() == 1
    assert Box.query(metadata__config__C__gt=1.4).count() == 3
    assert Box.query(metadata__config__deep__s="v3").first().config["i"] == 3
    assert Box.query(metadata__config__deep__s__like="v%").count() == 6
    assert Box.query(metadata__config__on=True).count() == 2
    assert Box.query(metadata__config__none__isnull=True).count() == 6
    assert [box.version for box in Box.query(name="n0").order_by("version").limit(1, offset=1)] == [2]
    frame = Box.query(name="n1").order_by("version").to_pandas()
    assert list(frame["version"]) == [1, 2, 3]
    assert Pair.query(name__like="%").count() == 0


def test_a_transaction_saves_all_or_nothing(database: Database) -> None:
    """Inside a block versions are not known yet; at its end all are there, and after an exception none."""
    with simpleml.transaction():
        box = Box(name="a", data=1).save()
        pair = Pair(name="p", left=1, source=box).save()
        Pair(name="by id", left=1, source_id=box.id).save()
        box.state["more"] = 1
        box.save()
        assert box.version is None
        assert Box.versions("a") == []
        with pytest.raises(RecordNotFoundError, match="; what this transaction saves is there when it ends; "):
            Box.load("a")
    assert (box.version, pair.version) == (1, 1)
    assert Pair.load(name="p").source.state == {"more": 1}
    with pytest.raises(ZeroDivisionError), simpleml.transaction():
        lost = Box(name="a", data=2).save()
        raise ZeroDivisionError
    assert not lost.is_saved
    assert Box.versions("a") == [1]
    assert lost.save().version == 2
    with pytest.raises(RecordNotFoundError) as told:
        Box.load("b")
    assert "when it ends" not in str(told.value)


def test_two_databases_in_one_process(database: Database, tmp_path: Path) -> None:
    """Objects stay with the database they came from; a block chooses another one."""
    Box(name="a", data="here").save()
    with open_database(tmp_path / "other.db", store=tmp_path / "other") as other:
        Box(name="a", data="there").save()
        there = Box.load(name="a")
        with pytest.raises(UnsavedReferenceError, match="another database"), database:
            Pair(name="p", left=1, source=there).save()
    assert Box.load(name="a").data == "here"
    assert there.data == "there"
    other.close()


def test_a_moved_store_is_found_where_the_settings_say(database_url: str, tmp_path: Path) -> None:
    """References name stores, not places: another folder, told by the settings, loads everything."""
    simpleml.connect(database_url, store=tmp_path / "first")
    Box(name="a", data=[1, 2, 3], save_patterns={"data": "pickled"}).save()
    simpleml.disconnect()
    (tmp_path / "first").rename(tmp_path / "second")
    simpleml.connect(database_url, store=tmp_path / "second")
    assert Box.load(name="a").data == [1, 2, 3]


def test_a_fresh_process_elsewhere_loads_by_name(database: Database, database_url: str, tmp_path: Path) -> None:
    """Another process, in another folder with another home, imports the class by the record's hint and loads the object."""
    Vocabulary(name="words", min_count=1).fit("a b a").save()
    home = tmp_path / "elsewhere"
    home.mkdir()
    code = (
        "import simpleml, sys; simpleml.connect(sys.argv[1], store=sys.argv[2], import_packages=('tests',));"
        "found = simpleml.load('persistable', name='words'); print(type(found).__name__, found.tokens)"
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, database_url, str(tmp_path / "store")],
        cwd=home, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split("\n")[0] == "Vocabulary {'a': 2, 'b': 1}", done.stderr


class ORMThing(ORMPersistable):
    """A mapped class of a user's own kind, in a schema of its own."""

    __tablename__ = "things"
    metadata = MetaData()
    kind = "thing"
    weight: Mapped[int | None] = mapped_column()


class Thing(Persistable):
    """The native class of that kind."""

    kind = "thing"
    record_fields = ("weight",)
    data: Artifact[Any] = Artifact()
    weight: int | None = None


def test_nothing_is_modified_before_it_is_created(local: Database) -> None:
    """What is saved again in the block that makes it, bears the time of the commit, as what is not."""
    with simpleml.transaction():
        box = Box(name="b", data=1).save()
        box.state["seen"] = True
        box.save()
    found = Box.load(name="b")
    assert found.state == {"seen": True}
    assert found.created_timestamp == box.created_timestamp <= found.modified_timestamp


def test_a_kind_may_bring_its_own_table(database: Database, tmp_path: Path) -> None:
    """A mapped and a native class of one kind work together; the table is made when needed, verified and backed up."""
    thing = Thing(name="t", data=[1])
    thing.weight = 12
    thing.save()
    assert Thing.load(name="t").weight == 12
    assert ORMThing.where(weight__gt=10).count() == 1
    assert verify(database, everything=True).records == 1
    backup(database, tmp_path / "backup")
    with open_database(tmp_path / "again.db", store=tmp_path / "again") as other:
        restore(other, tmp_path / "backup")
        assert Thing.load(name="t").data == [1]
    other.close()
    thing.delete()
    assert Thing.versions("t") == []


def test_records_of_a_kind_of_ones_own_are_looked_for_before_any_was_saved(database: Database) -> None:
    """The verbs of a mapped class work in a database that has no table of its kind yet, as those of the native class do."""
    id_ = uuid4()
    assert (ORMThing.find(id_), ORMThing.where(name="t").all(), Thing.query().all()) == (None, [], [])
    ORMThing.save_record(id_, name="t", hash_="h", registered_name="Thing")
    assert [thing.id for thing in ORMThing.all()] == [id_]


def test_a_kind_of_ones_own_is_read_where_nothing_may_be_written(tmp_path: Path) -> None:
    """Its table is only made where it is not there: offline, and by who may not write, its records are found."""
    with open_database(tmp_path / "here.db", store=tmp_path / "store") as here:
        thing = Thing(name="t", data=[1]).save()
        settings = here.settings.replace(database_url="postgresql://me@server/db", home=tmp_path / "home", offline=True)
        RecordCopy(path_of(settings), here.identity).keep("thing", here.select("thing", {})[0])
    with OfflineDatabase(settings):
        assert Thing.load(name="t").id == thing.id


def test_objects_show_themselves(local: Database) -> None:
    """The prompt shows class, name and version; a notebook shows a table in which every text is escaped."""
    box = Box(name="<b>", data=[1], config={"k": "<script>"})
    assert repr(box) == "<Box '<b>' (not saved)>"
    box.save()
    assert repr(box) == "<Box '<b>' version 1>"
    html = box._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "json (" in html


def test_lineage_takes_only_its_kind(local: Database) -> None:
    """Assigning something else than an object of the declared kind is refused."""
    pair = Pair(name="p", left=1)
    with pytest.raises(LineageError, match="kind 'persistable'"):
        pair.source = 5  # type: ignore[assignment]

    class Other(Persistable):
        boss: Lineage[Any] = Lineage("model")

    with pytest.raises(LineageError, match="kind 'model'"):
        Other(name="o", boss=Box(name="b"))
