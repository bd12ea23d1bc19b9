"""Dask datasets: hashed, saved, read and cut partition by partition, and never collected."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest

from simpleml.datasets import DaskDataset, DaskFileBasedDataset, PandasDataset
from simpleml.datasets.partitions import read_parts
from simpleml.errors import DatasetError, HashingError, SavePatternError, SerializationError
from simpleml.hashing import hash_value
from simpleml.hashing.dask_frames import RowHash
from simpleml.orm import Database
from simpleml.save_patterns.catalogue import choose_pattern, find_pattern
from simpleml.save_patterns.folder import Folder
from simpleml.save_patterns.workspace import Workspace

ROWS = 3000


def table(rows: int = ROWS) -> pd.DataFrame:
    """Return rows of every usual type, among them a category that no row has."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "n": rng.integers(0, 9, rows),
            "gap": pd.array([None if i % 5 == 0 else i for i in range(rows)], dtype="Int64"),
            "word": pd.Series([f"w{i % 7}" for i in range(rows)], dtype="str"),
            "kind": pd.Categorical([["b", "a"][i % 2] for i in range(rows)], categories=["c", "b", "a"]),
            "at": pd.date_range("2024-01-01", periods=rows, freq="min"),
            "flag": rng.random(rows) < 0.5,
            "y": rng.integers(0, 2, rows),
        }
    )


def pieces(npartitions: int, data: pd.DataFrame | None = None) -> dd.DataFrame:
    """Return `table` as a dask frame."""
    return dd.from_pandas(table() if data is None else data, npartitions=npartitions)


class Counter:
    """Makes partitions, and counts how many were made and how many lived at once."""

    def __init__(self) -> None:
        self.made = self.alive = self.most = 0

    def __call__(self, number: int) -> pd.DataFrame:
        """Return one partition of 1000 rows."""
        part = pd.DataFrame({"x": np.arange(1000.0) + number, "y": np.arange(1000) % 2})
        self.made += 1
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(part, self._gone)
        return part

    def _gone(self) -> None:
        self.alive -= 1

    def __dask_tokenize__(self) -> int:
        return id(self)

    def frame(self, npartitions: int) -> dd.DataFrame:
        """Return a frame whose partitions are made when they are computed, one at a time."""
        meta = pd.DataFrame({"x": np.array([], dtype=float), "y": np.array([], dtype=np.int64)})
        return dd.from_map(self, list(range(npartitions)), meta=meta)


@pytest.fixture
def one_thread():
    """Let dask compute one task at a time, so that what lives at once is what simpleml holds."""
    with dask.config.set(scheduler="synchronous"):
        yield


def test_saving_and_loading_never_collects(local: Database, one_thread: None) -> None:
    """Of 40 partitions each is computed once, for hash and bytes together, and never more than two are there at once."""
    counter = Counter()
    dataset = DaskDataset(counter.frame(40), name="big", label_columns=["y"]).save()
    gc.collect()
    assert (counter.made, counter.alive) == (40, 0)
    assert counter.most <= 2
    found = DaskDataset.load(name="big")
    assert found.dataframe.npartitions == 40
    assert found.hash_ == found._hash() == dataset.hash_
    assert counter.made == 40


def test_collecting_would_be_seen(one_thread: None) -> None:
    """The counter of the test above does see a frame that is collected: all partitions live at once."""
    counter = Counter()
    counter.frame(10).compute()
    assert counter.most >= 10


def test_hashing_alone_holds_one_partition(one_thread: None) -> None:
    """Hashing computes each partition once, holds few, and remembers the result for this very frame."""
    counter = Counter()
    frame = counter.frame(30)
    assert hash_value(frame) == hash_value(frame)
    gc.collect()
    assert counter.made == 30
    assert counter.most <= 2


def test_the_hash_does_not_depend_on_partitions() -> None:
    """The same rows hash the same in 1, 2 and 7 partitions, before and after repartitioning, also beyond a block."""
    many = pd.DataFrame({"x": np.arange(150_000.0), "s": pd.Series(["ab", None, "c"] * 50_000, dtype="str")})
    for data in (table(), many):
        found = {hash_value(pieces(number, data)) for number in (1, 2, 7)}
        found.add(hash_value(pieces(7, data).repartition(npartitions=3)))
        assert len(found) == 1


