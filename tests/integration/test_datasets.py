"""Datasets in the databases: what is stored of each family, what comes back, derived and referenced ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sqlalchemy import text

import simpleml
from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT
from simpleml.datasets import (
    DaskDataset,
    DaskFileBasedDataset,
    DaskPipelineDataset,
    Dataset,
    NumpyDataset,
    NumpyPipelineDataset,
    PandasDataset,
    PandasFileBasedDataset,
    PandasPipelineDataset,
    PandasQueryDataset,
    PandasSklearnDataset,
    PolarsDataset,
    PolarsFileBasedDataset,
    PolarsPipelineDataset,
)
from simpleml.errors import (
    DatasetError,
    ImmutableVersionError,
    SourceError,
    SourceMissingError,
    UnknownSplitError,
    UnsavedReferenceError,
)
from simpleml.orm import Database
from simpleml.pipelines import ExplicitSplitSklearnPipeline, RandomSplitSklearnPipeline

SECRET = "s3cr3t-pa55"


def table(rows: int = 40) -> pd.DataFrame:
    """Return two features, a text, a label and explicit splits."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(40, 9, rows),
            "fare": rng.integers(1, 99, rows),
            "Survived": rng.integers(0, 2, rows),
            "DATASET_SPLIT": np.where(np.arange(rows) % 4 == 0, TEST_SPLIT, TRAIN_SPLIT),
        }
    )


def arrays() -> dict[str, np.ndarray]:
    """Return `table` as arrays by name."""
    return {name: column.to_numpy() for name, column in table().items()}


def pieces() -> dd.DataFrame:
    """Return `table` as a dask frame of three partitions."""
    return dd.from_pandas(table(), npartitions=3)


FAMILIES = [
    pytest.param(PandasDataset, table, "parquet", id="pandas"),
    pytest.param(PolarsDataset, lambda: pl.from_pandas(table()), "parquet", id="polars"),
    pytest.param(NumpyDataset, lambda: table()[["age", "fare", "Survived"]].to_numpy(), "numpy", id="numpy"),
    pytest.param(DaskDataset, pieces, "dask_parquet", id="dask"),
    pytest.param(Dataset, table, "parquet", id="any"),
]


def plain(data: object) -> list[object]:
    """Return data of any family as lists."""
    data = data.compute() if isinstance(data, dd.DataFrame) else data
    return data.to_numpy().tolist() if hasattr(data, "to_numpy") else np.asarray(data).tolist()


@pytest.mark.parametrize(("cls", "made", "pattern"), FAMILIES)
def test_a_dataset_comes_back_as_it_was(database: Database, cls, made, pattern) -> None:
    """Data, sections, splits and hash of every family are the same after loading, in the format that anybody can read."""
    label = 2 if cls is NumpyDataset else "Survived"
    saved = cls(made(), name="titanic", label_columns=[label], squeeze_return=True).save()
    found = simpleml.load("dataset", name="titanic")
    assert type(found) is cls
    assert list(found.filepaths["dataframe"]) == [pattern]
    assert (found.hash_, found.version) == (saved.hash_, 1)
    assert plain(found.dataframe) == plain(saved.dataframe)
    assert found.get_section_names() == ["X", "y"]
    assert found.get_split_names() == saved.get_split_names()
    assert found._hash() == saved.hash_
    found.state["seen"] = True
    found.save()
    assert cls.load(name="titanic").state["seen"] is True


def test_arrays_by_name_come_back(database: Database) -> None:
    """Several arrays with names are kept as they are."""
    saved = NumpyDataset(arrays(), name="arrays", label_columns=["Survived"]).save()
    found = NumpyDataset.load(name="arrays")
    assert found.hash_ == saved.hash_
    assert found.get("y", TEST_SPLIT).tolist() == arrays()["Survived"][::4].tolist()


def test_a_dataset_is_built_by_saving_it(database: Database, tmp_path: Path) -> None:
    """As in SimpleML's README: a subclass that reads a file is saved without further ado, and loaded without the file."""

    class TitanicDataset(PandasDataset):
        def build_dataframe(self) -> None:
            self.dataframe = self.load_csv(tmp_path / "train.csv")

    table().to_csv(tmp_path / "train.csv", index=False)
    saved = TitanicDataset(name="titanic", label_columns=["Survived"], project="test", author="me").save()
    (tmp_path / "train.csv").unlink()
    found = TitanicDataset.load(name="titanic")
    assert found.hash_ == saved.hash_ is not None
    assert found.y["Survived"].tolist() == table()["Survived"].tolist()
    assert found.get_split(TEST_SPLIT).row_count == 10


