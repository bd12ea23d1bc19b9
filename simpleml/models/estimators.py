"""A model class for every scikit-learn estimator, made when it is first asked for: `simpleml.models.SklearnLogisticRegression`."""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

from simpleml.errors import MissingDependencyError, ModelError, known_names
from simpleml.models.keywords import params_among
from simpleml.models.sklearn import SklearnModel
from simpleml.persistables.identity import checked_mapping

PREFIX = "Sklearn"
"""What the name of an estimator's class is preceded by."""

PACKAGE = "simpleml.models"
"""The module that the classes are found in, also by the records that name it."""

CLASSIFIERS = {
    "dummy": ("DummyClassifier",),
    "ensemble": (
        "AdaBoostClassifier",
        "BaggingClassifier",
        "ExtraTreesClassifier",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "RandomForestClassifier",
        "VotingClassifier",
    ),
    "gaussian_process": ("GaussianProcessClassifier",),
    "linear_model": (
        "LogisticRegression",
        "LogisticRegressionCV",
        "Perceptron",
        "RidgeClassifier",
        "RidgeClassifierCV",
        "SGDClassifier",
    ),
    "mixture": ("BayesianGaussianMixture", "GaussianMixture"),
    "multiclass": ("OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier"),
    "multioutput": ("ClassifierChain", "MultiOutputClassifier"),
    "naive_bayes": ("BernoulliNB", "GaussianNB", "MultinomialNB"),
    "neighbors": ("KNeighborsClassifier",),
    "neural_network": ("MLPClassifier",),
    "svm": ("LinearSVC", "NuSVC", "SVC"),
    "tree": ("DecisionTreeClassifier", "ExtraTreeClassifier"),
}
"""The classes that are listed without looking at scikit-learn: module → estimators. Every other one is searched for."""

_OTHERS = [
    "linear_model",
    "ensemble",
    "tree",
    "svm",
    "neighbors",
    "cluster",
    "decomposition",
    "preprocessing",
    "model_selection",
    "mixture",
]
_DEEPER = ("feature_extraction.text", "feature_extraction.image")
_EXPERIMENTAL = {
    "IterativeImputer": "enable_iterative_imputer",
    "HalvingGridSearchCV": "enable_halving_search_cv",
    "HalvingRandomSearchCV": "enable_halving_search_cv",
}
_TAKEN = "Pipeline"  # `SklearnPipeline` is a pipeline, not a model

_classes: dict[str, type[EstimatorModel]] = {}
_making = threading.RLock()  # two threads that ask at once get the same class


class EstimatorModel(SklearnModel):
    """The base of the classes that stand for one estimator each; its keywords are the parameters of that, and ours."""

    estimator_class: ClassVar[Any] = None
    """The estimator's class."""

    def __init__(
        self,
        estimator: Any = None,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        external_model_kwargs: Mapping[str, Any] | None = None,
        **identity: Any,
    ) -> None:
        """Make an estimator of the class from the parameters, or take one; `external_model_kwargs` are parameters too."""
        more = checked_mapping("external_model_kwargs", external_model_kwargs)
        params = {**more, **checked_mapping("params", params)}
        if estimator is None and identity.get("external_model") is None:
            estimator, params = self._made(params, identity), None
        super().__init__(estimator, params=params, **identity)

    @classmethod
    def _made(cls, params: Mapping[str, Any], keywords: dict[str, Any]) -> Any:
        """Return an estimator with `params` and those among `keywords`, which are taken out of them."""
        if cls.estimator_class is None:
            raise ModelError(f"{cls.__name__} stands for no estimator: set its estimator_class, or use SklearnModel(…)")
        own = _parameters(cls.estimator_class)
        nested = [key for key in (*params, *keywords) if key.partition("__")[0] in own]
        given = params_among(cls, keywords, {*own, *nested}, params)
        missing = [name for name, required in own.items() if required and name not in given]
        if missing:
            raise ModelError(
                f"{cls.__name__} needs {', '.join(missing)}: {cls.__name__}({missing[0]}=…), or params={{{missing[0]!r}: …}}"
            )
        made = cls.estimator_class(**{key: value for key, value in given.items() if key in own})
        deeper = {key: value for key, value in given.items() if key not in own}
        try:
            return made.set_params(**deeper) if deeper else made
        except ValueError as error:
            raise ModelError(f"{cls.__name__}: {error}") from error

    def _checked(self, external: Any) -> Any:
        checked = super()._checked(external)
        if self.estimator_class is not None and not isinstance(checked, self.estimator_class):
            raise ModelError(
                f"{type(self).__name__} takes a {self.estimator_class.__name__}, but was given a {type(checked).__name__}: wrap "
                "any other estimator in SklearnModel(…)"
            )
        return checked


