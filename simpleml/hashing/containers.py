"""Python's containers: sequences by order, dicts and sets without."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from itertools import chain
from types import MappingProxyType
from typing import Any

from simpleml.hashing.hashers import opens
from simpleml.hashing.instances import attributes
from simpleml.hashing.origins import type_name
from simpleml.hashing.tokens import Node
from simpleml.hashing.walker import item_label, key_label


@opens(list, tuple)
def open_sequence(value: list[object] | tuple[object, ...]) -> Node:
    """A list or tuple is its items in order; a named tuple also its type and field names."""
    cls = type(value)
    if cls is list:
        return Node(b"list", b"", value, item_label)
    if cls is tuple:
        return Node(b"tuple", b"", value, item_label)
    plain = list.__iter__(value) if isinstance(value, list) else tuple.__iter__(value)
    return _subclass(value, (getattr(value, "_fields", None), list(plain)))


@opens(dict)
def open_dict(value: dict[object, object]) -> Node:
    """A dict is its items, in whatever order they came."""
    pairs = list(chain.from_iterable(dict.items(value)))
    if type(value) is dict:
        return Node(b"dict", b"", pairs, key_label, order="pairs")
    return _subclass(value, (None, Pairs(pairs)))


@opens(defaultdict)
def open_defaultdict(value: defaultdict[object, object]) -> Node:
    """A defaultdict is its items and its factory."""
    return _subclass(value, (value.default_factory, Pairs(chain.from_iterable(dict.items(value)))))


@opens(OrderedDict)
def open_ordered_dict(value: OrderedDict[object, object]) -> Node:
    """An OrderedDict is its items in order, as its equality has it."""
    ordered = Pairs(chain.from_iterable(OrderedDict.items(value)))
    ordered.order = "sequence"
    return _subclass(value, (None, ordered))


@opens(set, frozenset)
def open_set(value: set[object] | frozenset[object]) -> Node:
    """A set is its items, in whatever order they come."""
    cls = type(value)
    items = list(set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value))
    if cls is set:
        return Node(b"set", b"", items, _set_label, order="set")
    if cls is frozenset:
        return Node(b"frozenset", b"", items, _set_label, order="set")
    plain: object = set(items) if isinstance(value, set) else frozenset(items)
    return _subclass(value, (None, plain))


@opens(MappingProxyType)
def open_proxy(value: MappingProxyType[object, object]) -> Node:
    """A read-only view of a mapping is that mapping's items."""
    return Node(b"mappingproxy", b"", list(chain.from_iterable(value.items())), key_label, order="pairs")


@opens(range)
def open_range(value: range) -> Node:
    """A range is the integers it yields, as its equality has it."""
    length = len(value)
    parts = (length, value.start if length else 0, value.step if length > 1 else 1)
    return Node(b"range", b"", parts, ("", "", ""))


class Pairs(list[object]):
    """Keys and values in turn, for a container that has more parts than its items."""

    order = "pairs"


@opens(Pairs)
def open_pairs(value: Pairs) -> Node:
    """Items of a mapping, in order only if that counts."""
    return Node(b"items", value.order.encode(), value, key_label, order=value.order)


def _subclass(value: Any, parts: tuple[object, object]) -> Node:
    """A container of another type is also that type, and its attributes."""
    return Node(b"container", type_name(type(value)), (parts[0], parts[1], attributes(value)), ("", "", ""))


def _set_label(node: Node, index: int) -> str:
    return f".{{item of type {type(node.children[index]).__qualname__}}}"