def test_save_patterns_are_chosen_by_simplemls_name(database: Database) -> None:
    """`save_patterns={"dataset": […]}` is what SimpleML's programs say."""
    saved = PandasDataset(table(), name="both", save_patterns={"dataset": ["disk_pickled", "disk_parquet"]}).save()
    assert list(saved.filepaths["dataframe"]) == ["disk_pickled", "disk_parquet"]
    assert PandasDataset.load(name="both").row_count == 40


def test_frames_are_stored_as_plain_parquet(database: Database, tmp_path: Path) -> None:
    """What a store holds of pandas and polars datasets is read by pandas alone, without this package."""
    for cls, data in ((PandasDataset, table()), (PolarsDataset, pl.from_pandas(table()))):
        reference = cls(data, name="plain").save().filepaths["dataframe"]["parquet"]
        path = tmp_path / f"{cls.__name__}.parquet"
        path.write_bytes(bytes(database.places.store("default").read(reference["key"], reference["size"])[0]))
        code = (
            "import sys; sys.modules['simpleml'] = None\n"
            f"import pandas as pd; found = pd.read_parquet({str(path)!r})\n"
            "assert list(found) == ['age', 'fare', 'Survived', 'DATASET_SPLIT'] and found['fare'].dtype == 'int64', found.dtypes\n"
            f"assert found['fare'].sum() == {table()['fare'].sum()}"
        )
        subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=tmp_path)


def test_text_in_object_columns_is_stored_as_parquet(database: Database) -> None:
    """Frames with text as pandas before version 3 has it are plain parquet too; with other objects they are pickled."""
    texts = table().assign(name=pd.Series(["a", None] * 20, dtype=object))
    saved = PandasDataset(texts, name="texts").save()
    assert list(saved.filepaths["dataframe"]) == ["parquet"]
    pd.testing.assert_frame_equal(PandasDataset.load(name="texts").dataframe, texts)
    mixed = PandasDataset(table().assign(name=pd.Series(["a", 1] * 20, dtype=object)), name="mixed").save()
    assert list(mixed.filepaths["dataframe"]) == ["pickled"]


def test_saved_data_cannot_be_replaced(database: Database) -> None:
    """Assigning data to a saved version, and changing its data in place, are refused; a new version takes it."""
    dataset = PandasDataset(table(), name="fixed").save()
    with pytest.raises(ImmutableVersionError, match=r"new_version\(\)"):
        dataset.dataframe = table(10)
    dataset.dataframe.loc[0, "fare"] = -1
    with pytest.raises(ImmutableVersionError, match="artifact 'dataframe'"):
        dataset.save()
    again = dataset.new_version()
    again.dataframe = table(10)
    assert again.save().version == 2
    assert PandasDataset.load(name="fixed", version=1).row_count == 40


def test_a_typo_in_a_split_is_an_error_after_loading(database: Database) -> None:
    """No split is made up, wherever the dataset comes from."""
    PandasDataset(table(), name="typo").save()
    with pytest.raises(UnknownSplitError, match="no split 'TRIAN'"):
        PandasDataset.load(name="typo").get_split("TRIAN")


def test_loaders_need_no_source_after_saving(database: Database) -> None:
    """A data set of scikit-learn is saved with its targets as labels, and loaded from the store."""
    saved = PandasSklearnDataset(name="cancer", loader="load_breast_cancer").save()
    found = PandasSklearnDataset.load(name="cancer")
    assert found.label_columns == ["target"]
    assert found.X.shape == (569, 30)
    assert found.hash_ == saved.hash_


# references


def test_a_referenced_dataset_stores_a_reference_alone(database: Database, tmp_path: Path) -> None:
    """No byte of the data is stored; it is read from the file again, unless that is another one by now."""
    path = tmp_path / "big.csv"
    table().to_csv(path, index=False)
    saved = PandasFileBasedDataset(filepath=path, name="big", hash_by="reference", label_columns=["Survived"]).save()
    assert saved.filepaths == {}
    found = PandasFileBasedDataset.load(name="big")
    assert found.hash_ == saved.hash_ == found._hash()
    assert found.row_count == 40
    assert found.save().version == 1
    path.write_text(path.read_text() + "1,2,0,TEST\n")
    with pytest.raises(SourceError, match="is not the file any more"):
        PandasFileBasedDataset.load(name="big").row_count  # noqa: B018


