"""scikit-learn estimators: the full fitted state, without what says where and how often it ran."""

from __future__ import annotations

from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.instances import open_state
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node

# The version of the library, the address of a list, the number of this machine's cores.
_ACCIDENTS = frozenset({"_sklearn_version", "_stop_words_id"})
_BINNING_ACCIDENTS = _ACCIDENTS | {"n_threads"}
_NEIGHBOURS = frozenset({"prev_leaf_", "next_leaf_"})  # links along the leaves of a tree that holds each of them
_COUNTERS = slice(7, 11)  # trims, leaves, splits and calls: how often a search tree was asked


@opens("sklearn.base.BaseEstimator")
def open_estimator(value: Any) -> bytes | Node:
    """An estimator is its type, its parameters and all that fitting gave it; its scorer may lead back to it."""
    return open_state(value, drop=_ACCIDENTS, cyclic=True)


@opens("sklearn.ensemble._hist_gradient_boosting.binning._BinMapper")
def open_bin_mapper(value: Any) -> bytes | Node:
    """A bin mapper is its bins, on however many threads they were found."""
    return open_state(value, drop=_BINNING_ACCIDENTS)


@opens("sklearn.cluster._birch._CFNode")
def open_birch_node(value: Any) -> bytes | Node:
    """A node of Birch's tree is its clusters and the nodes below it."""
    return open_state(value, drop=_NEIGHBOURS)


@opens("sklearn.neighbors.KDTree", "sklearn.neighbors.BallTree")
def open_search_tree(value: Any) -> bytes | Node:
    """A search tree is its points and nodes; being asked does not change it."""
    state = value.__getstate__()
    if not isinstance(state, tuple) or len(state) != 13:
        return open_state(value)
    return Node(b"search tree", type_name(type(value)), state[: _COUNTERS.start] + state[_COUNTERS.stop :], ("",))
