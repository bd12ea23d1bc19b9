"""Save a scikit-learn estimator, change a parameter, fit again, and compare the versions. Needs the extra `sklearn`.

Everything goes below SIMPLEML_HOME if that is set, else into a temporary folder.
"""

from __future__ import annotations

import os
import tempfile

from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import simpleml
from simpleml.errors import ModelError
from simpleml.models import SklearnModel


def main() -> None:
    """Fit two versions, load them by name, and predict."""
    table, diagnoses = load_breast_cancer(return_X_y=True)
    train, test, train_labels, test_labels = train_test_split(table, diagnoses, random_state=0)

    estimator = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    model = SklearnModel(estimator, name="tumours", project="clinic").fit(train, train_labels)
    model.state["accuracy"] = float(model.score(test, test_labels))
    model.save()
    print(f"saved     {model}, accuracy {model.state['accuracy']:.3f}, fitted in {model.state['fit_seconds']:.3f} s")

    # A model is fitted once; a copy may be given other parameters and fitted again.
    try:
        model.fit(train, train_labels)
    except ModelError as error:
        print(f"refused   {error}")
    else:
        raise AssertionError("a fitted model was fitted again")
    other = model.new_version().set_params(logisticregression__C=0.01).fit(train, train_labels)
    other.state["accuracy"] = float(other.score(test, test_labels))
    other.save()
    assert model.version is not None
    assert other.version == model.version + 1
    assert other.hash_ != model.hash_
    print(f"saved     {other}, accuracy {other.state['accuracy']:.3f}")

    # The estimator that was handed in is not fitted: a clone of it is.
    assert not hasattr(estimator[-1], "coef_")

    loaded = SklearnModel.load("tumours", version=model.version)
    assert (loaded.predict_proba(test) == model.predict_proba(test)).all()
    assert loaded.estimator is not model.estimator
    print(f"loaded    {loaded}: {type(loaded.estimator).__name__}, needs {', '.join(loaded.library_versions)}")

    best = max(SklearnModel.query(name="tumours"), key=lambda each: each.state["accuracy"])
    assert best.state["accuracy"] == max(model.state["accuracy"], other.state["accuracy"])
    print(f"best      {best}, accuracy {best.state['accuracy']:.3f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        simpleml.connect(home=os.environ.get("SIMPLEML_HOME", folder))
        main()
        simpleml.disconnect()
