"""Datasets without a database: sections, splits, projections, hashes and what they refuse, in every family."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simpleml.datasets
from simpleml.datasets import (
    Dataset,
    NumpyDataset,
    PandasDataset,
    PolarsDataset,
    ProjectedSplit,
    Split,
    SplitContainer,
)
from simpleml.errors import ArtifactUnsetError, DatasetError, SavePatternError, UnknownSplitError

ROOT = Path(__file__).resolve().parents[2]


def table(**more):
    """Return ten rows: two features, a weight, a label, and which split each belongs to."""
    return pd.DataFrame(
        {
            "age": np.arange(10.0),
            "fare": np.arange(10),
            "w": [0.5] * 10,
            "y": [0, 1] * 5,
            "DATASET_SPLIT": ["TEST"] * 2 + ["TRAIN"] * 6 + ["other"] * 2,
            **more,
        }
    )


def titanic(data=None, **members):
    """Return a dataset of `table` with labels and weights."""
    given_ = {"label_columns": ["y"], "other_named_split_sections": {"weights": ["w"]}, **members}
    return PandasDataset(table() if data is None else data, **given_)


FAMILIES = [
    pytest.param(PandasDataset, lambda data: data, id="pandas"),
    pytest.param(PolarsDataset, pl.from_pandas, id="polars"),
    pytest.param(PolarsDataset, lambda data: pl.from_pandas(data).lazy(), id="polars-lazy"),
    pytest.param(NumpyDataset, lambda data: {name: data[name].to_numpy() for name in data}, id="numpy"),
    pytest.param(
        NumpyDataset,
        lambda data: np.rec.fromrecords(data.to_numpy().tolist(), names=list(data)).view(np.ndarray),
        id="records",
    ),
    pytest.param(Dataset, lambda data: data, id="any-pandas"),
    pytest.param(Dataset, pl.from_pandas, id="any-polars"),
]


# splits


def test_a_split_gives_sections_as_items_attributes_and_keywords() -> None:
    """A section is read in three ways; one that is not there is None as an attribute and a KeyError as an item."""
    split = Split(X=[1], y=[2])
    assert split.X == split["X"] == [1]
    assert dict(**split) == {"X": [1], "y": [2]}
    assert split.weights is None
    with pytest.raises(KeyError):
        split["weights"]


def test_a_split_survives_copies_and_pickles() -> None:
    """Copying and pickling a split gives an equal split, and no section of that name is made up on the way."""
    split = Split(X=[1], y=None)
    for made in (copy.copy(split), copy.deepcopy(split), split.copy(), pickle.loads(pickle.dumps(split))):
        assert type(made) is Split
        assert made == split
    assert not hasattr(split, "_repr_html_")


def test_attributes_of_a_split_are_set_and_deleted_as_sections() -> None:
    """Assigning and deleting attributes does so with the items."""
    split = Split(X=[1])
    split.y = [2]
    del split.X
    assert split == {"y": [2]}
    with pytest.raises(AttributeError):
        del split.X


@pytest.mark.parametrize("empty", [None, [], {}, np.empty((0, 3)), pd.DataFrame(), pd.DataFrame({"a": []})], ids=repr)
def test_squeezing_a_split_drops_what_is_nothing(empty: object) -> None:
    """`squeeze` drops None and data without rows, and keeps zeros and rows."""
    assert Split(X=np.zeros((2, 2)), y=empty, n=0).squeeze().keys() == {"X", "n"}


def test_a_container_refuses_unknown_splits_and_makes_none() -> None:
    """Asking for a split with a typo is a KeyError that lists the names, and leaves the container as it was."""
    container = SplitContainer(TRAIN=Split(X=[1]))
    with pytest.raises(UnknownSplitError, match=r"no split 'TRIAN'; known: TRAIN \(did you mean 'TRAIN'\?\)"):
        container["TRIAN"]
    assert list(container) == ["TRAIN"]
    assert container.get("TRIAN") is None


# sections, in every family


@pytest.mark.parametrize(("cls", "made"), FAMILIES)
def test_sections_and_splits_are_the_same_in_every_family(cls, made) -> None:
    """X is every column that no section has; splits follow the split column; positions are rows."""
    dataset = cls(made(table()), label_columns=["y"], other_named_split_sections={"weights": ["w"]})
    assert dataset.get_section_names() == ["X", "y", "weights"]
    assert dataset.get_feature_names() == ["age", "fare"]
    assert dataset.label_columns == ["y"]
    assert dataset.get_split_names() == ["TRAIN", "TEST", "other"]
    assert dataset.row_count == 10
    assert np.asarray(dataset.X).tolist() == [[float(i), i] for i in range(10)]
    assert np.asarray(dataset.get("weights", "TEST")).ravel().tolist() == [0.5, 0.5]
    assert np.asarray(dataset.get_split("TRAIN").X)[:, 1].tolist() == [2, 3, 4, 5, 6, 7]
    assert dataset.column_values("fare").tolist() == list(range(10))
    assert dataset.get_split(None).row_count == 10
    assert dataset.get_split("TRAIN").positions == slice(2, 8)


@pytest.mark.parametrize(("cls", "made"), FAMILIES)
def test_projections_take_rows_by_position(cls, made) -> None:
    """Positions in any order, repeated too, give just these rows, in X and y alike."""
    dataset = cls(made(table()), label_columns=["y"], squeeze_return=True)
    split = dataset.projected(np.array([7, 1, 1]))
    assert np.asarray(split.X)[:, 1].tolist() == [7, 1, 1]
    assert np.asarray(split.y).tolist() == [1, 1, 1]
    assert np.asarray(split.y).ndim == 1
    assert split.row_count == 3
    assert split.nothing is None


@pytest.mark.parametrize(("cls", "made"), FAMILIES)
@pytest.mark.parametrize("positions", [None, slice(0, 4), np.array([3, 0])], ids=["all", "slice", "some"])
def test_what_is_read_is_isolated(cls, made, positions) -> None:
    """Changing a section that was read changes neither the dataset nor another reading."""
    dataset = cls(made(table()), label_columns=["y"])
    before = dataset._hash()
    split = dataset.projected(positions)
    read, again = split.X, split.X
    if isinstance(read, pd.DataFrame):
        read.iloc[0, 0] = -1.0
    elif isinstance(read, pl.DataFrame):
        read[0, "age"] = -1.0
    else:
        read[0, 0] = -1.0
    assert dataset._hash() == before
    assert -1.0 not in np.asarray(again)
    assert -1.0 in np.asarray(read)


@pytest.mark.parametrize(("cls", "made"), FAMILIES)
def test_a_frame_that_changes_after_it_was_given_does_not_matter(cls, made) -> None:
    """A frame has been taken as it was; an array is taken itself, for it has no lazy copy."""
    given_ = made(table())
    dataset = cls(given_, label_columns=["y"])
    before = dataset._hash()
    if isinstance(given_, pd.DataFrame):
        given_.loc[0, "age"] = -1.0
        given_["more"] = 1
    elif isinstance(given_, pl.DataFrame):
        given_[0, "age"] = -1.0
        given_.insert_column(0, pl.Series("more", range(given_.height)))
    elif isinstance(given_, dict):
        given_["age"] = given_["age"] - 1.0
    elif isinstance(given_, np.ndarray):
        given_["age"][0] = -1.0
    changed = isinstance(given_, np.ndarray)
    assert (dataset._hash() != before) is changed
    assert (-1.0 in dataset.column_values("age")) is changed


def test_types_of_python_stand_in_a_schema() -> None:
    """`float` and `int` mean the columns that are made of them."""
    assert titanic(schema={"age": float, "y": int}).config["schema"] == {"age": "float64", "y": "int64"}
    with pytest.raises(DatasetError, match="'age' is float64, not int64"):
        titanic(schema={"age": int})


def test_a_repeated_index_leaks_no_row() -> None:
    """Rows of pandas go by position: ten rows with one label are ten rows, and two splits of them share none."""
    data = table().set_axis([0] * 10, axis=0)
    dataset = titanic(data)
    train, test = dataset.projected(np.array([0, 2, 4, 9])), dataset.projected(np.array([1, 3, 5, 6, 7, 8]))
    assert len(train.X) + len(test.X) == 10
    assert not set(train.X["fare"]) & set(test.X["fare"])


@given(st.lists(st.integers(0, 9), max_size=12))
@settings(max_examples=40)
def test_any_positions_give_what_iloc_gives(positions: list[int]) -> None:
    """For every list of positions, a section is what pandas selects by position, in dtypes and labels too."""
    dataset = titanic()
    pd.testing.assert_frame_equal(
        dataset.projected(np.array(positions, dtype=int)).X, table()[["age", "fare"]].iloc[positions]
    )


def test_a_slice_of_a_dataset_copies_nothing() -> None:
    """Consecutive positions give a section that shares its memory with the dataset until one is changed."""
    dataset = PandasDataset(pd.DataFrame(np.zeros((100, 3)), columns=list("aby")), label_columns=["y"])
    whole = dataset.dataframe["a"].to_numpy()
    assert np.shares_memory(dataset.projected(np.arange(10, 90)).X["a"].to_numpy(), whole)
    assert not np.shares_memory(dataset.projected(np.array([3, 9])).X["a"].to_numpy(), whole)


def test_a_projection_reads_only_what_is_asked(monkeypatch) -> None:
    """Making a projection, its length and its names read no section; one attribute reads one section."""
    dataset, read = titanic(), []
    original = PandasDataset.read_section
    monkeypatch.setattr(
        PandasDataset, "read_section", lambda self, name, at=None: read.append(name) or original(self, name, at)
    )
    split = dataset.projected(np.array([1, 5]))
    assert (len(split), split.row_count, list(split), "y" in split, repr(split).count("2 rows")) == (
        3,
        2,
        ["X", "y", "weights"],
        True,
        1,
    )
    assert read == []
    assert split.y["y"].tolist() == [1, 1]
    assert read == ["y"]
    assert dataset.projected(None, sections=["y"]).squeeze().keys() == {"y"}


def test_projections_travel_with_their_dataset() -> None:
    """A pickled projection of an unsaved dataset gives the same rows."""
    split = pickle.loads(pickle.dumps(titanic().projected(np.array([3, 1]))))
    assert type(split) is ProjectedSplit
    assert split.X["fare"].tolist() == [3, 1]


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (np.array([-1, 3]), "position -1 is no row"),
        (np.array([0.5]), "dtype float64"),
        (np.array([[1, 2]]), "2 dimensions"),
        (np.array(["a"]), "index.get_indexer"),
    ],
)
def test_what_is_no_position_is_refused(positions, said) -> None:
    """Negative numbers, fractions, labels and tables choose no rows."""
    with pytest.raises(DatasetError, match=said):
        titanic().projected(positions)


def test_a_position_beyond_the_end_is_an_error() -> None:
    """No family makes up a row."""
    for cls, made in [
        (PandasDataset, table()),
        (PolarsDataset, pl.from_pandas(table())),
        (NumpyDataset, np.zeros((10, 2))),
    ]:
        for positions in ([3, 10], [8, 9, 10]):
            with pytest.raises(IndexError, match="position 10 is no row: they are 0 to 9"):
                cls(made).projected(np.array(positions))


def test_a_mask_stands_for_its_positions() -> None:
    """A mask of booleans chooses where it is true."""
    assert titanic().projected(np.array([False, True, True] + [False] * 7)).positions == slice(1, 3)
    with pytest.raises(IndexError, match="mask is for 3 rows, and the data has 10"):
        titanic().projected(np.array([False, True, True]))


def test_squeezed_sections_of_one_column_are_columns() -> None:
    """With squeeze_return a single feature and a single label are series; otherwise they are frames."""
    data = pd.DataFrame({"a": [1.0, 2.0], "y": [0, 1]})
    assert isinstance(PandasDataset(data, label_columns="y", squeeze_return=True).X, pd.Series)
    assert isinstance(PandasDataset(data, label_columns="y", squeeze_return=True).y, pd.Series)
    assert isinstance(PandasDataset(data, label_columns="y").y, pd.DataFrame)


def test_columns_of_a_section_come_in_the_order_of_the_section() -> None:
    """Label columns come as they were named, not as the data has them."""
    assert list(titanic(label_columns=["y", "age"]).y) == ["y", "age"]
    assert list(titanic(label_columns=["w", "age"], other_named_split_sections=None).projected(np.array([2, 1])).y) == [
        "w",
        "age",
    ]


def test_sections_without_columns_are_not_there() -> None:
    """Without label columns y is None; with nothing but labels X is."""
    assert PandasDataset(table()).y is None
    assert PandasDataset(table()[["y"]], label_columns=["y"]).X is None
    assert PandasDataset(table()).get_split("TEST").keys() == {"X"}


def test_the_whole_leaves_the_split_column_out() -> None:
    """`get(None)` gives every section together, without the column that is no data."""
    assert list(titanic().get(None, "TEST")) == ["age", "fare", "w", "y"]


def test_a_split_column_can_be_named_or_switched_off() -> None:
    """Another column may say the splits; with None the usual one is a feature like others."""
    data = table().rename(columns={"DATASET_SPLIT": "part"})
    assert titanic(data, split_column="part").get_split_names() == ["TRAIN", "TEST", "other"]
    assert "DATASET_SPLIT" in titanic(split_column=None).get_feature_names()
    assert titanic(split_column=None).get_split_names() == []


def test_rows_without_a_split_are_in_none() -> None:
    """A missing value in the split column puts a row in no split."""
    dataset = titanic(table(DATASET_SPLIT=["TRAIN"] * 5 + [None] * 5))
    assert dataset.get_split_names() == ["TRAIN"]
    assert len(dataset.get_split("TRAIN").X) == 5


def test_merging_a_split_gives_its_columns_side_by_side() -> None:
    """Sections that were taken apart are one frame again."""
    merged = titanic().merge_split(titanic().get_split("TEST"))
    pd.testing.assert_frame_equal(merged, table().iloc[:2][["age", "fare", "y", "w"]])


def test_frames_are_concatenated_with_the_names_of_their_splits() -> None:
    """SimpleML's helper puts DATASET_SPLIT into the rows of each frame."""
    data = table().drop(columns="DATASET_SPLIT")
    made = PandasDataset.concatenate_dataframes([data[:3], data[3:]], ["TRAIN", "TEST"])
    assert PandasDataset(made).get_split_names() == ["TRAIN", "TEST"]
    with pytest.raises(DatasetError, match="2 frames and 1 names"):
        PandasDataset.concatenate_dataframes([data, data], ["TRAIN"])


