"""Pipelines: fitted once on TRAIN, saved as plain objects, and the same splits and features when they come back."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.pipeline import Pipeline as PlainPipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sqlalchemy import event

import simpleml
from simpleml import pipelines
from simpleml.datasets import DaskDataset, NumpyDataset, PandasDataset, PandasPipelineDataset, PolarsDataset
from simpleml.errors import (
    HashingError,
    IdentityError,
    ImmutableVersionError,
    LineageError,
    PipelineError,
    UnknownSplitError,
    UnsavedReferenceError,
)
from simpleml.orm import Database
from simpleml.persistables import Persistable
from simpleml.pipelines import (
    ChronologicalSplit,
    ExplicitSplitSklearnPipeline,
    KFold,
    KFoldOrderedDictPipeline,
    KFoldSklearnPipeline,
    NoSplitSklearnPipeline,
    OrderedDictPipeline,
    Pipeline,
    RandomSplit,
    RandomSplitMixin,
    RandomSplitOrderedDictPipeline,
    RandomSplitSklearnPipeline,
    RepeatedKFoldSklearnPipeline,
    SklearnPipeline,
    StratifiedSplitSklearnPipeline,
)
from simpleml.transformers import ColumnSelector, DataframeToRecords, FillWithValue, SklearnDictVectorizer, Transformer

# The package need not be installed here, and then has no version that it could be compared by.
pytestmark = pytest.mark.filterwarnings("ignore:.*simpleml unknown")

ROWS = 60
FRAME = pd.DataFrame(
    {
        "age": [float(row % 17) if row % 7 else np.nan for row in range(ROWS)],
        "sex": ["m" if row % 3 else "f" for row in range(ROWS)],
        "fare": np.arange(ROWS) * 1.5,
        "day": np.arange(ROWS)[::-1] // 4,
        "survived": [row % 2 for row in range(ROWS)],
    },
    index=[row % 5 for row in range(ROWS)],  # labels repeat, as they do after a concatenation
)
NUMBERS = FRAME[["fare", "day", "survived"]]


def passengers(**more):
    """Return a dataset with gaps, texts and a repeated index, not saved."""
    return PandasDataset(FRAME, label_columns=["survived"], squeeze_return=True, **{"name": "passengers", **more})


def numbers(**more):
    """Return a dataset of numbers, not saved."""
    return PandasDataset(NUMBERS, label_columns=["survived"], name="numbers", **more)


def as_in_the_readme():
    """Return the steps of SimpleML's README."""
    return [
        ("fill", FillWithValue(values={"age": 0.0})),
        ("records", DataframeToRecords()),
        ("vectorizer", SklearnDictVectorizer()),
    ]


def dense(X):
    """Return a matrix of any kind as an array."""
    return np.asarray(X.toarray() if hasattr(X, "toarray") else X)


def scaled():
    """Return one step of scikit-learn."""
    return [("scale", StandardScaler())]


@pytest.fixture
def statements(database: Database):
    """The SQL statements since the list was emptied."""
    seen: list[str] = []

    def note(connection, cursor, statement, *_):
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    return seen


# saved and loaded


@pytest.mark.parametrize("family", [RandomSplitSklearnPipeline, RandomSplitOrderedDictPipeline])
def test_a_loaded_pipeline_has_the_same_splits_and_transforms_the_same(database: Database, family) -> None:
    """Class, hash, positions, features and every transformed value are those of the pipeline that was saved."""
    dataset = passengers().save()
    made = family(as_in_the_readme(), train_size=0.7, validation_size=0.1, name="p", dataset=dataset)
    before = made._hash()
    made.fit().save()
    found = simpleml.load("pipeline", name="p")
    assert type(found) is family
    assert found.hash_ == made.hash_ == before == found._hash()
    assert found.is_fitted
    assert found.split == made.split == RandomSplit(0.7, None, 0.1)
    assert found.get_split_names() == ["TRAIN", "VALIDATION", "TEST"]
    for name in (None, *found.get_split_names()):
        one, other = made.transform(dataset_split=name), found.transform(dataset_split=name)
        assert dense(one.X).tobytes() == dense(other.X).tobytes()
        pd.testing.assert_series_equal(one.y, other.y)
    assert found.get_feature_names() == made.get_feature_names() == ["age", "day", "fare", "sex=f", "sex=m"]
    assert found.params == made.params
    assert found.save().version == 1


def test_a_pipeline_is_found_by_its_parameters(database: Database) -> None:
    """Parameters of the steps are in the config, which a query can narrow by."""
    dataset = numbers().save()
    for mean in (True, False):
        SklearnPipeline([("scale", StandardScaler(with_mean=mean))], name="p", dataset=dataset).fit().save()
    [found] = SklearnPipeline.query(metadata__config__params__scale__with_mean=False)
    assert found.version == 2


def test_splits_come_back_in_another_process(database: Database, tmp_path: Path) -> None:
    """A process that knows nothing but the name gets the same rows and the same features."""
    made = StratifiedSplitSklearnPipeline(as_in_the_readme(), column="sex", train_size=0.5, name="p")
    made.add_dataset(passengers().save()).fit().save()
    script = (
        "import sys, warnings, simpleml; from pathlib import Path\n"
        "warnings.simplefilter('ignore')\n"
        "url, store, home = sys.argv[1:]\n"
        "simpleml.connect(url, store=Path(store), home=Path(home))\n"
        "found = simpleml.load('pipeline', name='p')\n"
        "print(found.transform(dataset_split='TEST').X.toarray().tobytes().hex())"
    )
    url = database.engine.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", script, url, str(tmp_path / "store"), str(tmp_path / "embedded")]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(arguments, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == made.transform(dataset_split="TEST").X.toarray().tobytes().hex()


