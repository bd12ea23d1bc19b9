"""A stored value whose class this process does not know, kept whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from simpleml.encoding import jsontext
from simpleml.types import JSON


@dataclass(frozen=True, slots=True, init=False)
class Opaque:
    """Stored JSON of a tag or class that is not known here: it encodes back unchanged, byte for byte.

    Immutable and hashable; two are equal if tag and payload are. `reason` says why it could not be restored.
    """

    tag: str
    text: str
    """The payload as compact JSON text."""
    reason: str = field(compare=False)

    def __init__(self, tag: str, payload: JSON, reason: str = "nothing is registered under this tag") -> None:
        object.__setattr__(self, "tag", tag)
        object.__setattr__(self, "text", jsontext.write(payload))
        object.__setattr__(self, "reason", reason)

    @property
    def payload(self) -> JSON:
        """A fresh copy of what is stored under the tag."""
        return jsontext.read(self.text)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 80 else f"{self.text[:79]}…"
        return f"<Opaque {self.tag!r} {text} ({self.reason})>"
