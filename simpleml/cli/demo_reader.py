"""The second process of the demo: it knows a database, a name and a version, and nothing else of the first."""

from __future__ import annotations

import base64
import json
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from simpleml.cli.face import Face
from simpleml.errors import ConfigurationError

if TYPE_CHECKING:
    from simpleml.cli.demo_models import DemoClassifier


@dataclass(frozen=True)
class Request:
    """What to load, and from where; it comes by standard input, because a URL may hold a password."""

    name: str
    version: int
    database: str | None = None
    store: str | None = None


@dataclass(frozen=True)
class Answer:
    """What one loaded classifier is and predicts; `predictions` are the very bytes of the array."""

    version: int
    hash: str
    scaler: str
    dtype: str
    shape: list[int]
    predictions: str
    load_seconds: float = 0.0


def run_reader() -> None:
    """Read a `Request` from standard input, print the answers for its version and for the latest one as JSON."""
    try:
        request = Request(**json.load(sys.stdin))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"standard input is no request of the demo, which is JSON: {error}") from error
    import sklearn.linear_model  # before the clock starts: the times are those of loading, not of importing
    import sklearn.preprocessing  # noqa: F401 - same

    with Face(True, request.database, request.store).opened():
        answers = [load_and_answer(request.name, version) for version in (request.version, None)]
    print(json.dumps([asdict(answer) for answer in answers]))


def load_and_answer(name: str, version: int | None) -> Answer:
    """Load a classifier by name from the current database, and answer."""
    from simpleml.persistables.loading import load_kind

    start = time.perf_counter()
    model = cast("DemoClassifier", load_kind("model", name=name, version=version))
    model.load_external_files()
    return answer(model, time.perf_counter() - start)


def answer(model: DemoClassifier, load_seconds: float = 0.0) -> Answer:
    """Return what `model` predicts for the demo's table, prepared by the scaler that it remembers."""
    predictions = model.predict_proba(model.prepare(load_table()[0]))
    return Answer(
        int(model.version or 0),
        str(model.hash_),
        model.made_from,
        str(predictions.dtype),
        list(predictions.shape),
        base64.b64encode(predictions.tobytes()).decode(),
        load_seconds,
    )


def load_table() -> tuple[Any, Any]:
    """Return the breast-cancer table that ships inside scikit-learn: 569 rows of 30 measurements, and the diagnoses."""
    from sklearn.datasets import load_breast_cancer

    features, diagnoses = load_breast_cancer(return_X_y=True)
    return features, diagnoses