def test_transforming_data_asks_no_database(database: Database, statements) -> None:
    """A loaded pipeline reads its record and its artifact once; after that, rows cost no SQL at all, nor does their dataset."""
    RandomSplitSklearnPipeline(scaled(), train_size=0.5, name="p", dataset=numbers().save()).fit().save()
    found = SklearnPipeline.load("p")
    row = NUMBERS[["fare", "day"]].head(1)
    found.transform(row)
    statements.clear()
    for _ in range(3):
        found.transform(row)
        found.new_version().transform(row)
    assert statements == []
    found.transform(dataset_split="TEST")
    assert statements
    statements.clear()
    found.transform(dataset_split="TRAIN")
    found.y("TEST")
    assert statements == []


def test_what_is_stored_is_plain_scikit_learn(local: Database) -> None:
    """The stored bytes are scikit-learn's pipeline and name nothing of ours, until a transformer of ours is in it."""

    def modules(pipeline: Pipeline) -> set[str]:
        reference = pipeline.filepaths["external_pipeline"]["pickled"]
        path = Path(local.settings.stores["default"]) / reference["key"]
        found = {str(argument).partition(".")[0] for _, argument, _ in pickletools.genops(path.read_bytes())}
        return found & {"simpleml", "sklearn"}

    dataset = numbers().save()
    plain = RandomSplitSklearnPipeline(scaled(), train_size=0.5, name="p", dataset=dataset).fit().save()
    assert modules(plain) == {"sklearn"}
    assert type(plain.external_pipeline) is PlainPipeline
    ordered = OrderedDictPipeline(scaled(), name="o", dataset=dataset).fit().save()
    assert modules(ordered) == {"sklearn"}
    assert type(ordered.external_pipeline) is OrderedDict
    ours = SklearnPipeline([("pick", ColumnSelector(["fare"]))], name="q", dataset=dataset).fit().save()
    assert "simpleml" in modules(ours)


def test_save_patterns_know_the_artifact_by_simplemls_name(local: Database) -> None:
    """`save_patterns={"pipeline": …}` chooses how the steps are stored."""
    made = SklearnPipeline(scaled(), name="p", dataset=numbers().save(), save_patterns={"pipeline": ["disk_pickled"]})
    assert list(made.fit().save().filepaths["external_pipeline"]) == ["disk_pickled"]


# identity


@pytest.mark.parametrize("family", [SklearnPipeline, OrderedDictPipeline])
@pytest.mark.parametrize(
    "steps", [[("scale", StandardScaler(with_std=False))], as_in_the_readme(), []], ids=["sklearn", "ours", "none"]
)
def test_equal_pipelines_have_equal_hashes(local: Database, family, steps) -> None:
    """Dataset, steps and split make the hash, fitted or not, saved or not, whoever made the transformers."""
    first, second = (family(steps, split=RandomSplit(0.5), dataset=numbers()) for _ in range(2))
    assert first._hash() == second._hash()
    if not any(isinstance(step, FillWithValue) for _, step in steps):
        assert first.fit()._hash() == second._hash()


@pytest.mark.parametrize(
    "other",
    [
        lambda: SklearnPipeline([("scale", StandardScaler(with_std=False))], split=RandomSplit(0.5)),
        lambda: SklearnPipeline([("other", StandardScaler())], split=RandomSplit(0.5)),
        lambda: SklearnPipeline(scaled(), split=RandomSplit(0.5, random_state=1)),
        lambda: SklearnPipeline(scaled(), split=RandomSplit(30)),
        lambda: SklearnPipeline(scaled()),
        lambda: SklearnPipeline([("scale", StandardScaler().set_output(transform="pandas"))], split=RandomSplit(0.5)),
        lambda: SklearnPipeline(scaled(), split=RandomSplit(0.5), config={"mine": 1}),
        lambda: OrderedDictPipeline(scaled(), split=RandomSplit(0.5)),
        lambda: SklearnPipeline(scaled(), split=RandomSplit(0.5)).add_dataset(passengers()),
        lambda: SklearnPipeline(scaled(), split=RandomSplit(0.5), dataset=numbers()).fit(
            scale__sample_weight=np.ones(30)
        ),
    ],
)
def test_whatever_makes_another_result_makes_another_hash(other) -> None:
    """Parameters, names, seeds, sizes, output, config, family, dataset and parameters of the fit are part of the hash."""
    made = other()
    if made.dataset is None:
        made.add_dataset(numbers())
    assert made._hash() != SklearnPipeline(scaled(), split=RandomSplit(0.5), dataset=numbers())._hash()


def test_hashes_are_those_of_every_other_version() -> None:
    """The hash of a configuration is fixed for ever, or what is saved is not found again."""
    steps = [("fill", FillWithValue({"age": 0.0})), ("pick", ColumnSelector(["age"])), ("nothing", "passthrough")]
    made = RandomSplitOrderedDictPipeline(steps, train_size=0.8)
    assert made._hash() == "1:a48cf0f0a9087f17c95c064156c76268034d5730f42d4111e84883257df7d34c"


@pytest.mark.parametrize("save", [False, True], ids=["by value", "by reference"])
def test_a_pipeline_travels_to_another_process(local: Database, save) -> None:
    """Fitted and pickled, it transforms the same, whether it was saved or not."""
    made = RandomSplitSklearnPipeline(scaled(), train_size=0.5, name="p", dataset=numbers().save()).fit()
    made.get_dataset_split("TEST")
    found = pickle.loads(pickle.dumps(made.save() if save else made))
    assert found.is_saved is save
    assert np.array_equal(found.transform(dataset_split="TEST").X, made.transform(dataset_split="TEST").X)


