"""Which row goes into which split: pure functions of row counts, values and a seed, the same on every machine.

Randomness is the raw stream of numpy's PCG64 alone. That stream is what numpy promises never to change, while what its
`Generator` makes of it (`permutation`, `shuffle`) may change between versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simpleml.encoding.faults import short
from simpleml.errors import PipelineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Positions = NDArray[np.intp] | slice
    """Which rows, by position; a slice where they are contiguous and in order."""

    Codes = NDArray[np.intp]
    """One small number per row: its class, its group, or its split."""


def shuffled(rows: int, *seed: int) -> NDArray[np.intp]:
    """Return the positions 0 … rows-1 in an order that follows from the seed alone."""
    import numpy as np

    keys = np.random.PCG64(list(seed)).random_raw(rows)
    # The lowest bits of each key make room for its position, since sorting keys is several times faster than sorting by keys.
    bits = np.uint64(max(rows - 1, 0).bit_length())
    keys = (keys >> bits << bits) | np.arange(rows, dtype=np.uint64)
    keys.sort()
    return (keys & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.intp)


def in_blocks(order: NDArray[np.intp] | None, counts: Mapping[str, int]) -> dict[str, Positions]:
    """Return one block of `order` (the natural one if None) after the other, as long as `counts` says."""
    found: dict[str, Positions] = {}
    start = 0
    for name, count in counts.items():
        block = slice(start, start + count)
        found[name] = block if order is None else compact(order[block])
        start += count
    return found


def by_code(codes: Codes, order: NDArray[np.intp] | None, names: Sequence[str]) -> dict[str, Positions]:
    """Return the positions of each split, `codes` holding the number of each row's split in `names`, in this order of rows."""
    import numpy as np

    if order is None:
        return {name: compact(np.flatnonzero(codes == code)) for code, name in enumerate(names)}
    ordered = codes[order]
    return {name: compact(order[ordered == code]) for code, name in enumerate(names)}


def compact(positions: NDArray[np.intp]) -> Positions:
    """Return a slice in place of positions that are contiguous and ascending."""
    if len(positions) and positions[-1] - positions[0] + 1 == len(positions) and (positions[1:] > positions[:-1]).all():
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def codes_of(values: NDArray[Any], column: str, *, missing: bool) -> tuple[Codes, int]:
    """Return a number for each value, equal for equal ones, counted in the order of first appearance; and how many there are.

    Values that are missing (None, NaN, NaT, NA) are equal to each other, or, without `missing`, a `PipelineError`.
    """
    import numpy as np

    if values.dtype == object:
        codes, unknown = _object_codes(values, column)
    else:
        codes = np.unique(values, return_index=True, return_inverse=True)[2].reshape(-1)
        unknown = np.isnat(values) if values.dtype.kind in "mM" else values != values  # noqa: PLR0124 - NaN is not itself
    if not missing and unknown.any():
        raise _missing(column, np.flatnonzero(unknown))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse], len(first)


def _object_codes(values: NDArray[Any], column: str) -> tuple[Codes, NDArray[np.bool_]]:
    import numpy as np

    items = values.tolist()
    try:
        known: dict[Any, int] = {item: code for code, item in enumerate(dict.fromkeys(items))}
    except TypeError as error:
        raise PipelineError(
            f"the column {column!r} holds values that cannot be told apart ({error}): split by one of texts, numbers or times"
        ) from error
    absent = {item for item in known if _is_missing(item)}
    known |= dict.fromkeys(absent, -1)
    codes = np.fromiter((known[item] for item in items), np.intp, len(items))
    return codes, codes == -1


def _is_missing(value: object) -> bool:
    try:
        return value is None or bool(value != value)  # noqa: PLR0124 - NaN is not itself
    except TypeError:  # pandas.NA is neither equal to itself nor different
        return True


def _missing(column: str, rows: NDArray[np.intp]) -> PipelineError:
    return PipelineError(
        f"the column {column!r} is missing in {len(rows)} rows (the first at position {rows[0]}), so it does not say where they "
        "belong: fill it or drop them first"
    )


