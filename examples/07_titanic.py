"""Classify the rows of a table of mixed types as SimpleML's README does: step by step, by creators, nested, and loaded again.

The table is made of scikit-learn's diabetes data: names, types and gaps are those of the Titanic's passengers, the
numbers are not. Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder. Needs the extras
`sklearn` and `pandas`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes

import simpleml
from simpleml import DatasetCreator, MetricCreator, ModelCreator, PersistableLoader, PipelineCreator
from simpleml.constants import TEST_SPLIT
from simpleml.datasets.pandas import PandasDataset
from simpleml.metrics import AccuracyMetric
from simpleml.models import SklearnLogisticRegression
from simpleml.orm import Database
from simpleml.pipelines.sklearn import RandomSplitSklearnPipeline
from simpleml.transformers import DataframeToRecords, FillWithValue, SklearnDictVectorizer


def write_passengers(path: str) -> pd.DataFrame:
    """Write a CSV with numbers, texts and gaps, and return it as pandas reads it."""
    patients = load_diabetes(as_frame=True, scaled=False).frame
    passengers = pd.DataFrame(
        {
            "Survived": (patients["target"] < patients["target"].median()).astype(int),
            "Pclass": pd.qcut(patients["bmi"], 3, labels=[1, 2, 3]).astype(int),
            "Sex": np.where(patients["sex"] == 1, "male", "female"),
            "Age": patients["age"].where(patients.index % 5 != 0),  # every fifth is unknown
            "Fare": patients["bp"],
            "Embarked": pd.qcut(patients["s5"], 3, labels=["S", "C", "Q"]).where(patients.index % 40 != 0),
        }
    )
    passengers.to_csv(path, index=False)
    return pd.read_csv(path)


# Define a dataset, and where its data comes from.
class TitanicDataset(PandasDataset):
    """The passengers of the file train.csv."""

    def build_dataframe(self) -> None:
        """Read the file."""
        self.dataframe = self.load_csv("train.csv")


# The fewest transformers that fill what is missing and encode texts.
TRANSFORMERS = [
    ("fill_zeros", FillWithValue(values=0.0)),
    ("record_converter", DataframeToRecords()),
    ("vectorizer", SklearnDictVectorizer()),
]


@dataclass
class Made:
    """What was made step by step."""

    dataset: TitanicDataset
    pipeline: RandomSplitSklearnPipeline
    model: SklearnLogisticRegression
    metric: AccuracyMetric


def step_by_step() -> Made:
    """Make each object, link it, save it."""
    # Create the dataset and save it.
    dataset = TitanicDataset(name="titanic", label_columns=["Survived"], squeeze_return=True)
    dataset.build_dataframe()
    dataset.save()

    # Create the pipeline and save it: 80 % of the rows to train on, 20 % to test on.
    pipeline = RandomSplitSklearnPipeline(
        name="titanic", transformers=TRANSFORMERS, train_size=0.8, validation_size=0.0, test_size=0.2
    )
    pipeline.add_dataset(dataset)
    pipeline.fit()
    pipeline.save()

    # Create the model and save it.
    model = SklearnLogisticRegression(name="titanic", params={"max_iter": 2000})
    model.add_pipeline(pipeline)
    model.fit()
    model.save()

    # Create the metric and save it.
    metric = AccuracyMetric(dataset_split=TEST_SPLIT)
    metric.add_model(model)
    metric.score()
    metric.save()
    return Made(dataset, pipeline, model, metric)


# What describes each object is the same, whichever way it is asked for.
DATASET: dict[str, Any] = {
    "name": "titanic",
    "registered_name": "TitanicDataset",
    "label_columns": ["Survived"],
    "squeeze_return": True,
}
PIPELINE: dict[str, Any] = {
    "name": "titanic",
    "registered_name": "RandomSplitSklearnPipeline",
    "transformers": TRANSFORMERS,
    "train_size": 0.8,
    "validation_size": 0.0,
    "test_size": 0.2,
}
MODEL: dict[str, Any] = {
    "name": "titanic",
    "registered_name": "SklearnLogisticRegression",
    "params": {"max_iter": 2000},
}
METRIC: dict[str, Any] = {
    "name": "classification_accuracy",
    "registered_name": "AccuracyMetric",
    "dataset_split": TEST_SPLIT,
}


def creators(made: Made) -> None:
    """Ask for what is there already, which is found by its content: nothing is fitted again."""
    # Objects are handed on one by one.
    dataset = DatasetCreator.retrieve_or_create(**DATASET)
    pipeline = PipelineCreator.retrieve_or_create(dataset=dataset, **PIPELINE)
    model = ModelCreator.retrieve_or_create(pipeline=pipeline, **MODEL)
    metric = MetricCreator.retrieve_or_create(model=model, **METRIC)
    assert (dataset.id, pipeline.id) == (made.dataset.id, made.pipeline.id)
    assert (model.id, metric.id) == (made.model.id, made.metric.id)
    print(f"retrieved {dataset}, {pipeline}, {model} and {metric}")

    # Or each says what it is made from, as a description of that.
    pipeline_kwargs = {**PIPELINE, "dataset_kwargs": DATASET}
    model_kwargs = {**MODEL, "pipeline_kwargs": pipeline_kwargs}
    metric_kwargs = {**METRIC, "model_kwargs": model_kwargs}
    assert PipelineCreator.retrieve_or_create(**pipeline_kwargs).id == made.pipeline.id
    assert ModelCreator.retrieve_or_create(**model_kwargs).id == made.model.id
    assert MetricCreator.retrieve_or_create(**metric_kwargs).id == made.metric.id
    print("nested    the same objects")

    # What is not there yet is made: another parameter, so another version.
    changed = {**model_kwargs, "params": {"max_iter": 2000, "C": 0.001}}
    other = ModelCreator.retrieve_or_create(**changed)
    assert other.id != made.model.id
    assert ModelCreator.retrieve_or_create(**changed).id == other.id
    print(f"created   {other}, with C=0.001")


def production(made: Made, new_dataset: pd.DataFrame) -> None:
    """Load by name and version, and predict rows that nobody has seen."""
    desired_model = PersistableLoader.load_model(name="titanic", version=made.model.version)
    # The pipeline that the model was trained with transforms the rows.
    implicit = desired_model.predict_proba(new_dataset)
    # Or a pipeline that is named transforms them.
    desired_pipeline = PersistableLoader.load_pipeline(name="titanic", version=made.pipeline.version)
    explicit = desired_model.predict_proba(desired_pipeline.transform(new_dataset), transform=False)
    assert implicit.shape == (len(new_dataset), 2)
    assert (implicit == explicit).all()
    print(f"predicted {implicit[:, 1].round(2).tolist()} with {desired_model}")

    dataset = PersistableLoader.load_dataset(name="titanic", version=made.dataset.version)
    assert dataset.dataframe.equals(made.dataset.dataframe)
    metric = PersistableLoader.load_metric(name="classification_accuracy", model_id=desired_model.id)
    values: Any = metric.values  # noqa: PD011 - it is no frame
    assert values == made.metric.values  # noqa: PD011 - it is no frame
    assert values["agg"] > 0.6  # guessing is 0.5
    print(f"accuracy  {values['agg']:.3f} on the rows of {metric.dataset_split}")


def main() -> None:
    """Go all the ways of SimpleML's README on one file."""
    Database().initialize(upgrade=True)
    passengers = write_passengers("train.csv")
    assert passengers["Age"].isna().sum() > 80
    assert passengers["Embarked"].isna().any()

    made = step_by_step()
    names = made.pipeline.get_feature_names()
    assert {"Age", "Fare", "Pclass", "Sex=female", "Sex=male", "Embarked=S"} <= set(names)
    print(f"features  {', '.join(names)}")
    creators(made)
    production(made, passengers.drop(columns="Survived").tail(3))

    lineage = made.metric.lineage()
    assert {node.kind for node in lineage.nodes.values()} == {"dataset", "pipeline", "model", "metric"}
    print(lineage)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ.setdefault("SIMPLEML_HOME", folder)
        main()
        simpleml.disconnect()
