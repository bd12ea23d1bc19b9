from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simpleml.errors import SerializationError
from simpleml.save_patterns.serializers.bytes import BYTES
from simpleml.save_patterns.serializers.text import TEXT
from simpleml.testing.serializers import SerializerContract, WriteOnly


class TestText(SerializerContract):
    def serializer(self):
        return TEXT

    def values(self):
        return ["", "a", "ends\r\nmix\nup\r", "\ufeffmark", "\0", "😀" * 1000, "é" * 1_048_577]

    def refused(self):
        return ["\ud800", "fine so far" * 200_000 + "\udfff", b"bytes", 1, None, type("Mine", (str,), {})("x")]

    def large(self):
        return "0123456789" * 2_100_000


class TestBytes(SerializerContract):
    def serializer(self):
        return BYTES

    def values(self):
        return [b"", b"\0\xff", bytearray(), bytearray(b"abc")]

    def refused(self):
        return ["text", memoryview(b"a"), None, type("Mine", (bytes,), {})(b"x")]

    def large(self):
        return bytes(21_000_000)


def test_half_a_surrogate_pair_is_named_with_its_place():
    """The error says which character it is, where it is, and what to do; the text before it does not matter."""
    with pytest.raises(SerializationError, match=r"position 1048577 \('\\udc00'\).*pickled"):
        TEXT.dump("a" * 1_048_577 + "\udc00b", WriteOnly())


def test_the_file_is_the_text_and_the_bytes():
    """Nothing is added: the file holds the UTF-8 of the text, or the bytes, and nothing else."""
    for serializer, value, content in ((TEXT, "é\r\n", "é\r\n".encode()), (BYTES, b"\0a", b"\0a")):
        stream = WriteOnly()
        serializer.dump(value, stream)
        assert bytes(stream.data) == content


def test_a_bytearray_is_not_copied():
    """Memory that is a bytearray already is what comes back."""
    data = bytearray(b"abc")
    assert BYTES.load(data, format=1, details={"type": "bytearray", "size": 3}) is data


@pytest.mark.parametrize(
    "details",
    [{}, {"size": True, "type": "bytes"}, {"size": 1}, {"size": 1, "type": "str"}, {"size": 2, "type": "bytes"}],
)
def test_edited_details_are_refused(details):
    """A reference whose details say something else is no reference of ours."""
    with pytest.raises(SerializationError):
        BYTES.load(bytearray(b"a"), format=1, details=details)


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_any_text_without_surrogates_is_accepted_and_comes_back(text):
    """Accepted, and equal."""
    stream = WriteOnly()
    assert TEXT.accepts(text)
    details = TEXT.dump(text, stream)
    assert TEXT.load(stream.data, format=1, details=details) == text
