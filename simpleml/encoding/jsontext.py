"""JSON structures to text and back, strictly: ASCII, no NaN or Infinity, no depth that breaks the parser."""

from __future__ import annotations

import json

from simpleml.encoding.faults import Fault, short
from simpleml.types import JSON


def _refuse_constant(text: str) -> float:
    raise Fault(f"{text} is not valid JSON")


# Pure ASCII passes every database and connection character set unharmed. What `encode` returns is a tree, so the
# writer need not look for cycles.
_WRITER = json.JSONEncoder(ensure_ascii=True, allow_nan=False, check_circular=False, separators=(",", ":"))
_READER = json.JSONDecoder(parse_constant=_refuse_constant)


def write(value: JSON) -> str:
    """Return `value` as strict ASCII JSON text without spaces."""
    try:
        return _WRITER.encode(value)
    except RecursionError as error:
        raise Fault("the JSON is nested too deeply to be written") from error
    except (TypeError, ValueError) as error:
        raise Fault(f"this is no JSON ({error})") from error


def read(text: str) -> JSON:
    """Return the JSON structure that `text` holds; anything but one strict JSON value is a fault."""
    if type(text) is not str:
        raise Fault(f"JSON text has to be a str, not {type(text).__name__}")
    try:
        value: JSON = _READER.decode(text)
    except RecursionError as error:
        raise Fault("the JSON is nested too deeply to be read") from error
    except ValueError as error:
        raise Fault(f"this is no valid JSON ({error}): {short(text)}") from error
    return value
