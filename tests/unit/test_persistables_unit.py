"""Persistables without a database: identity, artifacts, hooks, pickling; and what saving and loading costs in memory."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Protocol, TypedDict
from uuid import UUID, uuid4

import cloudpickle
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simpleml
from simpleml import Artifact, Lineage, Persistable
from simpleml.errors import (
    ArtifactMissingError,
    ArtifactTypeError,
    ArtifactUnsetError,
    IdentityError,
    RecordNotFoundError,
    SavePatternError,
)
from simpleml.orm import Database
from simpleml.persistables.classes import class_of, classes
from simpleml.persistables.environment import library_versions, mismatches, platform_name, recorded_for
from simpleml.persistables.identity import (
    checked_description,
    checked_id,
    checked_mapping,
    checked_text,
    checked_version,
)
from tests.integration.kinds import Box, Pair, Vocabulary

ROOT = Path(__file__).resolve().parents[2]


# identity


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=255))
def test_every_storable_text_is_a_name(text: str) -> None:
    """1 to 255 characters of any kind but NUL and surrogates are a name, and come back as they are."""
    assert checked_text("name", text) is text


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_every_other_text_is_refused(text: str) -> None:
    """What is empty, too long, or cannot be encoded is refused with an error that names the field."""
    good = (
        1 <= len(text) <= 255 and "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    )
    if good:
        assert checked_text("name", text) == text
    else:
        with pytest.raises(IdentityError, match=r"^name "):
            checked_text("name", text)


@given(st.uuids())
def test_an_id_has_many_forms(id_: UUID) -> None:
    """A UUID, and its text with or without dashes, braces, capitals or the urn prefix, is the same id."""
    for form in (id_, str(id_), str(id_).upper(), id_.hex, f"{{{id_}}}", id_.urn):
        assert checked_id(form) == id_


@given(st.one_of(st.integers(), st.booleans(), st.floats(), st.none(), st.text(), st.binary()))
def test_a_version_is_a_whole_number_from_one_on(value: Any) -> None:
    """Whole numbers from 1 to 2**31 - 1 are versions; nothing else is, True least of all."""
    if type(value) is int and 1 <= value < 2**31:
        assert checked_version(value) == value
    else:
        with pytest.raises(IdentityError, match=r"^version is "):
            checked_version(value)


def test_descriptions_and_mappings_are_checked_and_copied() -> None:
    """A description is any storable text or None; a mapping becomes a dict of one's own."""
    assert checked_description(None) is None
    assert checked_description("x" * 10_000) == "x" * 10_000
    given_ = {"a": 1}
    assert checked_mapping("config", given_) == given_
    assert checked_mapping("config", given_) is not given_
    assert checked_mapping("config", None) == {}
    for wrong in ("a", [("a", 1)], 5):
        with pytest.raises(IdentityError, match=r"config is .*must be a mapping"):
            checked_mapping("config", wrong)


def test_save_patterns_that_are_no_mapping_are_told_what_they_are() -> None:
    """The example in the message is one of save patterns."""
    with pytest.raises(IdentityError, match=r"save_patterns=\{'data': \['disk_pickled'\]\}"):
        Box(save_patterns="disk_pickled")  # type: ignore[arg-type]


def test_defaults_and_keywords() -> None:
    """An object has an id of its own, the name `default`, and no version, project, author or hash until it is saved."""
    box = Box()
    assert isinstance(box.id, UUID)
    assert box.id != Box().id
    assert (box.name, box.version, box.project, box.author, box.hash_) == ("default", None, None, None, None)
    assert (box.config, box.state, box.filepaths, box.is_saved, box.has_external_files) == ({}, {}, {}, False, False)
    id_ = uuid4()
    full = Box(
        id=str(id_),
        name="n",
        project="p",
        author="a",
        version=3,
        version_description="d",
        config={"c": 1},
        state={"s": 2},
    )
    assert (full.id, full.name, full.project, full.author, full.version) == (id_, "n", "p", "a", 3)
    assert (full.version_description, full.config, full.state) == ("d", {"c": 1}, {"s": 2})
    both = Box(metadata_={"config": {"a": 1, "b": 1}, "mine": 2}, config={"b": 2})
    assert both.config == {"a": 1, "b": 2}
    assert both.metadata_["mine"] == 2
    with pytest.raises(TypeError, match="positional"):
        Box("name")  # type: ignore[call-arg, misc]


