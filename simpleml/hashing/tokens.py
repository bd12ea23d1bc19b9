"""What every value becomes on its way to a hash: a token, or a node whose children become tokens.

A token is self-delimiting (no token is the beginning of another), so tokens can be joined without a collision. Short values
are their own token: one letter, the length, the bytes. All else is `#` and the BLAKE3 digest of its framed parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TypeAlias

from blake3 import blake3

from simpleml.hashing.digester import digester

SCHEME: int = 1
"""Number of the hashing scheme, the first part of every hash. A change of any hash is a new number."""

Label: TypeAlias = "tuple[str, ...] | Callable[[Node, int], str]"
"""How an error's path names a node's child, by its position."""

_LENGTH = Struct("<Q")
_HEAD = Struct("<cQ")
_LONG = 4096  # bytes from which a leaf is digested, so that tokens of big values stay small
_THREADED = 1 << 20  # bytes from which BLAKE3 gains from more threads


class Refusal(Exception):  # noqa: N818 - it becomes a HashingError as soon as its path is known
    """The value at hand has no stable hash; the message says why."""


class Node:
    """A value taken apart: `kind` and `header` say what it is, `children` are hashed after it.

    `order` says what the children are: a sequence, a set, or key and value in turn. `cyclic` allows children to lead
    back to the value: they then count as "so many steps up".
    """

    __slots__ = ("children", "cyclic", "header", "kind", "label", "order")

    def __init__(
        self,
        kind: bytes,
        header: bytes,
        children: Sequence[object],
        label: Label,
        *,
        order: str = "sequence",
        cyclic: bool = False,
    ) -> None:
        self.kind = kind
        self.header = header
        self.children = children
        self.label = label
        self.order = order
        self.cyclic = cyclic

    def close(self, tokens: list[bytes]) -> bytes:
        """Return the token of the whole, given those of the children in their order."""
        if self.order == "set":
            tokens = sorted(tokens)
        elif self.order == "pairs":
            tokens = sorted(map(bytes.__add__, tokens[::2], tokens[1::2]))
        return seal(self.kind, self.header, b"".join(tokens))


def leaf(tag: bytes, payload: bytes) -> bytes:
    """Return the token of a value that is fully given by a one-letter `tag` and its bytes."""
    if len(payload) >= _LONG:
        return seal(b"long", tag, digest(payload))
    return _HEAD.pack(tag, len(payload)) + payload


def seal(*parts: bytes) -> bytes:
    """Return the token that stands for exactly these parts."""
    return b"#" + blake3(b"".join([_LENGTH.pack(len(part)) + part for part in parts])).digest()


def digest(*buffers: bytes | memoryview) -> bytes:
    """Return the BLAKE3 digest of contiguous bytes, on several cores where they are many."""
    hasher = digester() if sum(map(len, buffers)) >= _THREADED else blake3()
    for buffer in buffers:
        hasher.update(buffer)
    return hasher.digest()
