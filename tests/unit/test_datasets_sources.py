"""What datasets are read from: files of every format and place, queries, loaders; and that no credential shows."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path

import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pytest

import simpleml
from simpleml.datasets import (
    DaskFileBasedDataset,
    DaskQueryDataset,
    FileSource,
    NumpyFileBasedDataset,
    NumpyQueryDataset,
    NumpySklearnDataset,
    PandasDataset,
    PandasFileBasedDataset,
    PandasQueryDataset,
    PandasSklearnDataset,
    PolarsDataset,
    PolarsFileBasedDataset,
    PolarsQueryDataset,
    PolarsSklearnDataset,
)
from simpleml.errors import DatasetError, SourceError, SourceMissingError

DATA = pd.DataFrame({"age": [1.5, 2.5, 3.5], "name": ["a", "b", "ü"], "y": [0, 1, 0]})
SECRET = "s3cr3t-pa55"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder that holds `DATA` in every format."""
    DATA.to_csv(tmp_path / "d.csv", index=False)
    DATA.to_json(tmp_path / "d.json", orient="records", lines=True)
    DATA.to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    DATA.to_parquet(tmp_path / "d.parquet")
    DATA.to_feather(tmp_path / "d.feather")
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress((tmp_path / "d.csv").read_bytes()))
    np.save(tmp_path / "d.npy", DATA[["age", "y"]].to_numpy())
    np.savez(tmp_path / "d.npz", age=DATA["age"], y=DATA["y"])
    return tmp_path


NAMES = ["d.csv", "d.json", "d.jsonl", "d.parquet", "d.feather", "d.csv.gz"]


def as_pandas(data):
    """Return a frame of any family as one of pandas."""
    data = data.compute() if isinstance(data, dd.DataFrame) else data
    data = pd.DataFrame(data.to_dict(as_series=False)) if isinstance(data, pl.DataFrame) else data
    return data.astype({"name": "str"}).reset_index(drop=True)


@pytest.mark.parametrize("cls", [PandasFileBasedDataset, PolarsFileBasedDataset, DaskFileBasedDataset])
@pytest.mark.parametrize("name", NAMES)
def test_files_of_every_format_are_read(files: Path, cls, name: str) -> None:
    """The end of the name says the format, and what comes is the data, in each library's own frame."""
    whole = {"blocksize": None} if (cls, name) == (DaskFileBasedDataset, "d.csv.gz") else {}
    dataset = cls(filepath=files / name, label_columns=["y"], reader_params=whole)
    pd.testing.assert_frame_equal(as_pandas(dataset.dataframe), DATA, check_dtype=False)
    assert dataset.state["source"]["path"] == str(files / name)


@pytest.mark.parametrize("cls", [PandasFileBasedDataset, PolarsFileBasedDataset, DaskFileBasedDataset])
@pytest.mark.parametrize("name", ["d.csv", "d.json", "d.parquet", "d.feather"])
def test_files_are_read_from_urls(files: Path, cls, name: str) -> None:
    """A URL of any filesystem that fsspec knows does as well as a path."""
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/data/{name}", (files / name).read_bytes())
    dataset = cls(filepath=f"memory://data/{name}", label_columns=["y"])
    pd.testing.assert_frame_equal(as_pandas(dataset.dataframe), DATA, check_dtype=False)


def test_files_are_read_from_a_store_of_the_settings(files: Path, tmp_path: Path) -> None:
    """`store://NAME/path` is looked up in the settings, so the same dataset is read on machines with other places."""
    with simpleml.connect(tmp_path / "db", store=tmp_path / "store", home=tmp_path, stores={"raw": str(files)}):
        dataset = PandasFileBasedDataset(filepath="store://raw/d.csv")
        assert dataset.row_count == 3
        assert dataset.state["source"]["path"] == "store://raw/d.csv"
        with pytest.raises(SourceError, match=r"where the store 'row' is.*did you mean 'raw'"):
            PandasFileBasedDataset(filepath="store://row/d.csv").row_count  # noqa: B018


def test_numpy_reads_its_own_formats(files: Path) -> None:
    """Arrays come from npy and npz, and from csv as records; npy files that hold pickles are refused."""
    assert NumpyFileBasedDataset(filepath=files / "d.npy").X.tolist() == DATA[["age", "y"]].to_numpy().tolist()
    assert NumpyFileBasedDataset(filepath=files / "d.npz", label_columns=["y"]).y.tolist() == [0, 1, 0]
    assert NumpyFileBasedDataset(filepath=files / "d.csv", label_columns=["y"]).X[:, 0].tolist() == [1.5, 2.5, 3.5]
    np.save(files / "bad.npy", np.array([[object()]]), allow_pickle=True)
    with pytest.raises(SourceError, match="cannot be loaded when allow_pickle=False"):
        NumpyFileBasedDataset(filepath=files / "bad.npy", reader_params={"allow_pickle": True}).row_count  # noqa: B018


