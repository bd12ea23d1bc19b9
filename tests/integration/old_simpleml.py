"""A store as SimpleML 0.14 leaves it: its SQLite schema and its filestore, written by hand from the description of both."""

from __future__ import annotations

import json
import pickle
import sqlite3
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from types import ModuleType
from uuid import UUID, uuid4

import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

HEAD = "5c2f66bdf2ae"
WRAPPED = "simpleml.models.classifiers.sklearn.linear_model"
WRAPPED_PIPELINE = "simpleml.pipelines.sklearn.external_pipeline"

_COMMON = """
    created_timestamp DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL, modified_timestamp DATETIME,
    id CHAR(32) NOT NULL, hash VARCHAR NOT NULL, registered_name VARCHAR NOT NULL, author VARCHAR NOT NULL,
    project VARCHAR NOT NULL, name VARCHAR NOT NULL, version INTEGER NOT NULL, version_description VARCHAR,
    has_external_files BOOLEAN, filepaths JSON, metadata JSON"""
_TABLES = {
    "datasets": "pipeline_id CHAR(32)",
    "pipelines": "params JSON, dataset_id CHAR(32)",
    "models": "params JSON, feature_metadata JSON, pipeline_id CHAR(32)",
    "metrics": '"values" JSON NOT NULL, model_id CHAR(32), dataset_id CHAR(32)',
}


@contextmanager
def wrapped_classes():
    """The classes that SimpleML pickled by reference, importable only inside of the block."""
    names = {
        WRAPPED: ("WrappedSklearnLogisticRegression", LogisticRegression),
        WRAPPED_PIPELINE: ("SklearnExternalPipeline", Pipeline),
    }
    made = {}
    try:
        for path, (name, base) in names.items():
            module = ModuleType(path)
            made[base] = type(name, (base,), {"__module__": path, "__init__": base.__init__})
            setattr(module, name, made[base])
            sys.modules[path] = module
        yield made
    finally:
        for path in names:
            sys.modules.pop(path, None)


def frame() -> pd.DataFrame:
    """The rows that the old dataset holds."""
    rows = [(float(age), float(fare), int(age > 30)) for age, fare in zip(range(20, 60), range(100, 140), strict=True)]
    return pd.DataFrame(rows, columns=["Age", "Fare", "Survived"])


class OldStore:
    """One old home: `database` is the SQLite file, `filestore` the folder; `ids` the ids by table."""

    def __init__(self, home: Path) -> None:
        self.filestore = home / "filestore"
        (self.filestore / "pickle").mkdir(parents=True)
        self.database = self.filestore / "SimpleML.db"
        self.ids: dict[str, UUID] = {}
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for table, own in _TABLES.items():
                connection.execute(f"CREATE TABLE {table} ({_COMMON}, {own}, PRIMARY KEY (id))")
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (HEAD,))

    def execute(self, statement: str, values: tuple = ()) -> None:
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute(statement, values)

    def add(self, table: str, registered_name: str, *, artifact=None, metadata=None, **columns) -> UUID:
        """Add a row; `artifact` is a value that is pickled as SimpleML does, or the filepaths themselves."""
        id_ = uuid4()
        filepaths = artifact if isinstance(artifact, dict) else self._pickled(table, id_, artifact)
        row = {
            "id": id_.hex,
            "hash": "1234567890",
            "registered_name": registered_name,
            "author": "elisha",
            "project": "ships",
            "name": "titanic",
            "version": 1,
            "version_description": "",
            "has_external_files": bool(filepaths),
            "filepaths": json.dumps(filepaths),
            "metadata": json.dumps(metadata or {"config": {}, "state": {}}),
            **{key: value.hex if isinstance(value, UUID) else value for key, value in columns.items()},
        }
        names, marks = ", ".join(f'"{key}"' for key in row), ", ".join("?" for _ in row)
        self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        self.ids[table] = id_
        return id_

    def _pickled(self, table: str, id_: UUID, value) -> dict:
        if value is None:
            return {}
        kind = table.removesuffix("s")
        path = f"pickle/{kind.upper()}-{id_}-{kind}.pkl"
        (self.filestore / path).write_bytes(pickle.dumps(value, protocol=4))
        return {kind: {"disk_pickled": {"filepath": path, "source_directory": "filestore"}}}


def titanic(home: Path) -> OldStore:
    """An old store with a dataset, a pipeline, a model and a metric, as a program from SimpleML's README leaves it."""
    store, data = OldStore(home), frame()
    dataset = store.add(
        "datasets",
        "PandasFileBasedDataset",
        artifact=data,
        metadata={
            "config": {
                "split_section_map": {"y": ["Survived"]},
                "squeeze_return": True,
                "filepath": "/home/elisha/train.csv",
                "format": "csv",
            },
            "state": {"save_patterns": {"dataset": ["disk_pickled"]}},
        },
    )
    with wrapped_classes() as wrapped:
        scaler = wrapped[Pipeline]([("scale", StandardScaler())]).fit(data[["Age", "Fare"]])
        sizes = {"train_size": 0.8, "validation_size": 0.0, "test_size": 0.2, "random_state": 123, "shuffle": True}
        pipeline = store.add(
            "pipelines",
            "RandomSplitSklearnPipeline",
            artifact=scaler,
            metadata={"config": sizes, "state": {"fitted": True}, "transformers": [["scale", "StandardScaler"]]},
            params="{}",
            dataset_id=dataset,
        )
        fitted = wrapped[LogisticRegression](C=0.5).fit(scaler.transform(data[["Age", "Fare"]]), data["Survived"])
        model = store.add(
            "models",
            "SklearnLogisticRegression",
            artifact=fitted,
            metadata={"config": {}, "state": {"fitted": True}, "library_versions": {"sklearn": "1.1.3"}},
            params='{"C": 0.5}',
            pipeline_id=pipeline,
        )
    values = '{"accuracy": 0.9, "note": "pickle_serialized->gASVDAAAAAAAAACMCGJ1aWx0aW5z"}'
    store.add(
        "metrics", "AccuracyMetric", name="classification_accuracy", values=values, model_id=model, dataset_id=dataset
    )
    return store
