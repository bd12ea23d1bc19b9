"""Figures of a metric's values, made without pyplot: no window, no global state, any backend."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from simpleml.errors import MetricError, MissingDependencyError
from simpleml.metrics.values import as_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simpleml.metrics.kind import Metric


def figure_of(metric: Metric) -> Figure:
    """Return a figure of the values, in the form that they have."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingDependencyError("plot() needs matplotlib: pip install 'simpleml[plots]'") from error
    values: dict[str, Any] = metric.values or {}
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(metric.name)
    across, up = metric.axis_titles()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    curve = as_curve(values)
    if {"labels", "matrix"} <= values.keys():
        _draw_matrix(axes, values["labels"], values["matrix"])
    elif {"predicted", "observed"} <= values.keys():
        axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", linewidth=1)
        axes.plot(values["predicted"], values["observed"], marker="o")
    elif curve is not None:
        axes.plot(*zip(*curve, strict=True), marker="." if len(curve) < 30 else None)
    else:
        _draw_bars(axes, metric, values)
    return figure


def _draw_matrix(axes: Axes, labels: list[Any], matrix: list[list[float]]) -> None:
    axes.imshow(matrix, cmap="Blues")
    axes.set_xticks(range(len(labels)), [str(label) for label in labels])
    axes.set_yticks(range(len(labels)), [str(label) for label in labels])
    highest = max((count for row in matrix for count in row), default=0)
    for down, row in enumerate(matrix):
        for right, count in enumerate(row):
            color = "white" if count > highest / 2 else "black"
            axes.text(right, down, f"{count:g}", ha="center", va="center", color=color)


def _draw_bars(axes: Axes, metric: Metric, values: dict[str, Any]) -> None:
    bars = {key: value for key, value in values.items() if isinstance(value, int | float)}
    if not bars:
        why = metric.note or f"they are {', '.join(values) or 'empty'}"
        raise MetricError(f"there is no number in the values of {metric!r} to plot: {why}")
    axes.barh(list(bars), list(bars.values()))


def png_of(figure: Figure) -> bytes:
    """Return a figure as a PNG."""
    written = io.BytesIO()
    figure.savefig(written, format="png", dpi=100)
    return written.getvalue()
