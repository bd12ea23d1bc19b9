"""What SimpleML 0.14 saved comes over: records, lineage and artifacts, and nothing of it is run unless asked."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

import simpleml
from simpleml.adapters.legacy import import_legacy
from simpleml.cli.app import app
from simpleml.errors import LegacyError, TrustError, UnknownStoreError
from tests.integration.old_simpleml import OldStore, frame, titanic


def _prints(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_records_come_over_with_ids_names_versions_and_lineage(database, tmp_path):
    """Every old record is found here under its id, name and version, made from the same ones; the old store is as it was."""
    old = titanic(tmp_path / "old")
    before = _prints(tmp_path / "old")
    done = import_legacy(tmp_path / "old", database)
    assert [(one.kind, one.version, one.was) for one in done.records] == [
        ("dataset", 1, None),
        ("pipeline", 1, None),
        ("model", 1, None),
        ("metric", 1, None),
    ]
    assert done.troubles == ()
    model = simpleml.load("model", name="titanic", version=1)
    assert model.id == old.ids["models"]
    assert (model.project, model.author) == ("ships", "elisha")
    assert model.pipeline.id == old.ids["pipelines"]
    assert model.pipeline.dataset.id == old.ids["datasets"]
    assert model.params == {"C": 0.5}
    metric = simpleml.load("metric", name="classification_accuracy", model_id=model.id)
    assert metric.to_dict()["values"]["accuracy"] == 0.9
    assert _prints(tmp_path / "old") == before


def test_hashes_are_made_anew_and_the_old_ones_kept(database, tmp_path):
    """The content hash is of our scheme; what SimpleML wrote stays in the metadata, paths in the state, not in the config."""
    titanic(tmp_path / "old")
    import_legacy(tmp_path / "old", database)
    dataset = simpleml.load("dataset", name="titanic")
    assert dataset.hash_.startswith("1:")
    assert dataset.metadata_["legacy"]["hash"] == "1234567890"
    assert dataset.config["split_section_map"] == {"y": ["Survived"]}
    assert "filepath" not in dataset.config
    assert dataset.state["source"]["filepath"] == "/home/elisha/train.csv"


def test_the_same_content_elsewhere_gets_the_same_hash(local, tmp_path):
    """Two old stores with equal content give equal hashes, wherever they are."""
    titanic(tmp_path / "one")
    import_legacy(tmp_path / "one", local)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    there = simpleml.connect(tmp_path / "two.db", store=tmp_path / "store2", home=tmp_path / "home2")
    import_legacy(tmp_path / "two", there)
    hashes = [
        [row["hash_"] for kind in ("dataset", "pipeline", "model") for row in opened.select(kind, {})]
        for opened in (local, there)
    ]
    there.close()
    assert hashes[0] == hashes[1]


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_unpickled_unless_asked(database, tmp_path, monkeypatch):
    """A pickle comes over byte by byte without being read, and is not read later either until its store is trusted."""
    monkeypatch.chdir(tmp_path)
    old = OldStore(tmp_path / "old")
    old.add("models", "SklearnLogisticRegression", artifact=_Bomb(), metadata={"config": {}, "state": {"fitted": True}})
    done = import_legacy(old.database, database)
    assert len(done.records) == 1
    model = simpleml.load("model", name="titanic")
    reference = model.filepaths["external_model"]["pickled"]
    assert reference["store"] == "imported"
    assert reference["size"] == next((tmp_path / "old/filestore/pickle").iterdir()).stat().st_size
    with pytest.raises(TrustError, match="imported"):
        model.get_artifact("external_model")
    assert not (tmp_path / "exploded").exists()
    # The twin: asked for, the same pickle is read.
    other = simpleml.connect(tmp_path / "asked.db", store=tmp_path / "asked", home=tmp_path / "asked-home")
    import_legacy(old.database, other, unpickle=True)
    other.close()
    assert (tmp_path / "exploded").is_dir()


def test_asked_for_pickles_become_plain_objects(database, tmp_path):
    """With `unpickle`, what was wrapped in classes of SimpleML is saved as the plain frame, pipeline and estimator."""
    titanic(tmp_path / "old")
    done = import_legacy(tmp_path / "old", database, unpickle=True)
    assert done.troubles == ()
    model = simpleml.load("model", name="titanic")
    estimator, pipeline = model.get_artifact("external_model"), model.pipeline.get_artifact("external_pipeline")
    assert type(estimator) is LogisticRegression
    assert type(pipeline) is Pipeline
    pd.testing.assert_frame_equal(model.pipeline.dataset.get_artifact("dataframe"), frame())
    expected = estimator.predict(pipeline.transform(frame()[["Age", "Fare"]]))
    np.testing.assert_array_equal(model.predict(frame()[["Age", "Fare"]]), expected)
    np.testing.assert_array_equal(model.pipeline.dataset.y, frame()["Survived"])


def test_it_may_be_run_again(database, tmp_path):
    """A second run brings nothing twice, and what was added to the old store since."""
    old = titanic(tmp_path / "old")
    import_legacy(tmp_path / "old", database)
    old.add("datasets", "BasePandasDataset", artifact=frame(), version=2)
    done = import_legacy(tmp_path / "old", database)
    assert [(one.kind, one.version) for one in done.records] == [("dataset", 2)]
    assert done.skipped == 4


def test_a_version_that_is_taken_gets_another_number(database, tmp_path):
    """Where the number was given out here already, the record gets the next one, and the result says so."""

    class Taken(simpleml.Persistable):
        kind = "dataset"

    Taken(name="titanic").save()
    titanic(tmp_path / "old")
    done = import_legacy(tmp_path / "old", database)
    dataset = done.records[0]
    assert (dataset.kind, dataset.version, dataset.was) == ("dataset", 2, 1)


def test_what_was_copied_can_still_be_tagged(database, tmp_path):
    """The state of an imported object may be saved, also after its bytes, once trusted, were read."""
    titanic(tmp_path / "old")
    import_legacy(tmp_path / "old", database, store="default")
    dataset = simpleml.load("dataset", name="titanic")
    pd.testing.assert_frame_equal(dataset.get_artifact("dataframe"), frame())
    dataset.state["seen"] = True
    dataset.save()
    assert simpleml.load("dataset", name="titanic").state["seen"] is True


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_frames_in_safe_formats_are_read_and_saved_anew(local, tmp_path, form):
    """Frames that hold no code come over as values, whatever was asked for pickles."""
    old = OldStore(tmp_path / "old")
    path = old.filestore / form / f"DATASET.{form}"
    path.parent.mkdir()
    data = frame()
    if form == "parquet":
        data.to_parquet(path)
    elif form == "csv":
        data.to_csv(path, index_label="simpleml_index")
    else:
        data.reset_index(names="simpleml_index").to_json(path, orient="records", lines=True)
    where = {"filepath": f"{form}/DATASET.{form}", "source_directory": "filestore"}
    old.add("datasets", "BasePandasDataset", artifact={"dataset": {f"pandas_disk_{form}": where}})
    assert import_legacy(old.database, local).troubles == ()
    found = simpleml.load("dataset", name="titanic").get_artifact("dataframe")
    pd.testing.assert_frame_equal(found, data, check_dtype=form == "parquet")


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"filepath": "../secret.pkl", "source_directory": "filestore"}, "outside of the filestore"),
        ({"filepath": "/etc/passwd", "source_directory": "filestore"}, "outside of the filestore"),
        ({"filepath": "pickle/link.pkl", "source_directory": "filestore"}, "link out of the filestore"),
        ({"filepath": "pickle/gone.pkl", "source_directory": "filestore"}, "is not in"),
        ({"filepath": "pickle/x.pkl", "source_directory": "libcloud_root_path"}, "not on this machine"),
        (7, "no path"),
    ],
)
def test_a_file_that_cannot_be_had_is_told(local, tmp_path, where, told):
    """A record whose file is missing, elsewhere or outside of the filestore comes without it, and the result says why."""
    old = OldStore(tmp_path / "old")
    (tmp_path / "secret.pkl").write_bytes(pickle.dumps("secret"))
    (old.filestore / "pickle/link.pkl").symlink_to(tmp_path / "secret.pkl")
    old.add("datasets", "BasePandasDataset", artifact={"dataset": {"disk_pickled": where}})
    done = import_legacy(old.database, local)
    assert len(done.records) == 1
    assert [told in trouble.why for trouble in done.troubles] == [True]
    assert simpleml.load("dataset", name="titanic").filepaths == {}


def test_dangling_links_are_told(local, tmp_path):
    """A record whose parent was deleted comes without that link; a metric without its model does not come at all."""
    old = titanic(tmp_path / "old")
    old.execute("DELETE FROM models")
    old.execute("DELETE FROM datasets")
    done = import_legacy(tmp_path / "old", local)
    assert [one.kind for one in done.records] == ["pipeline"]
    whys = " ".join(trouble.why for trouble in done.troubles)
    assert "the dataset" in whys
    assert "its model is not there" in whys


def _garbage(folder: Path) -> Path:
    path = folder / "garbage.db"
    path.write_bytes(b"this is no database" * 100)
    return path


def _old_schema(folder: Path) -> Path:
    old = OldStore(folder / "old")
    old.execute("UPDATE alembic_version SET version_num = '9df691c76c63'")
    return old.database


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: folder / "nowhere", "there is no"),
        (lambda folder: folder, "should hold one database"),
        (_garbage, "no SQLite database"),
        (_old_schema, "upgrade it with SimpleML 0.14"),
    ],
)
def test_an_old_store_that_cannot_be_read_is_refused(local, tmp_path, make, told):
    """What is no store of SimpleML 0.14 is refused with the reason, and nothing is written."""
    folder = tmp_path / "there"
    folder.mkdir()
    with pytest.raises(LegacyError, match=told):
        import_legacy(make(folder), local)
    assert local.select("dataset", {}) == []


def _loosened(old: OldStore, table: str) -> None:
    """Let a table of the old store take whatever SQLite takes: nothing is required, and no id is unique."""
    with closing(sqlite3.connect(old.database)) as connection, connection:
        (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
        connection.execute(f"DROP TABLE {table}")
        connection.execute(made.replace("NOT NULL", "").replace(", PRIMARY KEY (id)", ""))


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"name": None}, "name is None"),
        ({"name": "ü" * 256}, "name has 256 characters"),
        ({"name": b"\xff\xfe"}, "name is b'"),
        ({"author": "a" * 300}, "author has 300 characters"),
        ({"version": None}, "version is None"),
        ({"version": "first"}, "version is 'first'"),
        ({"version": 1.5}, "version is 1.5"),
        ({"id": "7"}, "no UUID"),
        ({"pipeline_id": "there"}, "no UUID"),
        ({"metadata": "{"}, "is not JSON"),
        ({"metadata": '{"config":' + "[" * 100_000 + "]" * 100_000 + "}"}, "is not JSON"),
        ({"metadata": "[1]"}, "metadata is [1]"),
        ({"metadata": '{"config": 5}'}, "config is 5"),
        ({"metadata": '{"library_versions": "1"}'}, "library_versions is '1'"),
    ],
)
def test_an_odd_record_is_left_behind_alone(local, tmp_path, columns, told):
    """What no record of ours can be is told and stays where it is; all others come over."""
    old = OldStore(tmp_path / "old")
    _loosened(old, "datasets")
    names, values = ", ".join(f"{name} = ?" for name in columns), tuple(columns.values())
    id_ = old.add("datasets", "BasePandasDataset", name="odd")
    old.execute(f"UPDATE datasets SET {names} WHERE id = ?", (*values, id_.hex))
    old.add("datasets", "BasePandasDataset", name="whole")
    done = import_legacy(old.database, local)
    assert [one.name for one in done.records] == ["whole"]
    assert [told in trouble.why for trouble in done.troubles] == [True]


def test_text_that_is_no_utf_8_concerns_its_record_alone(local, tmp_path):
    """A name of other bytes is told like any other that cannot be stored."""
    old = titanic(tmp_path / "old")
    old.add("datasets", "BasePandasDataset", name="odd")
    old.execute("UPDATE datasets SET name = CAST(x'ff41' AS TEXT) WHERE name = 'odd'")
    done = import_legacy(old.database, local)
    assert len(done.records) == 4
    assert ["surrogates" in trouble.why for trouble in done.troubles] == [True]


def test_a_metric_without_values_is_left_behind(local, tmp_path):
    """NULL, or null as JSON, is no result of anything."""
    old = OldStore(tmp_path / "old")
    _loosened(old, "metrics")
    model = old.add("models", "SklearnLogisticRegression")
    for number, values in enumerate((None, "null", '{"agg": 0.5}'), 1):
        old.add("metrics", "AccuracyMetric", name=f"metric-{number}", values=values, model_id=model)
    done = import_legacy(old.database, local)
    assert [one.name for one in done.records] == ["titanic", "metric-3"]
    assert ["no values" in trouble.why for trouble in done.troubles] == [True, True]


@pytest.mark.parametrize("version", [0, -3, 2**31])
def test_a_version_that_cannot_be_gets_the_next_number(local, tmp_path, version):
    """Versions count from 1 on and fit into every database; the result says what it was."""
    old = OldStore(tmp_path / "old")
    old.add("datasets", "BasePandasDataset", version=version)
    (brought,) = import_legacy(old.database, local).records
    assert (brought.version, brought.was) == (1, version)


def test_ids_that_are_there_twice(local, tmp_path):
    """Of two rows of one table the second is told; one id in two tables is two records, and a link means its own kind."""
    old = OldStore(tmp_path / "old")
    _loosened(old, "datasets")
    id_ = old.add("datasets", "BasePandasDataset", name="first")
    old.add("datasets", "BasePandasDataset", name="second")
    old.execute("UPDATE datasets SET id = ?", (id_.hex,))
    old.add("models", "SklearnLogisticRegression", id=id_)
    old.add("pipelines", "SklearnPipeline", name="stray", dataset_id=old.add("models", "SklearnRidge", name="ridge"))
    done = import_legacy(old.database, local)
    assert {(one.kind, one.name) for one in done.records} == {
        ("dataset", "first"),
        ("model", "titanic"),
        ("model", "ridge"),
        ("pipeline", "stray"),
    }
    whys = {trouble.why.partition(" ")[0]: trouble.why for trouble in done.troubles}
    assert "so has dataset 'first'" in whys["it"]
    assert "is not there" in whys["the"]


@pytest.mark.parametrize(
    ("filepaths", "told"),
    [
        ("[1, 2]", "names no artifact"),
        ('"pickle/x.pkl"', "names no artifact"),
        ('{"dataset": [1]}', "no save pattern"),
        ('{"dataset": {"disk_pickled": "pickle"}}', "is a folder"),
        ('{"dataset": {"disk_pickled": "pickle/pipe"}}', "is not in"),
        (json.dumps({"dataset": {"disk_pickled": "x" * 5000}}), "File name too long"),
        ('{"dataset": {"pandas_disk_parquet": "pickle/odd"}}', "cannot be read"),
        ('{"dataset": {"pandas_disk_csv": "pickle/odd"}}', "cannot be read"),
        ('{"dataset": {"pandas_disk_json": "pickle/odd"}}', "cannot be read"),
        ('{"dataset": {"dask_disk_csv": "empty"}}', "cannot be read"),
    ],
)
@pytest.mark.parametrize("unpickle", [False, True])
def test_odd_files_are_told(local, tmp_path, filepaths, told, unpickle):
    """Whatever the record says of its files, and whatever these hold, it comes over without them, and the result says why."""
    old = OldStore(tmp_path / "old")
    (old.filestore / "pickle/odd").write_bytes(b"\xff\xfe\x00,\n1,2,3\n")
    os.mkfifo(old.filestore / "pickle/pipe")
    (old.filestore / "empty").mkdir()
    id_ = old.add("datasets", "BasePandasDataset")
    old.execute("UPDATE datasets SET filepaths = ? WHERE id = ?", (filepaths, id_.hex))
    done = import_legacy(old.database, local, unpickle=unpickle)
    assert len(done.records) == 1
    assert [told in trouble.why for trouble in done.troubles] == [True]


def test_a_pickle_of_a_class_that_is_gone_is_told(local, tmp_path):
    """A pickle that means a class which cannot be imported any more comes over as bytes, and all other records come."""
    old = titanic(tmp_path / "old")
    (old.filestore / "pickle/odd.pkl").write_bytes(b"cno_such_module\nThing\n.")
    old.add("models", "Thing", name="odd", artifact={"model": {"disk_pickled": "pickle/odd.pkl"}})
    done = import_legacy(old.database, local, unpickle=True)
    assert len(done.records) == 5
    assert ["no_such_module" in trouble.why for trouble in done.troubles] == [True]
    (row,) = local.select("model", {"name": "odd"})
    assert row["filepaths"]["external_model"]["pickled"]["store"] == "imported"


def test_a_store_that_fails_ends_the_import(local, tmp_path):
    """A record does not come without its artifact because of this side: the next run, to the right store, brings both."""
    titanic(tmp_path / "old")
    with pytest.raises(UnknownStoreError, match="nowhere"):
        import_legacy(tmp_path / "old", local, store="nowhere")
    assert import_legacy(tmp_path / "old", local).troubles == ()
    assert simpleml.load("dataset", name="titanic").filepaths


def test_the_command_tells_what_it_did(local, tmp_path, home):
    """`simpleml import-legacy` lists what came over and what did not; its JSON says the same."""
    from typer.testing import CliRunner

    old = titanic(tmp_path / "old")
    (old.filestore / next(iter((old.filestore / "pickle").iterdir())).name).unlink(missing_ok=True)
    arguments = [
        "import-legacy",
        str(tmp_path / "old"),
        "--database",
        str(tmp_path / "cli.db"),
        "--store",
        str(tmp_path),
    ]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    assert "4 records came over, 0 were here already" in told.output
    again = CliRunner().invoke(app, [*arguments, "--json"])
    done = json.loads(again.output)
    assert (done["records"], done["skipped"]) == ([], 4)
