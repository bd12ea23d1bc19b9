"""The table of SimpleML's names is held against the code."""

from __future__ import annotations

import importlib
import re

import pytest

from tests.docs.markdown import ROOT, rows

PAGE = (ROOT / "config/decisions/0023-names-of-simpleml.md").read_text()
ROWS = rows(PAGE, "name")
KEPT = [
    (where.strip("`"), name)
    for names, where, became, _ in ROWS
    if became in {"kept", "generalised"}
    for name in re.findall(r"`(\w+)`", names)
]
DROPPED = [name for names, _, became, _ in ROWS if became == "dropped" for name in re.findall(r"`([\w.]+)`", names)]

CLASSIFIERS = """
    DummyClassifier AdaBoostClassifier BaggingClassifier ExtraTreesClassifier GradientBoostingClassifier
    HistGradientBoostingClassifier RandomForestClassifier VotingClassifier GaussianProcessClassifier LogisticRegression
    LogisticRegressionCV Perceptron RidgeClassifier RidgeClassifierCV SGDClassifier GaussianMixture
    BayesianGaussianMixture OneVsRestClassifier OneVsOneClassifier OutputCodeClassifier ClassifierChain
    MultiOutputClassifier BernoulliNB GaussianNB MultinomialNB KNeighborsClassifier MLPClassifier LinearSVC NuSVC SVC
    DecisionTreeClassifier ExtraTreeClassifier
"""


@pytest.mark.parametrize(("module", "name"), KEPT)
def test_what_the_table_keeps_is_there(module, name):
    """Every name that the table calls kept or generalised can be imported from where it says."""
    assert hasattr(importlib.import_module(module), name)


def test_every_row_says_what_became_of_its_names():
    """Each row is kept, generalised or dropped, and whatever is dropped names what is better."""
    assert {became for _, _, became, _ in ROWS} == {"kept", "generalised", "dropped"}
    assert all(better for _, _, became, better in ROWS if became == "dropped")
    assert not {name for _, name in KEPT} & set(DROPPED)


@pytest.mark.parametrize("name", CLASSIFIERS.split())
def test_the_classifiers_of_simpleml_are_there(name):
    """Each of the 32 wrappers of SimpleML exists under its name."""
    cls = getattr(importlib.import_module("simpleml.models"), f"Sklearn{name}")
    assert cls.registered_name == f"Sklearn{name}"
