"""The four functions of the codec."""

from __future__ import annotations

from simpleml.encoding import jsontext
from simpleml.encoding.faults import Fault
from simpleml.encoding.registry import TAG
from simpleml.encoding.walk import FOLDED, Decoder, Encoder
from simpleml.errors import EncodingError
from simpleml.types import JSON

# MariaDB reads no JSON of more than 32 levels; some are left for the document ours may be put into. Seven levels of
# values are at most 3 * 7 levels of JSON and those of one payload.
_LEVELS = 28
_SHALLOW = 7


def encode(value: object, *, name: str = "value") -> JSON:
    """Return `value` as a new JSON structure from which `decode` makes an equal value of the same type.

    `value` is not changed and nothing of it is shared. What cannot be encoded exactly is an `EncodingError` that names
    its path below `name`. Plain data (None, bool, int of 64 bits, finite float, str, list, dict with string keys) is
    returned as it is; everything else is tagged.
    """
    walk = Encoder()
    try:
        result = walk.encode(value)
        return result if walk.deepest <= _SHALLOW else _fold(result, _LEVELS)
    except Fault as fault:
        raise EncodingError(fault.describe(name)) from fault.__cause__
    except RecursionError as error:
        raise EncodingError(f"{name} is nested too deeply to be encoded from here") from error


def decode(value: JSON, *, name: str = "value") -> object:
    """Return the value that `encode` was given; it never imports what `value` names, and never unpickles or evaluates.

    Tags and classes that are not known here come back as `Opaque`. JSON that `encode` cannot have written is an
    `EncodingError`. `value` is not changed and nothing of it is shared.
    """
    try:
        return Decoder().decode(value)
    except Fault as fault:
        raise EncodingError(fault.describe(name)) from fault.__cause__
    except RecursionError as error:
        raise EncodingError(f"{name} is nested too deeply to be decoded from here") from error


def dumps(value: object, *, name: str = "value") -> str:
    """Return `value` encoded as strict JSON text: ASCII, without NaN and Infinity, the same for the same value."""
    encoded = encode(value, name=name)
    try:
        return jsontext.write(encoded)
    except Fault as fault:
        raise EncodingError(fault.describe(name)) from fault.__cause__


def loads(text: str, *, name: str = "value") -> object:
    """Return the value that `dumps` was given; text that is not strict JSON is an `EncodingError`."""
    try:
        parsed = jsontext.read(text)
    except Fault as fault:
        raise EncodingError(fault.describe(name)) from fault.__cause__
    return decode(parsed, name=name)


def _fold(value: JSON, levels: int) -> JSON:
    """Return `value` in at most `levels` levels: a part that needs more becomes JSON text under a tag."""
    if isinstance(value, list | dict) and _levels(value) > levels:
        if levels > 1 and isinstance(value, list):
            return [_fold(item, levels - 1) for item in value]
        if levels > 1 and isinstance(value, dict) and TAG not in value:
            return {key: _fold(item, levels - 1) for key, item in value.items()}
        return {TAG: FOLDED, "value": jsontext.write(value)}
    return value


def _levels(value: JSON) -> int:
    """Return how many lists and objects are nested in `value`."""
    count = 0
    level: list[JSON] = [value]
    while level := [item for item in level if isinstance(item, list | dict)]:
        count += 1
        level = [child for item in level for child in (item if isinstance(item, list) else item.values())]
    return count