# queries


def test_a_query_runs_on_every_database(database_url: str, tmp_path: Path) -> None:
    """The result of a query is saved with the SQL, and nothing in the database or its rows has the password."""
    with simpleml.connect(database_url, store=tmp_path / "store", home=tmp_path / "home") as database:
        PandasDataset(table(), name="one", project="there").save()
        asked = PandasQueryDataset(
            url=database_url,
            query="SELECT name, version FROM datasets WHERE project = :project",
            params={"project": "there"},
            name="asked",
        ).save()
        assert PandasQueryDataset.load(name="asked").dataframe.to_dict("list") == {"name": ["one"], "version": [1]}
        assert asked.state["source"]["params"] == {"project": "there"}
        with pytest.raises(DatasetError, match="does not say what to ask"):
            PandasQueryDataset.load(name="asked").source  # noqa: B018
        held = PandasQueryDataset(
            pd.DataFrame({"a": [1]}), url=f"mysql+pymysql://me:{SECRET}@h/db", query="SELECT 1", name="held"
        )
        held.save()
        with database.engine.connect() as connection:
            rows = [tuple(row) for row in connection.execute(text("SELECT * FROM datasets"))]
        assert len(rows) == 3
        assert SECRET not in str(rows)
        assert "***" in str(rows)


# derived


def scaled(dataset: Dataset, **members) -> RandomSplitSklearnPipeline:
    """Return a fitted pipeline that scales the features of a saved dataset."""
    from sklearn.preprocessing import StandardScaler

    made = ExplicitSplitSklearnPipeline([("scale", StandardScaler())], name="scaled", **members)
    made.add_dataset(dataset)
    return made.fit()


DERIVED = [
    pytest.param(PandasDataset, PandasPipelineDataset, table, id="pandas"),
    pytest.param(PolarsDataset, PolarsPipelineDataset, lambda: pl.from_pandas(table()), id="polars"),
    pytest.param(NumpyDataset, NumpyPipelineDataset, arrays, id="numpy"),
    pytest.param(PandasDataset, PolarsPipelineDataset, table, id="pandas-to-polars"),
]


@pytest.mark.parametrize(("raw", "cls", "made"), DERIVED)
def test_derived_data_is_the_pipelines_transformation(database: Database, raw, cls, made) -> None:
    """Raw dataset, pipeline, derived dataset: features transformed, labels as they were, rows split by split."""
    dataset = raw(made(), name="raw", label_columns=["Survived"]).save()
    pipeline = scaled(dataset).save()
    derived = cls(name="derived", pipeline=pipeline).save()
    found = cls.load(name="derived")
    assert found.pipeline.id == pipeline.id
    assert found.hash_ == derived.hash_
    assert found.get_split_names() == [TRAIN_SPLIT, TEST_SPLIT]
    assert found.label_columns == ["Survived"]
    assert list(found.get_feature_names()) == ["age", "fare"]
    for split in (TRAIN_SPLIT, TEST_SPLIT):
        expected = pipeline.transform(None, dataset_split=split)
        np.testing.assert_allclose(np.asarray(found.get("X", split)), np.asarray(expected.X))
        assert np.asarray(found.get("y", split)).ravel().tolist() == np.asarray(expected.y).ravel().tolist()


def test_derived_dask_data_goes_partition_by_partition(database: Database) -> None:
    """A dask dataset put through a fitted pipeline stays lazy, and is what pandas gives."""
    pipeline = scaled(PandasDataset(table(), name="raw", label_columns=["Survived"]).save()).save()
    big = DaskDataset(pieces(), name="big", label_columns=["Survived"]).save()
    applied = ExplicitSplitSklearnPipeline(pipeline.external_pipeline, fitted=True, name="applied", dataset=big)
    applied.save()
    DaskPipelineDataset(name="derived", pipeline=applied).save()
    found, expected = DaskPipelineDataset.load(name="derived"), pipeline.transform(None, dataset_split=TEST_SPLIT)
    assert found.dataframe.npartitions == 6
    assert found.get_split_names() == [TRAIN_SPLIT, TEST_SPLIT]
    np.testing.assert_allclose(found.get("X", TEST_SPLIT).compute().to_numpy(), np.asarray(expected.X))
    assert found.get("y", TEST_SPLIT).compute()["Survived"].tolist() == expected.y["Survived"].tolist()


