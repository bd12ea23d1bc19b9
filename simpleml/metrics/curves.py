"""The 165 binary curves, one class each, generated from the tables in `names` and `confusion`."""

from __future__ import annotations

from types import new_class
from typing import Any, ClassVar

from simpleml.metrics.classification import BinaryClassificationMetric
from simpleml.metrics.confusion import MEASURES
from simpleml.metrics.kind import Needs
from simpleml.metrics.names import CURVES, curve_name
from simpleml.metrics.samples import Sample


class BinaryCurveMetric(BinaryClassificationMetric):
    """One measure by another, over the 201 thresholds from 0 to 1: `values` maps the text of the one to the other.

    Both are rounded to three places; where one key has several values, the best of them counts: the lowest threshold and
    the lowest rate of errors, the highest of everything else.
    """

    needs: ClassVar[Needs] = "proba"
    constraint: ClassVar[str] = "Threshold"
    """What the curve is read by."""
    value: ClassVar[str] = "Tpr"
    """What it shows."""

    def _computed(self, sample: Sample) -> object:
        counts = self._thresholds(sample)
        keys, shown = MEASURES[self.constraint].formula(counts), MEASURES[self.value]
        return self.dedupe_curve(keys, shown.formula(counts), maximize=not shown.lower_is_better)

    def axis_titles(self) -> tuple[str, str]:
        """Return what the two axes of its figure are called."""
        return MEASURES[self.constraint].title, MEASURES[self.value].title


def _curve(name: str, constraint: str, value: str) -> type[BinaryCurveMetric]:
    members: dict[str, Any] = {
        "__module__": __name__,
        "__qualname__": name,
        "__doc__": f"The {MEASURES[value].title} by the {MEASURES[constraint].title}.",
        "default_name": curve_name(constraint, value),
        "constraint": constraint,
        "value": value,
    }
    return new_class(name, (BinaryCurveMetric,), exec_body=lambda made: made.update(members))


# Made here and not when first asked for: a record names this module, and importing it has to bring the class.
globals().update({name: _curve(name, *parts) for name, parts in CURVES.items()})
