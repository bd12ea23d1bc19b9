"""The libraries that an artifact needs are recorded when it is saved and compared when it is loaded."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import simpleml
from simpleml import Artifact, Persistable
from simpleml.errors import ArtifactMissingError, EnvironmentMismatchError
from simpleml.orm import Database, ORMGeneral
from simpleml.persistables.environment import EnvironmentWarning
from tests.integration.kinds import Box, Pair


class Fitted(Persistable):
    """Holds an estimator and something plain."""

    estimator: Artifact[Any] = Artifact(save_patterns="pickled", identity=False)
    notes: Artifact[Any] = Artifact(save_patterns="json")


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Database]:
    """Opens the same database again with other settings."""

    def connect(**arguments: Any) -> Database:
        simpleml.disconnect()
        return simpleml.connect(tmp_path / "e.db", store=tmp_path / "store", home=tmp_path / "home", **arguments)

    return connect


def _pretend(name: str, **versions: str) -> None:
    """Change the versions that a record holds, as if it had been saved elsewhere."""
    record = ORMGeneral.where(name=name).first()
    assert record is not None
    assert record.metadata_ is not None
    record.metadata_["library_versions"].update(versions)
    record.save()


def _warned(load: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load()
    return [str(each.message) for each in caught if issubclass(each.category, EnvironmentWarning)]


def _model() -> LogisticRegression:
    return LogisticRegression().fit(np.arange(6).reshape(3, 2), [0, 1, 1])


def test_versions_are_recorded_under_their_distributions_names(database: Database) -> None:
    """Python, simpleml and what reading the artifacts imports, at the versions that are installed; and the platform."""
    fitted = Fitted(name="a", estimator=_model(), notes={"a": 1}).save()
    found = Fitted.load(name="a")
    assert found.library_versions == fitted.library_versions
    assert found.library_versions["scikit-learn"] == metadata.version("scikit-learn")
    assert found.library_versions["numpy"] == np.__version__
    assert found.library_versions["python"] == platform.python_version()
    assert "simpleml" in found.library_versions
    assert "pandas" not in found.library_versions
    assert found.metadata_["platform"].endswith(platform.machine())
    assert set(Box(name="b", data={"a": 1}).save().library_versions) == {"python", "simpleml"}


def test_equal_versions_are_silent(connect: Callable[..., Database]) -> None:
    """In the environment of the save nothing is said, under any policy."""
    for policy in ("warn", "strict", "ignore"):
        connect(environment=policy)
        Fitted(name="a", estimator=_model(), notes=1).save()
        assert _warned(lambda: Fitted.load(name="a").estimator) == []


def test_one_warning_lists_every_mismatch(connect: Callable[..., Database]) -> None:
    """However many artifacts are read, one warning tells every package that differs, with both versions, and no other."""
    connect()
    Pair(name="a", left=pd.DataFrame({"a": [1]}), right=_model(), save_patterns={"left": "pickled"}).save()
    _pretend("a", **{"scikit-learn": "0.1", "pandas": "0.2", "irrelevant": "0.3", "simpleml": "0.0"})

    def load() -> None:
        found = Pair.load(name="a")
        _ = found.left, found.right
        found.load_external_files()

    [told] = _warned(load)
    assert "<Pair 'a' version 1> was saved with" in told
    assert f"scikit-learn 0.1 (here: {metadata.version('scikit-learn')})" in told
    assert f"pandas 0.2 (here: {metadata.version('pandas')})" in told
    assert "irrelevant" not in told
    assert "numpy" not in told
    assert Pair.load(name="a").__dict__["_values"] == {}  # loading the object alone reads nothing, and says nothing


def test_another_minor_python_is_told_and_another_patch_is_not(connect: Callable[..., Database]) -> None:
    """Pickles depend on Python's minor version; a patch release changes nothing."""
    connect()
    Fitted(name="a", estimator=_model(), notes=1).save()
    major, minor, _ = platform.python_version_tuple()
    _pretend("a", python=f"{major}.{minor}.999")
    assert _warned(lambda: Fitted.load(name="a").estimator) == []
    _pretend("a", python="3.4.0")
    [told] = _warned(lambda: Fitted.load(name="a").estimator)
    assert f"python 3.4.0 (here: {platform.python_version()})" in told