def test_numpy_datasets_take_matrices_and_images() -> None:
    """The columns of a matrix are numbers; arrays by name may have further dimensions."""
    matrix = NumpyDataset(np.arange(12.0).reshape(4, 3), label_columns=[2])
    assert matrix.X.tolist() == [[0.0, 1.0], [3.0, 4.0], [6.0, 7.0], [9.0, 10.0]]
    assert matrix.y.shape == (4, 1)
    images = NumpyDataset({"image": np.zeros((4, 8, 8)), "y": np.arange(4)}, label_columns=["y"])
    assert images.projected(np.array([3, 1])).X.shape == (2, 8, 8)
    assert images.projected(np.array([3, 1])).y.tolist() == [3, 1]


# building


class Built(PandasDataset):
    """Builds its data by assigning it, and counts how often."""

    def build_dataframe(self) -> None:
        """As SimpleML's README does."""
        self.state["built"] = self.state.get("built", 0) + 1
        self._external_file = table()


def test_data_is_built_once_when_it_is_needed() -> None:
    """Making a dataset builds nothing; the first look does, and no other."""
    dataset = Built(label_columns=["y"])
    assert "built" not in dataset.state
    assert len(dataset.y) == len(dataset.X) == 10
    assert dataset.state["built"] == 1
    assert dataset._external_file is dataset.dataframe


