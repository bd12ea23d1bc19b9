"""Models that are fed by a pipeline: fitted on its TRAIN rows, hashed by it, and predicting through it; and their misuse."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from simpleml.datasets import NumpyDataset, PandasDataset, PolarsDataset
from simpleml.errors import LineageError, ModelError, PipelineError, UnknownSplitError, UnsavedReferenceError
from simpleml.models import PipelineTransformIterator, PythonIterator, SklearnLogisticRegression, SklearnModel
from simpleml.orm import Database
from simpleml.pipelines import SklearnPipeline
from simpleml.pipelines.splits import KFold, RandomSplit

TABLE = load_iris(as_frame=True)
FRAME = TABLE.frame.rename(columns=lambda name: name.replace(" (cm)", "").replace(" ", "_"))
FEATURES = [name for name in FRAME.columns if name != "target"]
SPLIT = RandomSplit(train_size=0.6, validation_size=0.2, test_size=0.2, random_state=5)


@pytest.fixture
def database(local: Database) -> Database:
    """A new SQLite database and store, current for the test."""
    return local


def dataset(frame=FRAME, **options):
    """Return a dataset of irises, not saved."""
    return PandasDataset(frame, label_columns=["target"], name="irises", **options)


def pipeline(data=None, *, steps=True, split=SPLIT, fit=True):
    """Return a pipeline that scales, fitted, not saved."""
    made = SklearnPipeline([("scale", StandardScaler())] if steps else [], split=split, name="scaled")
    made.add_dataset(dataset() if data is None else data)
    return made.fit() if fit else made


def tree(**params):
    """Return an unfitted estimator that fits the same every time."""
    return DecisionTreeClassifier(random_state=0, **params)


def by_hand(made, estimator, split="TRAIN"):
    """Return the estimator, fitted by hand on what the pipeline makes of a split."""
    rows = made.transform(dataset_split=split)
    return estimator.fit(rows.X, np.asarray(rows.y).ravel())


def test_it_is_fitted_on_the_transformed_training_rows():
    """`fit()` fits on TRAIN and nothing else, as the pipeline transforms it; `predict` transforms what it is given."""
    made = pipeline()
    model = SklearnModel(tree()).add_pipeline(made).fit()
    expected = by_hand(made, tree())
    raw = made.X("TEST")
    transformed = made.transform(raw)
    assert model.state["rows"] == len(made.X("TRAIN")) == 90
    assert model.predict(raw).tolist() == expected.predict(transformed).tolist()
    assert model.predict(transformed, transform=False).tolist() == expected.predict(transformed).tolist()
    bare = raw.to_numpy()
    assert model.predict(bare, False).tolist() == expected.predict(bare).tolist() != model.predict(raw).tolist()
    assert model.predict_proba(raw).tolist() == expected.predict_proba(transformed).tolist()
    assert model.score(raw, made.y("TEST")) == expected.score(transformed, made.y("TEST"))
    assert model.get_labels("TEST").equals(made.y("TEST"))
    assert len(model.get_labels()) == len(FRAME)


def test_without_a_split_it_is_fitted_on_every_row_and_without_steps_on_the_data_itself():
    """Data that is not divided is the training data; a pipeline without steps hands it on as it is, names included."""
    model = SklearnModel(tree()).add_pipeline(pipeline(steps=False, split=None)).fit()
    assert model.state["rows"] == len(FRAME)
    assert model.feature_metadata["names"] == FEATURES
    assert model.estimator.feature_names_in_.tolist() == FEATURES


@pytest.mark.parametrize("family", ["pandas", "polars", "numpy"])
def test_each_family_of_frames_feeds_models(family):
    """Frames of pandas, of polars and arrays by name give the same predictions, labels being one column of a table."""
    make = {
        "pandas": lambda: PandasDataset(FRAME, label_columns=["target"]),
        "polars": lambda: PolarsDataset(pl.from_pandas(FRAME), label_columns=["target"]),
        "numpy": lambda: NumpyDataset({name: FRAME[name].to_numpy() for name in FRAME}, label_columns=["target"]),
    }
    made = pipeline(make[family]())
    model = SklearnModel(tree()).add_pipeline(made).fit()
    reference = pipeline()
    expected = SklearnModel(tree()).add_pipeline(reference).fit()
    assert model.predict(made.X("TEST")).tolist() == expected.predict(reference.X("TEST")).tolist()
    assert model.feature_metadata["names"] == FEATURES


def test_a_column_of_labels_raises_no_warning():
    """A single label column is given as a column, of which scikit-learn does not complain."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SklearnModel(LogisticRegression(max_iter=500)).add_pipeline(pipeline()).fit()