def test_transformers_that_were_handed_in_stay_as_they_were(local: Database) -> None:
    """The fit takes copies, of a whole pipeline of scikit-learn too, whose own options stay."""
    scaler, given = StandardScaler(), make_pipeline(StandardScaler(), verbose=False, memory=None)
    SklearnPipeline([("scale", scaler)], dataset=numbers()).fit()
    made = SklearnPipeline(given, dataset=numbers()).fit()
    assert not hasattr(scaler, "mean_")
    assert not hasattr(given[0], "mean_")
    assert [name for name, _ in made.get_transformers()] == ["standardscaler"]


def test_steps_that_were_fitted_elsewhere_are_taken_as_they_are(database: Database) -> None:
    """With `fitted=True` no dataset is needed, nothing is fitted again, and the fitted state is part of the hash."""
    fitted = StandardScaler().fit(NUMBERS[["fare"]].to_numpy())
    made = SklearnPipeline([("scale", fitted)], fitted=True, name="given").save()
    other = SklearnPipeline([("scale", StandardScaler().fit([[1.0], [5.0]]))], fitted=True)
    assert made.hash_ != other._hash()
    found = Pipeline.load("given")
    assert found.transform(np.array([[44.25]])).tolist() == [[0.0]]
    with pytest.raises(PipelineError, match=r"has no dataset, and it is fitted on one"):
        found.fit()


def test_a_saved_pipeline_is_copied_changed_and_fitted_again(database: Database) -> None:
    """`new_version()` may get other steps, parameters and data, must be fitted after that, and leaves the saved one alone."""
    first = SklearnPipeline(scaled(), name="p", dataset=numbers().save()).fit().save()
    copied = SklearnPipeline.load("p").new_version()
    assert copied.is_fitted
    copied.set_params(scale__with_mean=False)
    assert not copied.is_fitted
    second = copied.fit().save()
    assert (second.version, second.get_params()["scale__with_mean"]) == (2, False)
    assert SklearnPipeline.load("p", version=1).get_params()["scale__with_mean"] is True
    assert first.hash_ != second.hash_
    again = first.new_version().fit().save()
    assert (again.version, again.hash_) == (3, first.hash_)
    other = first.new_version().add_dataset(passengers(name="q").save())
    with pytest.raises(PipelineError, match="not fitted"):
        other.save()


def test_a_pipeline_is_not_recorded_with_data_that_it_was_not_fitted_on(database: Database) -> None:
    """Data that is replaced, or changed in place, between the fit and the save is refused: the hash would say what is not true."""

    def replaced(made: Pipeline) -> None:
        made.dataset.dataframe = made.dataset.dataframe.iloc[:-1]

    def changed(made: Pipeline) -> None:
        made.dataset.dataframe.iloc[0, 0] += 1

    def another(made: Pipeline) -> None:
        made.dataset = passengers(name="q")

    for change in (replaced, changed, another):
        made = SklearnPipeline(scaled(), dataset=numbers()).fit()
        change(made)
        made.dataset.save()
        with pytest.raises(LineageError, match=r"fitted with another dataset.*new_version\(\).fit\(\).*fitted=True"):
            made.save()
        made.new_version()
    again = SklearnPipeline(scaled(), dataset=numbers()).fit()
    again.dataset.save()
    assert again.save().is_saved


def test_a_parameter_that_is_no_number_is_kept(database: Database) -> None:
    """NaN is a parameter like others, as it is with models: it comes back, and the state of the loaded pipeline can be saved."""
    steps = [("fill", SimpleImputer())]
    SklearnPipeline(steps, name="p", dataset=numbers().save()).fit().save()
    found = SklearnPipeline.load("p")
    assert np.isnan(found.params["fill"]["missing_values"])
    found.state["seen"] = True
    assert found.save().hash_ == SklearnPipeline(steps, dataset=found.dataset)._hash()


