"""What an object may be called: checked before any byte is written."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from simpleml.encoding.faults import short
from simpleml.errors import EncodingError, IdentityError

LONGEST = 255
"""The most characters that a name, project, author or registered name may have."""


def checked_text(field: str, value: object) -> str:
    """Return `value` if it can be stored and compared on every database: 1 to 255 characters, none of them NUL."""
    if not isinstance(value, str):
        raise IdentityError(
            f"{field} is {short(value)} ({type(value).__name__}), but must be text of 1 to {LONGEST} characters"
        )
    if not 1 <= len(value) <= LONGEST:
        raise IdentityError(f"{field} has {len(value)} characters ({short(value)}), but must have 1 to {LONGEST}")
    return storable_text(field, value)


def storable_text(field: str, value: str) -> str:
    """Return `value` if every database can store it as text, whatever its length."""
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise IdentityError(
            f"{field} is {short(value)}: NUL and lone surrogates cannot be stored as text; leave them out"
        )
    return value


def checked_description(value: object) -> str | None:
    """Return `value` if it can describe a version: any text that can be stored, or None."""
    if value is not None and not isinstance(value, str):
        raise IdentityError(f"version_description is {short(value)} ({type(value).__name__}), but must be text")
    return None if value is None else storable_text("version_description", value)


def checked_mapping(field: str, value: object, example: str = "{'key': 'value'}") -> dict[str, Any]:
    """Return a deep copy of `value`, if that is a mapping; `None` stands for an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise IdentityError(
            f"{field} is {short(value)} ({type(value).__name__}), but must be a mapping, such as {field}={example}"
        )
    return {key: copied(item) for key, item in value.items()}


def copied(value: Any) -> Any:
    """Return `value` with its plain dicts and lists replaced by copies, at every depth."""
    try:
        return _copied(value)
    except RecursionError as error:
        raise EncodingError(
            f"{short(value)} contains itself, or is nested too deeply: break the cycle, or keep it as an artifact"
        ) from error


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if type(value) is list else value


def checked_id(value: object) -> UUID:
    """Return `value` as a UUID; text in any of the usual forms is taken too."""
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError as error:
            raise IdentityError(
                f"id is {short(value)}, which is no UUID: give one like '7f0c…', or look it up with versions(name=…)"
            ) from error
    raise IdentityError(f"id is {short(value)} ({type(value).__name__}), but must be a UUID or its text")


def checked_version(value: object) -> int:
    """Return `value` if it can be a version: a whole number from 1 on."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise IdentityError(f"version is {short(value)} ({type(value).__name__}), but must be a whole number from 1 on")
    value = operator.index(value)
    if not 1 <= value < 2**31:
        shown = value if value.bit_length() < 100 else f"a number of {value.bit_length()} bits"
        raise IdentityError(f"version is {shown}, but must be between 1 and {2**31 - 1}")
    return value
