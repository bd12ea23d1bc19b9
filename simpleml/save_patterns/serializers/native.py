"""What the formats of the boosting libraries share: the model is in the library's own file, the estimator around it in the details."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, cast

from simpleml import encoding
from simpleml.encoding.faults import short
from simpleml.errors import EncodingError, SerializationError
from simpleml.types import JSON

_SCORES = "defaultdict of OrderedDict"


def attributes(value: object, found: Mapping[str, Any], *, but: Iterable[str] = ()) -> JSON:
    """Return the attributes of an estimator as JSON, or raise a `SerializationError` that names the one that is code."""
    encoded: dict[str, JSON] = {}
    for name, one in found.items():
        if name in but:
            continue
        try:
            encoded[name] = encoding.encode(_plain(one), name=name)
        except EncodingError as error:
            raise SerializationError(
                f"the {name} of this {type(value).__qualname__} is {short(one)}, which its library's own format has no room for "
                f"({error}). Set it to None before it is saved, or keep the estimator with the pattern 'pickled'."
            ) from error
    return encoded


def restored(details: Mapping[str, JSON], what: str) -> dict[str, Any]:
    """Return the attributes that the details hold; `SerializationError` if they are not those of `what`."""
    found = details.get("attributes", {})
    try:
        if not isinstance(found, dict):
            raise EncodingError("they are no mapping")  # what a record holds is data, not an argument
        return {name: _back(encoding.decode(one, name=name)) for name, one in found.items()}
    except EncodingError as error:
        raise SerializationError(f"the attributes of this {what} cannot be read: {error}") from error


def class_among(known: Mapping[str, type], details: Mapping[str, JSON], what: str) -> Any:
    """Return the class that the details name, one of `known`; nothing else is ever looked up."""
    name = details.get("class")
    if not isinstance(name, str) or name not in known:
        raise SerializationError(
            f"the class of this {what} is {short(name)}, which is none of {', '.join(sorted(known))}: the record was edited, or "
            "another version of the library wrote it"
        )
    return known[name]


def unreadable(what: str, size: int, why: object) -> SerializationError:
    """Return the error for bytes that are no whole file of this kind."""
    return SerializationError(f"these {size} bytes are no whole {what}: {str(why)[:300]}")


def _plain(value: Any) -> Any:
    """Return what JSON can name: LightGBM's best scores are a `defaultdict` of a kind that it cannot."""
    if type(value) is defaultdict and value.default_factory is OrderedDict:
        return _SCORES, dict(value)
    return cast("Any", value)


def _back(value: Any) -> Any:
    if type(value) is tuple and len(value) == 2 and value[0] == _SCORES:
        return defaultdict(OrderedDict, value[1])
    return cast("Any", value)