def test_splits_that_are_called_by_numbers_are_told(local: Database) -> None:
    """A split column of numbers has no TRAIN; the error lists what there is."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "DATASET_SPLIT": [1, 2]})
    with pytest.raises(PipelineError, match=r"no split TRAIN.*known: 1, 2"):
        ExplicitSplitSklearnPipeline(scaled(), dataset=PandasDataset(frame)).fit()


def test_a_pipeline_travels_without_its_data(local: Database) -> None:
    """What an unsaved pipeline found of its saved dataset stays here: its pickle is small, whatever the dataset holds."""
    frame = pd.DataFrame({"a": np.arange(50_000.0), "b": np.arange(50_000.0)})
    made = SklearnPipeline(scaled(), dataset=PandasDataset(frame, name="big").save()).fit()
    assert len(pickle.dumps(made)) < 10_000


def test_a_saved_pipeline_cannot_change(database: Database) -> None:
    """Neither steps nor parameters nor the fit of a saved version change; state does."""
    made = SklearnPipeline(scaled(), name="p", dataset=numbers().save()).fit().save()
    for change in (
        lambda: made.add_transformer("more", StandardScaler()),
        lambda: made.remove_transformer("scale"),
        lambda: made.set_params(scale__with_mean=False),
        lambda: made.set_output(transform="pandas"),
        lambda: made.fit(),
        lambda: made.add_dataset(numbers()),
    ):
        with pytest.raises(PipelineError, match=r"new_version\(\)"):
            change()
    made.state["seen"] = True
    made.save()
    made.external_pipeline[0].mean_ += 1
    with pytest.raises(ImmutableVersionError, match="external_pipeline"):
        made.save()


# splits


def test_it_is_fitted_on_the_training_rows_alone(local: Database) -> None:
    """What a transformer learns is what the rows of TRAIN say, and a repeated index leaks no other row into it."""
    made = RandomSplitSklearnPipeline(scaled(), train_size=20, name="p", dataset=numbers()).fit()
    train = made.X("TRAIN")
    assert len(train) == 20
    assert np.allclose(made.external_pipeline[0].mean_, train.mean())
    assert not np.allclose(made.external_pipeline[0].mean_, NUMBERS[["fare", "day"]].mean())
    assert made.state["rows"] == 20
    whole = NoSplitSklearnPipeline(scaled(), dataset=numbers()).fit()
    assert np.allclose(whole.external_pipeline[0].mean_, NUMBERS[["fare", "day"]].mean())
    fares = [sorted(made.X(name)["fare"]) for name in ("TRAIN", "TEST")]
    assert sorted(fares[0] + fares[1]) == NUMBERS["fare"].tolist()


def test_the_datasets_own_splits_pass_through(database: Database) -> None:
    """An explicit split has the names and the rows of the dataset's split column; without one, all rows are fitted on."""
    split = ["TRAIN"] * 30 + ["VALIDATION"] * 10 + ["later"] * 20
    dataset = PandasDataset(NUMBERS.assign(DATASET_SPLIT=split), label_columns=["survived"], name="split").save()
    made = ExplicitSplitSklearnPipeline(scaled(), name="p", dataset=dataset).fit().save()
    found = Pipeline.load("p")
    assert found.get_split_names() == ["TRAIN", "VALIDATION", "later"]
    assert found.X("later")["fare"].tolist() == NUMBERS["fare"].tolist()[40:]
    assert np.allclose(made.external_pipeline[0].mean_, NUMBERS[["fare", "day"]].iloc[:30].mean())
    assert list(found.X("later").columns) == ["fare", "day"]
    whole = ExplicitSplitSklearnPipeline(scaled(), dataset=numbers()).fit()
    assert whole.get_split_names() == []
    assert np.allclose(whole.external_pipeline[0].mean_, NUMBERS[["fare", "day"]].mean())


def test_splits_without_training_rows_are_not_fitted_on(local: Database) -> None:
    """Where the dataset is divided and no split is TRAIN, fitting on everything would leak, and is refused."""
    dataset = PandasDataset(NUMBERS.assign(DATASET_SPLIT=["a", "b"] * 30), label_columns=["survived"])
    with pytest.raises(PipelineError, match=r"has no split TRAIN to be fitted on.*known: a, b"):
        ExplicitSplitSklearnPipeline(scaled(), dataset=dataset).fit()
    with pytest.raises(PipelineError, match=r"Choose a fold, KFold\(…, fold=1\).*pipeline.folds\(\)"):
        KFoldSklearnPipeline(scaled(), dataset=numbers()).fit()


@pytest.mark.parametrize("family", [KFoldSklearnPipeline, KFoldOrderedDictPipeline])
def test_each_fold_has_a_pipeline_of_its_own(database: Database, family) -> None:
    """`folds()` gives one unfitted pipeline for each fold, with names of their own, and together they test each row once."""
    made = family(scaled(), n_splits=3, stratify="survived", name="k", dataset=numbers().save())
    tested = []
    for number, one in enumerate(made.folds(), start=1):
        assert not one.is_fitted
        assert one.fit().save().name == f"k_fold_{number}"
        found = Pipeline.load(one.name)
        assert found.get_split_names() == ["TRAIN", "TEST"]
        assert found.transform(dataset_split="TRAIN").X.shape == (40, 2)
        tested += found.X("TEST")["fare"].tolist()
    assert sorted(tested) == NUMBERS["fare"].tolist()
    assert made.get_split_names()[:2] == ["FOLD_1_TRAIN", "FOLD_1_TEST"]
    with pytest.raises(PipelineError, match="has no folds to choose from"):
        next(found.folds())


def test_repeated_folds_have_names_too(local: Database) -> None:
    """Every fold of every repeat has its own pipeline."""
    made = RepeatedKFoldSklearnPipeline(scaled(), n_splits=2, n_repeats=2, name="r", dataset=numbers())
    assert [one.fit().name for one in made.folds()] == [
        f"r_repeat_{repeat}_fold_{fold}" for repeat in (1, 2) for fold in (1, 2)
    ]


def test_rows_of_a_split_are_found_once(local: Database) -> None:
    """A split is the same object while its dataset is held, and another once there is other data."""
    made = RandomSplitSklearnPipeline(scaled(), train_size=0.5, dataset=numbers())
    assert made.get_dataset_split("TEST") is made.get_dataset_split("TEST")
    assert made.split_dataset()["TRAIN"] is made.get_dataset_split("TRAIN")
    before = made.get_dataset_split("TRAIN")
    made.dataset.dataframe = NUMBERS.head(10)
    assert made.get_dataset_split("TRAIN") is not before
    assert len(made.y("TRAIN")) == 5


