"""What is read runs no code that the user did not allow, whatever somebody wrote into the database or the store."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pickle
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler
from sqlalchemy import text

import simpleml
from simpleml import Artifact, Folder, Persistable, encoding
from simpleml.errors import (
    ArtifactDamagedError,
    EncodingError,
    SavePatternError,
    SerializationError,
    SimpleMLError,
    StoreError,
    TrustError,
    UnknownNameError,
    UnknownStoreError,
)
from simpleml.hashing import hash_value
from simpleml.orm import Database, ORMGeneral
from simpleml.orm.housekeeping import verify
from simpleml.save_patterns.catalogue import WHERE, find_pattern, pattern_names, patterns, serializers
from simpleml.save_patterns.pattern import ObjectPattern
from simpleml.save_patterns.protocols import Buffer
from simpleml.save_patterns.serializers.cloudpickle import CLOUDPICKLE
from simpleml.types import JSON
from tests.integration.kinds import Box

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras, by numpy

_opened: list[str] | None = None


def _hook(name: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and name in ("open", "os.rename", "os.link", "os.symlink", "shutil.copyfile"):
        _opened.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else "")


sys.addaudithook(_hook)  # for good: there is no way to take one away, so it looks at `_opened` first


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every path that this process opens while the test runs."""
    global _opened
    _opened = []
    yield _opened
    _opened = None


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Free(Persistable):
    """Holds anything, also what has no stable hash."""

    data: Artifact[Any] = Artifact(identity=False)


def _onnx_model() -> Any:
    from onnx import TensorProto, helper

    node = helper.make_node("Relu", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    return helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:]))


def _keras_model() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def _folder() -> Any:
    path = Path(tempfile.mkdtemp()) / "folder"
    path.mkdir()
    (path / "file").write_text("text")
    return Folder(path)


def _fitted(package: str, name: str, **params: Any) -> Any:
    estimator = getattr(importlib.import_module(package), name)(**params)
    return estimator.fit(np.eye(4), [0, 1, 0, 1])


def _network() -> Any:
    import torch

    return torch.nn.Linear(2, 1)


def _partitions() -> Any:
    import dask.dataframe

    return dask.dataframe.from_pandas(FRAME, npartitions=2)


FRAME = pd.DataFrame({"a": [1, 2]})
VALUES: dict[str, Callable[[], Any]] = {
    "pickled": lambda: {1, 2},
    "joblib": lambda: {1, 2},
    "json": lambda: {"a": [1]},
    "numpy": lambda: np.arange(3),
    "parquet": lambda: FRAME,
    "feather": lambda: FRAME,
    "csv": lambda: FRAME,
    "database_table": lambda: FRAME,
    "text": lambda: "text",
    "bytes": lambda: b"bytes",
    "safetensors": lambda: {"a": np.arange(3)},
    "skops": lambda: StandardScaler().fit(np.eye(2)),
    "onnx": _onnx_model,
    "keras": _keras_model,
    "folder": _folder,
    "xgboost": lambda: _fitted("xgboost", "XGBClassifier", n_estimators=2),
    "lightgbm": lambda: _fitted("lightgbm", "LGBMClassifier", n_estimators=2, verbose=-1),
    "catboost": lambda: _fitted("catboost", "CatBoostClassifier", iterations=2, verbose=0, allow_writing_files=False),
    "torch": _network,
    "dask_parquet": _partitions,
}


def _format(pattern: str) -> str:
    where, _, format_ = pattern.partition("_")
    return format_ if where in WHERE and pattern not in VALUES else pattern


def _value(pattern: str) -> Any:
    """A value that the pattern holds."""
    return VALUES[_format(pattern)]()


