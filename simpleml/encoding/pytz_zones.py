"""Zones of pytz, which pandas before version 3 puts into its times: by key, with the offset of a localized one."""

from __future__ import annotations

import importlib
from datetime import timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault, Unreadable, short
from simpleml.encoding.registry import Codec, add, families
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

pytz: Any = importlib.import_module("pytz")  # it has no types
_tzinfo: Any = importlib.import_module("pytz.tzinfo")


def _encode(value: Any, walk: Encoder) -> JSON:
    if value.zone is None:
        return [walk.encode(value.utcoffset(None))]
    zone = pytz.timezone(value.zone)
    if value is zone:
        return value.zone  # type: ignore[no-any-return]
    local = getattr(zone, "_tzinfos", {})
    found = next((key for key, variant in local.items() if variant is value), None)
    if found is None:
        raise Fault(f"{short(value)} is not the zone that pytz knows under this name")
    return [value.zone, *walk.each(found)]


def _decode(payload: JSON, walk: Decoder) -> tzinfo:
    if type(payload) is str:
        return _zone(payload)
    parts = walk.each(payloads.items(payload))
    if len(parts) == 1 and type(parts[0]) is timedelta:
        minutes, rest = divmod(parts[0], timedelta(minutes=1))
        if rest:
            raise Fault(f"pytz has no offset of {parts[0]}")
        return pytz.FixedOffset(minutes)  # type: ignore[no-any-return]
    key, *local = parts
    found: tzinfo | None = getattr(_zone(payloads.text(key)), "_tzinfos", {}).get(tuple(local))  # type: ignore[arg-type]
    if found is None:
        raise Unreadable(f"pytz here does not know this offset of {key}")
    return found


def _zone(key: str) -> tzinfo:
    if key not in pytz.all_timezones_set:
        raise Unreadable(f"pytz here has no zone {short(key)}")
    return pytz.timezone(key)  # type: ignore[no-any-return]


_ZONE = Codec("pytz.timezone", _encode, _decode)
add(type(pytz.utc), _ZONE)
add(type(pytz.FixedOffset(1)), _ZONE)
families[_tzinfo.BaseTzInfo] = _ZONE  # each zone is a class of its own
