"""Parameters of metrics, checked where they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simpleml.encoding.faults import short
from simpleml.errors import MetricError, known_names


def whole_number(name: str, value: Any) -> int:
    """Return `value` if it is a whole number from 1 on."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        raise MetricError(f"{name} is {short(value)}, but must be a whole number from 1 on")
    return int(value)


def share(name: str, value: Any) -> float:
    """Return `value` if it is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise MetricError(f"{name} is {short(value)}, but must be a number from 0 to 1")
    return float(value)


def one_of(name: str, value: Any, known: Sequence[str]) -> str:
    """Return `value` if it is one of the words that are known."""
    if not isinstance(value, str) or value not in known:
        raise MetricError(
            f"{name} is {short(value)}; {known_names(known, near=value if isinstance(value, str) else None)}"
        )
    return value


def split_name(value: Any) -> str | None:
    """Return `value` if it names a split, or is None: all data."""
    if value is not None and (not isinstance(value, str) or not value):
        raise MetricError(
            f"dataset_split is {short(value)}, but it names a split, such as 'TEST', or is None for all data"
        )
    return value
