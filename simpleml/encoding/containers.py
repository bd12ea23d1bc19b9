"""Containers of the standard library; order is kept where the container has one."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from simpleml.encoding import jsontext, payloads
from simpleml.encoding.faults import Fault, short
from simpleml.encoding.registry import Codec, add
from simpleml.types import JSON

if TYPE_CHECKING:
    from simpleml.encoding.walk import Decoder, Encoder

_FACTORIES: dict[str, Callable[[], object]] = {
    kind.__name__: kind for kind in (int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset)
}
_FACTORY_NAMES = {kind: name for name, kind in _FACTORIES.items()}


def _encode_each(value: Iterable[object], walk: Encoder) -> JSON:
    return walk.each(value)


def _encode_set(value: set[object] | frozenset[object], walk: Encoder) -> JSON:
    # In the order of their JSON text, so that equal sets are written alike in every process.
    return sorted(walk.each(value), key=jsontext.write)


def _encode_pairs(value: Mapping[object, object], walk: Encoder) -> JSON:
    return walk.pairs(value)


def _decode_tuple(payload: JSON, walk: Decoder) -> tuple[object, ...]:
    return tuple(walk.each(payloads.items(payload)))


def _decode_set(payload: JSON, walk: Decoder) -> set[object]:
    found = walk.each(payloads.items(payload))
    value = set(found)
    if len(value) != len(found):
        raise Fault("a set with equal elements")
    return value


def _decode_frozenset(payload: JSON, walk: Decoder) -> frozenset[object]:
    return frozenset(_decode_set(payload, walk))


def _decode_pairs(payload: JSON, walk: Decoder) -> dict[object, object]:
    stored = payloads.items(payload)
    value: dict[object, object] = {}
    for index, pair in enumerate(stored):
        key, item = payloads.items(pair, 2)
        decoded = walk.at(f"[{index}]", key, stored)
        value[decoded] = walk.at(f"[{short(decoded)}]", item, stored)
    if len(value) != len(stored):
        raise Fault("a dict with equal keys")
    return value


def _decode_ordered(payload: JSON, walk: Decoder) -> OrderedDict[object, object]:
    return OrderedDict(_decode_pairs(payload, walk))


def _decode_counter(payload: JSON, walk: Decoder) -> Counter[object]:
    value: Counter[object] = Counter()
    for key, count in _decode_pairs(payload, walk).items():
        value[key] = count  # type: ignore[assignment]  # counts may be anything
    return value


def _encode_defaultdict(value: defaultdict[object, object], walk: Encoder) -> JSON:
    factory = value.default_factory
    if factory is not None and (type(factory) is not type or factory not in _FACTORY_NAMES):
        raise Fault(
            f"the default factory {short(factory)} cannot be stored (known: {', '.join(_FACTORIES)}): "
            "turn it into a dict"
        )
    return {"factory": None if factory is None else _FACTORY_NAMES[factory], "items": walk.pairs(value)}


def _decode_defaultdict(payload: JSON, walk: Decoder) -> defaultdict[object, object]:
    stored = payloads.record(payload, ("factory", "items"))
    name = stored["factory"]
    if name is not None and payloads.text(name) not in _FACTORIES:
        raise Fault(f"the default factory {short(name)} is not known ({', '.join(_FACTORIES)})")
    factory = None if name is None else _FACTORIES[payloads.text(name)]
    return defaultdict(factory, _decode_pairs(stored["items"], walk))


def _encode_deque(value: deque[object], walk: Encoder) -> JSON:
    return {"maxlen": value.maxlen, "items": walk.each(value)}


def _decode_deque(payload: JSON, walk: Decoder) -> deque[object]:
    stored = payloads.record(payload, ("maxlen", "items"))
    found = walk.each(payloads.items(stored["items"]))
    maxlen = stored["maxlen"]
    return deque(found, None if maxlen is None else payloads.integer(maxlen, least=len(found)))


def _encode_range(value: range, walk: Encoder) -> JSON:
    return walk.each((value.start, value.stop, value.step))


def _decode_range(payload: JSON, walk: Decoder) -> range:
    start, stop, step = walk.each(payloads.items(payload, 3))
    if type(start) is not int or type(stop) is not int or type(step) is not int:
        raise Fault(f"expected three integers, found {short(payload)}")
    return range(start, stop, step)


def _encode_slice(value: slice, walk: Encoder) -> JSON:
    return walk.each((value.start, value.stop, value.step))


def _decode_slice(payload: JSON, walk: Decoder) -> slice:
    return slice(*walk.each(payloads.items(payload, 3)))


add(tuple, Codec("tuple", _encode_each, _decode_tuple))
add(set, Codec("set", _encode_set, _decode_set))
add(frozenset, Codec("frozenset", _encode_set, _decode_frozenset))
add(None, Codec("dict", _encode_pairs, _decode_pairs))
add(OrderedDict, Codec("OrderedDict", _encode_pairs, _decode_ordered))
add(Counter, Codec("Counter", _encode_pairs, _decode_counter))
add(defaultdict, Codec("defaultdict", _encode_defaultdict, _decode_defaultdict))
add(deque, Codec("deque", _encode_deque, _decode_deque))
add(range, Codec("range", _encode_range, _decode_range))
add(slice, Codec("slice", _encode_slice, _decode_slice))