def test_two_objects_share_nothing() -> None:
    """What is given to one object, or changed in it, does not show in another."""
    config: dict[str, Any] = {"a": 1}
    first, second = Box(config=config), Box(config=config)
    first.config["a"] = 2
    first.state["x"] = 1
    assert (second.config, second.state, config) == ({"a": 1}, {}, {"a": 1})
    first.set_save_patterns("data", "json")
    assert second.save_patterns == {"data": ()}


# artifacts


class _Shape(TypedDict):
    rows: int


class _Closer(Protocol):
    def close(self) -> None: ...


def test_annotations_say_what_an_artifact_takes(local: Database) -> None:
    """The container type of the annotation is checked; protocols, type variables and what cannot be resolved are not."""

    class Annotated(Persistable):
        table: Artifact[dict[str, int]] = Artifact()
        array: Artifact[np.ndarray] = Artifact()
        union: Artifact[int | str | None] = Artifact()
        optional: Artifact[typing.Optional[list[int]]] = Artifact()  # noqa: UP045 - the older spelling
        number: Artifact[float] = Artifact()
        any: Artifact[Any] = Artifact()
        anything: Artifact[object] = Artifact()
        protocol: Artifact[_Closer] = Artifact()
        typed: Artifact[_Shape] = Artifact()
        nowhere: Artifact[NotDefinedAnywhere] = Artifact()  # type: ignore[name-defined]  # noqa: F821
        bare = Artifact[Any]()

    good: dict[str, list[Any]] = {
        "table": [{}], "array": [np.eye(2)], "union": [1, "a", None], "optional": [[1], None], "number": [1.5, 2], "any": [object(), None],
        "anything": [1], "protocol": [1], "typed": [{"rows": 1}], "nowhere": [1], "bare": [1],
    }  # fmt: skip
    bad: dict[str, list[Any]] = {
        "table": [[], None], "array": [[1.0]], "union": [1.5, [1]], "optional": [(1,)], "number": ["1", None, 1j], "typed": [5],
    }  # fmt: skip
    for name, values in good.items():
        for value in values:
            made = Annotated(**{name: value})
            assert getattr(made, name) is value
    for name, values in bad.items():
        for value in values:
            with pytest.raises(ArtifactTypeError, match=rf"^Annotated\.{name} takes "):
                setattr(Annotated(), name, value)


def test_artifacts_are_inherited_and_overridden() -> None:
    """A subclass has the artifacts of its bases, in their order, and may declare one anew."""

    class Below(Pair):
        right: Artifact[int] = Artifact(save_patterns="json")
        more: Artifact[Any] = Artifact(["json", "pickled"], doc="More.")

    assert list(Below()._artifacts_declared) == ["left", "right", "more"]
    assert Below().save_patterns == {"left": (), "right": ("json",), "more": ("json", "pickled")}
    assert Pair().save_patterns == {"left": (), "right": ()}
    assert repr(Below.more) == "Artifact('more', save_patterns=['json', 'pickled'])"
    assert Below.more.__doc__ == "More."
    assert repr(Below.source) == "Lineage('source', kind='persistable')"
    with pytest.raises(ArtifactTypeError):
        Below(right="x")


def test_an_artifact_that_was_not_set_is_missing() -> None:
    """Reading it is an error that is also an `AttributeError`; `has_artifact` and `hasattr` ask without one; None is a value."""
    box = Box(name="b")
    assert not box.has_artifact("data")
    assert not hasattr(box, "data")
    with pytest.raises(AttributeError, match="never set"):
        _ = box.data
    box.data = None
    assert box.has_artifact("data")
    assert box.data is None
    del box.data
    assert not box.has_artifact("data")
    with pytest.raises(ArtifactUnsetError):
        del box.data
    with pytest.raises(ArtifactMissingError, match="has no artifact 'other'; known: data"):
        box.get_artifact("other")


def test_save_patterns_are_checked_when_they_are_chosen() -> None:
    """A name, or several, of an artifact that there is; unknown ones change nothing."""
    box = Box()
    box.set_save_patterns("data", ["json", "disk_pickled"])
    for wrong in ("jsn", ["json", "x"], 5, [None]):
        with pytest.raises(SavePatternError):
            box.set_save_patterns("data", wrong)  # type: ignore[arg-type]
    with pytest.raises(SavePatternError, match="did you mean 'data'"):
        box.set_save_patterns("date", "json")
    assert box.save_patterns == {"data": ("json", "disk_pickled")}


# hashes and hooks