def test_transforming_a_split_leaves_the_rest_and_the_dataset_alone(local: Database) -> None:
    """Only X of the split is transformed; what is done to the result is not done to the dataset."""
    frame = FRAME.assign(weight=1.0)
    dataset = PandasDataset(
        frame, label_columns=["survived"], other_named_split_sections={"weights": ["weight"]}, squeeze_return=True
    )
    made = RandomSplitSklearnPipeline(as_in_the_readme(), train_size=0.5, dataset=dataset).fit()
    split = made.transform(dataset_split="TEST")
    assert list(split) == ["X", "y", "weights"]
    pd.testing.assert_series_equal(split.y, made.y("TEST"))
    split.y.iloc[:] = 7
    split["weights"].iloc[:] = 7
    assert set(dataset.dataframe["survived"]) == {0, 1}
    assert set(made.get_dataset_split("TEST").weights) == {1.0}
    pd.testing.assert_frame_equal(dataset.dataframe, frame)


def test_a_split_that_is_not_there_is_named_with_those_that_are(local: Database) -> None:
    """A typo, a split of size 0 and a split of what is not divided are errors, also for those who catch KeyError."""
    made = RandomSplitSklearnPipeline(scaled(), train_size=0.5, dataset=numbers()).fit()
    for ask in (made.X, made.y, made.get_dataset_split, lambda name: made.transform(dataset_split=name)):
        with pytest.raises(UnknownSplitError, match=r"no split 'TSET'; known: TEST, TRAIN \(did you mean 'TEST'"):
            ask("TSET")
    with pytest.raises(KeyError, match="known: TEST, TRAIN"):
        made.y("VALIDATION")
    with pytest.raises(UnknownSplitError, match=r"does not split its dataset.*split=RandomSplit"):
        SklearnPipeline(scaled(), dataset=numbers()).X("TRAIN")


# steps


class Bare:
    """Fits without y, and has no parameters."""

    def fit(self, X):
        self.mean = np.asarray(X).mean(axis=0)
        return self

    def transform(self, X):
        return np.asarray(X) - self.mean


class Combining:
    """Does its work in fit_transform and needs y."""

    def fit_transform(self, X, y):
        self.top = max(y)
        return X

    def transform(self, X):
        return X * self.top


@pytest.mark.parametrize("family", [SklearnPipeline, OrderedDictPipeline])
def test_any_object_with_fit_and_transform_is_a_step(local: Database, family) -> None:
    """Objects that never heard of scikit-learn are fitted one after the other, hashed, saved and loaded."""
    given = Bare()
    steps = [("bare", given), ("nothing", "passthrough"), ("combining", Combining()), ("scale", StandardScaler())]
    made = family(steps, name="p", dataset=numbers().save()).fit()
    expected = StandardScaler().fit_transform(NUMBERS[["fare", "day"]] - NUMBERS[["fare", "day"]].mean())
    assert np.allclose(made.transform().X, expected)
    assert not hasattr(given, "mean")
    made.save()
    assert np.allclose(family.load("p").transform(NUMBERS[["fare", "day"]].to_numpy()), expected)
    assert made.get_feature_names() == ["fare", "day"]
    with pytest.raises(PipelineError, match="steps are known: bare, combining, nothing, scale"):
        family(steps, dataset=numbers()).fit(sample_weight=1)


def test_labels_reach_transformers_that_want_them_as_a_column(local: Database) -> None:
    """Supervised transformers are fitted with y, one column of labels being a column, whether the dataset squeezes or not."""
    for squeeze in (True, False):
        dataset = numbers(squeeze_return=squeeze)
        made = RandomSplitSklearnPipeline([("best", SelectKBest(k=1))], train_size=0.5, dataset=dataset).fit()
        assert len(made.get_feature_names()) == 1


def test_a_column_transformer_is_a_step_like_any_other(database: Database) -> None:
    """Columns by name go their ways, features have their names, and saved it is as it was."""
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(FillWithValue(0.0), StandardScaler()), ["age", "fare"]),
            ("words", OneHotEncoder(sparse_output=False), ["sex"]),
        ]
    )
    made = RandomSplitSklearnPipeline([("columns", columns)], train_size=0.5, name="p", dataset=passengers().save())
    made.fit().save()
    found = Pipeline.load("p")
    assert found.get_feature_names() == ["numbers__age", "numbers__fare", "words__sex_f", "words__sex_m"]
    assert np.array_equal(found.transform(FRAME), made.external_pipeline.transform(FRAME))


