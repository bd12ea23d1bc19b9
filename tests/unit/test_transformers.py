"""Transformers: what they make of pandas, polars, dask and numpy, by themselves and inside scikit-learn."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from simpleml.errors import MissingDependencyError, PipelineError
from simpleml.hashing import hash_value
from simpleml.transformers import (
    Apply,
    Cast,
    ColumnSelector,
    DataframeToRecords,
    DropColumns,
    FillWithValue,
    Rename,
    SklearnDictVectorizer,
    Transformer,
    TransformerMixin,
)

ROOT = Path(__file__).resolve().parents[2]
PASSENGERS = pd.DataFrame({"age": [22.0, None, 4.0], "sex": ["m", "f", None], "fare": [7.25, 71.5, 16.0]})
MAKERS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "dask": lambda frame: dd.from_pandas(frame, npartitions=2),
}


@pytest.fixture(params=MAKERS)
def library(request):
    """The name of a library of frames."""
    return request.param


def plain(found):
    """Return a frame of any library as pandas has it, with the index of the rows."""
    if hasattr(found, "compute"):
        found = found.compute()
    return found.to_pandas() if hasattr(found, "to_pandas") else found


def double(X, times=2):
    """Multiply by a number."""
    return X * times


EVERY = [
    Transformer(),
    FillWithValue({"age": 0.0}),
    DataframeToRecords(),
    SklearnDictVectorizer(sparse=False),
    ColumnSelector(["age"]),
    DropColumns(["age"]),
    Rename({"age": "years"}),
    Cast({"age": "float32"}),
    Apply(double, {"times": 3}),
]


@pytest.mark.parametrize("transformer", EVERY, ids=lambda each: type(each).__name__)
def test_each_is_a_transformer_of_scikit_learn(transformer):
    """It is cloned with equal parameters, pickled, hashed the same, shown as it is written, and composed in any way."""
    copied = clone(transformer)
    assert type(copied) is type(transformer)
    assert copied is not transformer
    assert copied.get_params() == transformer.get_params() == pickle.loads(pickle.dumps(transformer)).get_params()
    assert hash_value(copied) == hash_value(transformer)
    assert repr(transformer).startswith(f"{type(transformer).__name__}(")
    assert repr(Pipeline([("a", transformer)]))
    assert FeatureUnion([("a", transformer)]).get_params()["a"] is transformer
    assert ColumnTransformer([("a", transformer, ["age"])])._repr_html_()


@pytest.mark.parametrize("transformer", EVERY, ids=lambda each: type(each).__name__)
def test_a_parameter_that_is_not_there_is_refused(transformer):
    """Setting or getting an unknown parameter is an error that names the known ones."""
    with pytest.raises(PipelineError, match="has no parameter 'valeus'"):
        clone(transformer).set_params(valeus=1)
    with pytest.raises(PipelineError, match="has no parameter"):
        transformer.get("valeus")


@pytest.mark.parametrize("transformer", EVERY, ids=lambda each: type(each).__name__)
def test_what_goes_in_is_never_changed(transformer):
    """Transforming leaves the table as it was, value by value."""
    numeric = PASSENGERS[["age", "fare"]]
    given = numeric.copy()
    if isinstance(transformer, SklearnDictVectorizer):
        given = DataframeToRecords().transform(given)
        before = [dict(record) for record in given]
        clone(transformer).fit_transform(given)
        assert str(given) == str(before)  # NaN is not itself
        return
    clone(transformer).fit(given).transform(given)
    pd.testing.assert_frame_equal(given, numeric)


# filling


def test_missing_values_are_filled_by_column(library):
    """Each named column has its value in place of None, NaN and null, and others are as they were."""
    filled = plain(FillWithValue({"age": -1.0}).fit_transform(MAKERS[library](PASSENGERS)))
    assert filled["age"].tolist() == [22.0, -1.0, 4.0]
    assert filled["sex"].isna().tolist() == [False, False, True]


def test_one_value_fills_every_column(library):
    """Without names, every column that misses something gets the value."""
    numeric = PASSENGERS[["age", "fare"]]
    assert plain(FillWithValue(0).transform(MAKERS[library](numeric)))["age"].tolist() == [22.0, 0.0, 4.0]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pd.Series(["S", None, "C"]), 0.0),
        (pd.Series(["S", None, "C"], dtype="string"), 0.0),
        (pd.Series(["S", None, "C"], dtype="category"), "?"),
        (pd.Series([1, None, 2], dtype="Int64"), 0.5),
        (pd.Series([True, None, False], dtype="boolean"), 0),
        (pd.to_datetime(pd.Series(["2020-01-01", None, "2020-01-02"])), "never"),
        (pd.Series([1.5, None, 2.5]), True),
    ],
    ids=lambda each: str(getattr(each, "dtype", each)),
)
def test_a_value_that_a_column_has_no_room_for_makes_it_one_of_objects(column, value):
    """Pandas refuses a number among texts, a new category, …; the values that are there stay, and the gap has the value."""
    table = pd.DataFrame({"a": column, "full": ["x", "y", "z"]})
    filled = FillWithValue({"a": value}).transform(table)
    assert filled["a"].tolist() == [column[0], value, column[2]]
    assert filled.dtypes["a"].kind == "O"
    assert filled["full"].dtype == table["full"].dtype
    assert FillWithValue(value).transform(column.rename("a")).tolist() == filled["a"].tolist()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pd.Series(["S", None]), "?"),
        (pd.Series(["S", None], dtype="category"), "S"),
        (pd.Series([1, None], dtype="Int64"), 0.0),
        (pd.to_datetime(pd.Series(["2020-01-01", None])), pd.Timestamp(0)),
    ],
    ids=lambda each: str(getattr(each, "dtype", each)),
)
def test_a_value_that_fits_leaves_a_column_of_its_type(column, value):
    """Only a column without room for the value changes its type."""
    filled = FillWithValue(value).transform(pd.DataFrame({"a": column}))["a"]
    assert filled.dtype == column.dtype
    assert filled.tolist() == [column[0], value]


def test_a_number_fills_texts_of_dask():
    """What is refused by pandas is so by the partitions of dask, too; each of them has the same type afterwards."""
    filled = FillWithValue(0.0).transform(MAKERS["dask"](PASSENGERS))
    assert filled["sex"].compute().tolist() == ["m", "f", 0.0]
    assert {filled.partitions[number].compute().dtypes["sex"] for number in range(2)} == {np.dtype(object)}
    assert filled.dtypes["age"] == np.float64


def test_nan_and_null_of_polars_are_both_missing():
    """A float column of polars has two ways to miss a value, and both are filled."""
    frame = pl.DataFrame({"age": [1.0, None, float("nan")], "n": [1, None, 3]})
    assert FillWithValue({"age": 0.0, "n": 7}).transform(frame).to_dict(as_series=False) == {
        "age": [1.0, 0.0, 0.0],
        "n": [1, 7, 3],
    }


def test_arrays_are_filled_by_number_of_column():
    """Columns of an array are named by number; objects are filled too."""
    array = np.array([[1.0, np.nan], [np.nan, 2.0]])
    assert FillWithValue({1: 9.0}).transform(array)[:, 1].tolist() == [9.0, 2.0]
    assert FillWithValue(0.0).transform(array).tolist() == [[1.0, 0.0], [0.0, 2.0]]
    assert FillWithValue("?").transform(np.array([["a", None]], object)).tolist() == [["a", "?"]]


@pytest.mark.parametrize("values", [0.0, {"age": 0.0}])
def test_a_single_column_is_filled_without_its_table(values):
    """What a dataset with squeeze_return hands over is filled too, by pandas and polars."""
    assert FillWithValue(values).transform(PASSENGERS["age"]).tolist() == [22.0, 0.0, 4.0]
    assert FillWithValue(values).transform(pl.Series("age", [1.0, None])).to_list() == [1.0, 0.0]
    with pytest.raises(PipelineError, match="finds no column 'fare': the only one is 'age'"):
        FillWithValue({"fare": 0}).transform(PASSENGERS["age"])


# records


def test_a_frame_becomes_records(library):
    """Each row is a mapping of names to values, in order."""
    records = DataframeToRecords().transform(MAKERS[library](PASSENGERS[["age", "fare"]]))
    assert records[0] == {"age": 22.0, "fare": 7.25}
    assert [record["fare"] for record in records] == [7.25, 71.5, 16.0]


def test_records_and_columns_are_records_too_and_arrays_are_not():
    """A list comes out as it is, a column as records of one value; an array has no names to give."""
    assert DataframeToRecords().transform([{"a": 1}]) == [{"a": 1}]
    assert DataframeToRecords().transform(pd.Series([1, 2], name="a")) == [{"a": 1}, {"a": 2}]
    with pytest.raises(PipelineError, match="takes a frame, whose columns have names"):
        DataframeToRecords().transform(np.ones((2, 2)))


RECORDS = [{"age": 22.0, "sex": "m"}, {"age": 4.0, "sex": "f"}]


def test_the_dict_vectorizer_is_that_of_scikit_learn():
    """The matrix, its type and its names are those of scikit-learn's `DictVectorizer` with the same parameters."""
    for params in ({}, {"sparse": False}, {"separator": ":", "dtype": np.float32, "sort": False}):
        ours, theirs = SklearnDictVectorizer(**params).fit(RECORDS), DictVectorizer(**params).fit(RECORDS)
        one, other = ours.transform(RECORDS), theirs.transform(RECORDS)
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        assert np.array_equal(
            getattr(one, "toarray", lambda one=one: one)(), getattr(other, "toarray", lambda other=other: other)()
        )
        assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
        assert ours.get_feature_names([]) == ours.get_feature_names_out(["x"]).tolist()