def test_the_place_of_a_file_does_not_count(files: Path, tmp_path: Path) -> None:
    """The same content elsewhere, in another format, and given as a frame in the same class, hashes the same."""
    other = tmp_path / "elsewhere.csv"
    other.write_bytes((files / "d.csv").read_bytes())
    found = {PandasFileBasedDataset(filepath=path)._hash() for path in (files / "d.csv", other, files / "d.parquet")}
    assert found == {PandasFileBasedDataset(DATA)._hash()}


def test_readers_of_a_subclass_take_paths_and_parameters(files: Path) -> None:
    """`self.load_csv(path)` in a `build_dataframe`, as in SimpleML's README, and its like."""

    class Own(PandasDataset):
        def build_dataframe(self) -> None:
            self.dataframe = self.load_csv(files / "d.csv", usecols=["age", "y"])

    class OwnPolars(PolarsDataset):
        def build_dataframe(self) -> pl.DataFrame:
            return self.load_parquet(files / "d.parquet")

    assert list(Own().dataframe) == ["age", "y"]
    assert OwnPolars().dataframe.columns == ["age", "name", "y"]
    assert len(Own(DATA).load_json(files / "d.json")) == len(Own(DATA).load_feather(files / "d.feather")) == 3


@pytest.mark.parametrize(
    ("members", "error", "said"),
    [
        ({"filepath": "nowhere.csv"}, FileNotFoundError, "there is no 'nowhere.csv'"),
        ({"filepath": "nowhere.csv"}, SourceMissingError, "a path begins at the working folder"),
        ({"filepath": "data"}, DatasetError, "does not tell the format.*csv, feather, json"),
        ({"filepath": "data.xlsx"}, DatasetError, "does not tell the format"),
        ({"filepath": "data", "format": "cvs"}, DatasetError, "no format 'cvs'.*did you mean 'csv'"),
        ({"filepath": 7}, DatasetError, "filepath takes a path or a URL, not 7"),
        ({"filepath": "d.npy"}, DatasetError, "pandas reads no npy"),
        ({"filepath": "gopher://x/d.csv"}, SourceError, "gopher"),
        ({}, DatasetError, "give filepath="),
    ],
    ids=str,
)
def test_wrong_sources_are_told(members, error, said) -> None:
    """What cannot be read is refused with what is there, when it is made or first read."""
    with pytest.raises(error, match=said):
        PandasFileBasedDataset(**members).row_count  # noqa: B018


def test_a_wrong_parameter_of_a_reader_is_told(files: Path) -> None:
    """A parameter that the library's reader does not have says whose parameters these are."""
    with pytest.raises(DatasetError, match="reader_params are those of the library's own reader of csv"):
        PandasFileBasedDataset(filepath=files / "d.csv", reader_params={"sepp": ";"}).row_count  # noqa: B018


