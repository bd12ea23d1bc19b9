"""The walk over a value: every part becomes a token, with a stack of our own, so no nesting is too deep for Python."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator

from blake3 import blake3

from simpleml.errors import HashingError
from simpleml.hashing.hashers import LEAVES, find_opener
from simpleml.hashing.tokens import SCHEME, Node, Refusal, leaf

_DEEPEST = 100_000  # a value nested deeper than this is one that makes new parts of itself for ever
_FLAT = 16  # children from which a container without containers is worth remembering


def hash_value(value: object, *, name: str = "value") -> str:
    """Return the content hash of `value`: the scheme's number, a colon, 64 hexadecimal digits.

    `name` begins the path that a `HashingError` names, as in `config['a'][2].lock`.
    """
    return f"{SCHEME}:{blake3(b'simpleml' + walk(value, name=name)).hexdigest()}"


class _Frame:
    """A container that is being walked."""

    __slots__ = ("memorable", "nested", "node", "rest", "tokens", "value")

    def __init__(self, value: object, node: Node) -> None:
        self.value = value
        self.node = node
        self.rest: Iterator[object] = iter(node.children)
        self.tokens: list[bytes] = []
        self.nested = False  # holds another container
        self.memorable = True  # is no part of a cycle


def walk(value: object, *, name: str = "value") -> bytes:
    """Return the token of `value`; raises `HashingError` with the path of what has none."""
    frame = _Frame(None, Node(b"", b"", (value,), ("",)))
    stack = [frame]
    active: dict[int, int] = {}  # id of each container on the stack → its place there
    memo: dict[int, tuple[object, bytes]] = {}  # id → the object (kept alive, so the id stays its own) and its token
    try:
        while True:
            opened = _advance(frame, stack, active, memo)
            if opened is not None:
                if len(stack) > _DEEPEST:
                    raise Refusal(f"it is nested more than {_DEEPEST} levels deep")
                frame = opened
                active[id(frame.value)] = len(stack)
                stack.append(frame)
                continue
            stack.pop()
            if not stack:
                return frame.tokens[0]
            token = frame.node.close(frame.tokens)
            del active[id(frame.value)]
            if frame.memorable and (frame.nested or len(frame.tokens) > _FLAT):
                memo[id(frame.value)] = (frame.value, token)
            frame = stack[-1]
            frame.nested = True
            frame.tokens.append(token)
    except Refusal as refusal:
        path = _path(name, stack)
        msg = f"cannot hash {path}: {refusal}. {_ADVICE}"
        raise HashingError(msg) from refusal.__cause__


_ADVICE = (
    "Leave it out of what is hashed (in a class of your own: out of `__getstate__`), "
    "or call simpleml.hashing.register_hasher(type, function) with a function that returns a value to hash in its place."
)


def _advance(
    frame: _Frame, stack: list[_Frame], active: dict[int, int], memo: dict[int, tuple[object, bytes]]
) -> _Frame | None:
    """Append the tokens of the frame's next children; stop at one that is a container, or at the end."""
    append = frame.tokens.append
    for child in frame.rest:
        encode = LEAVES.get(type(child))
        if encode is not None:
            append(encode(child))
            continue
        known = memo.get(id(child))
        if known is not None:
            append(known[1])
            continue
        if id(child) in active:
            append(_back_reference(active[id(child)], stack))
            continue
        opened = find_opener(type(child))(child)
        if isinstance(opened, Node):
            return _Frame(child, opened)
        append(opened)
    return None


def _back_reference(place: int, stack: list[_Frame]) -> bytes:
    """Return the token of a child that is the container at `place` of the stack."""
    if not stack[place].node.cyclic:
        raise Refusal(f"it is a cycle: the same {type(stack[place].value).__qualname__} is around itself")
    for frame in stack[place:]:  # a member of a cycle has another token wherever another member is around it
        frame.memorable = False
    return leaf(b"^", str(len(stack) - place).encode())


def _path(name: str, stack: list[_Frame]) -> str:
    """Return the way from the value to the child at hand, the middle left out where it is long."""
    labels = []
    for frame in stack:
        label, index = frame.node.label, len(frame.tokens)
        labels.append(label[min(index, len(label) - 1)] if isinstance(label, tuple) else label(frame.node, index))
    if len(labels) > 20:
        labels[10:-10] = [f" … {len(labels) - 20} levels … "]
    return name + "".join(labels)


def item_label(_node: Node, index: int) -> str:
    """Name a child by its position."""
    return f"[{index}]"


def key_label(node: Node, index: int) -> str:
    """Name a child of key and value pairs by its key."""
    key = reprlib.repr(node.children[index - index % 2])
    return f"[{key}]" if index % 2 else f".keys()[{key}]"


def attribute_label(node: Node, index: int) -> str:
    """Name a child of name and value pairs as an attribute."""
    return f".{node.children[index - index % 2]}"