def test_the_hash_depends_on_everything_else() -> None:
    """A value, a missing value, a name, a type, the order of rows or columns, and a known index each make a difference."""
    data = table()
    changed = [
        data,
        data.assign(x=data["x"].where(data.index != ROWS - 1, 0.0)),
        data.assign(gap=data["gap"].fillna(0)),
        data.rename(columns={"n": "m"}),
        data.astype({"n": "int32"}),
        data.iloc[::-1].reset_index(drop=True),
        data[sorted(data)],
        data.set_axis(np.arange(ROWS) + 1, axis=0),
        data.iloc[:-1],
        data.iloc[:0],
    ]
    assert len({hash_value(pieces(2, each)) for each in changed}) == len(changed)


def test_an_index_that_numbers_the_rows_of_a_file_does_not_count(tmp_path: Path) -> None:
    """The same csv lines in one file and in two are the same data, though dask numbers the rows of each file anew."""
    data = table()[["x", "n", "y"]]
    data.to_csv(tmp_path / "whole.csv", index=False)
    data[:1000].to_csv(tmp_path / "half-0.csv", index=False)
    data[1000:].to_csv(tmp_path / "half-1.csv", index=False)
    one = DaskFileBasedDataset(filepath=tmp_path / "whole.csv")
    two = DaskFileBasedDataset(filepath=tmp_path / "half-*.csv")
    assert (one.dataframe.npartitions, two.dataframe.npartitions) == (1, 2)
    assert one._hash() == two._hash()


@pytest.mark.parametrize("cut", [1, 7, 100, 2999])
def test_rows_hash_the_same_however_they_come(cut: int) -> None:
    """The hash of rows that come in pieces is that of the rows."""
    import pyarrow as pa

    whole = pa.Table.from_pandas(table(), preserve_index=False)
    first, second = RowHash(), RowHash()
    first.add(whole)
    for at in range(0, ROWS, cut):
        second.add(whole.slice(at, cut))
    assert first.finish() == second.finish()


def test_what_comes_back_is_what_was_saved(local: Database) -> None:
    """Values, types, categories of no row, index, divisions and partitions come back."""
    frame = pieces(4, table().set_index("at", drop=False).rename_axis("when"))
    DaskDataset(frame, name="all", label_columns=["y"]).save()
    loaded = DaskDataset.load(name="all")
    found = loaded.dataframe
    assert loaded._hash() == loaded.hash_
    assert found.divisions == frame.divisions
    pd.testing.assert_frame_equal(found.compute(), frame.compute())
    assert found.compute()["kind"].cat.categories.tolist() == ["c", "b", "a"]
    pd.testing.assert_frame_equal(found._meta, found.partitions[1].compute().iloc[:0])


@pytest.mark.parametrize("rows", [0, 1])
def test_frames_with_empty_partitions_come_back(local: Database, rows: int) -> None:
    """No row at all, and partitions without rows, are kept as they are."""
    frame = pieces(3)
    frame = frame[frame["n"] == 99] if rows == 0 else frame[frame["x"] == table()["x"].iloc[5]]
    DaskDataset(frame, name="few").save()
    found = DaskDataset.load(name="few").dataframe
    assert found.npartitions == frame.npartitions
    pd.testing.assert_frame_equal(found.compute(), frame.compute())


def test_unknown_categories_are_found_out(local: Database) -> None:
    """Categories that dask does not know yet are collected from all partitions, and no more."""
    frame = pieces(3, table()[["x", "word"]]).astype({"word": "category"})
    assert not frame["word"].cat.known
    DaskDataset(frame, name="unknown").save()
    found = DaskDataset.load(name="unknown").dataframe
    assert found["word"].cat.known
    assert found["word"].compute().astype(str).tolist() == table()["word"].tolist()


def test_an_unchanged_partition_is_stored_once(local: Database) -> None:
    """A second version with one changed partition of five adds one file and a manifest."""
    data = table()
    first = DaskDataset(pieces(5, data), name="grow").save()
    second = DaskDataset(pieces(5, data.assign(x=data["x"].where(data.index != ROWS - 1, 0.0))), name="grow").save()
    keys = [set(each.filepaths["dataframe"]["dask_parquet"]["parts"]) for each in (first, second)]
    assert [len(each) for each in keys] == [5, 5]
    assert len(keys[0] & keys[1]) == 4