def test_the_hash_of_derived_data_is_known_before_it_is_made(database: Database) -> None:
    """Config and pipeline decide the hash: it is the same before and after building, and another for another pipeline."""
    dataset = PandasDataset(table(), name="raw", label_columns=["Survived"]).save()
    derived = PandasPipelineDataset(name="derived", pipeline=scaled(dataset).save())
    before = derived._hash()
    assert not derived.is_built
    assert derived.save().hash_ == before
    other = RandomSplitSklearnPipeline(train_size=0.5, name="plain")
    other.add_dataset(dataset)
    assert PandasPipelineDataset(name="derived", pipeline=other.save())._hash() != before


def test_random_splits_keep_each_row_once(database: Database) -> None:
    """A derived dataset of a random split has every row of the raw one once, and index labels with it."""
    dataset = PandasDataset(
        table().set_axis([7] * 40, axis=0), name="raw", label_columns=["Survived"], split_column=None
    )
    pipeline = RandomSplitSklearnPipeline(train_size=0.7, test_size=0.3, name="random")
    dataset.dataframe = dataset.dataframe.drop(columns="DATASET_SPLIT")
    pipeline.add_dataset(dataset.save())
    derived = PandasPipelineDataset(name="derived", pipeline=pipeline.save()).save()
    assert derived.dataframe["DATASET_SPLIT"].value_counts().to_dict() == {TRAIN_SPLIT: 28, TEST_SPLIT: 12}
    assert sorted(derived.dataframe["age"]) == sorted(table()["age"])
    assert derived.dataframe.index.tolist() == [7] * 40


def test_what_is_missing_for_a_derived_dataset_is_told(database: Database) -> None:
    """Without a pipeline, with a pipeline without dataset, and with one that is not saved, it says what to do."""
    with pytest.raises(DatasetError, match=r"has no pipeline: give pipeline="):
        PandasPipelineDataset(name="none").save()
    with pytest.raises(DatasetError, match=r"has no dataset to transform"):
        PandasPipelineDataset(name="none", pipeline=RandomSplitSklearnPipeline(train_size=0.5, name="empty")).save()
    unsaved = scaled(PandasDataset(table(), name="raw", label_columns=["Survived"]).save())
    with pytest.raises(UnsavedReferenceError, match="not saved: save that first"):
        PandasPipelineDataset(name="none", pipeline=unsaved).save()
    assert PandasPipelineDataset.query().count() == 0
    with pytest.raises(DatasetError, match="data is not given to it"):
        PandasPipelineDataset(table(), pipeline=unsaved)


@pytest.mark.parametrize("kind", ["s3", "sftp"])
def test_files_are_read_from_a_remote_store_by_its_name(tmp_path: Path, new_place, kind: str) -> None:
    """`store://NAME/path` reads with the credentials of the settings, also in pieces; the record has the name alone."""
    place = new_place(kind)
    filesystem, root = fsspec.core.url_to_fs(place.url, **place.options)
    filesystem.pipe_file(f"{root}/train.csv", table().to_csv(index=False).encode())
    stores = {"raw": {"url": place.url, **place.options}}
    with simpleml.connect(tmp_path / "db", store=tmp_path / "store", home=tmp_path / "home", stores=stores):
        for cls in (PandasFileBasedDataset, PolarsFileBasedDataset, DaskFileBasedDataset):
            saved = cls(filepath="store://raw/train.csv", name=cls.__name__, label_columns=["Survived"]).save()
            assert plain(cls.load(name=cls.__name__).get("y")) == table()[["Survived"]].to_numpy().tolist()
            assert saved.state["source"]["path"] == "store://raw/train.csv"
        referenced = PandasFileBasedDataset(filepath="store://raw/train.csv", name="big", hash_by="reference").save()
        assert referenced.config["reference"]["url"] == "store://raw/train.csv"
        assert PandasFileBasedDataset.load(name="big").row_count == 40
        with pytest.raises(SourceMissingError, match=r"there is no 'store://raw/test.csv'"):
            PandasFileBasedDataset(filepath="store://raw/test.csv").row_count  # noqa: B018
        assert not any(
            str(value) in str(referenced.as_row()) for value in place.options.values() if isinstance(value, str)
        )