@pytest.mark.parametrize(("output", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_chooses_the_frame_that_comes_out(local: Database, output, kind) -> None:
    """Every step gives frames of that library with the names of the features, before and after saving."""
    made = SklearnPipeline(scaled(), name="p", dataset=numbers().save()).set_output(transform=output).fit().save()
    for each in (made, Pipeline.load("p"), made.new_version()):
        assert isinstance(each.transform().X, kind)
        assert list(each.transform().X.columns) == ["fare", "day"]
    assert SklearnPipeline(dataset=numbers()).set_output(transform=output).is_identity
    with pytest.raises(PipelineError, match="set_output"):
        SklearnPipeline([("bare", Bare())], dataset=numbers()).set_output(transform=output)


def test_a_single_feature_of_a_squeezing_dataset_goes_where_it_fits(local: Database) -> None:
    """A column of texts reaches a vectorizer as a column, a column of numbers a scaler as a table, by split and by data."""
    texts = PandasDataset(
        pd.DataFrame({"text": ["red cat", "blue dog", "red dog"] * 8, "y": [0, 1] * 12}),
        label_columns=["y"],
        squeeze_return=True,
    )
    for steps in (
        [("count", CountVectorizer())],
        [("both", FeatureUnion([("count", CountVectorizer())]))],
        [("lower", FunctionTransformer(lambda column: column.str.lower())), ("count", CountVectorizer())],
    ):
        made = RandomSplitSklearnPipeline(steps, train_size=0.5, dataset=texts).fit()
        assert made.transform(dataset_split="TEST").X.shape == (12, 4)
        assert [name.rpartition("_")[2] for name in made.get_feature_names()] == ["blue", "cat", "dog", "red"]
    one = PandasDataset(NUMBERS[["fare", "survived"]], label_columns=["survived"], squeeze_return=True, name="one")
    for family in (RandomSplitSklearnPipeline, RandomSplitOrderedDictPipeline):
        made = family(scaled(), train_size=0.5, name="one", dataset=one.save()).fit().save()
        assert Pipeline.load("one").transform(NUMBERS["fare"]).shape == (ROWS, 1)
        assert made.get_feature_names() == ["fare"]
    array = NumpyDataset(np.arange(20.0).reshape(10, 2), label_columns=[1], squeeze_return=True)
    made = SklearnPipeline(scaled(), dataset=array).fit()
    assert made.transform(np.arange(4.0)).shape == (4, 1)


@pytest.mark.parametrize("family", [RandomSplitSklearnPipeline, RandomSplitOrderedDictPipeline])
def test_a_pipeline_without_steps_is_the_identity(database: Database, family) -> None:
    """It is fitted as it is, stores no artifact, and gives the rows of its splits and any data back."""
    made = family(None, train_size=0.5, name="e", dataset=passengers().save())
    assert made.is_fitted
    assert made.fit() is made
    made.save()
    assert made.filepaths == {}
    found = Pipeline.load("e")
    assert found.transform(FRAME) is FRAME
    pd.testing.assert_frame_equal(found.transform(dataset_split="TEST").X, made.X("TEST"))
    assert found.get_feature_names() == ["age", "sex", "fare", "day"]
    assert found.get_transformers() == []
    assert found.get_params() == {}


def test_steps_are_added_and_taken_away_until_it_is_saved(local: Database) -> None:
    """Each change makes the pipeline unfitted; taking all steps away makes it the identity."""
    for family in (SklearnPipeline, OrderedDictPipeline):
        made = family(scaled(), name="p", dataset=numbers()).fit()
        made.add_transformer("pick", ColumnSelector(["fare"]), index=0)
        assert not made.is_fitted
        assert [name for name, _ in made.get_transformers()] == ["pick", "scale"]
        assert made.fit_transform().X.shape == (ROWS, 1)
        assert made.get_feature_names() == ["fare"]
        made.remove_transformer("pick").remove_transformer("scale")
        assert made.is_identity
        assert not made.has_artifact("external_pipeline")
        made.add_transformer("scale", StandardScaler())
        assert family(scaled(), name="p", dataset=numbers())._hash() == made._hash()
        with pytest.raises(PipelineError, match=r"no step 'scael'.*did you mean 'scale'"):
            made.remove_transformer("scael")


def test_parameters_of_steps_are_read_and_set(local: Database) -> None:
    """`params=`, `set_params` and `get_params` speak of `step__param`; a whole step may be replaced too."""
    for family in (SklearnPipeline, OrderedDictPipeline):
        made = family(scaled(), params={"scale__with_mean": False}, dataset=numbers())
        assert made.get_params()["scale__with_mean"] is made.params["scale"]["with_mean"] is False
        assert made._hash() == family([("scale", StandardScaler(with_mean=False))], dataset=numbers())._hash()
        made.set_params(scale=SelectKBest(k=1))
        assert made.get_params()["scale__k"] == 1
        for wrong, named in (("scale__kk", "kk"), ("scael__k", "scael")):
            with pytest.raises(PipelineError, match=named):
                made.set_params(**{wrong: 1})
        with pytest.raises(PipelineError, match="scael"):
            family(dataset=numbers()).set_params(scael__k=1)


def test_parameters_of_the_fit_go_to_their_step_and_into_the_hash(local: Database) -> None:
    """`step__param` reaches that step's fit, changes the hash, and has to be hashable; a bare one is refused."""
    weights = np.linspace(0, 1, ROWS)
    for family in (SklearnPipeline, OrderedDictPipeline):
        made = family(scaled(), dataset=numbers()).fit(scale__sample_weight=weights)
        mean = np.average(NUMBERS[["fare", "day"]], axis=0, weights=weights)
        assert np.allclose(dict(made.get_transformers())["scale"].mean_, mean)
        assert list(made.config["fit_params"]) == ["scale__sample_weight"]
        for wrong in ({"sample_weight": weights}, {"other__sample_weight": weights}):
            with pytest.raises(PipelineError, match="as step__param"):
                family(scaled(), dataset=numbers()).fit(**wrong)
        with pytest.raises(HashingError, match="scale__sample_weight"):
            family(scaled(), dataset=numbers()).fit(scale__sample_weight=iter([1]))


class Silent(Transformer):
    """Says nothing of its names."""

    get_feature_names = None
    get_feature_names_out = None

    def transform(self, X):
        return np.column_stack([X, X])


def test_names_that_a_step_does_not_say_are_seen_in_a_row(local: Database) -> None:
    """A step without names is asked with one row: frames name themselves, arrays are numbered, and later steps go on."""
    made = OrderedDictPipeline([("silent", Silent()), ("scale", StandardScaler())], dataset=numbers()).fit()
    assert made.get_feature_names() == ["silent_0", "silent_1", "silent_2", "silent_3"]
    picked = SklearnPipeline([("pick", FunctionTransformer(lambda X: X[["day"]]))], dataset=numbers()).fit()
    assert picked.get_feature_names() == ["day"]
    fitted = SklearnPipeline([("silent", Silent())], fitted=True)
    with pytest.raises(PipelineError, match="does not say which features it makes"):
        fitted.get_feature_names()


# other libraries


def test_polars_goes_in_and_comes_out(database: Database) -> None:
    """A polars dataset is divided, fitted on, transformed by our steps and by scikit-learn's, and loaded again."""
    dataset = PolarsDataset(
        pl.from_pandas(FRAME), label_columns=["survived"], name="polars", squeeze_return=True
    ).save()
    made = RandomSplitSklearnPipeline(as_in_the_readme(), train_size=0.5, name="p", dataset=dataset).fit().save()
    pandas = RandomSplitSklearnPipeline(as_in_the_readme(), train_size=0.5, dataset=passengers()).fit()
    one, other = (each.transform(dataset_split="TEST") for each in (Pipeline.load("p"), pandas))
    assert np.array_equal(dense(one.X), dense(other.X))
    assert isinstance(one.y, pl.Series)
    assert one.y.to_list() == other.y.tolist()
    assert made.get_feature_names() == pandas.get_feature_names()


def test_arrays_are_divided_by_row(database: Database) -> None:
    """A numpy dataset has splits and a fit like any other."""
    array = NUMBERS.to_numpy()
    dataset = NumpyDataset(array, label_columns=[2], name="array", squeeze_return=True).save()
    RandomSplitSklearnPipeline(scaled(), train_size=0.5, name="p", dataset=dataset).fit().save()
    found = Pipeline.load("p")
    train, test = (found.X(name) for name in ("TRAIN", "TEST"))
    assert sorted([*train[:, 0], *test[:, 0]]) == NUMBERS["fare"].tolist()
    assert np.allclose(found.transform(dataset_split="TRAIN").X.mean(axis=0), 0)
    assert len(found.get_feature_names()) == 2


def test_dask_is_divided_and_filled_without_being_collected(local: Database) -> None:
    """Rows of a dask dataset go by position; steps of ours leave it lazy, and a step that wants records computes them."""
    frame = dd.from_pandas(FRAME.reset_index(drop=True), npartitions=4)
    dataset = DaskDataset(frame, label_columns=["survived"], name="dask")
    steps = [("fill", FillWithValue({"age": 0.0})), ("pick", ColumnSelector(["age", "fare"]))]
    made = RandomSplitOrderedDictPipeline(steps, train_size=0.5, shuffle=False, dataset=dataset).fit()
    lazy = made.transform(dataset_split="TEST").X
    assert isinstance(lazy, dd.DataFrame)
    assert lazy.compute()["fare"].tolist() == FRAME["fare"].tolist()[30:]
    vectorized = RandomSplitSklearnPipeline(as_in_the_readme(), train_size=0.5, shuffle=False, dataset=dataset).fit()
    assert vectorized.transform(dataset_split="TRAIN").X.shape == (30, 5)


def test_a_dataset_is_derived_by_a_pipeline(database: Database) -> None:
    """A raw dataset, a pipeline and the dataset that it derives: the derived one keeps the splits, and comes back."""
    raw = passengers().save()
    steps = [("columns", ColumnTransformer([("numbers", StandardScaler(), ["fare"])]))]
    pipeline = RandomSplitSklearnPipeline(steps, train_size=0.5, name="prepare", dataset=raw).fit().save()
    derived = PandasPipelineDataset(pipeline=pipeline, label_columns=["survived"], name="derived").save()
    final = ExplicitSplitSklearnPipeline(name="final", dataset=derived).save()
    found = Pipeline.load("final")
    assert found.get_split_names() == ["TRAIN", "TEST"]
    assert np.allclose(found.X("TEST").to_numpy(), pipeline.transform(dataset_split="TEST").X)
    assert found.y("TEST").to_numpy().ravel().tolist() == pipeline.y("TEST").tolist()
    assert final.dataset.pipeline.dataset.id == raw.id


def test_a_class_of_ones_own_splits_as_its_mixin_says(database: Database) -> None:
    """A mixin before a family gives the keywords of its split, and the class is found again."""

    class Mine(RandomSplitMixin, OrderedDictPipeline):
        """A pipeline of a user."""

    made = Mine(scaled(), train_size=10, test_size=20, name="mine", dataset=numbers().save()).fit().save()
    assert [len(made.y(name)) for name in made.get_split_names()] == [10, 20]
    assert type(Pipeline.load("mine")) is Mine


# misuse


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: RandomSplitSklearnPipeline(train_sise=0.8), IdentityError, "did you mean 'train_size'"),
        (lambda: SklearnPipeline(train_size=0.8), IdentityError, r"split=RandomSplit\(train_size=0.8\)"),
        (lambda: SklearnPipeline(nmae="x"), IdentityError, "did you mean 'name'"),
        (lambda: StratifiedSplitSklearnPipeline(train_size=0.8), PipelineError, "needs column="),
        (lambda: SklearnPipeline(split=0.8), PipelineError, "split is 0.8.*RandomSplit"),
        (lambda: KFoldSklearnPipeline(split=RandomSplit(0.8)), PipelineError, "splits by KFold"),
        (lambda: RandomSplitSklearnPipeline(split=RandomSplit(0.8), train_size=0.8), PipelineError, "give either"),
        (lambda: SklearnPipeline(StandardScaler()), PipelineError, "must be a list of steps"),
        (lambda: SklearnPipeline("scale"), PipelineError, "must be a list of steps"),
        (lambda: SklearnPipeline([StandardScaler()]), PipelineError, "is no step: give pairs"),
        (
            lambda: SklearnPipeline([("a", StandardScaler)]),
            PipelineError,
            r"the class StandardScaler: write StandardScaler\(…\)",
        ),
        (lambda: SklearnPipeline([("a", RandomForestClassifier())]), PipelineError, "What predicts is a model"),
        (lambda: SklearnPipeline([("a", 3)]), PipelineError, "has no transform"),
        (lambda: SklearnPipeline([("a", type("T", (), {"transform": len})())]), PipelineError, "has no fit"),
        (lambda: SklearnPipeline([("a__b", StandardScaler())]), PipelineError, "cannot name a step"),
        (lambda: SklearnPipeline([("", StandardScaler())]), PipelineError, "cannot name a step"),
        (lambda: SklearnPipeline([*scaled(), *scaled()]), PipelineError, "two steps 'scale'"),
        (lambda: SklearnPipeline(scaled(), params={"scale__with_maen": 1}), PipelineError, "with_maen"),
        (lambda: SklearnPipeline(scaled(), params="with_mean"), IdentityError, "params is 'with_mean'.*a mapping"),
        (lambda: SklearnPipeline(dataset=SklearnPipeline()), LineageError, "'dataset'"),
        (lambda: SklearnPipeline([("a", FunctionTransformer(iter([1]).__next__))]), HashingError, "the step 'a'"),
    ],
)
def test_what_is_no_pipeline_is_refused_at_once(make, error, message) -> None:
    """Misspelt keywords, steps that are none and splits that do not fit are errors when the pipeline is made."""
    with pytest.raises(error, match=message):
        make()


