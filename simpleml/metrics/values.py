"""What a metric's record holds: plain JSON of finite numbers, whatever was computed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simpleml.encoding.faults import short
from simpleml.errors import MetricError
from simpleml.types import JSON

AGGREGATE = "agg"
"""The key of a metric that is one number (SimpleML's)."""


def plain_values(result: object) -> tuple[dict[str, JSON], int]:
    """Return a result as a JSON object, and how many of its numbers were none (NaN, infinity) and are null there.

    A mapping stays one, its keys become text; anything else is the value of `agg`. Arrays and series become lists. Raises
    `MetricError` for what is neither numbers nor text.
    """
    holes: list[str] = []
    values = _plain(result, "values", holes) if isinstance(result, Mapping) else None
    if isinstance(values, dict):
        return values, len(holes)
    return {AGGREGATE: _plain(result, AGGREGATE, holes)}, len(holes)


def _plain(value: Any, path: str, holes: list[str]) -> JSON:
    if value is None or isinstance(value, bool | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(item, f"{path}[{key!r}]", holes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{at}]", holes) for at, item in enumerate(value)]
    for method in ("tolist", "to_list"):  # numpy's arrays and numbers, series of pandas and polars
        if hasattr(value, method):
            return _plain(getattr(value, method)(), path, holes)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        holes.append(path)
        return None
    raise MetricError(
        f"{path} is {short(value)} ({type(value).__name__}), but the values of a metric are numbers, text, and lists and "
        "mappings of them: return float(…), or a dict"
    )


def _key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return key
    if hasattr(key, "item"):  # a number of numpy's
        key = key.item()
    if isinstance(key, bool | int | float):
        return repr(key)
    raise MetricError(f"{path} has the key {short(key)} ({type(key).__name__}), but JSON has text as keys: use str(…)")


def as_curve(values: Mapping[str, JSON]) -> list[tuple[float, float]] | None:
    """Return the points of values that are a curve (`{"0.005": 0.9, …}`), in the order of their keys; None of others."""
    points = []
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        try:
            points.append((float(key), float(value)))
        except ValueError:
            return None
    return sorted(points) or None
