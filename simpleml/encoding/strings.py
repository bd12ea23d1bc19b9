"""Strings that every database's JSON takes, and an escape for the others."""

from __future__ import annotations

import re

from simpleml.encoding.faults import Fault

# PostgreSQL refuses an escaped NUL or a lone surrogate as soon as it looks into the document (`->>`, `jsonb`), and
# with it every other key of that row.
_UNSAFE = re.compile("[\0\ud800-\udfff]")
_ESCAPED = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(.{0,4})", re.DOTALL)


def is_safe(text: str) -> bool:
    """Return whether `text` is free of NUL and of lone surrogates."""
    if text.isascii():
        return "\0" not in text
    return _UNSAFE.search(text) is None


def escape(text: str) -> str:
    r"""Return `text` with NUL, surrogates and backslashes as `\` and four hexadecimal digits."""
    return _ESCAPED.sub(lambda match: f"\\{ord(match[0]):04x}", text)


def unescape(text: str) -> str:
    """Return what `escape` was given; anything else is a fault."""
    try:
        result = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    except ValueError as error:
        raise Fault(f"this is no escaped string ({error})") from error
    if escape(result) != text:
        raise Fault("this is no escaped string")
    return result
