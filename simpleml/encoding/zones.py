"""Zones of the IANA database, by key."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault, Unreadable, short
from simpleml.encoding.registry import add, leaf
from simpleml.types import JSON

_KEY = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,3}")


def _encode(value: ZoneInfo) -> JSON:
    if _KEY.fullmatch(value.key or "") is None:
        raise Fault("a zone without a key of the IANA database (ZoneInfo('Europe/Berlin') has one) cannot be stored")
    return value.key


def _decode(payload: JSON) -> ZoneInfo:
    key = payloads.text(payload)
    if _KEY.fullmatch(key) is None:
        raise Fault(f"{short(key)} is no key of a time zone")
    try:
        return ZoneInfo(key)
    except (ZoneInfoNotFoundError, OSError) as error:  # a folder of the database is an IsADirectoryError
        raise Unreadable(f"the time zone database here has no {key}") from error


add(ZoneInfo, leaf("zoneinfo.ZoneInfo", _encode, _decode))
