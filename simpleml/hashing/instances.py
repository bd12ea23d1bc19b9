"""Instances of ordinary classes: the type's name and the state that pickle would save."""

from __future__ import annotations

import copyreg
import dataclasses
from collections.abc import Iterator
from functools import cached_property
from types import ModuleType
from typing import Any
from weakref import CallableProxyType, ProxyType, ReferenceType

from simpleml.hashing.hashers import opens
from simpleml.hashing.origins import is_library_module, type_name
from simpleml.hashing.tokens import Node, Refusal, leaf
from simpleml.hashing.walker import attribute_label


@opens(object)
def open_instance(value: object) -> bytes | Node:
    """An instance is its type's name and its state, with what it is made from where it says so by `__reduce__`."""
    return open_state(value)


def open_state(value: object, *, drop: frozenset[str] = frozenset(), cyclic: bool = False) -> bytes | Node:
    """Take an instance apart as pickle would, without the attributes in `drop`."""
    cls = type(value)
    if isinstance(value, Iterator) and is_library_module(cls.__module__):
        raise Refusal(f"a {cls.__qualname__} would be used up by looking at it; hash what it yields instead")
    reduced = _reduce(value)
    if isinstance(reduced, str):  # a name that an importer finds: `pandas.NA`, a function of an extension module
        module = getattr(value, "__module__", None) or cls.__module__
        return leaf(b"g", f"{module}:{reduced}".encode("utf-8", "surrogatepass"))
    function, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    if function is copyreg.__newobj__ and arguments == (cls,) and items is None and pairs is None:  # type: ignore[attr-defined]
        plain = Attributes(_state(value, state), drop)
        if plain.opaque is None:
            return Node(b"object", type_name(cls), plain.pairs, attribute_label, order="pairs", cyclic=cyclic)
    made = (
        None if function is cls or function is copyreg.__newobj__ else function,  # type: ignore[attr-defined]
        [_ITSELF if item is cls else item for item in arguments],
        Attributes(_state(value, state), drop),
        None if items is None else list(items),
        None if pairs is None else dict(pairs),
    )
    labels = (".__reduce__()[0]", ".__reduce__()[1]", "", "", "")
    return Node(b"reduced", type_name(cls), made, labels, cyclic=cyclic)


def _reduce(value: object) -> Any:
    """Return what pickle would save of `value`."""
    reducer = copyreg.dispatch_table.get(type(value))
    try:
        return reducer(value) if reducer is not None else value.__reduce_ex__(4)
    except Exception as error:
        raise Refusal(f"a {type(value).__qualname__} has no state that could be saved ({error})") from error


def _state(value: object, state: object) -> object:
    """Return the state as a dict of attributes where it is one, without what `cached_property` has cached."""
    cls = type(value)
    if state is None:
        return {}
    if getattr(cls.__getstate__, "__module__", None) == "dataclasses":  # frozen with slots: the values alone
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}  # type: ignore[arg-type]
    if cls.__getstate__ is not object.__getstate__:
        return state
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):  # `__dict__` or None, slots
        state = {**(state[0] or {}), **state[1]}
    if isinstance(state, dict):
        return {k: v for k, v in state.items() if not isinstance(getattr(cls, str(k), None), cached_property)}
    return state


def attributes(value: object) -> Attributes:
    """Return what an instance of a subclass of a built-in type has beside that type's own content."""
    try:
        return Attributes(_state(value, value.__getstate__()))
    except Exception as error:
        raise Refusal(f"the __getstate__ of this {type(value).__qualname__} failed ({error})") from error


class _Itself:
    """Stands for an instance's own type among the arguments that it is made with."""

    __slots__ = ()


_ITSELF = _Itself()


@opens(_Itself)
def open_itself(_value: _Itself) -> bytes:
    """The type is named beside the arguments."""
    return leaf(b"I", b"")


class Attributes:
    """The state of an instance: names and values in turn, or one opaque value."""

    __slots__ = ("opaque", "pairs")

    def __init__(self, state: object, drop: frozenset[str] = frozenset()) -> None:
        self.opaque: object = None
        self.pairs: list[object] = []
        if isinstance(state, dict) and all(type(name) is str for name in state):
            self.pairs = [part for name, item in state.items() if name not in drop for part in (name, item)]
        else:
            self.opaque = state


@opens(Attributes)
def open_attributes(value: Attributes) -> Node:
    """State beside other parts of an instance."""
    if value.opaque is not None:
        return Node(b"state", b"", (value.opaque,), (".__getstate__()",))
    return Node(b"attributes", b"", value.pairs, attribute_label, order="pairs")


@opens(ReferenceType, ProxyType, CallableProxyType)
def open_weak(_value: object) -> Node:
    """A weak reference does not own what it leads to."""
    raise Refusal("a weak reference is no value; it does not keep what it leads to")


@opens(ModuleType)
def open_module(value: ModuleType) -> bytes:
    """A module is its name."""
    return leaf(b"m", value.__name__.encode("utf-8", "surrogatepass"))