def test_data_may_be_returned() -> None:
    """A `build_dataframe` that returns the data does as well."""

    class Returning(PandasDataset):
        def build_dataframe(self) -> pd.DataFrame:
            return table()

    assert Returning().row_count == 10


def test_a_build_that_makes_nothing_is_told() -> None:
    """A build without result, one that reads itself, and a dataset without any are errors that say what to write."""

    class Nothing(PandasDataset):
        def build_dataframe(self) -> None:
            pass

    class Itself(PandasDataset):
        def build_dataframe(self) -> None:
            self.dataframe = self.dataframe.dropna()

    with pytest.raises(DatasetError, match=r"end it with self.dataframe ="):
        Nothing().row_count  # noqa: B018
    with pytest.raises(ArtifactUnsetError, match="reads the data that it is to make"):
        Itself().row_count  # noqa: B018
    with pytest.raises(DatasetError, match="has no data: give it"):
        PandasDataset().row_count  # noqa: B018


def test_a_build_that_fails_can_be_tried_again() -> None:
    """An error in `build_dataframe` passes through, and the next look builds anew."""

    class Flaky(PandasDataset):
        def build_dataframe(self) -> None:
            if self.state.setdefault("tries", 0) == 0:
                self.state["tries"] = 1
                raise OSError("not yet")
            self.dataframe = table()

    dataset = Flaky()
    with pytest.raises(OSError, match="not yet"):
        dataset.row_count  # noqa: B018
    assert dataset.row_count == 10


