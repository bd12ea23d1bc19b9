"""What the order of scores says: areas under curves, and gains of rankings. Each takes ties as ties."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simpleml.metrics.confusion import Numbers, Truths

    Places: TypeAlias = NDArray[np.intp]


def roc_auc(positive: Truths, scores: Numbers) -> float:
    """Return the chance that a positive row has a higher score than a negative one, ties counting half.

    Not a number if there are only positive or only negative rows.
    """
    import numpy as np

    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    order = np.argsort(scores, kind="stable")
    first, sizes = _ties(scores[order])
    # The mean rank of each group of equal scores, counted from 1.
    ranks = np.repeat(first + (sizes + 1) / 2, sizes)
    total = float(ranks[positive[order]].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(positive: Truths, scores: Numbers) -> float:
    """Return the precision at each score, weighted by the recall that it adds; not a number without positive rows."""
    import numpy as np

    positives = int(positive.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    first, sizes = _ties(scores[order])
    last = first + sizes - 1
    found = positive[order].cumsum()[last]
    gained = np.diff(found, prepend=0) / positives
    return float((gained * found / (last + 1)).sum())


def dcg(gains: Numbers, scores: Numbers, k: int | None) -> float:
    """Return the discounted gain of the first `k` rows in the order of `scores`; equal scores share their places' gain."""
    import numpy as np

    discounts = 1 / np.log2(np.arange(2, len(scores) + 2))
    if k is not None:
        discounts[k:] = 0
    order = np.argsort(-scores, kind="stable")
    first, sizes = _ties(scores[order])
    mean_gain = np.add.reduceat(gains[order], first) / sizes
    return float((mean_gain * np.add.reduceat(discounts, first)).sum())


def ndcg(gains: Numbers, scores: Numbers, k: int | None) -> float:
    """Return `dcg` as a share of that of the best order; 0 if nothing gains anything."""
    best = dcg(gains, gains, k)
    return dcg(gains, scores, k) / best if best else 0.0


def _ties(ordered: Numbers) -> tuple[Places, Places]:
    """Return where each group of equal numbers begins, and how many there are in it."""
    import numpy as np

    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return first, np.diff(np.append(first, len(ordered)))