def test_an_unfitted_vectorizer_says_so():
    """Every use before the fit is an error, `reset` makes it unfitted again, and scikit-learn can tell."""
    made = SklearnDictVectorizer()
    for use in (lambda: made.transform(RECORDS), lambda: made.get_feature_names([])):
        with pytest.raises(PipelineError, match="not fitted"):
            use()
    check_is_fitted(made.fit(RECORDS))
    with pytest.raises(PipelineError, match="not fitted"):
        made.reset().transform(RECORDS)
    assert not clone(made.fit(RECORDS)).__sklearn_is_fitted__()


def test_a_vectorizer_gives_frames_if_it_is_asked_to():
    """`set_output` reaches scikit-learn's vectorizer, before or after the fit, and is kept by a clone."""
    made = SklearnDictVectorizer(sparse=False).set_output(transform="pandas")
    assert list(clone(made).fit_transform(RECORDS).columns) == ["age", "sex=f", "sex=m"]
    made.fit(RECORDS).set_output(transform="polars")
    assert isinstance(made.transform(RECORDS), pl.DataFrame)
    made.set_output(transform=None)
    assert isinstance(made.transform(RECORDS), pl.DataFrame)


# columns


def test_columns_are_chosen_dropped_renamed_and_converted(library):
    """Names and values are those that were asked for, in the library of the table."""
    given = MAKERS[library](PASSENGERS)
    chosen = ColumnSelector(["fare", "age"]).transform(given)
    assert type(chosen) is type(given)
    assert list(plain(chosen).columns) == ["fare", "age"]
    assert list(plain(ColumnSelector("sex").transform(given)).columns) == ["sex"]
    assert list(plain(DropColumns(["sex"]).transform(given)).columns) == ["age", "fare"]
    assert list(plain(Rename({"sex": "gender"}).transform(given)).columns) == ["age", "gender", "fare"]
    dtype = pl.Float32 if library == "polars" else "float32"
    assert plain(Cast({"fare": dtype}).transform(given))["fare"].dtype == "float32"
    assert (plain(Cast(dtype).transform(ColumnSelector(["age", "fare"]).transform(given))).dtypes == "float32").all()