def test_it_says_what_it_lacks(local: Database) -> None:
    """Without a dataset, before the fit, with an unsaved dataset, or given too much, each call says what to do first."""
    alone = RandomSplitSklearnPipeline(scaled(), train_size=0.5)
    for call in (
        alone.fit,
        alone.get_split_names,
        alone.save,
        lambda: alone.X("TRAIN"),
        lambda: SklearnPipeline().save(),
    ):
        with pytest.raises(PipelineError, match=r"has no dataset.*add_dataset"):
            call()
    made = alone.add_dataset(numbers())
    unfitted = (
        made.save,
        made.get_feature_names,
        lambda: made.transform(NUMBERS),
        lambda: made.transform(dataset_split="TEST"),
    )
    for call in unfitted:
        with pytest.raises(PipelineError, match=r"not fitted.*call fit\(\) first"):
            call()
    made.fit()
    with pytest.raises(PipelineError, match="fitted once"):
        made.fit()
    with pytest.raises(PipelineError, match="both X and the split 'TEST'"):
        made.transform(NUMBERS, "TEST")
    with pytest.raises(UnsavedReferenceError, match="save that first"):
        made.save()
    labels_only = PandasDataset(NUMBERS, label_columns=list(NUMBERS.columns))
    with pytest.raises(PipelineError, match="has no features"):
        SklearnPipeline(scaled(), dataset=labels_only).fit()
    with pytest.raises(PipelineError, match="needs 61 rows, but the dataset has 60"):
        RandomSplitSklearnPipeline(scaled(), train_size=61, test_size=0, dataset=numbers()).fit()
    with pytest.raises(PipelineError, match="TEST would be empty"):
        RandomSplitSklearnPipeline(scaled(), train_size=60, dataset=numbers()).fit()


