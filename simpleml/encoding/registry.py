"""Which codec writes a class and which reads a tag; nothing here imports what stored JSON names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

from simpleml.encoding.faults import Unreadable
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

TAG = "__simpleml__"


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one class become the payload under one tag, and back."""

    tag: str
    encode: Callable[[Any, Encoder], JSON]
    decode: Callable[[JSON, Decoder], object]


def leaf(tag: str, encode: Callable[[Any], JSON], decode: Callable[[JSON], object]) -> Codec:
    """Return the codec of a class whose values hold no other values."""
    return Codec(tag, lambda value, _walk: encode(value), lambda payload, _walk: decode(payload))


encoders: dict[type, Codec] = {}
decoders: dict[str, Codec] = {}
families: dict[type, Codec] = {}
"""Bases in those libraries all of whose subclasses in the library one codec writes."""
registered: set[type] = set()
"""The classes that `register_encoder` brought: only theirs are inherited by subclasses."""
class_names: dict[str, type] = {}
"""`module:qualname`, current and former, of the registered classes."""

# Modules of this package that need a library, by the first part of the library's class names. They are imported when
# a value of that library is met, or one of exactly these tags.
_LIBRARIES = {
    "numpy": "arrays",
    "pandas": "frames",
    "polars": "polars_frames",
    "zoneinfo": "zones",
    "pytz": "pytz_zones",
}
LIBRARY_TAGS = frozenset(
    {
        *(f"numpy.{name}" for name in ("ndarray", "scalar", "dtype")),
        *(f"pandas.{name}" for name in ("DataFrame", "Series", "Index", "array")),
        *(f"pandas.{name}" for name in ("Timestamp", "Timedelta", "Period", "Interval", "NaT", "NA")),
        *(f"polars.{name}" for name in ("DataFrame", "Series")),
        "zoneinfo.ZoneInfo",
        "pytz.timezone",
    }
)


def add(cls: type | None, codec: Codec) -> None:
    """Make `codec` the writer of exactly `cls` (nothing, if `None`) and the reader of its tag."""
    decoders[codec.tag] = codec
    if cls is not None:
        encoders[cls] = codec


def encoder_of(cls: type) -> Codec | None:
    """Return the codec registered for exactly `cls`, if there is one."""
    found = encoders.get(cls)
    if found is None:
        root = cls.__module__.partition(".")[0]
        if root in _LIBRARIES and root in sys.modules:
            importlib.import_module(f"simpleml.encoding.{_LIBRARIES[root]}")
            found = encoders.get(cls) or next((families[base] for base in cls.__mro__ if base in families), None)
    return found


def inherited_encoder(cls: type) -> Codec | None:
    """Return the codec of the most specific base of `cls` that `register_encoder` brought, if there is one."""
    return next((encoders[base] for base in cls.__mro__[1:] if base in registered), None)


def decoder_of(tag: str) -> Codec | None:
    """Return the codec that reads `tag`; `None` if nobody does, `Unreadable` if its library is not installed."""
    found = decoders.get(tag)
    if found is None and tag in LIBRARY_TAGS:
        root = tag.partition(".")[0]
        try:
            importlib.import_module(f"simpleml.encoding.{_LIBRARIES[root]}")
        except ImportError as error:
            raise Unreadable(f"{root} is not installed") from error
        found = decoders.get(tag)
    return found


def name_of(cls: type) -> str:
    """Return `module:qualname`, under which `find_class` looks for `cls`."""
    return f"{cls.__module__}:{cls.__qualname__}"


def find_class(name: str) -> type | None:
    """Return the class that is registered as `module:qualname`, or that is imported already and defined there.

    Nothing is imported and no code runs: names are looked up in namespaces, never as attributes, because a module's
    `__getattr__` and a class's descriptors are code.
    """
    if name in class_names:
        return class_names[name]
    module_name, _, qualname = name.partition(":")
    module = sys.modules.get(module_name)
    if module is None or not issubclass(type(module), ModuleType):
        return None
    scope = object.__getattribute__(module, "__dict__")
    found: object = None
    for part in qualname.split("."):
        found = scope.get(part)
        if not issubclass(type(found), type):
            return None
        scope = type.__dict__["__dict__"].__get__(found)
    if scope.get("__module__") != module_name or type.__dict__["__qualname__"].__get__(found) != qualname:
        return None  # an alias of a class that is defined elsewhere
    return found  # type: ignore[return-value]  # a class, by the check in the loop