def test_sections_that_the_fit_knows_go_with_it():
    """A section called `sample_weight` reaches the fit; one of another name, or a clusterer's, does not; a keyword wins."""
    weighted = FRAME.assign(sample_weight=np.where(FRAME["target"] == 0, 1.0, 1e-9), note=1.0)
    sections = {"sample_weight": ["sample_weight"], "note": ["note"]}
    made = pipeline(dataset(weighted, other_named_split_sections=sections))
    model = SklearnModel(LogisticRegression()).add_pipeline(made).fit()
    assert set(model.predict(made.X("TEST"))) == {0}
    even = SklearnModel(LogisticRegression()).add_pipeline(made).fit(sample_weight=np.ones(90))
    assert set(even.predict(made.X("TEST"))) == {0, 1, 2}
    assert even._hash() != model._hash()
    assert SklearnModel(PCA(2)).add_pipeline(made).fit().is_fitted


def test_names_of_features_come_through_the_pipeline():
    """An array that comes out of the pipeline has no names; those that the pipeline knows are recorded."""
    model = SklearnModel(LogisticRegression()).add_pipeline(pipeline()).fit()
    assert not hasattr(model.estimator, "feature_names_in_")
    assert model.feature_metadata["names"] == FEATURES
    assert np.shape(model.feature_metadata["coefficients"]) == (3, len(FEATURES))


# what the hash says


def test_the_hash_is_known_before_the_fit(database):
    """Class, parameters and pipeline make the hash: the same unfitted, fitted, saved and loaded."""
    made = pipeline(dataset().save()).save()
    model = SklearnModel(tree(), name="t").add_pipeline(made)
    before = model._hash()
    assert before == model.fit()._hash() == model.save().hash_ == SklearnModel.load("t").hash_
    assert SklearnModel.load("t")._hash() == before


@pytest.mark.parametrize(
    "other",
    [
        lambda: SklearnModel(tree(max_depth=1)).add_pipeline(pipeline()),
        lambda: SklearnModel(tree()).add_pipeline(pipeline(steps=False)),
        lambda: SklearnModel(tree()).add_pipeline(pipeline(split=None)),
        lambda: SklearnModel(tree()).add_pipeline(pipeline(dataset(FRAME[1:]))),
        lambda: SklearnModel(tree()).fit(FRAME[FEATURES], FRAME["target"]),
        lambda: SklearnModel(tree()).add_pipeline(pipeline()).fit(FRAME[FEATURES], FRAME["target"]),
        lambda: SklearnModel(tree()).add_pipeline(pipeline()).fit(sample_weight=np.ones(90)),
    ],
    ids=["parameter", "steps", "split", "rows", "data", "data through the pipeline", "fit parameter"],
)
def test_a_difference_in_what_it_is_made_from_is_another_hash(other):
    """Another parameter, step, split, row, source of data or fit parameter gives another hash; the same gives the same."""
    reference = SklearnModel(tree()).add_pipeline(pipeline())._hash()
    assert SklearnModel(tree()).add_pipeline(pipeline())._hash() == reference
    assert other()._hash() != reference


def test_what_the_fit_was_is_recorded():
    """Duration, rows and the hash of the very data are in the state, which is not hashed."""
    one, same = (SklearnModel(tree()).add_pipeline(pipeline()).fit() for _ in range(2))
    other = SklearnModel(tree()).add_pipeline(pipeline(split=None)).fit()
    assert one.state["fit_seconds"] > 0
    assert one.state["data_hash"] == same.state["data_hash"]
    assert None not in one.state["data_hash"].values()
    assert all(one.state["data_hash"][name] != other.state["data_hash"][name] for name in ("X", "y"))
    given = SklearnModel(tree()).fit(FRAME[FEATURES], FRAME["target"])
    assert given.state["data_hash"] == given.config["fitted_on"]


class Unhashed(BaseEstimator):
    """Makes of a table something that has no stable hash."""

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return Holder(np.asarray(X))


class Holder(np.ndarray):
    """An array that holds a generator."""

    def __new__(cls, data):
        made = np.array(data).view(cls)
        made.numbers = (number for number in range(3))
        return made


def test_features_without_a_stable_hash_are_no_hindrance():
    """What a pipeline makes need not be hashable, for the pipeline stands for it; the record says nothing then."""
    made = SklearnPipeline([("odd", Unhashed())]).add_dataset(dataset()).fit()
    model = SklearnModel(tree()).add_pipeline(made).fit()
    assert model.state["data_hash"]["X"] is None
    assert model.state["data_hash"]["y"] is not None


# given data, and a pipeline


