"""SciPy sparse matrices and arrays: format, dtype, shape and stored entries, in canonical order."""

from __future__ import annotations

from typing import Any

import numpy as np

from simpleml.hashing.hashers import opens
from simpleml.hashing.tokens import Node


@opens("scipy.sparse.spmatrix", "scipy.sparse.sparray")
def open_sparse(value: Any) -> Node:
    """A sparse matrix is its class, its shape and its stored entries; their order and the width of indices do not count."""
    kind = type(value).__name__.encode()
    if value.format in {"csr", "csc"}:
        if not value.has_canonical_format:
            value = value.copy()
            value.sum_duplicates()
        parts: tuple[object, ...] = (value.shape, _wide(value.indptr), _wide(value.indices), value.data)
    else:
        entries = value.tocoo(copy=True)
        entries.sum_duplicates()
        parts = (value.shape, *map(_wide, entries.coords), entries.data)
    return Node(b"sparse", kind, parts, lambda _node, _index: "")


def _wide(indices: Any) -> Any:
    return np.asarray(indices, np.int64)