def _executes(pattern: str) -> bool:
    found = find_pattern(pattern)
    return isinstance(found, ObjectPattern) and found.serializer.executes


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, pd.DataFrame):
        return bool(left.equals(right))
    if isinstance(left, Folder):
        return hash_value(left) == hash_value(right)
    if isinstance(left, StandardScaler):
        return bool((left.mean_ == right.mean_).all())
    if isinstance(left, dict) and isinstance(left.get("a"), np.ndarray):
        return bool(np.array_equal(left["a"], right["a"]))
    if type(left).__module__.startswith("keras"):
        return bool(np.array_equal(left.predict(np.ones((1, 2)), verbose=0), right.predict(np.ones((1, 2)), verbose=0)))
    if hasattr(left, "partitions"):
        return bool(left.compute().equals(right.compute()))
    if hasattr(left, "state_dict"):
        return all(bool((one == right.state_dict()[name]).all()) for name, one in left.state_dict().items())
    if hasattr(left, "predict_proba"):
        return bool(np.array_equal(left.predict_proba(np.eye(4)), right.predict_proba(np.eye(4))))
    return bool(np.array_equal(left, right)) if isinstance(left, np.ndarray) else bool(left == right)


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., Database]:
    """Opens the same database and stores again with other settings."""

    def connect(**arguments: Any) -> Database:
        simpleml.disconnect()
        stores = {"cloud": str(tmp_path / "cloud"), "disk": str(tmp_path / "disk")}
        stores["archive"] = str(tmp_path / "archive")
        return simpleml.connect(tmp_path / "t.db", store=tmp_path / "store", stores=stores, **arguments)

    return connect


# the policy


@pytest.mark.parametrize("pattern", pattern_names())
def test_safe_reads_and_writes_no_pattern_that_can_run_code(connect: Callable[..., Database], pattern: str) -> None:
    """Under `trust = "safe"` every registered pattern works or, if reading it could run code, is refused both ways."""
    connect(trusted_stores=("default", "disk", "cloud", "database"))
    value = _value(pattern)
    Free(name="a", data=value, save_patterns={"data": pattern}).save()
    connect(trust="safe", trusted_stores=("default", "disk", "cloud", "database"))
    if not _executes(pattern):
        assert _same(Free.load(name="a").data, value)
        assert Free(name="a", data=value, save_patterns={"data": pattern}).save().version == 2
        return
    for call in (lambda: Free.load(name="a").data, Free(name="a", data={3}, save_patterns={"data": pattern}).save):
        with pytest.raises(TrustError, match=r"trust = \"safe\" forbids.*parquet, .*numpy, .*json") as caught:
            call()
        assert isinstance(caught.value, PermissionError)
    assert Free.versions("a") == [1]


@pytest.mark.parametrize("pattern", pattern_names())
def test_a_store_is_untrusted_until_it_is_trusted(connect: Callable[..., Database], pattern: str) -> None:
    """Code is taken from no store that the settings do not name; the error has the line that does, besides what is trusted."""
    connect(trusted_stores=("default", "disk", "cloud", "database"))
    value = _value(pattern)
    saved = Free(name="a", data=value, save_patterns={"data": pattern}).save()
    store = saved.filepaths["data"][pattern]["store"]
    others = tuple({"default", "disk", "cloud", "database"} - {store})
    connect(trusted_stores=others)
    if _executes(pattern):
        line = 'trusted_stores = ["cloud", "database", "default", "disk"]'
        with pytest.raises(TrustError, match=rf"the store '{store}' is not trusted \(trusted: .*{re.escape(line)}"):
            _ = Free.load(name="a").data
    else:
        assert _same(Free.load(name="a").data, value)
    connect(trusted_stores=(store,))
    assert _same(Free.load(name="a").data, value)


def test_only_the_users_own_stores_are_trusted_from_the_start(
    connect: Callable[..., Database], caplog: pytest.LogCaptureFixture
) -> None:
    """The stores of patterns' own names are trusted; what was imported, or merely has a name, is not, which saving warns of."""
    connect()
    for pattern in ("pickled", "disk_pickled", "cloud_pickled"):
        Box(name=pattern, data={1}, save_patterns={"data": pattern}).save()
        assert Box.load(name=pattern).data == {1}
    assert caplog.records == []
    for store in ("imported", "archive"):
        elsewhere = ObjectPattern(f"to-{store}", CLOUDPICKLE, store)
        patterns.register(elsewhere.name, elsewhere)
        try:
            Box(name=store, data={1}, save_patterns={"data": elsewhere.name}).save()
            [told] = [record.getMessage() for record in caplog.records]
            assert "cannot be read by this machine" in told
            assert f'"{store}"]' in told or f'"{store}", ' in told
            assert "trusted_stores = [" in told
            caplog.clear()
            with pytest.raises(TrustError, match=f"'{store}' is not trusted"):
                _ = Box.load(name=store).data
        finally:
            patterns.drop(elsewhere.name)