def test_a_distribution_that_is_gone_is_told(connect: Callable[..., Database]) -> None:
    """A package that the artifact needs and that is not installed here is part of the warning."""
    connect()
    box = Box(name="a", data={1}, save_patterns={"data": "pickled"}).save()
    record = ORMGeneral.find_or_fail(box.id)
    assert record.filepaths is not None
    record.filepaths["data"]["pickled"]["details"] = {"packages": ["nobody_has_this"]}
    record.save()
    _pretend("a", nobody_has_this="1.0")
    [told] = _warned(lambda: Box.load(name="a").data)
    assert "nobody_has_this 1.0 (here: not installed)" in told


def test_strict_refuses_before_anything_is_read(connect: Callable[..., Database]) -> None:
    """Under `environment = "strict"` a mismatch is an error that says what to install, before the store is asked."""
    connect()
    fitted = Fitted(name="a", estimator=_model(), notes=1).save()
    _pretend("a", **{"scikit-learn": "0.1"})
    database = connect(environment="strict")
    database.places.store("default").delete(fitted.filepaths["estimator"]["pickled"]["key"])
    for _ in range(2):
        with pytest.raises(
            EnvironmentMismatchError,
            match=r'scikit-learn 0\.1 \(here: .*Install those versions, or set environment = "warn"',
        ) as caught:
            _ = Fitted.load(name="a").estimator
        assert isinstance(caught.value, RuntimeError)
    connect(environment="warn")
    with pytest.warns(EnvironmentWarning), pytest.raises(ArtifactMissingError):  # it is really gone
        _ = Fitted.load(name="a").estimator


def test_ignore_is_silent(connect: Callable[..., Database]) -> None:
    """Under `environment = "ignore"` nothing is compared."""
    connect()
    Fitted(name="a", estimator=_model(), notes=1).save()
    _pretend("a", **{"scikit-learn": "0.1", "python": "2.7"})
    connect(environment="ignore")
    assert _warned(lambda: Fitted.load(name="a").estimator) == []


def test_json_does_not_care(connect: Callable[..., Database]) -> None:
    """An artifact that needs no library loads anywhere, under any policy, whatever is recorded."""
    connect(environment="strict")
    Box(name="a", data={"a": [1]}).save()
    _pretend("a", python="2.7.18", numpy="0.1", simpleml="99")
    assert _warned(lambda: Box.load(name="a").data) == []
    assert Box.load(name="a").data == {"a": [1]}


def test_a_new_version_keeps_what_unread_artifacts_were_saved_with(connect: Callable[..., Database]) -> None:
    """An artifact that is carried over unread still warns of the versions that it was really saved with."""
    connect()
    Pair(name="a", left=[1], right=_model()).save()
    _pretend("a", **{"scikit-learn": "0.1"})
    found = Pair.load(name="a")
    found.left = [2]
    found.new_version().save()
    [told] = _warned(lambda: Pair.load(name="a", version=2).right)
    assert "scikit-learn 0.1" in told


def test_another_platform_is_told_also_of_a_pickle_that_imports_nothing(connect: Callable[..., Database]) -> None:
    """What runs code when it is read is compared with its platform and Python; what does not is not."""
    connect()
    saved = Box(name="p", data=[1], save_patterns={"data": "pickled"}).save()
    plain = Box(name="j", data=[1], save_patterns={"data": "json"}).save()
    for box in (saved, plain):
        ORMGeneral.find_or_fail(box.id).update(metadata_={**box.metadata_, "platform": "elsewhere-vax"})
    with pytest.warns(EnvironmentWarning, match="platform elsewhere-vax") as caught:
        assert Box.load(name="p").data == [1]
    assert Path(caught[0].filename).name == Path(__file__).name
    assert Box.load(name="j").data == [1]