def test_the_parts_are_plain_parquet(local: Database) -> None:
    """Dask and pandas read the files in a process that cannot import simpleml."""
    DaskDataset(pieces(3), name="plain").save()
    assert DaskDataset.load(name="plain").dataframe.npartitions == 3
    folder = local.places.workspace
    parts = sorted(folder.rglob("part-*.parquet"))
    assert len(parts) == 3
    code = (
        "import sys; sys.modules['simpleml'] = None\n"
        "import pandas as pd, dask.dataframe as dd\n"
        f"assert len(dd.read_parquet({str(parts[0].parent)!r})) == {ROWS}\n"
        f"part = pd.read_parquet({str(parts[0])!r})\n"
        "assert list(part)[:2] == ['x', 'n'] and str(part['gap'].dtype) == 'Int64' and part.index.tolist()[:2] == [0, 1]"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True, cwd=folder)


def test_loaded_frames_travel_to_processes_of_this_machine(local: Database) -> None:
    """A frame that was loaded is pickled without its data, and computed where it arrives."""
    DaskDataset(pieces(3), name="travel").save()
    frame = DaskDataset.load(name="travel").dataframe
    sent = pickle.dumps(frame)
    assert len(sent) < 20_000
    assert len(pickle.loads(sent)) == ROWS
    with dask.config.set(scheduler="processes", num_workers=2):
        assert frame["n"].sum().compute() == table()["n"].sum()


def test_the_folder_stays_while_the_frame_is_used(local: Database) -> None:
    """Clearing the workspace leaves the files of a loaded frame, which outlives its dataset, and removes them afterwards."""
    DaskDataset(pieces(2), name="kept").save()
    frame = DaskDataset.load(name="kept").dataframe
    gc.collect()
    workspace = Workspace(local.places.workspace)
    workspace.clear(older_than=-60)
    assert len(frame) == ROWS
    del frame
    gc.collect()
    workspace.clear(older_than=-60)
    assert not list(workspace.root.rglob("*.parquet"))


# reading


def test_sections_and_splits_are_lazy(one_thread: None) -> None:
    """Sections and projections compute no row; X and y of one projection have the same rows."""
    counter = Counter()
    dataset = DaskDataset(counter.frame(5), label_columns=["y"])
    split = dataset.projected(np.array([4500, 2, 2, 1001, 7]))
    assert counter.made == 0
    assert split.row_count == 5
    assert list(split.X.columns) == ["x"]
    assert split.X.compute()["x"].tolist() == [2.0, 2.0, 7.0, 2.0, 504.0]
    assert split.y.compute()["y"].tolist() == [0, 0, 1, 1, 0]
    assert split.X.npartitions == 3


def test_splits_of_a_column_are_those_of_pandas() -> None:
    """A split column gives the same names and rows as it does in pandas."""
    data = table().assign(DATASET_SPLIT=lambda rows: np.where(rows["n"] < 6, "TRAIN", "TEST"))
    big, small = DaskDataset(pieces(4, data), label_columns=["y"]), PandasDataset(data, label_columns=["y"])
    assert big.get_split_names() == small.get_split_names() == ["TRAIN", "TEST"]
    found = big.get_split("TEST").X.compute()
    pd.testing.assert_frame_equal(found.astype({"word": "str"}), small.get_split("TEST").X)
    assert big.column_values("n").tolist() == small.column_values("n").tolist()
    assert big.row_count == ROWS


def test_no_positions_are_no_rows() -> None:
    """An empty projection has the columns and no row."""
    empty = DaskDataset(pieces(3), label_columns=["y"]).projected(np.array([], dtype=int)).X
    assert (len(empty), list(empty.columns)) == (0, [name for name in table() if name != "y"])


# refusals


def test_positions_beyond_the_end_are_refused() -> None:
    """A row that is not there is an error and no empty partition."""
    with pytest.raises(IndexError, match="position 3000 is no row: they are 0 to 2999"):
        DaskDataset(pieces(3)).projected(np.array([0, 3000])).squeeze()