def test_a_registered_serializer_is_held_to_the_policy(connect: Callable[..., Database]) -> None:
    """Whoever registers a serializer says whether reading it can run code, and the policy asks that."""

    class Runs:
        name = "runs"
        format = 1
        executes = True

        def accepts(self, value: object) -> bool:
            return True

        def dump(self, value: object, stream: BinaryIO) -> Mapping[str, JSON]:
            stream.write(b"code")
            return {}

        def load(self, data: Buffer, *, format: int, details: Mapping[str, JSON]) -> object:
            raise AssertionError("it was read")

    with serializers.context_register("runs", Runs()):
        connect()
        Box(name="a", data=1, save_patterns={"data": "runs"}).save()
        connect(trusted_stores=())
        with pytest.raises(TrustError, match="runs artifacts can run code"):
            _ = Box.load(name="a").data
        connect(trust="safe")
        with pytest.raises(TrustError, match="forbids"):
            _ = Box.load(name="a").data


def test_nothing_is_unpickled_before_it_was_checked(connect: Callable[..., Database], tmp_path: Path) -> None:
    """A pickle that was swapped in the store for another of the same size is never read, nor is one that is refused."""
    canary = tmp_path / "ran"
    connect()
    box = Box(name="a", data=b"x" * 400, save_patterns={"data": "pickled"}).save()
    reference = box.filepaths["data"]["pickled"]
    path = tmp_path / "store" / reference["key"]
    evil = pickle.dumps(Canary(canary))
    for bytes_ in (evil, evil.ljust(reference["size"], b"."), b"." * (reference["size"] - len(evil)) + evil):
        path.write_bytes(bytes_)
        with pytest.raises(ArtifactDamagedError, match=reference["key"]):
            _ = Box.load(name="a").data
    assert not canary.exists()
    Artifactless(name="evil", data=Canary(canary)).save()
    connect(trust="safe")
    with pytest.raises(TrustError):
        _ = Artifactless.load(name="evil").data
    connect(trusted_stores=())
    with pytest.raises(TrustError):
        _ = Artifactless.load(name="evil").data
    assert not canary.exists()
    connect()
    _ = Artifactless.load(name="evil").data
    assert canary.exists()  # the canary sings: what was seen above is no accident


class Artifactless(Box):
    """A box whose content is no part of its identity, so that it need not be hashed."""

    data: Any = simpleml.Artifact(identity=False)


# references


