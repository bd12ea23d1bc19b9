"""Random sequences of saves, loads, updates, deletions, transactions and collections, against a plain dict."""

from __future__ import annotations

import copy
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import simpleml
from simpleml.errors import ImmutableVersionError, LineageError, RecordNotFoundError, ReferencedError
from simpleml.orm.housekeeping import collect, verify
from tests.integration.kinds import Pair

NAMES = st.sampled_from(["a", "A", "ä", "a "])
VALUES = st.one_of(
    st.lists(st.integers(0, 3), max_size=3),  # few, so that bytes are shared
    st.sets(st.integers(0, 3), max_size=3),  # pickled
    st.text("ab\0\ud800€", max_size=4),
    st.sampled_from([None, b"x" * 300_000, {"k": [1.5, None]}, {1: (2,)}]),
)
CONFIGS = st.dictionaries(st.sampled_from(["c", "d"]), st.sampled_from([1, 1.0, True, "x", (1,), [1]]), max_size=2)


@dataclass
class Known:
    """What the model holds of one saved version."""

    value: Any
    config: dict[str, Any]
    state: dict[str, Any] = field(default_factory=dict)
    parent: UUID | None = None


class SaveLoadDelete(RuleBasedStateMachine):
    """The database and the store behave like a dict of versions, whatever is done in whatever order."""

    @initialize()
    def open(self) -> None:
        """Begin with an empty database and store, without any grace."""
        self.folder = Path(tempfile.mkdtemp())
        self.known: dict[UUID, tuple[str, int, Known]] = {}
        self.last: dict[str, int] = {}
        self.connect()

    def connect(self) -> None:
        self.database = simpleml.connect(
            self.folder / "s.db", store=self.folder / "store", home=self.folder / "home", grace=0, durability="normal"
        )

    def teardown(self) -> None:
        simpleml.disconnect()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pick(self, data: st.DataObject) -> tuple[UUID, str, int, Known]:
        """Choose a version that the model knows."""
        id_ = data.draw(st.sampled_from(sorted(self.known, key=lambda id_: self.known[id_][:2])))
        return id_, *self.known[id_]

    def remember(self, saved: Pair, known: Known) -> None:
        """Expect the next number for what was just saved, and note it."""
        self.last[saved.name] = self.last.get(saved.name, 0) + 1
        assert saved.version == self.last[saved.name]
        assert saved.is_saved
        self.known[saved.id] = (saved.name, self.last[saved.name], known)

    def build(self, name: str, value: Any, config: dict[str, Any], parent: UUID | None) -> Pair:
        """Return an unsaved object."""
        return Pair(name=name, left=copy.deepcopy(value), config=copy.deepcopy(config), source_id=parent)

    @rule(name=NAMES, value=VALUES, config=CONFIGS, data=st.data(), child=st.booleans())
    def save(self, name: str, value: Any, config: dict[str, Any], data: st.DataObject, child: bool) -> None:
        """Save a new object, perhaps made from another."""
        parent = self.pick(data)[0] if child and self.known else None
        saved = self.build(name, value, config, parent).save()
        self.remember(saved, Known(value, config, {}, parent))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), value=VALUES, read=st.booleans(), change=st.booleans())
    def new_version(self, data: st.DataObject, value: Any, read: bool, change: bool) -> None:
        """Save a copy of a saved version, with another value or with the bytes it has."""
        _, name, version, known = self.pick(data)
        found = Pair.load(name=name, version=version)
        if read:
            assert found.left == known.value
        made = found.new_version()
        if change:
            made.left = copy.deepcopy(value)
        made.save()
        self.remember(
            made, Known(value if change else known.value, known.config, copy.deepcopy(known.state), known.parent)
        )

    @precondition(lambda self: self.known)
    @rule(data=st.data(), state=CONFIGS)
    def update(self, data: st.DataObject, state: dict[str, Any]) -> None:
        """Save another state of a saved version: it keeps its number, its value and its hash."""
        _, name, version, known = self.pick(data)
        found = Pair.load(name=name, version=version)
        before = found.hash_
        found.state["s"] = state
        assert found.save().version == version
        assert Pair.load(name=name, version=version).hash_ == before
        known.state["s"] = state

    @precondition(lambda self: self.known)
    @rule(data=st.data(), where=st.sampled_from(["config", "value", "assigned", "name"]))
    def change_what_is_saved(self, data: st.DataObject, where: str) -> None:
        """Changing what a version stands for is refused, and changes nothing."""
        _, name, version, _ = self.pick(data)
        found = Pair.load(name=name, version=version)
        if where == "config":
            found.config["new"] = 1
        elif where == "name":
            found.name = "other"
        elif where == "value" and isinstance(found.left, list):
            found.left.append("more")
        else:
            found.left = ["another"]
        with pytest.raises(ImmutableVersionError):
            found.save()

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """Delete a version: refused while others were made from it; afterwards another holder of it is told."""
        id_, name, version, known = self.pick(data)
        found, other = Pair.load(id=id_), Pair.load(name=name, version=version)
        if any(each.parent == id_ for _, _, each in self.known.values()):
            with pytest.raises(ReferencedError):
                found.delete()
            assert found.is_saved
            return
        found.delete()
        del self.known[id_]
        with pytest.raises(RecordNotFoundError):
            Pair.load(name=name, version=version)
        # With the record go its edges, so one that was made from another seems changed before it is missed.
        with pytest.raises(
            RecordNotFoundError if known.parent is None else (RecordNotFoundError, ImmutableVersionError)
        ):
            other.save()
        with pytest.raises(LineageError):
            found.delete()

    @precondition(lambda self: self.known)
    @rule(
        data=st.data(),
        names=st.lists(NAMES, min_size=1, max_size=4),
        value=VALUES,
        fails=st.booleans(),
        delete=st.booleans(),
    )
    def transaction(self, data: st.DataObject, names: list[str], value: Any, fails: bool, delete: bool) -> None:
        """Several saves, an update and a deletion in one block: all of them, or none."""
        id_, name, version, known = self.pick(data)
        target = Pair.load(name=name, version=version)
        delete = delete and not any(each.parent == id_ for _, _, each in self.known.values())
        made: list[Pair] = []

        def work() -> None:
            with simpleml.transaction():
                for each in names:
                    parent = made[-1] if made else None
                    made.append(Pair(name=each, left=copy.deepcopy(value), source=parent).save())
                    assert made[-1].version is None
                target.state["t"] = names
                target.save()
                if delete:
                    target.delete()
                made[-1].config["changed after save()"] = 1
                if fails:
                    raise ZeroDivisionError

        if fails:
            with pytest.raises(ZeroDivisionError):
                work()
            assert not any(each.is_saved or each.version for each in made)
            assert (target.is_saved, target.version, target.id) == (True, version, id_)
            return
        work()
        above = None
        for each in made:
            self.remember(each, Known(value, {}, {}, above))
            above = each.id
        known.state["t"] = names
        if delete:
            del self.known[id_]
            assert not target.is_saved

    @rule()
    def gc(self) -> None:
        """Collect: every byte that is left belongs to a version, and nothing that belongs to one is gone."""
        collect(self.database, leftovers_after=-1)
        wanted = {
            reference["key"]
            for row in self.database.select("persistable", {})
            for patterns in row["filepaths"].values()
            for reference in patterns.values()
        }
        root = self.folder / "store"
        found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != ".ready"}
        assert found == wanted

    @rule()
    def reopen(self) -> None:
        """Close everything and open it again."""
        simpleml.disconnect()
        self.connect()

    @invariant()
    def versions_are_those_of_the_model(self) -> None:
        """The numbers of every name are those that the model knows."""
        if not hasattr(self, "known"):
            return
        for name in self.last:
            assert Pair.versions(name) == sorted(version for each, version, _ in self.known.values() if each == name)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        """A version comes back equal in everything, by name and by id; the latest is the highest that is left."""
        id_, name, version, known = self.pick(data)
        for found in (Pair.load(name=name, version=version), Pair.load(id=str(id_))):
            assert found.id == id_
            assert type(found.left) is type(known.value)
            assert found.left == known.value
            assert repr(found.config) == repr(known.config)  # which tells 1, 1.0 and True apart
            assert repr(found.state) == repr(known.state)
            assert (found.source.id if found.source is not None else None) == known.parent
            assert found._hash() == found.hash_
        assert Pair.load(name=name).version == max(number for each, number, _ in self.known.values() if each == name)

    @rule()
    def check(self) -> None:
        """`verify` finds nothing, whatever was done."""
        assert verify(self.database, everything=True).findings == ()


class TestSaveLoadDelete(SaveLoadDelete.TestCase):
    """Random walks, a few dozen steps each."""

    # A step takes milliseconds of disk: shrinking would go on for minutes, and the walk is printed anyway.
    settings = settings(
        max_examples=40,
        stateful_step_count=25,
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
