"""How many rows each split gets: counts, rates, and at most one remainder."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from fractions import Fraction

from simpleml.encoding.faults import short
from simpleml.errors import PipelineError

Size = float | int | None
"""A rate of all rows (a float from 0 to 1), a number of rows (an int), or what is left (None)."""


def checked_sizes(sizes: Mapping[str, object]) -> dict[str, Size]:
    """Return the sizes of the splits, by name, as plain numbers; raises `PipelineError` for what can fit no data at all.

    At most one may be None, at least one must be more than nothing, and the rates together may not exceed 1.
    """
    checked = {name: _checked(name, size) for name, size in sizes.items()}
    open_ = [name for name, size in checked.items() if size is None]
    if len(open_) > 1:
        raise PipelineError(
            f"the sizes of {' and '.join(open_)} are both None, but only one split can be what the others leave: say one of them"
        )
    rates = sum((_fraction(size) for size in checked.values() if isinstance(size, float)), start=Fraction(0))
    if rates > 1 + Fraction(1, 10**9):
        raise PipelineError(
            f"{_shown(checked)} is {float(rates):g} of the rows, more than there can be: lower one of them"
        )
    if not open_ and not any(checked.values()):
        raise PipelineError(f"{_shown(checked)} leaves every split empty: give one a size")
    return checked


def row_counts(sizes: Mapping[str, Size], rows: int) -> dict[str, int]:
    """Return how many of `rows` rows each split gets; a split of size 0 is left out.

    Numbers are exact. Rates are met within one row, and together to the nearest row (largest remainders first, then the
    earlier split), so that rates that make 1 leave no row over. Raises `PipelineError` if there are too few rows, or if a
    split that was asked for would be empty.
    """
    counts = {name: size for name, size in sizes.items() if isinstance(size, int)}
    taken = sum(counts.values())
    ideal = {name: _fraction(size) * rows for name, size in sizes.items() if isinstance(size, float)}
    if taken + sum(ideal.values()) > rows + Fraction(rows, 10**9):
        raise PipelineError(
            f"{_shown(sizes)} needs {taken + float(sum(ideal.values())):g} rows, but the dataset has {rows}: lower one of them"
        )
    total = min(_nearest(sum(ideal.values(), start=Fraction(0))), rows - taken)
    counts |= _apportioned(ideal, total)
    left = rows - sum(counts.values())
    counts |= {name: left for name, size in sizes.items() if size is None}
    for name, size in sizes.items():
        if counts[name] == 0 and size != 0:
            raise PipelineError(
                f"{name} would be empty: {_shown(sizes)} gives it none of {rows} rows. Give it more, or {name.lower()}_size=0 to "
                "have no such split"
            )
    return {name: counts[name] for name in sizes if counts[name]}


def _apportioned(ideal: Mapping[str, Fraction], total: int) -> dict[str, int]:
    """Return whole numbers that make `total`, each within one of its ideal."""
    counts = {name: int(share) for name, share in ideal.items()}
    by_remainder = sorted(
        ideal, key=lambda name: counts[name] - ideal[name]
    )  # stable: the earlier one of equals is first
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _nearest(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def _fraction(rate: float) -> Fraction:
    """Return the rate as it is written: 0.1 is a tenth, not the binary number next to it."""
    return Fraction(repr(rate))


def _checked(name: str, size: object) -> Size:
    keyword = f"{name.lower()}_size"
    if size is None:
        return None
    if isinstance(size, bool) or not (hasattr(size, "__index__") or hasattr(size, "__float__")):
        raise PipelineError(
            f"{keyword} is {short(size)} ({type(size).__name__}), but must be a rate such as 0.8, a number of rows such as 800, "
            "or None for the rest"
        )
    if hasattr(size, "__index__"):
        count = operator.index(size)
        if count < 0:
            raise PipelineError(f"{keyword} is {count}, but a split cannot have fewer than 0 rows")
        return count
    rate = float(size)  # type: ignore[arg-type]
    if not 0.0 <= rate <= 1.0:
        raise PipelineError(
            f"{keyword} is {rate:g}, but a rate is between 0.0 and 1.0: give a number of rows as a whole number"
        )
    return rate


def _shown(sizes: Mapping[str, Size]) -> str:
    return ", ".join(f"{name.lower()}_size={size!r}" for name, size in sizes.items())