def stratified(strata: Codes, count: int, order: NDArray[np.intp] | None, sizes: Sequence[int]) -> Codes:
    """Return the split of each row: each split has its size, and of each stratum its share within one row.

    Within a stratum rows are dealt in this order. Rows that no split takes have the number len(sizes).
    """
    import numpy as np

    rows = len(strata)
    columns = [*sizes, rows - sum(sizes)]
    cells = rounded_table(np.bincount(strata, minlength=count).tolist(), columns)
    codes = np.empty(rows, np.intp)
    codes[_grouped(strata, order)] = np.repeat(
        np.tile(np.arange(len(columns)), count), np.array(cells, np.intp).ravel()
    )
    return codes


def dealt(strata: Codes | None, rows: int, order: NDArray[np.intp] | None, folds: int) -> Codes:
    """Return the fold of each row: fold sizes differ by one row at most, and with strata the shares of each stratum too."""
    import numpy as np

    codes = np.empty(rows, np.intp)
    if strata is None:
        sizes = [rows // folds + (fold < rows % folds) for fold in range(folds)]
        codes[slice(None) if order is None else order] = np.repeat(np.arange(folds), sizes)
    else:
        codes[_grouped(strata, order)] = np.arange(rows) % folds
    return codes


def _grouped(codes: Codes, order: NDArray[np.intp] | None) -> NDArray[np.intp]:
    """Return all positions, those of one code after those of another, each in this order."""
    import numpy as np

    if order is None:
        return np.argsort(codes, kind="stable")
    return order[np.argsort(codes[order], kind="stable")]


def rounded_table(rows: Sequence[int], columns: Sequence[int]) -> list[list[int]]:
    """Return whole numbers with these row and column sums, each within one of row x column / total.

    This is controlled rounding: around a cycle of cells that are no whole numbers yet, every second one gains what the
    others lose, until one of them is whole. Sums stay, and so does each cell between the whole numbers around it.
    """
    total = sum(rows)
    whole = [[row * column // total for column in columns] for row in rows]
    rest = [[row * column % total for column in columns] for row in rows]
    in_row = [{c: None for c, part in enumerate(parts) if part} for parts in rest]
    in_column = [[r for r, parts in enumerate(rest) if parts[c]] for c in range(len(columns))]
    for start in range(len(rows)):
        while in_row[start]:
            cycle = _cycle(start, in_row, in_column)
            step = min(*(rest[r][c] for r, c in cycle[::2]), *(total - rest[r][c] for r, c in cycle[1::2]))
            for sign, (r, c) in zip([-step, step] * len(cycle), cycle, strict=False):
                rest[r][c] += sign
                if rest[r][c] in (0, total):
                    whole[r][c] += rest[r][c] == total
                    del in_row[r][c]
    return whole


def _cycle(start: int, in_row: Sequence[Mapping[int, None]], in_column: Sequence[list[int]]) -> list[tuple[int, int]]:
    """Return cells of a closed way through the table that turns at each: along a row, along a column, and so on.

    Every row and column that has such a cell has two, for its sum is whole.
    """
    lines = [start]  # rows and columns in turn
    reached: dict[tuple[bool, int], int] = {}  # a row (True) or column → where the way reached it
    while (along_row := len(lines) % 2 == 1, lines[-1]) not in reached:
        reached[along_row, lines[-1]] = len(lines) - 1
        if along_row:
            came = lines[-2] if len(lines) > 1 else None
            lines.append(next(each for each in in_row[lines[-1]] if each != came))
        else:
            lines.append(_another_row(in_column[lines[-1]], lines[-1], lines[-2], in_row))
    first = reached[along_row, lines[-1]]
    pairs = zip(lines[first:], lines[first + 1 :], strict=False)
    return [pair if (first + number) % 2 == 0 else pair[::-1] for number, pair in enumerate(pairs)]


def _another_row(waiting: list[int], column: int, came: int, in_row: Sequence[Mapping[int, None]]) -> int:
    """Return the last row but `came` whose cell in the column is not whole yet; those that became so are dropped on the way."""
    while column not in in_row[waiting[-1]]:
        waiting.pop()
    if waiting[-1] != came:
        return waiting[-1]
    waiting.pop()
    while column not in in_row[waiting[-1]]:
        waiting.pop()
    found = waiting[-1]
    waiting.append(came)
    return found


def grouped(groups: Codes, count: int, order: NDArray[np.intp] | None, sizes: Mapping[str, int], rows: int) -> Codes:
    """Return the split of each row; all rows of a group are in one, and no split exceeds its size by a whole group.

    Groups are dealt from the biggest one down (equals in the order of their first row in `order`), each to the split that
    lacks most. Rows that no split takes have the number len(sizes). Raises `PipelineError` if there are too few groups.
    """
    import numpy as np

    if count < len(sizes):
        raise PipelineError(
            f"there are {count} groups for the splits {', '.join(sizes)}, each of which needs one of its own: have fewer splits"
        )
    lacking = [*sizes.values(), rows - sum(sizes.values())]
    empty = set(range(len(sizes)))
    placed = np.empty(count, np.intp)
    for left, (group, size) in zip(range(count, 0, -1), _from_biggest(groups, count, order), strict=True):
        open_ = sorted(empty) if left <= len(empty) else range(len(lacking))
        split = max(open_, key=lambda each: (lacking[each], -each))
        lacking[split] -= size
        empty.discard(split)
        placed[group] = split
    return placed[groups]


def _from_biggest(groups: Codes, count: int, order: NDArray[np.intp] | None) -> list[tuple[int, int]]:
    """Return each group and its number of rows."""
    import numpy as np

    sizes = np.bincount(groups, minlength=count)
    seen, first = np.unique(groups if order is None else groups[order], return_index=True)
    ranked = seen[np.lexsort((first, -sizes[seen]))]
    return [(int(group), int(sizes[group])) for group in ranked]


def in_folds(groups: Codes, count: int, order: NDArray[np.intp] | None, folds: int) -> Codes:
    """Return the fold of each row; all rows of a group are in one, each group going to the lightest fold so far."""
    import numpy as np

    if count < folds:
        raise PipelineError(
            f"there are {count} groups for {folds} folds, each of which needs one of its own: have fewer folds"
        )
    weights = [0] * folds
    placed = np.empty(count, np.intp)
    for group, size in _from_biggest(groups, count, order):
        fold = min(range(folds), key=weights.__getitem__)
        weights[fold] += size
        placed[group] = fold
    return placed[groups]


def by_time(times: NDArray[Any], column: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the positions from the earliest to the latest (equals as they stand), and where in that order a new time begins."""
    import numpy as np

    if times.dtype == object:
        unknown = np.fromiter((_is_missing(item) for item in times), np.bool_, len(times))
    else:
        unknown = np.isnat(times) if times.dtype.kind in "mM" else times != times  # noqa: PLR0124 - NaN is not itself
    if unknown.any():
        raise _missing(column, np.flatnonzero(unknown))
    try:
        order = np.argsort(times, kind="stable")
        ordered = times[order]
        return order, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    except TypeError as error:
        raise PipelineError(
            f"the column {column!r} cannot be put in order ({error}; the first value is {short(times[0])}): split by one of times, "
            "numbers or texts"
        ) from error


def nearest_edges(counts: Mapping[str, int], edges: NDArray[np.intp], rows: int, column: str) -> dict[str, int]:
    """Return the counts moved so that no time is on both sides of a boundary: each boundary goes to the nearest edge."""
    import numpy as np

    left_over = rows - sum(counts.values())
    ends = np.cumsum(list(counts.values()))
    inner = ends if left_over else ends[:-1]
    if len(edges) < len(inner):
        raise PipelineError(
            f"the column {column!r} has {len(edges) + 1} different times, too few for {', '.join(counts)} to begin at times of "
            "their own: have fewer splits, or give ties='divide'"
        )
    chosen = [0]
    place = -1
    for number, end in enumerate(inner):
        low, high = place + 1, len(edges) - (len(inner) - number)
        place = low + int(np.argmin(np.abs(edges[low : high + 1] - end)))
        chosen.append(int(edges[place]))
    if not left_over:
        chosen.append(rows)
    return {name: chosen[index + 1] - chosen[index] for index, name in enumerate(counts)}