def listed_names() -> list[str]:
    """Return the names of the classes that are listed, without importing scikit-learn."""
    return sorted(PREFIX + name for names in CLASSIFIERS.values() for name in names)


def every_name() -> list[str]:
    """Return the names of all classes that the installed scikit-learn has an estimator for; imports all of it."""
    _sklearn()
    found = importlib.import_module("sklearn.utils.discovery").all_estimators()
    return sorted(PREFIX + name for name, _ in found if name != _TAKEN)


def estimator_model(name: str) -> type[EstimatorModel]:
    """Return the model class of this name, made and registered now; raises `AttributeError`, which says what is near, if
    scikit-learn has no such estimator.
    """
    with _making:
        if name not in _classes:
            _classes[name] = _new_class(name)
        return _classes[name]


def _new_class(name: str) -> type[EstimatorModel]:
    wanted = name.removeprefix(PREFIX)
    if wanted == _TAKEN:
        raise AttributeError(
            f"{PACKAGE} has no {name}: as a model, a scikit-learn pipeline is SklearnModel(make_pipeline(…)); the pipeline of "
            f"models is simpleml.pipelines.{name}"
        )
    found = _find(wanted)
    if found is None:
        raise AttributeError(f"scikit-learn has no estimator {wanted!r}, so {PACKAGE} has no {name}; {_near(name)}")
    doc = f"{found.__module__.partition('._')[0]}.{wanted} as a model; the keywords are its parameters, and those of every model."
    members = {"__module__": PACKAGE, "__qualname__": name, "__doc__": doc, "estimator_class": found}
    return type(name, (EstimatorModel,), members)


def _near(name: str) -> str:
    every = every_name()
    return f"{len(every)} are known: {known_names(every, near=name, limit=5).removeprefix('known: ')}"


def _find(wanted: str) -> Any:
    """Return the estimator's class of this name, looking where it most likely is first; None if there is none."""
    sklearn = _sklearn()
    if not wanted.isidentifier() or wanted.startswith("_"):
        return None
    if wanted in _EXPERIMENTAL:
        importlib.import_module(f"sklearn.experimental.{_EXPERIMENTAL[wanted]}")
    base = importlib.import_module("sklearn.base").BaseEstimator
    for name in _modules(wanted, tuple(sklearn.__all__)):
        module = importlib.import_module(f"sklearn.{name}")
        found = getattr(module, wanted, None)
        if (
            isinstance(found, type)
            and issubclass(found, base)
            and hasattr(found, "fit")
            and not inspect.isabstract(found)
        ):
            return found
    return None


def _modules(wanted: str, public: tuple[str, ...]) -> Iterator[str]:
    """Yield the modules of scikit-learn in which an estimator may be, each once."""
    yield from (module for module, names in CLASSIFIERS.items() if wanted in names)
    seen = {
        "clone",
        "get_config",
        "set_config",
        "config_context",
        "show_versions",
        "datasets",
        "experimental",
        "externals",
    }
    for name in (*_OTHERS, *public, *_DEEPER):
        if name not in seen:
            seen.add(name)
            yield name


@cache
def _parameters(estimator_class: type) -> dict[str, bool]:
    """Return the names of the parameters of an estimator's class, and whether each must be given."""
    known = estimator_class._get_param_names() if hasattr(estimator_class, "_get_param_names") else ()  # noqa: SLF001 - what get_params of an instance calls
    signature = inspect.signature(estimator_class.__init__).parameters  # type: ignore[misc]
    return {name: signature[name].default is inspect.Parameter.empty for name in known if name in signature}


def _sklearn() -> Any:
    try:
        return importlib.import_module("sklearn")
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingDependencyError(
            "models of estimators need scikit-learn: pip install 'simpleml[sklearn]'"
        ) from error