def _edit(name: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the record's `filepaths` in the database, as somebody with SQL would."""
    database = ORMGeneral.database()
    [row] = database.select("persistable", {"name": name})
    filepaths = row["filepaths"]
    changed = change(filepaths)
    content = encoding.dumps(filepaths if changed is None else changed)
    with database.engine.begin() as connection:
        connection.execute(
            text("UPDATE persistables SET filepaths = :json WHERE name = :name"), {"json": content, "name": name}
        )


def _set(pattern: str, **fields: Any) -> Callable[[dict[str, Any]], object]:
    def change(filepaths: dict[str, Any]) -> None:
        filepaths["data"][pattern].update(fields)

    return change


KEYS = [
    "/etc/passwd", "../outside.bin", "objects-0123456789ab/../../outside.bin", "objects-0123456789ab/00/../../../outside.bin", "s3://bucket/outside.bin",
    "file:///etc/outside.bin", "simplecache::file:///outside.bin", "", ".", "..", "~", "~/outside.bin", "outside.bin", "tmp/outside.bin",
    "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 32 + "/outside.bin", "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 32 + "\n",
    "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 31 + "\u0660", "objects-0123456789ab/\u2024\u2024/" + "0" * 32 + "-" + "0" * 32,
    "OBJECTS-0123456789AB/00/" + "0" * 32 + "-" + "0" * 32, "objects-0123456789ab\\00\\" + "0" * 32 + "-" + "0" * 32, "a\0b", "%2e%2e/outside.bin",
]  # fmt: skip


def test_a_key_never_leaves_its_store(local: Database, tmp_path: Path, opened: list[str]) -> None:
    """Whatever stands in a reference as key, nothing outside of the store is opened, and the error says that it was edited."""
    (tmp_path / "outside.bin").write_bytes(b"[1]\n")
    box = Box(name="a", data=[1]).save()
    opened.clear()
    for key in KEYS:
        _edit("a", _set("json", key=key))
        with pytest.raises(StoreError, match=r"is no key of the store 'default'.*nothing was read") as caught:
            _ = Box.load(name="a").data
        assert isinstance(caught.value, OSError)
        assert [finding.problem for finding in verify(local).findings] == ["unreadable"], key
    assert not [path for path in opened if "outside" in path or "passwd" in path]
    _edit("a", _set("json", key=box.filepaths["data"]["json"]["key"]))
    assert Box.load(name="a").data == [1]


@pytest.mark.parametrize(
    ("pattern", "fields", "error", "message"),
    [
        (
            "json",
            {"key": "objects-0123456789ab/00/" + "0" * 32 + "-" + "0" * 32},
            SavePatternError,
            "belongs to another database",
        ),
        ("json", {"digest": "blake3:" + "0" * 64}, ArtifactDamagedError, "but blake3:0000"),
        ("json", {"digest": ""}, ArtifactDamagedError, "damaged"),
        ("json", {"digest": "sha256:x"}, ArtifactDamagedError, "damaged"),
        ("json", {"size": 3}, ArtifactDamagedError, "bytes, but 3 bytes were saved"),
        ("json", {"size": 2**62}, ArtifactDamagedError, "were saved"),
        ("json", {"size": 0}, ArtifactDamagedError, "but 0 bytes were saved"),
        ("json", {"size": -1}, SavePatternError, "edited"),
        ("json", {"size": True}, SavePatternError, "size = True, not int"),
        ("json", {"size": "4"}, SavePatternError, "size = '4', not int"),
        ("json", {"key": 5}, SavePatternError, "key = 5, not str"),
        ("json", {"key": None}, SavePatternError, "key = None, not str"),
        ("json", {"store": "nowhere"}, UnknownStoreError, r"\[stores\] nowhere = "),
        ("json", {"store": "../store"}, UnknownStoreError, "cannot be the name of a store"),
        ("json", {"store": "simplecache::s3://b"}, UnknownStoreError, "it was edited"),
        ("json", {"store": ["default"]}, SavePatternError, "store = "),
        ("json", {"serializer": "cloudpickle"}, SerializationError, "are no pickle|could not be read"),
        ("json", {"serializer": "numpy"}, SerializationError, "."),
        ("json", {"serializer": "parquet"}, SerializationError, "."),
        ("pickled", {"serializer": "json"}, SerializationError, "no json that simpleml wrote"),
        ("json", {"serializer": "nope"}, UnknownNameError, "known: bytes, catboost, cloudpickle, csv"),
        ("json", {"serializer": "os:system"}, UnknownNameError, "no serializer 'os:system'"),
        ("json", {"serializer": None}, SavePatternError, "serializer = None"),
        ("json", {"format": 99}, SerializationError, "format 99 of 'json'.*upgrade simpleml"),
        ("json", {"format": 0}, SavePatternError, "format 0"),
        ("json", {"format": 1.5}, SavePatternError, "format = 1.5"),
        ("json", {"details": [1]}, SavePatternError, "details"),
    ],
)
def test_an_edited_reference_is_told(
    local: Database, tmp_path: Path, pattern: str, fields: dict[str, Any], error: type[SimpleMLError], message: str
) -> None:
    """Each field that was changed in the database gives an error that names the artifact and what is wrong; nothing runs."""
    value = [1] if pattern == "json" else {1}
    Box(name="a", data=value, save_patterns={"data": pattern}).save()
    _edit("a", _set(pattern, **fields))
    with pytest.raises(error, match=message) as caught:
        _ = Box.load(name="a").data
    assert "'data'" in str(caught.value)
    verify(local, everything=True)  # which never raises, whatever it finds
    Box._repr_html_(Box.load(name="a"))


@pytest.mark.parametrize("reference", [None, 5, "objects/x", ["a"], {}, True])
def test_a_reference_that_is_none_is_told(local: Database, reference: object) -> None:
    """What stands in a reference's place is an error at first use, and a finding of `verify`."""
    Box(name="a", data=[1]).save()
    _edit("a", lambda filepaths: filepaths["data"].update(json=reference))
    with pytest.raises(SavePatternError, match="edited") as caught:
        _ = Box.load(name="a").data
    assert isinstance(caught.value, ValueError)
    assert [finding.problem for finding in verify(local).findings] == ["unreadable"]


@pytest.mark.parametrize("filepaths", [[1], "x", 5, {"data": None}, {"data": [1]}, {"data": "json"}])
def test_filepaths_that_are_none_are_told(local: Database, filepaths: Any) -> None:
    """A column of another shape is an error of ours when the record is loaded, and a finding of `verify`."""
    Box(name="a", data=[1]).save()
    _edit("a", lambda _: filepaths)
    with pytest.raises((SavePatternError, EncodingError), match=r"'a'.*the record was edited"):
        Box.load(name="a")
    assert len(verify(local).findings) == 1


def test_an_artifact_without_a_pattern_is_told(local: Database) -> None:
    """A record that names no pattern for an artifact is told to be edited, not that none of them worked."""
    Box(name="a", data=[1]).save()
    _edit("a", lambda _: {"data": {}})
    with pytest.raises(SavePatternError, match=r"names no save pattern for its artifact 'data': the record was edited"):
        _ = Box.load(name="a").data


def test_swapped_formats_run_no_code(local: Database, tmp_path: Path) -> None:
    """Bytes of a safe format that hold a pickle inside, under a reference that calls them a pickle, run nothing."""
    canary = tmp_path / "ran"
    evil = pickle.dumps(Canary(canary), protocol=0)
    values: dict[str, Any] = {
        "json": [evil.decode("ascii"), evil.decode("ascii")],
        "numpy": np.frombuffer(evil * 3 + pickle.dumps(Canary(canary)), dtype="uint8"),
        "parquet": pd.DataFrame({"a": [evil.decode("ascii")] * 3}),
    }
    for pattern, value in values.items():
        Box(name=pattern, data=value, save_patterns={"data": pattern}).save()
        _edit(pattern, _set(pattern, serializer="cloudpickle"))
        with pytest.raises(SerializationError):
            _ = Box.load(name=pattern).data
    assert not canary.exists()


def test_links_are_not_followed(local: Database, tmp_path: Path, opened: list[str]) -> None:
    """An object, or a folder on the way to it, that is a symbolic link is refused, though its bytes were right."""
    outside = tmp_path / "outside"
    box = Box(name="a", data=[1]).save()
    key = box.filepaths["data"]["json"]["key"]
    path = tmp_path / "store" / key
    shutil.copy(path, outside)
    path.unlink()
    path.symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        _ = Box.load(name="a").data
    path.unlink()
    shutil.copy(outside, path)
    assert Box.load(name="a").data == [1]
    fan = path.parent
    fan.rename(tmp_path / "outside-folder")
    fan.symlink_to(tmp_path / "outside-folder")
    opened.clear()
    with pytest.raises(SimpleMLError, match=r"symbolic link|is not in the store"):
        _ = Box.load(name="a").data
    assert len(verify(local).findings) == 1
    assert not [name for name in opened if name.startswith(str(tmp_path / "outside-folder"))]


# metadata and classes


def _write_metadata(local: Database, name: str, content: str) -> None:
    with local.engine.begin() as connection:
        connection.execute(
            text("UPDATE persistables SET metadata = :json WHERE name = :name"), {"json": content, "name": name}
        )


TAG = "__simpleml__"
HOSTILE_METADATA: list[Any] = [
    {TAG: "pickle", "value": "gASVAA=="}, {TAG: "object", "value": {"class": "os.system", "args": ["touch ran"]}}, {TAG: "class", "value": "os:system"},
    {TAG: "dataclass", "value": ["antigravity:X", {}]}, {TAG: "enum", "value": ["antigravity:X", "a"]}, {TAG: "path", "value": ["a"]},
    {TAG: "ndarray", "value": {"dtype": "O", "data": "x"}}, {TAG: "array", "value": ["O", [1], "x"]}, {TAG: "int", "value": "0x" + "f" * 10000},
    {TAG: "json", "value": '{"__simpleml__": "json", "value": "[["}'}, {TAG: ["list"], "value": 1}, {TAG: "tuple", "value": None}, {TAG: None},
    {"py/object": "os.system"}, {"py/reduce": [{"py/function": "os.system"}, ["touch ran"]]}, {"$ref": "file:///etc/passwd"},
]  # fmt: skip


def test_metadata_runs_and_imports_nothing(local: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever JSON stands in the metadata, loading and querying give data or an error of ours; no module is imported."""
    monkeypatch.chdir(tmp_path)
    Box(name="a", data=[1]).save()
    for value in HOSTILE_METADATA:
        for content in (
            value,
            {"config": value},
            {"config": {"x": value}},
            {"state": [value]},
            {"library_versions": value},
            {"artifacts": {"data": value}},
        ):
            _write_metadata(local, "a", json.dumps(content))
            for use in (lambda: Box.load(name="a").config, lambda: Box.load(name="a").data, lambda: Box.query().all()):
                with contextlib.suppress(SimpleMLError):
                    use()
            verify(local, everything=True)
    assert "antigravity" not in sys.modules
    assert not (tmp_path / "ran").exists()


NOT_OURS = ["", "{", "nonsense", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, '"text"', "[1]", "5", "\ufeff{}",
     '{"config": 5}', '{"state": "x"}', '{"artifacts": [1]}', '{"artifacts": {"data": 5}}', '{"library_versions": []}']  # fmt: skip


def test_metadata_that_we_never_wrote_is_told(local: Database) -> None:
    """Broken, endless or misshapen JSON in the metadata is an `EncodingError`, also a `ValueError`, not a crash."""
    Box(name="a", data=[1]).save()
    for content in NOT_OURS:
        _write_metadata(local, "a", content)
        with pytest.raises(EncodingError) as caught:
            Box.load(name="a")
        assert isinstance(caught.value, ValueError), content[:100]


HINTS: list[object] = ["evil_module:Evil", "evil_module", "os:system", "subprocess:Popen", "antigravity:X", "builtins:eval", "../evil_module:Evil", "evil_module:Evil:x",
     "__main__:Evil", ":Evil", "evil_module:", "evil_module:__class__", "/tmp/evil_module:Evil", "x" * 10_000, "evil_module\0:Evil", 5, None, ["evil_module:Evil"],
     {"a": 1}, ""]  # fmt: skip


@pytest.mark.parametrize("packages", [None, ("tests",), ()])
def test_a_record_imports_no_module_of_its_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...] | None
) -> None:
    """The module that a record names is imported only if it is installed, part of the project, or allowed by the settings."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "evil_module.py").write_text(f"import os; os.mkdir({str(tmp_path / 'ran')!r})\nclass Evil: pass\n")
    monkeypatch.syspath_prepend(elsewhere)
    simpleml.connect(tmp_path / "t.db", store=tmp_path / "store", import_packages=packages)
    before = set(sys.modules)
    for number, hint in enumerate(HINTS):
        ORMGeneral.create(name=f"n{number}", hash_="h", registered_name="NobodyDefinesThis", metadata_={"module": hint})
        with pytest.raises(
            UnknownNameError, match=r"registered as 'NobodyDefinesThis'.*Import the module that defines it"
        ):
            Box.load(name=f"n{number}")
        assert not (tmp_path / "ran").exists(), hint
        assert not {"evil_module", "antigravity"} & (set(sys.modules) - before), hint