def test_a_damaged_file_is_told(files: Path) -> None:
    """A file that is no parquet names the file, and keeps the cause."""
    (files / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(SourceError, match=r"bad.parquet' cannot be read") as caught:
        PandasFileBasedDataset(filepath=files / "bad.parquet").row_count  # noqa: B018
    assert caught.value.__cause__ is not None


# references


def test_a_reference_stands_for_the_file(files: Path) -> None:
    """Hashed by reference, the file is looked at and not read; a change of it is another dataset."""
    path = files / "d.csv"
    first = PandasFileBasedDataset(filepath=path, hash_by="reference")
    before = first._hash()
    assert not first.is_built
    assert first.config["reference"].keys() == {"url", "size", "mtime"}
    assert PandasFileBasedDataset(filepath=path, hash_by="reference")._hash() == before
    path.write_text(path.read_text() + "9,z,1\n")
    assert PandasFileBasedDataset(filepath=path, hash_by="reference")._hash() != before
    with pytest.raises(SourceError, match="is not the file any more"):
        first.row_count  # noqa: B018


def test_a_reference_of_ones_own_is_taken_as_it_is() -> None:
    """Whoever knows what identifies the data says it; a dataset without any says what is missing."""
    mine = PandasDataset(DATA, hash_by="reference", config={"reference": {"snapshot": 7}})
    assert mine._hash() == PandasDataset(hash_by="reference", config={"reference": {"snapshot": 7}})._hash()
    assert mine._hash() != PandasDataset(hash_by="reference", config={"reference": {"snapshot": 8}})._hash()
    with pytest.raises(DatasetError, match="hashed by reference, and has none"):
        PandasDataset(DATA, hash_by="reference")._hash()


# credentials


def shown(*values: object) -> str:
    """Return everything that a prompt, a log or a record would show of these."""
    texts = [f"{value!r} {value}" for value in values]
    for value in values:
        if isinstance(value, BaseException):
            texts += [f"{value.__cause__!r} {value.args}"]
        if hasattr(value, "as_row"):
            texts += [str(value.as_row()), value._repr_html_()]
    return " ".join(texts)


@pytest.mark.parametrize(
    "url", [f"https://me:{SECRET}@localhost:1/d.csv", f"https://localhost:1/d.csv?token={SECRET}&x=1"]
)
def test_credentials_of_a_url_never_show(url: str) -> None:
    """A password or token in a URL is in no record, prompt or error, and still goes where it is needed."""
    dataset = PandasFileBasedDataset(filepath=url, reader_params={"storage_options": {"password": SECRET}})
    with pytest.raises(SourceError) as caught:
        dataset.row_count  # noqa: B018
    assert SECRET not in shown(dataset, dataset.source, caught.value)
    assert SECRET in dataset.source.path
    assert "***" in dataset.state["source"]["path"]
    assert dataset.state["source"]["reader_params"] == {"storage_options": {"password": "***"}}


def test_a_source_whose_credentials_were_not_kept_asks_for_them() -> None:
    """What a record has of such a source is not read from as it is."""
    record = FileSource(f"https://me:{SECRET}@localhost:1/d.csv").recorded()
    assert SECRET not in json.dumps(record)
    with pytest.raises(SourceError, match="without the credentials"):
        FileSource.from_record(record)


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The URL of an SQLite database with `DATA` in the table `people`."""
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        DATA.to_sql("people", connection, index=False)
    connection.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.mark.parametrize("cls", [PandasQueryDataset, PolarsQueryDataset, DaskQueryDataset])
def test_queries_give_frames(shop: str, cls) -> None:
    """The result of a query with parameters comes as the library's frame, whole."""
    dataset = cls(url=shop, query="SELECT * FROM people WHERE age > :age", params={"age": 2}, label_columns=["y"])
    assert as_pandas(dataset.dataframe).to_dict("list") == DATA[1:].to_dict("list")
    assert dataset.state["source"]["query"].startswith("SELECT")


def test_queries_give_arrays(shop: str) -> None:
    """The result of a query is one array for each column."""
    dataset = NumpyQueryDataset(url=shop, query="SELECT age, y FROM people", label_columns=["y"])
    assert dataset.y.tolist() == [0, 1, 0]
    assert NumpyQueryDataset(url=shop, query="SELECT age, y FROM people WHERE age > 99").row_count == 0


def test_a_query_for_dask_is_fetched_in_pieces(shop: str) -> None:
    """Each piece is one partition, and the pieces together are the result."""
    dataset = DaskQueryDataset(url=shop, query="SELECT * FROM people", reader_params={"chunksize": 2})
    assert dataset.dataframe.npartitions == 2
    assert dataset.row_count == 3
    empty = DaskQueryDataset(url=shop, query="SELECT * FROM people WHERE age > 99")
    assert empty.row_count == 0
    assert list(empty.dataframe.columns) == ["age", "name", "y"]


@pytest.mark.parametrize(
    ("url", "query", "said"),
    [
        (None, "SELECT 1", "give url= and query="),
        ("sqlite://", " ", "takes a query beside the url"),
        ("no url", "SELECT 1", "is no URL of a database"),
        ("sqlite://", "SELECT * FROM nowhere", "no such table: nowhere"),
        ("nothing://me@here/db", "SELECT 1", "is no URL of a database"),
    ],
)
def test_wrong_queries_are_told(url, query, said) -> None:
    """A URL that is none, a missing query, a missing table."""
    with pytest.raises(DatasetError, match=said):
        PandasQueryDataset(url=url, query=query).row_count  # noqa: B018


def test_the_password_of_a_query_never_shows() -> None:
    """Neither the record, nor the object, its source, or the error of a server that is not there have it."""
    dataset = PandasQueryDataset(url=f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/shop", query="SELECT 1")
    with pytest.raises(SourceError) as caught:
        dataset.row_count  # noqa: B018
    assert SECRET not in shown(dataset, dataset.source, caught.value)
    assert dataset.state["source"]["url"] == "postgresql+psycopg://me:***@127.0.0.1:1/shop"


# loaders


def test_loaders_of_scikit_learn_give_features_and_target() -> None:
    """The targets are the label columns unless others are named, in every family."""
    for cls in (PandasSklearnDataset, PolarsSklearnDataset):
        dataset = cls(loader="load_iris")
        assert dataset.get_split(None).X.shape == (150, 4)
        assert dataset.label_columns == ["target"]
    assert NumpySklearnDataset(loader="load_iris").X.shape == (150, 4)
    assert PandasSklearnDataset(loader="load_linnerud").label_columns == ["Weight", "Waist", "Pulse"]
    assert PandasSklearnDataset(loader="load_iris", label_columns=["sepal length (cm)"]).X.shape == (150, 4)


def test_wrong_loaders_are_told() -> None:
    """A loader that is none, and parameters that it does not have."""
    with pytest.raises(DatasetError, match=r"no loader 'load_irish'.*did you mean 'load_iris'"):
        PandasSklearnDataset(loader="load_irish").row_count  # noqa: B018
    with pytest.raises(DatasetError, match="load_iris makes no frame with these parameters"):
        PandasSklearnDataset(loader="load_iris", loader_params={"rows": 3}).row_count  # noqa: B018
    with pytest.raises(DatasetError, match="give loader="):
        PandasSklearnDataset().row_count  # noqa: B018
