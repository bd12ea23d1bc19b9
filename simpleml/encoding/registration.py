"""How user classes get an encoder and a decoder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from simpleml.encoding import registry
from simpleml.encoding.classes import structure_codec
from simpleml.encoding.faults import type_name
from simpleml.encoding.registry import Codec
from simpleml.encoding.walk import FOLDED
from simpleml.errors import DuplicateNameError, EncodingError
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

T = TypeVar("T")
C = TypeVar("C", bound=type)

_lock = threading.Lock()
_owners: dict[str, type] = {}


@overload
def register_encoder(
    cls: type[T],
    tag: str | None = None,
    *,
    encode: Callable[[T], object] | None = None,
    decode: Callable[[Any], T] | None = None,
    aliases: Iterable[str] = (),
) -> type[T]: ...


@overload
def register_encoder(
    cls: None = None,
    tag: str | None = None,
    *,
    encode: Callable[[Any], object] | None = None,
    decode: Callable[[Any], object] | None = None,
    aliases: Iterable[str] = (),
) -> Callable[[C], C]: ...


def register_encoder(
    cls: type | None = None,
    tag: str | None = None,
    *,
    encode: Callable[[Any], object] | None = None,
    decode: Callable[[Any], object] | None = None,
    aliases: Iterable[str] = (),
) -> Any:
    """Make values of `cls` encodable under `tag` (default: the class's `__name__`), and return `cls`.

    `encode(value)` returns anything that can be encoded itself; `decode` gets that back and returns the value. Without
    them, a dataclass, a named tuple or an enum is stored by its fields or its member's name (no constructor runs when
    it is read), and any other class may define `__encode__(self)` and a class method `__decode__(cls, state)`.
    `aliases` are former tags, and former names `module:qualname`, that stay readable. Without `cls`, a decorator.

    Subclasses use the encoder of their most specific registered base, provided that its decoder gives the subclass
    back; else encoding them is an error, never a silent change of type. The same class (by module and name: a notebook
    cell run again) replaces its earlier registration; a tag that another class has is a `DuplicateNameError`.
    """
    if cls is None:
        return lambda found: register_encoder(found, tag, encode=encode, decode=decode, aliases=aliases)
    tag = tag or cls.__name__
    codec = _codec(cls, tag, encode, decode)
    former = tuple(aliases)
    with _lock:
        _require_free(cls, (tag, *former))
        for other in [other for other in registry.registered if _same(other, cls)]:
            registry.registered.discard(other)
            registry.encoders.pop(other, None)
        for name in (tag, *former):
            _owners[name] = cls
            registry.decoders[name] = codec
        for name in (registry.name_of(cls), *(name for name in former if ":" in name)):
            registry.class_names[name] = cls
        registry.encoders[cls] = codec
        registry.registered.add(cls)
    return cls


def _codec(
    cls: type, tag: str, encode: Callable[[Any], object] | None, decode: Callable[[Any], object] | None
) -> Codec:
    if encode is None and decode is None:
        structure = structure_codec(cls, tag)
        if structure is not None:
            return structure
        encode, decode = getattr(cls, "__encode__", None), getattr(cls, "__decode__", None)
    if encode is None or decode is None:
        raise EncodingError(
            f"register_encoder({cls.__name__}) needs both encode= and decode=: {type_name(cls)} is no dataclass, named "
            "tuple or enum, and does not define both __encode__ and __decode__"
        )
    write, restore = encode, decode

    def write_payload(value: object, walk: Encoder) -> JSON:
        return walk.encode(write(value))

    def read_payload(payload: JSON, walk: Decoder) -> object:
        return restore(walk.decode(payload))

    return Codec(tag, write_payload, read_payload)


def _require_free(cls: type, names: tuple[str, ...]) -> None:
    if cls in _PLAIN or (cls not in registry.registered and registry.encoder_of(cls) is not None):
        raise DuplicateNameError(f"{type_name(cls)} is encoded exactly already: register a class of your own")
    for name in names:
        owner = _owners.get(name)
        if owner is not None and not _same(owner, cls):
            raise DuplicateNameError(
                f"the tag {name!r} belongs to {type_name(owner)}: register {type_name(cls)} under another tag="
            )
        if owner is None and (name in registry.decoders or name in registry.LIBRARY_TAGS or name == FOLDED):
            raise DuplicateNameError(
                f"the tag {name!r} is one of simpleml's own: register {type_name(cls)} under another tag="
            )


def _same(one: type, other: type) -> bool:
    return registry.name_of(one) == registry.name_of(other)


_PLAIN = frozenset({type(None), bool, int, float, str, list, dict, object, type})
