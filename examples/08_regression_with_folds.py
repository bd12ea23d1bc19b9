"""Estimate by K-fold cross-validation how well a regression does: one pipeline, model and set of metrics for each fold.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder. Needs the extras `sklearn`, `pandas`
and `plots`.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

import simpleml
from simpleml.constants import TEST_SPLIT, TRAIN_SPLIT
from simpleml.datasets import PandasSklearnDataset
from simpleml.errors import PipelineError
from simpleml.metrics import (
    MeanAbsoluteErrorMetric,
    QuantileLossMetric,
    R2ScoreMetric,
    RegressionMetric,
    RootMeanSquaredErrorMetric,
)
from simpleml.models import SklearnRidge
from simpleml.pipelines import KFold, SklearnPipeline

FOLDS = 5


class LargestErrorsMetric(RegressionMetric):
    """A metric of our own, whose value is a curve: the largest errors, the largest first."""

    default_name = "largest_errors"

    def distance(self, true: Any, predicted: Any) -> Any:
        """Return the sorted errors by their rank."""
        errors = np.sort(abs(true - predicted))[::-1]
        return {str(rank): float(error) for rank, error in enumerate(errors[:40], 1)}


def main(folder: Path) -> None:
    """Fit on four fifths of the rows, measure on the fifth, five times."""
    dataset = PandasSklearnDataset(loader="load_diabetes", name="diabetes").save()
    assert dataset.label_columns == ["target"]
    print(f"dataset   {dataset}: {dataset.row_count} rows, {len(dataset.get_feature_names())} features")

    pipeline = SklearnPipeline(
        [("scale", StandardScaler())], split=KFold(FOLDS, random_state=0), name="diabetes", dataset=dataset
    )
    assert pipeline.get_split_names()[:2] == ["FOLD_1_TRAIN", "FOLD_1_TEST"]
    try:
        pipeline.fit()
    except PipelineError as error:  # on all rows it would see those that it is tested on
        print(f"refused   {error}")
    else:
        raise AssertionError("a pipeline of folds was fitted on the rows that it is tested on")

    tested: list[int] = []
    scored: dict[str, list[float]] = {}
    for fold in pipeline.folds():
        fold.fit().save()
        tested += fold.X(TEST_SPLIT).index.tolist()
        assert not set(fold.X(TEST_SPLIT).index) & set(fold.X(TRAIN_SPLIT).index)
        model = SklearnRidge(alpha=1.0, name=fold.name, pipeline=fold).fit().save()
        for metric in (
            MeanAbsoluteErrorMetric(dataset_split=TEST_SPLIT),
            RootMeanSquaredErrorMetric(dataset_split=TEST_SPLIT),
            QuantileLossMetric(dataset_split=TEST_SPLIT, quantile=0.9),
            R2ScoreMetric(dataset_split=TRAIN_SPLIT),
            R2ScoreMetric(dataset_split=TEST_SPLIT),
        ):
            values: Any = metric.add_model(model).score().save().values
            scored.setdefault(metric.name, []).append(values["agg"])

    # Every row is tested exactly once.
    assert sorted(tested) == list(range(dataset.row_count))
    assert all(len(numbers) == FOLDS for numbers in scored.values())
    for name, numbers in scored.items():
        print(f"{name:24} {np.mean(numbers):7.3f} ± {np.std(numbers):.3f}")
    assert np.mean(scored["in_sample_r2_score"]) > np.mean(scored["r2_score"]) > 0.3
    assert np.mean(scored["root_mean_squared_error"]) > np.mean(scored["mean_absolute_error"])

    # Values are numbers in the database: asked for without loading a model or a row of data.
    [found] = R2ScoreMetric.query(name="r2_score", model_id=model.id)
    assert found.values == {"agg": scored["r2_score"][-1]}

    curve: Any = LargestErrorsMetric(dataset_split=TEST_SPLIT, model=model).score().save()
    curve.plot().savefig(folder / "largest_errors.png")
    assert (folder / "largest_errors.png").read_bytes().startswith(b"\x89PNG")
    errors = [float(error) for error in curve.values.values()]
    assert errors == sorted(errors, reverse=True)
    print(f"plotted   {curve}: errors from {errors[0]:.0f} down to {errors[-1]:.0f}")

    # What is loaded predicts as the model did, on rows that go through its fold's pipeline.
    loaded = SklearnRidge.load(model.name)
    assert (loaded.predict(dataset.X) == model.predict(dataset.X)).all()
    assert simpleml.load("metric", name="largest_errors", model_id=model.id).hash_ == curve.hash_


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main(Path(folder))
        simpleml.disconnect()