def test_data_that_is_given_goes_through_the_pipeline_as_in_predict():
    """With a pipeline, `fit(X, y)` transforms the data as `predict(X)` will; the data's own hash is recorded."""
    made = pipeline()
    model = SklearnModel(tree()).add_pipeline(made).fit(FRAME[FEATURES], FRAME["target"])
    expected = tree().fit(made.transform(FRAME[FEATURES]), FRAME["target"])
    assert model.predict(FRAME[FEATURES]).tolist() == expected.predict(made.transform(FRAME[FEATURES])).tolist()
    assert model.config["fitted_on"].keys() == {"X", "y"}


def test_fit_predict_and_fit_transform_work_from_a_pipeline():
    """Clusters, embeddings and what a classifier says of its own training rows come out of the fit."""
    made = pipeline()
    rows = made.transform(dataset_split="TRAIN").X
    clusters = SklearnModel(KMeans(3, random_state=0)).add_pipeline(made).fit_predict()
    assert clusters.tolist() == KMeans(3, random_state=0).fit_predict(rows).tolist()
    embedded = SklearnModel(PCA(2)).add_pipeline(made).fit_transform()
    assert np.allclose(embedded, PCA(2).fit_transform(rows))
    said = SklearnModel(tree(max_depth=1)).add_pipeline(made).fit_predict()
    assert said.tolist() == by_hand(made, tree(max_depth=1)).predict(rows).tolist()


def test_every_fold_gets_a_model():
    """The folds of a pipeline are pipelines whose TRAIN rows a model is fitted on."""
    folds = list(pipeline(split=KFold(n_splits=3), fit=False).folds())
    models = [SklearnModel(tree(), name=one.name).add_pipeline(one.fit()).fit() for one in folds]
    assert [model.state["rows"] for model in models] == [100, 100, 100]
    assert len({model._hash() for model in models}) == 3


def test_batches_of_a_split_are_transformed_by_the_pipeline():
    """Batches of the pipeline's own split, transformed one by one, are the transformed split."""
    made = pipeline()
    batches = PythonIterator(made.get_dataset_split("TRAIN"), batch_size=32, shuffle=False)
    parts = [batch["X"] for batch in PipelineTransformIterator(made, batches)]
    assert np.array_equal(np.concatenate(parts), made.transform(dataset_split="TRAIN").X)


# misuse


def unlabelled():
    """Return a pipeline on data without labels."""
    return SklearnPipeline([("scale", StandardScaler())]).add_dataset(PandasDataset(FRAME[FEATURES])).fit()


def one_class():
    """Return a pipeline on data with labels of one class."""
    return pipeline(dataset(FRAME[FRAME["target"] == 2]), split=None)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: SklearnModel(tree()).fit(), ModelError, r"fit\(\) has no data: call fit\(X, y\), or add_pipeline"),
        (lambda: SklearnModel(tree()).fit(y=FRAME["target"]), ModelError, "labels, but no data"),
        (lambda: SklearnModel(KMeans()).fit_predict(), ModelError, r"fit_predict\(\) has no data"),
        (lambda: SklearnModel(tree()).get_labels(), ModelError, "no pipeline"),
        (
            lambda: SklearnModel(tree()).add_pipeline(pipeline()).predict(FRAME[FEATURES]),
            ModelError,
            r"or fit\(\) if it has",
        ),
        (lambda: SklearnModel(tree()).add_pipeline(pipeline(fit=False)).fit(), PipelineError, "not fitted"),
        (lambda: SklearnModel(tree()).add_pipeline(SklearnPipeline([])).fit(), PipelineError, "no dataset"),
        (
            lambda: SklearnModel(tree()).add_pipeline(pipeline(steps=False, split=KFold(n_splits=3))).fit(),
            ModelError,
            r"split TRAIN.*has none.*folds\(\)",
        ),
        (lambda: SklearnModel(tree()).add_pipeline(pipeline()).fit().fit(), ModelError, "fitted once"),
        (
            lambda: SklearnModel(tree()).add_pipeline(pipeline()).fit().add_pipeline(pipeline()),
            ModelError,
            "fitted once",
        ),
        (lambda: SklearnModel(tree()).add_pipeline(pipeline()).fit().get_labels("TSET"), UnknownSplitError, "'TEST'"),
        (
            lambda: SklearnModel(tree()).add_pipeline(unlabelled()).fit(),
            ModelError,
            r"no.*labels|labels.*label_columns",
        ),
        (lambda: SklearnModel(LinearRegression()).fit(FRAME[FEATURES]), ModelError, "learns from labels"),
        (lambda: SklearnLogisticRegression().fit_predict(FRAME[FEATURES]), ModelError, "learns from labels"),
        (lambda: SklearnLogisticRegression().add_pipeline(one_class()).fit(), ModelError, "every one is 2"),
        (lambda: SklearnLogisticRegression().fit([[1.0], [2.0]], ["a", "a"]), ModelError, "every one is 'a'"),
    ],
    ids=[
        "no data",
        "labels only",
        "no data to cluster",
        "labels without pipeline",
        "unfitted",
        "pipeline unfitted",
        "pipeline without dataset",
        "folds",
        "twice",
        "pipeline after the fit",
        "misspelt split",
        "dataset without labels",
        "fit without labels",
        "fit_predict without labels",
        "one class in the split",
        "one class",
    ],
)
def test_misuse_is_told(use, error, message):
    """Whatever is missing or too much is an error that says what to do, and scikit-learn's own words are its cause."""
    with pytest.raises(error, match=message):
        use()


