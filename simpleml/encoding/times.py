"""Dates, times, durations and fixed offsets, with microseconds, zone and fold."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, TypeVar

from simpleml.encoding import payloads
from simpleml.encoding.faults import Fault, Unreadable, short
from simpleml.encoding.opaque import Opaque
from simpleml.encoding.registry import Codec, add, leaf
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

_T = TypeVar("_T", date, datetime, time)


def parse(cls: type[_T], stored: JSON) -> _T:
    """Return the naive `cls` that the ISO text `stored` stands for, in exactly the form that `isoformat` gives it."""
    value = cls.fromisoformat(payloads.text(stored))
    if value.isoformat() != stored:
        raise Fault(f"{short(stored)} is no {cls.__name__} that was written by simpleml.encoding")
    return value


def decode_zone(payload: JSON, walk: Decoder) -> tzinfo:
    """Return the zone in `payload`; one that this machine does not know makes the whole value `Opaque`."""
    zone = walk.decode(payload)
    if isinstance(zone, Opaque):
        raise Unreadable(zone.reason)
    if not isinstance(zone, tzinfo):
        raise Fault(f"expected a time zone, found {short(payload)}")
    return zone


def _encode_moment(value: datetime | time, walk: Encoder) -> JSON:
    text = value.replace(tzinfo=None).isoformat()
    if value.tzinfo is None and not value.fold:
        return text
    return {"at": text, "zone": walk.at(".tzinfo", value.tzinfo, value), "fold": value.fold}


def _decode_moment(cls: type[_T], payload: JSON, walk: Decoder) -> _T:
    if type(payload) is str:
        naive = parse(cls, payload)
        if getattr(naive, "tzinfo", None) is not None:
            raise Fault(f"{short(payload)} has an offset where none is written")
        return naive
    stored = payloads.record(payload, ("at", "zone", "fold"))
    zone = None if stored["zone"] is None else decode_zone(stored["zone"], walk)
    fold = payloads.integer(stored["fold"], least=0)
    naive = _decode_moment(cls, payloads.text(stored["at"]), walk)
    return naive.replace(tzinfo=zone, fold=fold)  # type: ignore[call-arg]  # never a plain date


def _decode_datetime(payload: JSON, walk: Decoder) -> datetime:
    return _decode_moment(datetime, payload, walk)


def _decode_time(payload: JSON, walk: Decoder) -> time:
    return _decode_moment(time, payload, walk)


def _encode_timedelta(value: timedelta) -> JSON:
    return [value.days, value.seconds, value.microseconds]


def _decode_timedelta(payload: JSON) -> timedelta:
    value = timedelta(*(payloads.integer(part) for part in payloads.items(payload, 3)))
    if _encode_timedelta(value) != payload:
        raise Fault(f"{short(payload)} is no duration in days, seconds and microseconds")
    return value


def _encode_timezone(value: timezone, walk: Encoder) -> JSON:
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]  # offset and, if one was given, name
    return [_encode_timedelta(offset), *walk.each(name)]


def _decode_timezone(payload: JSON, walk: Decoder) -> timezone:
    offset, *rest = payloads.items(payload) or [None]
    name = walk.each(rest)
    if len(name) > 1 or any(type(part) is not str for part in name):
        raise Fault(f"expected an offset and perhaps a name, found {short(payload)}")
    return timezone(_decode_timedelta(offset), *name)  # type: ignore[arg-type]


add(datetime, Codec("datetime", _encode_moment, _decode_datetime))
add(date, leaf("date", date.isoformat, lambda payload: parse(date, payload)))
add(time, Codec("time", _encode_moment, _decode_time))
add(timedelta, leaf("timedelta", _encode_timedelta, _decode_timedelta))
add(timezone, Codec("timezone", _encode_timezone, _decode_timezone))