def test_the_hash_needs_no_database() -> None:
    """`_hash` is the same for equal objects whatever they are called, and another for any other class, config or content."""
    box = Box(name="a", data=[1], config={"k": 1})
    assert box._hash() == Box(name="b", project="p", version=7, state={"s": 1}, data=[1], config={"k": 1})._hash()
    others = [
        Box(data=[1], config={"k": 2}), Box(data=[1], config={"k": 1.0}), Box(data=[1], config={"k": True}), Box(data=(1,), config={"k": 1}),
        Box(config={"k": 1}), Box(data=None, config={"k": 1}), Pair(left=[1], config={"k": 1}),
    ]  # fmt: skip
    assert len({box._hash(), *(other._hash() for other in others)}) == len(others) + 1
    parent, other = Box(data=1), Box(data=2)
    assert Pair(left=1, source=parent)._hash() != Pair(left=1, source=other)._hash() != Pair(left=1)._hash()
    assert Pair(left=1, right=1)._hash() == Pair(left=1, right=2)._hash()  # `right` is no part of the identity


def test_hooks_run_once_each(local: Database) -> None:
    """`__post_init__` runs after every `__init__` of the hierarchy, `__post_restore__` instead of it after loading."""
    calls: list[str] = []

    class Base(Persistable):
        data: Artifact[Any] = Artifact()

        def __init__(self, *, size: int = 1, **identity: Any) -> None:
            super().__init__(**identity, config={"size": size})
            calls.append("base")

        def __post_init__(self) -> None:
            calls.append(f"post init {self.config['size']}")

        def __post_restore__(self) -> None:
            calls.append(f"restored {self.config['size']} {self.has_artifact('data')}")

    class Derived(Base):
        def __init__(self, **keywords: Any) -> None:
            super().__init__(**keywords)
            calls.append("derived")

    Derived(name="d", size=3, data=1).save()
    assert calls == ["base", "derived", "post init 3"]
    calls.clear()
    assert Derived.load(name="d").data == 1
    assert calls == ["restored 3 True"]
    calls.clear()
    Derived.load(name="d").new_version()
    assert calls == ["restored 3 True"]


def test_an_init_that_forgets_its_base_is_told() -> None:
    """A class whose `__init__` does not call Persistable's is refused when an object is made."""

    class Forgetful(Persistable):
        def __init__(self) -> None:
            pass

    with pytest.raises(IdentityError, match=r"super\(\).__init__\(\*\*identity\)"):
        Forgetful()


# classes


def test_classes_are_registered_and_found() -> None:
    """A class goes by its name, or by the one it says; a cell run again replaces it; an unknown name says what is near."""

    def cell(number: int) -> type[Persistable]:
        class Cell(Persistable):
            made = number

        return Cell

    cell(1)
    second = cell(2)
    assert classes.get("Cell") is second

    class Named(Persistable):
        registered_name = "a stable name"

    assert class_of("a stable name", None, None) is Named
    assert Named(name="n").registered_name == "a stable name"
    with pytest.raises(LookupError, match=r"registered as 'Bxo'; known: .*did you mean 'Box'"):
        class_of("Bxo", None, None)


# pickling and copying


def test_unsaved_objects_travel_by_value() -> None:
    """Pickle, cloudpickle and copies carry everything of an unsaved object, and share nothing with it."""
    pair = Pair(name="p", left=[1], config={"k": [1]}, source=Box(name="b", data={2}))
    for made in (pickle.loads(pickle.dumps(pair)), cloudpickle.loads(cloudpickle.dumps(pair)), copy.deepcopy(pair)):
        assert (made.name, made.left, made.config, made.is_saved) == ("p", [1], {"k": [1]}, False)
        assert made.source.data == {2}
        made.left.append(2)
        made.config["k"].append(2)
        assert (pair.left, pair.config) == ([1], {"k": [1]})


def test_saved_objects_travel_as_references(local: Database, tmp_path: Path) -> None:
    """A pickle of a saved object names it, and is read where the same database is connected; elsewhere that is told."""
    sent = pickle.dumps(Box(name="b", data=list(range(1000))).save())
    assert len(sent) < 500
    assert pickle.loads(sent).data == list(range(1000))
    simpleml.disconnect()
    simpleml.connect(tmp_path / "elsewhere.db", store=tmp_path / "store")
    with pytest.raises(RecordNotFoundError, match="connect to the database that the sender uses"):
        pickle.loads(sent)