def test_partitions_of_other_types_are_refused(local: Database) -> None:
    """A partition whose values are not of the type that the frame says is named, hashing and saving."""

    def part(number: int) -> pd.DataFrame:
        return pd.DataFrame({"a": ["text"] if number else [1]})

    frame = dd.from_map(part, [0, 1], meta=part(0).iloc[:0], enforce_metadata=False)
    with pytest.raises(HashingError, match="partition 1 of this dask frame is not of the types"):
        hash_value(frame)
    with pytest.raises(SavePatternError, match=r"partition 1 .*astype"):
        DaskDataset(frame, name="mixed").save()
    assert DaskDataset.query().count() == 0


def test_frames_of_other_libraries_are_refused(local: Database) -> None:
    """A pandas frame is no dask dataset, and the pattern keeps no other frame."""
    with pytest.raises(DatasetError, match=r"takes a dask\.dataframe\.DataFrame"):
        DaskDataset(table())
    with pytest.raises(SavePatternError, match="keeps dask frames"):
        PandasDataset(table(), name="wrong", save_patterns={"dataset": "dask_parquet"}).save()


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    """Parquet that simpleml did not write, other files, and no file at all are no partitions."""
    with pytest.raises(SerializationError, match="no partitions that simpleml wrote"):
        read_parts(Folder(tmp_path))
    table().to_parquet(tmp_path / "part-00000.parquet")
    with pytest.raises(SerializationError, match="no partitions that simpleml wrote"):
        read_parts(Folder(tmp_path))


def test_dask_frames_are_known_to_the_catalogue() -> None:
    """A dask frame is kept by its own pattern when nobody names one, and each store has such a pattern."""
    assert choose_pattern(pieces(1)) == "dask_parquet"
    for where in ("disk", "cloud", "database"):
        assert find_pattern(f"{where}_dask_parquet").store == where


PINNED = "1:0737f6bc3bdabf328b0eddf920a1e77db3ebbd1ce92e79e0c736cf556ee79819"
SMALL = """
import pandas as pd
data = pd.DataFrame({"x": [0.5, None, 2.0], "n": [1, 2, 3], "word": pd.Series(["a", None, "\u00fc"], dtype="str")})
"""


def test_hashes_never_change() -> None:
    """The hashes of small known data are what they were when they were written down here."""
    names: dict[str, pd.DataFrame] = {}
    exec(SMALL, names)
    assert hash_value(pieces(2, names["data"])) == PINNED
    pinned = "1:45dc01745537b0549bc72968840859ff3db7c382ca049ac8538750dee2b5987a"
    assert PandasDataset(names["data"], label_columns=["n"])._hash() == pinned


def test_the_hash_needs_no_import() -> None:
    """A process that has imported nothing but the hasher finds the same hash, of frames and of series."""
    code = (
        f"{SMALL}\nimport dask.dataframe as dd\nfrom simpleml.hashing import hash_value\n"
        f"frame = dd.from_pandas(data, npartitions=3)\nassert hash_value(frame) == {PINNED!r}\n"
        "assert hash_value(frame['n']) == hash_value(dd.from_pandas(data, npartitions=1)['n']) != hash_value(frame['x'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_names_that_are_no_text() -> None:
    """A series may be called anything, or nothing; columns of a frame are called by text, and a number is refused by what it is."""
    values = pd.Series([1, 0, 1])
    unnamed, numbered, named = (
        hash_value(dd.from_pandas(values.rename(name), npartitions=2)) for name in (None, 5, "5")
    )
    assert len({unnamed, numbered, named}) == 3
    with pytest.raises(HashingError, match=r"the column 0 \(int\).*frame.rename\(columns=str\)"):
        hash_value(dd.from_pandas(pd.DataFrame({0: [1, 2]}), npartitions=1))


def test_categories_that_differ_between_partitions_come_back(local: Database) -> None:
    """Each partition has all categories in their order when it is read, whichever its own rows have."""
    data = pd.DataFrame({"kind": pd.Categorical(["b"] * 5 + ["a"] * 5, categories=["c", "b", "a"], ordered=True)})
    DaskDataset(pieces(2, data), name="kinds").save()
    found = DaskDataset.load(name="kinds").dataframe
    for number in range(2):
        assert found.partitions[number].compute()["kind"].dtype == data["kind"].dtype == found._meta["kind"].dtype
