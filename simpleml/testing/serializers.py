"""The contract of `Serializer`, as a test class to subclass.

```python
class TestMsgpack(SerializerContract):
    def serializer(self): return MsgpackSerializer()
    def values(self): return [{"a": 1}, [], b"bytes"]
    def refused(self): return [object()]
    def large(self): return [b"x" * 1000] * 100_000
```
"""
# ruff: noqa: S101  (asserting is what a contract suite is for)

from __future__ import annotations

import copy
import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import BinaryIO, cast

from simpleml.errors import SerializationError, StoreFullError
from simpleml.save_patterns.protocols import Serializer
from simpleml.save_patterns.stream import Stream
from simpleml.types import JSON

PIECE = 16 * 1024 * 1024
"""No single write may be longer: so the bytes of an object never have to be in memory as a whole."""


class WriteOnly(Stream):
    """The stream that a save pattern gives a serializer, into memory; it keeps the length of the longest write, and what was lent."""

    def __init__(self, *, room: int | None = None) -> None:
        super().__init__(self._write, self._borrow)
        self.data = bytearray()
        self.longest = 0
        self.lent: list[tuple[memoryview, bytes]] = []
        self._room = room

    def _borrow(self, data: memoryview) -> int:
        self.lent.append((data, bytes(data)))
        return self._keep(data)

    def _write(self, data: memoryview) -> int:
        self.longest = max(self.longest, data.nbytes)
        return self._keep(data)

    def _keep(self, data: memoryview) -> int:
        size = data.nbytes
        if self._room is not None and len(self.data) + size > self._room:
            raise StoreFullError("no space left in the store that the contract suite made small")
        self.data += data
        return size


