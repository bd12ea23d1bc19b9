"""The contract of `SavePattern`, as a test class to subclass.

```python
class TestMyPattern(SavePatternContract):
    def pattern(self): return MyPattern()
    def values(self): return [{"a": 1}, []]
```
"""
# ruff: noqa: S101  (asserting is what a contract suite is for)

from __future__ import annotations

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simpleml import Artifact, Persistable
from simpleml.errors import ArtifactError, StoreError, TrustError
from simpleml.orm import Database, open_database
from simpleml.orm.housekeeping import collect, verify
from simpleml.persistables.ports import keys_in
from simpleml.save_patterns.catalogue import patterns
from simpleml.save_patterns.locations.keys import is_key
from simpleml.save_patterns.pattern import check_reference
from simpleml.save_patterns.protocols import SavePattern
from simpleml.types import Reference

_NAME = "under_contract"


class Holder(Persistable):
    """Keeps one value by the pattern that is being proved."""

    value: Artifact[Any] = Artifact(save_patterns=(), identity=False)


class SavePatternContract(ABC):
    """Every promise of the `SavePattern` protocol, each as a test; subclass it under a name that begins with `Test`."""

    @abstractmethod
    def pattern(self) -> SavePattern:
        """Return the pattern to prove."""

    @abstractmethod
    def values(self) -> Sequence[object]:
        """Return objects that come back equal; the odder, the better."""

    def runs_code(self) -> bool:
        """Whether reading can run code that the bytes choose, so that `trust="safe"` must refuse it."""
        return False

    def same(self, left: object, right: object) -> bool:
        """Whether two objects are equal in type and content; override it where `==` says something else."""
        return type(left) is type(right) and bool(left == right)

    @contextmanager
    def opened(self, folder: Path, **settings: Any) -> Iterator[Database]:
        """Open a database with stores below `folder`, and the pattern in its catalogue."""
        stores = {name: str(folder / name) for name in ("default", "disk", "cloud")}
        database = open_database(folder / "contract.db", stores=stores, home=folder, grace=0, **settings)
        try:
            with patterns.context_register(_NAME, self.pattern()), database:
                yield database
        finally:
            database.close()

    def test_what_was_saved_comes_back(self) -> None:
        """Every value comes back equal, by the reference alone, also when the database was opened anew."""
        with tempfile.TemporaryDirectory() as folder:
            with self.opened(Path(folder)):
                for value in self.values():
                    self._save(value)
            with self.opened(Path(folder)):
                for version, value in enumerate(self.values(), start=1):
                    for mmap in (False, True):
                        assert self.same(Holder.load(name="held", version=version, mmap=mmap).value, value)

    def test_references_are_plain_and_hold_no_place(self) -> None:
        """A reference is JSON, names a store and keys of ours, and tells nothing of this machine."""
        with tempfile.TemporaryDirectory() as folder, self.opened(Path(folder)) as database:
            for value in self.values():
                reference = self._reference(self._save(value))
                assert json.loads(json.dumps(reference)) == reference
                assert check_reference(reference, "value") == reference
                assert all(is_key(key) for key in keys_in(reference))
                assert reference["store"] in database.places.names()
                assert folder not in json.dumps(reference)

    def test_equal_values_are_stored_once(self) -> None:
        """Saving a value again adds no object."""
        with tempfile.TemporaryDirectory() as folder, self.opened(Path(folder)):
            for value in self.values():
                first, second = (keys_in(self._reference(self._save(value))) for _ in range(2))
                assert first == second

    def test_what_nobody_refers_to_goes(self) -> None:
        """Deleting every version and collecting leaves nothing; what others refer to stays meanwhile."""
        with tempfile.TemporaryDirectory() as folder, self.opened(Path(folder)) as database:
            kept = self._save(self.values()[0])
            gone = [self._save(value) for value in self.values()]
            for holder in gone:
                holder.delete()
            collect(database, leftovers_after=0)
            assert self.same(Holder.load(id=kept.id).value, self.values()[0])
            assert verify(database, everything=True).findings == ()
            kept.delete()
            collect(database, leftovers_after=0)
            assert verify(database, everything=True).blobs == 0
            assert collect(database, dry_run=True).keys == ()

    def test_what_is_gone_is_told(self) -> None:
        """Reading after an object was lost is an error of our tree, and verifying finds it."""
        with tempfile.TemporaryDirectory() as folder, self.opened(Path(folder)) as database:
            for value in self.values():
                holder = self._save(value)
                reference = self._reference(holder)
                for key in keys_in(reference):
                    database.places.store(reference["store"]).delete(key)
                try:
                    found = Holder.load(id=holder.id).value
                except (ArtifactError, StoreError):
                    pass
                else:
                    raise AssertionError(f"its objects are gone, and yet it was read: {found!r:.80}")
                assert {finding.record for finding in verify(database).findings} >= {
                    f"persistable 'held' version {holder.version}"
                }
                holder.delete()

    def test_safe_means_that_no_code_is_run(self) -> None:
        """Under `trust = "safe"` a pattern that runs code is refused both ways, and every other one works."""
        with tempfile.TemporaryDirectory() as folder:
            with self.opened(Path(folder)):
                self._save(self.values()[0])
            with self.opened(Path(folder), trust="safe"):
                if not self.runs_code():
                    assert self.same(Holder.load(name="held").value, self.values()[0])
                    return
                for call in (lambda: Holder.load(name="held").value, lambda: self._save(self.values()[0])):
                    try:
                        call()
                    except TrustError:
                        continue
                    raise AssertionError("code was run although trust is safe")

    def test_threads_share_a_pattern(self) -> None:
        """Threads that save and load by one pattern at once get what each of them saved."""
        values = list(self.values())

        with tempfile.TemporaryDirectory() as folder, self.opened(Path(folder)) as database:

            def work(number: int) -> bool:
                with database:
                    value = values[number % len(values)]
                    return self.same(Holder.load(id=self._save(value).id).value, value)

            with ThreadPoolExecutor(4) as pool:
                assert all(pool.map(work, range(12)))

    @staticmethod
    def _save(value: object) -> Holder:
        return Holder(name="held", value=value, save_patterns={"value": _NAME}).save()

    @staticmethod
    def _reference(holder: Holder) -> Reference:
        return holder.filepaths["value"][_NAME]
