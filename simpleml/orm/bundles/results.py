"""What exporting, importing, pushing and pulling return."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Line:
    """One record, in as many words as a list has room for."""

    kind: str
    name: str
    version: int
    id: UUID


HIGHEST = 1_000_000_000
"""The highest version that comes in as it is: one from elsewhere may not leave a name here without numbers to go on with."""


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A record whose version is not above the last given out here, or is above `HIGHEST`, so that it got the next free number."""

    kind: str
    name: str
    old: int
    new: int
    id: UUID

    @property
    def why(self) -> str:
        """What its own version is, so that it could not stay."""
        if self.old > HIGHEST:
            return f"above {HIGHEST}, the highest that is taken over"
        return "not above the last that was given out here"


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file holds; `digest` is that of its manifest, which says everything else."""

    digest: str
    records: tuple[Line, ...]
    objects: int
    bytes_: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What came in (`records`), or would; what was here already (`skipped`); and how many bytes had to be copied for it.

    `executes` are the serializers of what came in that may run code when they read it.
    """

    digest: str
    store: str
    records: tuple[Line, ...]
    skipped: tuple[Line, ...]
    renumbered: tuple[Renumbered, ...]
    objects: int
    copied: int
    bytes_: int
    executes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed:
    """What a store holds now, or would; `copied` and `bytes_` tell what of it was not there before."""

    store: str
    digests: tuple[str, ...]
    records: tuple[Line, ...]
    objects: int
    copied: int
    bytes_: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One object that a store offers to be pulled; `problem` says why it cannot be, and is empty if it can.

    `of` is the model whose metric it is, as `NAME:VERSION`.
    """

    kind: str
    name: str
    version: int
    of: str
    registered_name: str
    created: datetime | None
    modified: datetime | None
    records: int
    bytes_: int
    digest: str
    problem: str = ""