class SerializerContract(ABC):
    """Every promise of the `Serializer` protocol, each as a test; subclass it under a name that begins with `Test`."""

    @abstractmethod
    def serializer(self) -> Serializer:
        """Return the serializer to prove."""

    @abstractmethod
    def values(self) -> Sequence[object]:
        """Return objects that come back equal, small ones; the odder, the better."""

    @abstractmethod
    def large(self) -> object:
        """Return an object whose bytes are more than 20 MB."""

    def refused(self) -> Sequence[object]:
        """Return objects that `dump` must refuse."""
        return ()

    def same(self, left: object, right: object) -> bool:
        """Whether two objects are equal in type and content; override it where `==` says something else."""
        return type(left) is type(right) and left == right

    def copy(self, value: object) -> object:
        """Return an independent copy that is the `same`; override it where `copy.deepcopy` does not."""
        return copy.deepcopy(value)

    def test_name_and_format_can_stand_in_a_reference(self) -> None:
        """The name is a plain word, the format a positive number, and whether reading executes code is said."""
        serializer = self.serializer()
        assert re.fullmatch(r"[a-z][a-z0-9_]*", serializer.name), serializer.name
        assert type(serializer.format) is int
        assert serializer.format >= 1
        assert isinstance(serializer.executes, bool)
        assert isinstance(serializer, Serializer)

    def test_what_was_dumped_comes_back(self) -> None:
        """`load(dump(value))` equals `value` in type and content, also when nobody else holds the bytes any more."""
        for value in self.values():
            data, details = self._dump(value)
            for buffer in (bytearray(data), memoryview(bytearray(data))):
                loaded = self.serializer().load(buffer, format=self.serializer().format, details=details)
                del buffer
                assert self.same(loaded, value), f"{value!r:.200} came back as {loaded!r:.200}"

    def test_dump_leaves_its_input_alone(self) -> None:
        """A value is after `dump` what it was before, also if it was refused."""
        for value in self.values():
            before = self.copy(value)
            self._dump(value)
            assert self.same(before, value), f"{value!r:.200} was {before!r:.200}"

    def test_details_are_plain_json(self) -> None:
        """What `dump` returns can be stored as JSON and read back equal."""
        for value in self.values():
            details = self._dump(value)[1]
            assert json.loads(json.dumps(details, allow_nan=False)) == details

    def test_accepts_answers_for_anything(self) -> None:
        """`accepts` returns a bool for every object, and never raises."""
        cycle: list[object] = []
        cycle.append(cycle)
        for value in (
            *self.values(),
            *self.refused(),
            object(),
            cycle,
            lambda: None,
            json,
            SerializationError,
            io.BytesIO(),
        ):
            assert type(self.serializer().accepts(value)) is bool

    def test_what_is_refused_is_not_accepted(self) -> None:
        """`accepts` is False for what `dump` refuses; only a format that executes code may have to try."""
        if self.serializer().executes:
            return
        for value in self.refused():
            assert not self.serializer().accepts(value), f"{value!r:.200} is accepted and refused"

    def test_refused_objects_raise_a_serialization_error_that_teaches(self) -> None:
        """What cannot be kept is a `SerializationError` of more than a few words."""
        for value in self.refused():
            message = self._refusal(value)
            assert len(message) > 40, message

    def test_bytes_are_written_in_pieces(self) -> None:
        """A large object is streamed: several writes, none of them longer than 16 MiB, or lent without a copy."""
        stream = WriteOnly()
        self.serializer().dump(self.large(), cast("BinaryIO", stream))
        assert len(stream.data) > 20_000_000, "large() is too small"
        assert stream.longest <= PIECE

    def test_what_is_lent_stays_what_it_is(self) -> None:
        """Memory that a serializer lends is neither used for anything else nor changed while the stream is there."""
        for value in [*self.values(), self.large()]:
            stream = WriteOnly()
            self.serializer().dump(value, cast("BinaryIO", stream))
            assert all(bytes(view) == data for view, data in stream.lent)

    def test_a_failing_stream_is_not_the_objects_fault(self) -> None:
        """An error of the stream comes out as it is."""
        for value in self.values():
            size = len(self._dump(value)[0])
            for room in {room for room in (0, size // 2, size - 1) if 0 <= room < size}:
                try:
                    self.serializer().dump(value, cast("BinaryIO", WriteOnly(room=room)))
                except StoreFullError:
                    continue
                raise AssertionError(f"{size} bytes fitted into {room}")

    def test_cut_bytes_are_a_serialization_error(self) -> None:
        """Bytes that end too early are never taken for an object."""
        for value in self.values():
            data, details = self._dump(value)
            for size in sorted(
                {0, 1, len(data) - 1, *range(0, len(data), max(1, len(data) // 40))} & {*range(len(data))}
            ):
                self._check_unreadable(data[:size], dict(details))

    def test_flipped_bits_are_an_object_or_a_serialization_error(self) -> None:
        """Whatever bit of a format that runs no code is flipped, reading ends, in an object or in a `SerializationError`."""
        if self.serializer().executes:
            return
        for value in self.values():
            data, details = self._dump(value)
            for place in range(0, len(data), max(1, len(data) // 60)):
                broken = bytearray(data)
                broken[place] ^= 1 << place % 8
                with suppress(SerializationError):
                    self.serializer().load(broken, format=self.serializer().format, details=details)

    def test_foreign_bytes_are_a_serialization_error(self) -> None:
        """Bytes that no serializer of this kind wrote are never taken for an object."""
        for foreign in (b"\0" * 100, b"\xff" * 100, b"<html>not found</html>\n", bytes(range(256)) * 20):
            self._check_unreadable(foreign, {})

    def test_one_instance_serves_every_thread(self) -> None:
        """Threads that share a serializer each get their own object back."""
        values = list(self.values()) * 4
        serializer = self.serializer()

        def there_and_back(value: object) -> bool:
            stream = WriteOnly()
            details = serializer.dump(value, cast("BinaryIO", stream))
            return self.same(serializer.load(stream.data, format=serializer.format, details=details), value)

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(there_and_back, values))

    def _dump(self, value: object) -> tuple[bytes, dict[str, JSON]]:
        stream = WriteOnly()
        details = self.serializer().dump(value, cast("BinaryIO", stream))
        return bytes(stream.data), dict(details)

    def _refusal(self, value: object) -> str:
        try:
            self._dump(value)
        except SerializationError as error:
            return str(error)
        raise AssertionError(f"{value!r:.200} was not refused")

    def _check_unreadable(self, data: bytes, details: dict[str, JSON]) -> None:
        try:
            loaded = self.serializer().load(bytearray(data), format=self.serializer().format, details=details)
        except SerializationError:
            return
        raise AssertionError(f"{len(data)} broken bytes {data!r:.60} were read as {loaded!r:.100}")
