"""Models: persistables that are fitted and predict.

`model` is the base of the kind, `sklearn` wraps any scikit-learn estimator.
"""

from simpleml.models.model import Model
from simpleml.models.sklearn import SklearnModel

__all__ = ["Model", "SklearnModel"]
