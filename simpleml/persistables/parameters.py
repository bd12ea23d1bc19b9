"""Parameters of somebody else's objects (estimators, transformers) as a record holds them: plain values, or what stands for one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from simpleml.hashing import hash_value
from simpleml.types import JSON

NOT_PLAIN: Any = object()
"""What `plain` returns for something that JSON does not have."""

_LONGEST = 1000  # characters of JSON; a longer value is named by its hash alone
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def described(params: Mapping[str, Any]) -> dict[str, JSON]:
    """Return each parameter as it is if it is short plain data, else as its type and content hash: the same everywhere."""
    found: dict[str, JSON] = {}
    for name, value in sorted(params.items()):
        kept = plain(value)
        found[name] = kept if _is_short(kept) else {"type": type(value).__qualname__, "hash": hash_value(value)}
    return found


def shown(params: Mapping[str, Any]) -> dict[str, JSON]:
    """Return each parameter as it is if it is short plain data, else as its `repr`, for people."""
    found: dict[str, JSON] = {}
    for name, value in sorted(params.items()):
        kept = plain(value)
        found[name] = kept if _is_short(kept) else _ADDRESS.sub("", repr(value))[:_LONGEST]
    return found


def plain(value: Any) -> Any:
    """Return `value` as plain JSON, numpy's numbers as Python's; `NOT_PLAIN` if anything in it is something else."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        items = [plain(item) for item in value]
        return NOT_PLAIN if any(item is NOT_PLAIN for item in items) else items
    if type(value) is dict and all(type(key) is str for key in value):
        members = {key: plain(item) for key, item in value.items()}
        return NOT_PLAIN if any(item is NOT_PLAIN for item in members.values()) else members
    return NOT_PLAIN


def _is_short(kept: Any) -> bool:
    return kept is not NOT_PLAIN and len(json.dumps(kept)) <= _LONGEST