# refusals


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"label_columns": ["Survived"]}, "label_columns names 'Survived', which the data does not have"),
        ({"other_named_split_sections": {"groups": ["g"]}}, "the section 'groups' names 'g'"),
        ({"split_column": "part"}, "split_column is 'part', which the data does not have"),
        ({"split_column": ["part"]}, "must be the name of a column, or None"),
        ({"schema": {"aeg": "float64"}}, r"the schema names 'aeg'.*did you mean 'age'"),
        ({"schema": {"age": "int64"}}, "'age' is float64, not int64"),
        ({"label_columns": ["y", "y"]}, "names 'y' twice"),
        ({"label_columns": [1.5]}, "1.5 .float., which is no name"),
        ({"other_named_split_sections": {"X": ["w"]}}, "label_columns"),
        ({"other_named_split_sections": {"not a name": ["w"]}}, "named like variables"),
        ({"other_named_split_sections": ["w"]}, "takes a mapping"),
        ({"schema": ["age"]}, "schema takes a mapping"),
        ({"hash_by": "path"}, "'content' or 'reference'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_told(members, said) -> None:
    """Columns that are missing, types that differ and sections that cannot be are refused with what there is."""
    with pytest.raises(DatasetError, match=said):
        titanic(**members)


def test_repeated_columns_are_refused() -> None:
    """Two columns of one name would make a section ambiguous."""
    with pytest.raises(DatasetError, match=r"several columns of one name \(a\)"):
        PandasDataset(pd.DataFrame([[1, 2]], columns=["a", "a"]))


@pytest.mark.parametrize(
    ("cls", "value", "said"),
    [
        (PandasDataset, pl.DataFrame({"a": [1]}), "takes a pandas.DataFrame, but was given a polars"),
        (PandasDataset, pd.Series([1]), r"\.to_frame\(\)"),
        (PandasDataset, {"a": [1]}, r"pandas\.DataFrame\(…\)"),
        (PandasDataset, "data.csv", "filepath="),
        (PolarsDataset, pd.DataFrame(), "takes a polars.DataFrame"),
        (NumpyDataset, np.zeros(3), "1 dimensions"),
        (NumpyDataset, np.zeros((3, 2, 2)), "dict of arrays"),
        (NumpyDataset, {"a": np.zeros(3), "b": np.zeros(4)}, "same number of rows"),
        (NumpyDataset, {"a": [1]}, "not an array"),
        (NumpyDataset, {}, "no array"),
        (Dataset, 7, "builtins.int"),
    ],
    ids=str,
)
def test_what_is_no_frame_of_the_family_is_refused(cls, value, said) -> None:
    """Data of another kind is refused with a hint at the usual mistake."""
    with pytest.raises(DatasetError, match=said):
        cls(value)


def test_unknown_sections_splits_and_columns_list_what_there_is() -> None:
    """Each wrong name is answered with the right ones."""
    dataset = titanic()
    with pytest.raises(DatasetError, match="no section 'Z'; known: X, weights, y"):
        dataset.get("Z")
    with pytest.raises(KeyError, match=r"no split 'TRIAN'.*did you mean 'TRAIN'"):
        dataset.get("X", "TRIAN")
    with pytest.raises(DatasetError, match=r"no column 'agee'.*did you mean 'age'"):
        dataset.column_values("agee")
    with pytest.raises(UnknownSplitError, match="not split at all"):
        titanic(table().drop(columns="DATASET_SPLIT")).get_split("TRAIN")
    with pytest.raises(DatasetError, match="no section 'Z'"):
        dataset.projected(None, sections=["Z"])


def test_hooks_of_a_subclass_see_the_data_before_it_comes_in() -> None:
    """A subclass refuses data by its own rule; the dataset stays as it was."""

    class Adults(PandasDataset):
        def _validate_data(self, dataframe) -> None:
            super()._validate_data(dataframe)
            if (dataframe["age"] < 0).any():
                raise DatasetError("an age is negative")

    dataset = Adults(table())
    with pytest.raises(DatasetError, match="an age is negative"):
        dataset.dataframe = table(age=-1.0)
    assert dataset.dataframe["age"].min() == 0


# hashes and names


def test_the_hash_covers_content_and_sections() -> None:
    """Equal data in equal sections hash equal; a value, a name, the order of rows and a section make a difference."""
    same = titanic()._hash()
    assert titanic()._hash() == same
    others = [
        titanic(table(age=1.0)),
        titanic(table().rename(columns={"age": "Age"})),
        titanic(table().iloc[::-1]),
        titanic(label_columns=["fare"]),
        titanic(squeeze_return=True),
        Dataset(table(), label_columns=["y"], other_named_split_sections={"weights": ["w"]}),
    ]
    assert len({same, *(other._hash() for other in others)}) == len(others) + 1
    assert titanic(name="other", author="me")._hash() == same


def test_save_patterns_take_the_name_that_simpleml_has_for_the_data() -> None:
    """`dataset` and `dataframe` name the same artifact, and nothing else does."""
    for name in ("dataset", "dataframe"):
        assert titanic(save_patterns={name: "parquet"}).save_patterns == {"dataframe": ("parquet",)}
    with pytest.raises(SavePatternError, match="no artifact 'datasett'"):
        titanic(save_patterns={"datasett": "parquet"})


def test_simplemls_names_are_the_same_classes() -> None:
    """`Base…Dataset`, as SimpleML called the classes of a library, are ours."""
    for family in ("Pandas", "Numpy", "Dask"):
        assert getattr(simpleml.datasets, f"Base{family}Dataset") is getattr(simpleml.datasets, f"{family}Dataset")


def test_importing_the_classes_imports_no_library_of_frames() -> None:
    """The package and its classes cost nothing that a program does not use."""
    code = (
        "import sys; from simpleml.datasets import PandasDataset, PolarsDataset, NumpyDataset, DaskDataset, Split, ProjectedSplit\n"
        "found = {'numpy', 'pandas', 'polars', 'dask', 'pyarrow', 'fsspec', 'sklearn', 'sqlalchemy'} & sys.modules.keys()\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_a_missing_library_is_named_with_its_pip_line(monkeypatch) -> None:
    """Without polars, a polars dataset says how to install it."""
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ImportError, match=r"pip install 'simpleml\[polars\]'"):
        PolarsDataset(table())