def test_a_copy_is_an_object_of_its_own(local: Database) -> None:
    """`new_version` keeps content and lineage and has another id; changing its config leaves the original as it was."""
    box = Box(name="b", data=[1], config={"deep": {"list": [1]}}, state={"s": [1]}).save()
    made = box.new_version()
    made.config["deep"]["list"].append(2)
    made.state["s"].append(2)
    assert (box.config, box.state) == ({"deep": {"list": [1]}}, {"s": [1]})
    box.save()
    assert (made.id != box.id, made.version, made.is_saved) == (True, None, False)
    assert made.save().version == 2


def test_objects_show_themselves_whatever_they_hold() -> None:
    """The short and the notebook form read no artifact and escape every text."""

    class Odd:
        def __repr__(self) -> str:
            return "<i>&"

    box = Box(name="<b>&\n", config={"k": Odd()}, data=object())
    assert repr(box) == "<Box '<b>&\\n' (not saved)>"
    html = box._repr_html_()
    assert "<i>" not in html
    assert "&lt;i&gt;&amp;" in html
    assert "artifact data" in Pair(name="p", left=1)._repr_html_().replace("left", "data")
    assert "source" in Pair(name="p", source=Box(name="parent"))._repr_html_()


def test_lineage_by_object_and_by_id() -> None:
    """A parent is given as an object or by its id, in any form, and can be taken away again."""
    id_ = uuid4()
    assert Pair(name="p", source_id=str(id_))._parent_id("source") == id_
    box = Box(name="b")
    pair = Pair(name="p", source=box)
    assert pair.source is box
    assert pair._parent_id("source") == box.id
    pair.source = None
    assert pair.source is None

    class Other(Persistable):
        boss: Lineage[Any] = Lineage("model")

    assert Other().boss is None


# the environment


def test_versions_are_compared_by_distribution() -> None:
    """Packages are looked up under the names of their distributions; only those that are asked for are compared."""
    recorded = library_versions({"sklearn", "numpy", "nobody_has_this"})
    here = platform_name()
    assert {"python", "simpleml", "scikit-learn", "numpy"} == set(recorded)
    assert mismatches(recorded, here, {"sklearn", "numpy"}) == []
    older = {**recorded, "numpy": "0.1", "scikit-learn": "0.2"}
    assert mismatches(older, here, {"numpy"}) == [f"numpy 0.1 (here: {np.__version__})"]
    assert mismatches({"odd": "1"}, here, {"odd"}) == ["odd 1 (here: not installed)"]
    assert mismatches({}, "vms-vax", set()) == [f"platform vms-vax (here: {here})"]
    assert recorded_for({"numpy"}, {"numpy": "1", "pandas": "2"}) == {"numpy": "1"}
    assert recorded_for(set(), {"numpy": "1", "python": "3.9"}) == {}


# memory

_MEMORY = """
import sys, gc
import numpy as np, simpleml
from tests.integration.kinds import Box

def peak():  # of resident memory, since the last reset, in bytes
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

def now():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024

def extra(work):
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")
    before = now()
    result = work()
    return peak() - before, result

folder, pattern = sys.argv[1:]
simpleml.connect(folder + "/m.db", store=folder + "/store", home=folder)
Box(name="warm", data=np.arange(1000.0), save_patterns={"data": pattern}).save()
_ = Box.load(name="warm").data
array = np.random.default_rng(0).random(300_000_000 // 8)
size = array.nbytes
box = Box(name="big", data=array, save_patterns={"data": pattern})
saving, _ = extra(box.save)
total = array.sum()
del box, array
found = Box.load(name="big")
loading, data = extra(lambda: found.data)
assert data.sum() == total
print(saving / size, loading / size)
"""


@pytest.mark.parametrize("pattern", ["numpy", "pickled"])
def test_bytes_are_streamed(tmp_path: Path, pattern: str) -> None:
    """Saving 300 MB takes less than 0.15 times that beside the object; loading less than 1.2 times, the object included."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path), pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    saving, loading = map(float, done.stdout.split())
    assert saving < 0.15
    assert 0.9 < loading < 1.2


def test_the_users_own_init_keeps_its_keywords(local: Database) -> None:
    """Parameters of a user's class are part of the config, and a loaded object has them without its `__init__`."""
    Vocabulary(name="v", min_count=5).fit("a a a a a b").save()
    assert Vocabulary.load(name="v").config == {"min_count": 5}
    assert Vocabulary.load(name="v").tokens == {"a": 5}