def test_columns_of_arrays_go_by_number():
    """An array's columns are chosen and dropped by number and converted all together; names are refused."""
    array = np.arange(6.0).reshape(2, 3)
    assert ColumnSelector([2, 0]).transform(array).tolist() == [[2.0, 0.0], [5.0, 3.0]]
    assert DropColumns(0).transform(array).tolist() == [[1.0, 2.0], [4.0, 5.0]]
    assert Cast("int8").transform(array).dtype == "int8"
    with pytest.raises(PipelineError, match="all columns of an array have one type"):
        Cast({0: "int8"}).transform(array)
    with pytest.raises(PipelineError, match="an array has no names"):
        Rename({0: "a"}).transform(array)


@pytest.mark.parametrize(
    "transformer",
    [
        FillWithValue({"aeg": 0}),
        ColumnSelector(["aeg"]),
        DropColumns("aeg"),
        Rename({"aeg": "a"}),
        Cast({"aeg": "int8"}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_column_that_is_not_there_is_named(transformer, library):
    """A misspelt column is an error that lists the columns and names the nearest, not a step that does nothing."""
    with pytest.raises(PipelineError, match=r"finds no column 'aeg'.*did you mean 'age'"):
        transformer.transform(MAKERS[library](PASSENGERS))


def test_what_has_no_columns_is_refused():
    """A text or a list is told what would be taken."""
    with pytest.raises(PipelineError, match="takes a table with columns, but was given 'age'"):
        ColumnSelector(["age"]).transform("age")
    with pytest.raises(PipelineError, match="columns is None"):
        ColumnSelector(None).transform(PASSENGERS)


# names


@pytest.mark.parametrize(
    ("transformer", "names"),
    [
        (Transformer(), ["age", "sex", "fare"]),
        (FillWithValue(0), ["age", "sex", "fare"]),
        (DataframeToRecords(), ["age", "sex", "fare"]),
        (ColumnSelector(["fare", "age"]), ["fare", "age"]),
        (DropColumns("age"), ["sex", "fare"]),
        (Rename({"sex": "gender"}), ["age", "gender", "fare"]),
        (Cast("str"), ["age", "sex", "fare"]),
        (Apply(double), ["age", "sex", "fare"]),
        (Apply(double, feature_names=["a", "b"]), ["a", "b"]),
    ],
    ids=lambda each: type(each).__name__ if not isinstance(each, list) else "",
)
def test_names_of_features_are_known_without_data(transformer, names):
    """From the names that go in follow those that come out, in SimpleML's method and in scikit-learn's."""
    given = ["age", "sex", "fare"]
    assert transformer.get_feature_names(given) == names
    assert transformer.get_feature_names_out(given).tolist() == names
    assert transformer.get_feature_names_out(given).dtype == object


def test_names_that_stay_must_be_given():
    """A transformer that keeps names as they are does not invent them."""
    with pytest.raises(PipelineError, match="give get_feature_names_out the names"):
        Transformer().get_feature_names_out()


# one's own


class Centred(Transformer):
    """Takes the mean away."""

    def __init__(self, scale=1.0):
        super().__init__(scale=scale)

    def fit(self, X, y=None):
        self.mean_ = np.mean(X, axis=0)
        return self

    def transform(self, X):
        return (X - self.mean_) * self.scale


def test_a_transformer_of_ones_own_needs_only_what_it_does_otherwise():
    """A subclass with fit and transform is cloned, searched, composed and reset like any other."""
    X = np.arange(6.0).reshape(3, 2)
    made = Pipeline([("centre", Centred(2.0)), ("scale", StandardScaler())]).set_params(centre__scale=4.0)
    assert np.allclose(clone(made).fit_transform(X), StandardScaler().fit_transform(X))
    assert np.allclose(Centred().fit_transform(X).mean(axis=0), 0)
    assert np.allclose(Centred().partial_fit(X).transform(X).mean(axis=0), 0)
    assert not hasattr(Centred().fit(X).reset(), "mean_")
    assert Centred(3.0).get("scale") == 3.0
    assert TransformerMixin is Transformer
    assert list(Transformer(a=1, b=2).get_params()) == ["a", "b"]


def test_a_function_is_a_transformer():
    """`Apply` calls the function with the keywords."""
    assert Apply(double, {"times": 5}).fit_transform(np.array([1, 2])).tolist() == [5, 10]
    assert Apply(double).transform(2) == 4


def test_transformers_import_no_library():
    """`import simpleml.transformers` costs neither numpy nor pandas nor scikit-learn; without it, the message names the extra."""
    script = (
        "import sys; import simpleml.transformers as t\n"
        "assert not {'sklearn', 'numpy', 'pandas', 'polars', 'sqlalchemy'} & set(sys.modules)\n"
        "sys.modules['sklearn'] = sys.modules['sklearn.feature_extraction'] = None\n"
        "try: t.SklearnDictVectorizer().fit([])\n"
        "except ImportError as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(MissingDependencyError.__name__)
    assert "pip install 'simpleml[sklearn]'" in done.stdout
