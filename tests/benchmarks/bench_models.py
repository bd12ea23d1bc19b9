"""Fit and predict through a model against the raw estimator, in the same run: `python tests/benchmarks/bench_models.py [name …]`.

Prints one JSON line for each figure; a ratio is that of the medians of what was measured in turns.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import simpleml
from simpleml.models import SklearnModel

ROWS, COLUMNS = 800_000, 10
NAMES = [f"x{number}" for number in range(COLUMNS)]


def report(name: str, ours: list[float], floor: list[float], goal: float) -> None:
    """Print one figure."""
    pairs = [a / b for a, b in zip(ours, floor, strict=True)]
    figure = {
        "name": name,
        "ours_s": round(statistics.median(ours), 7),
        "floor_s": round(statistics.median(floor), 7),
        "ratio": round(statistics.median(ours) / statistics.median(floor), 3),
        "ratio_low": round(min(pairs), 3),
        "ratio_high": round(max(pairs), 3),
        "goal": f"<= {goal}",
    }
    print(json.dumps(figure), flush=True)


def in_turns(
    ours: Callable[[], object], floor: Callable[[], object], times: int, calls: int = 1
) -> tuple[list[float], list[float]]:
    """Time two things in turns, so that a machine that changes its pace changes both."""
    ours()
    floor()
    a: list[float] = []
    b: list[float] = []
    for _ in range(times):
        for work, found in ((ours, a), (floor, b)):
            gc.collect()
            start = time.perf_counter()
            for _ in range(calls):
                work()
            found.append((time.perf_counter() - start) / calls)
    return a, b


def table(rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return features and labels of two classes that overlap."""
    random = np.random.default_rng(0)
    features = random.normal(size=(rows, COLUMNS))
    labels = (features @ random.normal(size=COLUMNS) + random.normal(size=rows) > 0).astype(np.int64)
    return features, labels


def fit_raw() -> None:
    """Fit on data that is given, hashing included."""
    features, labels = table(ROWS)
    a, b = in_turns(
        lambda: SklearnModel(LogisticRegression(tol=1e-6)).fit(features, labels),
        lambda: LogisticRegression(tol=1e-6).fit(features, labels),
        9,
    )
    report("fit on 800k x 10 that is given", a, b, 1.1)


def fit_from_pipeline() -> None:
    """Split, scale and fit, from a dataset, against the same by hand."""
    from simpleml.datasets.pandas import PandasDataset
    from simpleml.pipelines.sklearn import RandomSplitSklearnPipeline

    features, labels = table(ROWS)
    frame = pd.DataFrame(features, columns=NAMES).assign(label=labels)
    dataset = PandasDataset(frame, label_columns=["label"])
    sizes = {"train_size": 0.8, "test_size": 0.2, "random_state": 1}

    def ours() -> None:
        pipeline = RandomSplitSklearnPipeline([("scale", StandardScaler())], **sizes)
        pipeline.add_dataset(dataset)
        pipeline.fit()
        SklearnModel(LogisticRegression(tol=1e-6)).add_pipeline(pipeline).fit()

    def floor() -> None:
        train, _ = train_test_split(frame, **sizes)
        scaled = StandardScaler().fit_transform(train[NAMES])
        LogisticRegression(tol=1e-6).fit(scaled, train["label"])

    a, b = in_turns(ours, floor, 7)
    report("split, scale and fit on 800k x 10 from a pipeline", a, b, 1.1)


def predict_one() -> None:
    """Predict one row through a loaded model."""
    features, labels = table(2000)
    estimator = LogisticRegression().fit(features, labels)
    SklearnModel(LogisticRegression(), name="one").fit(features, labels).save()
    model = SklearnModel.load(name="one")
    row = features[:1]
    a, b = in_turns(lambda: model.predict(row), lambda: estimator.predict(row), 50, 100)
    report("predict of one row through a loaded model", a, b, 1.5)


def predict_one_with_pipeline() -> None:
    """Predict one row through a loaded model and the pipeline that it holds."""
    from simpleml.datasets.pandas import PandasDataset
    from simpleml.pipelines.sklearn import SklearnPipeline

    features, labels = table(2000)
    frame = pd.DataFrame(features, columns=NAMES).assign(label=labels)
    dataset = PandasDataset(frame, label_columns=["label"], name="rows").save()
    pipeline = SklearnPipeline([("scale", StandardScaler())], name="scaled")
    pipeline.add_dataset(dataset)
    pipeline.fit()
    pipeline.save()
    SklearnModel(LogisticRegression(), name="scaled").add_pipeline(pipeline).fit().save()
    model = SklearnModel.load(name="scaled")
    scaler = StandardScaler().fit(frame[NAMES])
    estimator = LogisticRegression().fit(scaler.transform(frame[NAMES]), labels)
    row = frame[NAMES].iloc[:1]
    a, b = in_turns(lambda: model.predict(row), lambda: estimator.predict(scaler.transform(row)), 50, 50)
    report("predict of one row through a loaded model and its pipeline", a, b, 1.5)


FIGURES = {
    "raw": fit_raw,
    "pipeline": fit_from_pipeline,
    "predict": predict_one,
    "predict-pipeline": predict_one_with_pipeline,
}


def main(names: list[str]) -> None:
    """Run the figures that are named, or all."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
        folder = Path(temporary)
        os.environ["SIMPLEML_HOME"] = str(folder / "home")
        simpleml.connect(folder / "bench.db", store=folder / "store")
        for name in names or FIGURES:
            FIGURES[name]()
        simpleml.disconnect()


if __name__ == "__main__":
    main(sys.argv[1:])
