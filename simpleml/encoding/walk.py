"""The two walks over a value: to JSON and back. Paths and cycles cost nothing until something is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isfinite
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

from simpleml.encoding import classes, jsontext, registry
from simpleml.encoding.faults import Fault, Unreadable, short, type_name
from simpleml.encoding.opaque import Opaque
from simpleml.encoding.registry import TAG
from simpleml.encoding.strings import escape, is_safe
from simpleml.types import JSON

MAX_DEPTH = 100
"""How deep values may be nested."""
FOLDED = "json"
"""The tag of a part that is stored as JSON text, because it is nested deeper than databases take."""

_LEAST, _MOST = -(2**63), 2**63 - 1


class Encoder:
    """One walk from a value to JSON."""

    __slots__ = ("deepest", "depth")

    def __init__(self) -> None:
        self.depth = 0
        self.deepest = 0

    def encode(self, value: object) -> JSON:
        """Return the JSON of any value."""
        cls = type(value)
        if cls is str:
            return value if is_safe(value) else {TAG: "str", "value": escape(value)}  # type: ignore[arg-type, return-value]
        if value is None or cls is bool:
            return value  # type: ignore[return-value]
        if cls is int:
            return value if _LEAST <= value <= _MOST else {TAG: "int", "value": hex(value)}  # type: ignore[operator, return-value, arg-type]
        if cls is float and isfinite(value):  # type: ignore[arg-type]
            return value  # type: ignore[return-value]
        self.depth += 1
        if self.depth > self.deepest:
            self.deepest = self.depth
            if self.depth > MAX_DEPTH:
                raise Fault(f"nested deeper than {MAX_DEPTH} levels: keep it as an artifact")
        result: JSON
        if cls is dict:
            result = self._plain_dict(value)  # type: ignore[arg-type]
        elif cls is list:
            result = self.each(value)  # type: ignore[arg-type]
        else:
            result = self._tagged(value, cls)
        self.depth -= 1
        return result

    def each(self, values: Iterable[object]) -> list[JSON]:
        """Return the JSON of every item, in order."""
        encode = self.encode
        result: list[JSON] = []
        try:
            for item in values:
                result.append(encode(item))  # noqa: PERF401  (its length says where a fault is)
        except Fault as fault:
            raise fault.inside(f"[{len(result)}]", values)  # noqa: B904  (the same fault goes on)
        return result

    def pairs(self, values: Mapping[object, object]) -> list[JSON]:
        """Return `[[key, value], …]` as JSON, in order."""
        result: list[JSON] = []
        for key, item in values.items():
            try:
                result.append([self.encode(key), self.encode(item)])
            except Fault as fault:
                raise fault.inside(f"[{short(key)}]", values)  # noqa: B904
        return result

    def at(self, segment: str, value: object, holder: object) -> JSON:
        """Return the JSON of `value`, which is the part of `holder` that `segment` names."""
        try:
            return self.encode(value)
        except Fault as fault:
            raise fault.inside(segment, holder)  # noqa: B904

    def _plain_dict(self, value: dict[object, object]) -> JSON:
        encode = self.encode
        result: dict[str, JSON] = {}
        key: object = None
        try:
            for key, item in value.items():
                if type(key) is not str or key == TAG or not is_safe(key):
                    return {TAG: "dict", "value": self.pairs(value)}
                result[key] = encode(item)
        except Fault as fault:
            if not fault.path or fault.holders[-1] != id(value):  # else `pairs` has noted it
                fault.inside(f"[{short(key)}]", value)
            raise
        return result

    def _tagged(self, value: object, cls: type) -> JSON:
        if cls is Opaque:
            self.deepest = MAX_DEPTH  # its payload may be nested as deep as it likes
            return {TAG: value.tag, "value": value.payload}  # type: ignore[attr-defined]
        codec = registry.encoder_of(cls)
        inherited = None if codec is not None else registry.inherited_encoder(cls)
        codec = codec or inherited or classes.structural(cls)
        if codec is None:
            raise Fault(_refusal(value, cls))
        try:
            result: JSON = {TAG: codec.tag, "value": codec.encode(value, self)}
        except (Fault, MemoryError):
            raise
        except Exception as error:
            raise Fault(f"{type_name(cls)} could not be encoded: {type(error).__name__}: {error}") from error
        if inherited is not None and type(Decoder().decode(result)) is not cls:
            # Nothing may come back as something else than it was.
            raise Fault(
                f"{type_name(cls)} would be encoded as its base (tag {codec.tag!r}) and come back as that: "
                f"register it itself with simpleml.encoding.register_encoder({cls.__name__}, …)"
            )
        return result


class Decoder:
    """One walk from JSON to the value."""

    __slots__ = ("depth",)

    def __init__(self) -> None:
        self.depth = 0

    def decode(self, value: JSON) -> object:
        """Return the value that `value` is the JSON of; what it is made of is never shared with `value`."""
        cls = type(value)
        if cls is str or cls is int or value is None or cls is bool:
            return value
        if cls is float:
            if isfinite(value):  # type: ignore[arg-type]
                return value
            raise Fault("a number too large for a float, or a NaN: this JSON was not written by simpleml.encoding")
        self.depth += 1
        if self.depth > MAX_DEPTH + 1:
            raise Fault(f"nested deeper than {MAX_DEPTH} levels: this JSON was not written by simpleml.encoding")
        result: object
        if cls is dict:
            result = self._tagged(value) if TAG in value else self._plain_dict(value)  # type: ignore[operator, arg-type]
        elif cls is list:
            result = self.each(value)  # type: ignore[arg-type]
        else:
            raise Fault(f"expected JSON, found {type_name(cls)}")
        self.depth -= 1
        return result

    def each(self, payload: list[JSON]) -> list[object]:
        """Return the values of every item, in order."""
        decode = self.decode
        result: list[object] = []
        try:
            for item in payload:
                result.append(decode(item))  # noqa: PERF401  (its length says where a fault is)
        except Fault as fault:
            raise fault.inside(f"[{len(result)}]", payload)  # noqa: B904
        return result

    def at(self, segment: str, payload: JSON, holder: object) -> object:
        """Return the value of `payload`, which is the part of `holder` that `segment` names."""
        try:
            return self.decode(payload)
        except Fault as fault:
            raise fault.inside(segment, holder)  # noqa: B904

    def _plain_dict(self, value: dict[str, JSON]) -> dict[str, object]:
        decode = self.decode
        result: dict[str, object] = {}
        key: object = None
        try:
            for key, item in value.items():
                if type(key) is not str:
                    raise Fault(f"the key {short(key)} is no string, so this is no JSON")
                result[key] = decode(item)
        except Fault as fault:
            raise fault.inside(f"[{short(key)}]", value)  # noqa: B904
        return result

    def _tagged(self, value: dict[str, JSON]) -> object:
        tag = value[TAG]
        if type(tag) is not str or len(value) != 2 or "value" not in value:
            raise Fault(f'expected {{"{TAG}": "<tag>", "value": …}}, found {short(value)}')
        payload = value["value"]
        try:
            if tag == FOLDED:
                return self.decode(jsontext.read(payload))  # type: ignore[arg-type]  # `read` checks
            codec = registry.decoder_of(tag)
            if codec is None:
                return Opaque(tag, payload)
            depth = self.depth
            try:
                return codec.decode(payload, self)
            except Unreadable as unreadable:
                self.depth = depth
                return Opaque(tag, payload, str(unreadable))
        except Unreadable as unreadable:
            return Opaque(tag, payload, str(unreadable))
        except (Fault, MemoryError):
            raise
        except Exception as error:
            raise Fault(f"the payload of {tag!r} is not valid: {type(error).__name__}: {error}") from error


def _refusal(value: object, cls: type) -> str:
    """Say why a value of `cls` cannot be encoded and what can be done."""
    what = f"{short(value)} is of type {type_name(cls)}, which JSON cannot hold exactly{classes.reason(cls)}"
    if isinstance(value, type | FunctionType | BuiltinFunctionType | MethodType | ModuleType):
        return f"{what}: store its name as a string and look it up when it is read, or keep it as an artifact"
    return (
        f"{what}: register it with simpleml.encoding.register_encoder({cls.__name__}, encode=…, decode=…), or keep it "
        "as an artifact"
    )