def test_what_scikit_learn_said_is_the_cause():
    """The error about labels carries the one that the estimator raised, and the model stays unfitted."""
    model = SklearnLogisticRegression()
    with pytest.raises(ModelError, match="at least 2 classes") as caught:
        model.fit([[1.0], [2.0]], [1, 1])
    assert type(caught.value.__cause__) is ValueError
    assert str(caught.value.__cause__) in str(caught.value)
    assert not model.is_fitted
    assert model.fit([[1.0], [2.0]], [0, 1]).is_fitted


def test_other_errors_of_the_estimator_pass_through():
    """What is neither a missing label nor a single class comes out as scikit-learn says it."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples") as caught:
        SklearnLogisticRegression().fit([[1.0], [2.0]], [0, 1, 0])
    assert not isinstance(caught.value, ModelError)
    with pytest.warns(ConvergenceWarning):
        SklearnLogisticRegression(max_iter=1).fit(FRAME[FEATURES], FRAME["target"])


def test_an_unsaved_pipeline_is_told_at_save_and_nothing_is_stored(database):
    """A model is not saved before its pipeline; the message names it, and no record comes to be."""
    model = SklearnModel(tree(), name="early").add_pipeline(pipeline()).fit()
    with pytest.raises(UnsavedReferenceError, match=r"'scaled'.*\(pipeline\), which is not saved: save that first"):
        model.save()
    assert database.count("model", {}) == 0
    assert not model.is_saved
    model.pipeline.dataset.save()
    model.pipeline.save()
    assert model.save().version == 1


def test_a_model_is_not_recorded_with_a_pipeline_that_it_was_not_fitted_with(database):
    """A pipeline that is replaced, or changed and fitted again, after the fit is refused at save: the hash would say what is not true."""
    data = dataset().save()

    def replaced():
        model = SklearnModel(tree(), pipeline=pipeline(data).save()).fit()
        model.pipeline = pipeline(data, split=None).save()
        return model

    def changed():
        model = SklearnModel(tree(), pipeline=pipeline(data)).fit()
        model.pipeline.set_params(scale__with_mean=False).fit().save()
        return model

    def taken_away():
        model = SklearnModel(tree(), pipeline=pipeline(data).save()).fit()
        model.pipeline = None
        return model

    for make in (replaced, changed, taken_away):
        model = make()
        with pytest.raises(LineageError, match=r"fitted with another pipeline.*new_version\(\).fit\(\)"):
            model.save()
    model = replaced()
    assert model.new_version().fit().save().hash_ == SklearnModel(tree(), pipeline=model.pipeline).fit()._hash()


def test_a_copy_that_gets_another_pipeline_is_fitted_again(database):
    """A new version with another pipeline is unfitted, and its hash and its fit are those of a new model."""
    data = dataset().save()
    model = SklearnModel(tree(), pipeline=pipeline(data).save(), name="m").fit().save()
    other = pipeline(data, split=None).save()
    copied = SklearnModel.load("m").new_version().add_pipeline(other)
    assert not copied.is_fitted
    with pytest.raises(ModelError, match="not fitted"):
        copied.save()
    assert copied.fit().save().hash_ == SklearnModel(tree(), pipeline=other).fit()._hash() != model.hash_


def test_a_single_feature_of_a_squeezing_dataset_is_a_table_to_the_estimator():
    """With `squeeze_return` and no steps the one feature comes as a column; estimators get the table that they want."""
    data = dataset(FRAME[["petal_length", "target"]], squeeze_return=True)
    made = pipeline(data, steps=False)
    model = SklearnLogisticRegression(pipeline=made).fit()
    plain = LogisticRegression().fit(made.X("TRAIN").to_frame(), made.y("TRAIN"))
    assert np.array_equal(model.predict(data.X), plain.predict(data.X.to_frame()))
    assert model.score(made.X("TEST"), made.y("TEST")) == plain.score(made.X("TEST").to_frame(), made.y("TEST"))


def test_dependencies_made_inline_are_held():
    """Nothing but the model holds its pipeline and the dataset of that, and they stay."""
    import gc

    model = SklearnModel(tree()).add_pipeline(pipeline(dataset()))
    gc.collect()
    assert model.fit().predict(FRAME[FEATURES]).shape == (len(FRAME),)