def test_a_failed_fit_leaves_the_pipeline_as_it_was(local: Database) -> None:
    """What a transformer raises passes through; then the pipeline may be repaired and fitted."""
    made = SklearnPipeline(scaled(), dataset=passengers())
    config, state = dict(made.config), dict(made.state)
    with pytest.raises(ValueError, match="could not convert"):
        made.fit()
    assert (made.config, made.state, made.is_fitted) == (config, state, False)
    made.add_transformer("pick", ColumnSelector(["fare"]), index=0).fit()
    assert made.fitted


def test_a_chronological_pipeline_trains_on_what_was_before(local: Database) -> None:
    """Whatever order the rows stand in, TRAIN is before TEST in time."""
    made = OrderedDictPipeline(split=ChronologicalSplit("day", 0.5), dataset=numbers())
    assert made.X("TRAIN")["day"].max() < made.X("TEST")["day"].min()


def test_pipelines_are_registered_under_their_public_names() -> None:
    """Each pipeline that the package lists is found again under that very name."""
    for name in pipelines.__all__:
        found = getattr(pipelines, name)
        if isinstance(found, type) and issubclass(found, Persistable):
            assert found.registered_name == name == found.__name__
    assert isinstance(KFold(3), pipelines.Splitter)


def test_pipelines_import_no_library_until_they_need_it() -> None:
    """`import simpleml.pipelines` and its classes cost neither numpy nor pandas nor scikit-learn; without it the extra is named."""
    script = (
        "import sys; import simpleml.pipelines as p; p.SklearnPipeline, p.RandomSplitOrderedDictPipeline\n"
        "assert not {'sklearn', 'numpy', 'pandas', 'polars', 'sqlalchemy'} & set(sys.modules), sys.modules.keys()\n"
        "from simpleml.transformers import FillWithValue\n"
        "sys.modules['sklearn'] = sys.modules['sklearn.pipeline'] = sys.modules['sklearn.base'] = None\n"
        "print(p.OrderedDictPipeline([('fill', FillWithValue(0))]).get_params())\n"
        "try: p.SklearnPipeline([('fill', FillWithValue(0))])\n"
        "except ImportError as error: print(error)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert "{'fill__values': 0}" in done.stdout
    assert "pip install 'simpleml[sklearn]'" in done.stdout
