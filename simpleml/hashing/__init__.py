"""Content hashes of values: what a value *is*, never how it happens to lie in memory or in a pickle.

The same value gives the same hash in every process, on every machine, from every folder, under every
`PYTHONHASHSEED`, before and after it was saved and loaded. Another value gives another hash (BLAKE3, 256 bits).

What counts:

* types: `1`, `1.0`, `True` and `numpy.int64(1)` are four values, a list is no tuple. Two layouts of the same values are
  one value: C and Fortran order, strides, byte order and padding of arrays; chunks, offsets, bytes under nulls and
  32 or 64-bit offsets of Arrow columns; the storage of pandas strings; a range and the same integers as a row index.
* the order of rows, lists, tuples, `OrderedDict`, columns and categories; never that of dicts and sets.
* all NaNs are alike; `+0.0` and `-0.0` differ; `Decimal("1.0")` and `Decimal("1.00")` differ.
* an instance is its type's name and its state (what pickle would save, without what `functools.cached_property`
  cached). A library's type is named with its module; a user's own by its qualified name alone, so that a script and
  an import of it agree, and moving a class to another file changes nothing.
* a library's functions and classes are their qualified names; a user's are their source text, with defaults and closed-over
  values but without globals. Where no source is at hand, or it is not what runs, the code object takes its place: such a
  hash holds for one minor version of Python.

A value without a stable hash (a lock, an open file, a generator, a cycle) is a `HashingError` that names the attribute;
`register_hasher` teaches the hasher a type.
"""

from __future__ import annotations

from simpleml.hashing import code, containers, instances, scalars  # each registers what it knows
from simpleml.hashing.hashers import register_hasher
from simpleml.hashing.tokens import SCHEME
from simpleml.hashing.walker import hash_value

__all__ = ["SCHEME", "hash_value", "register_hasher"]

del code, containers, instances, scalars
