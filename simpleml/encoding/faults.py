"""What stops a walk: a fault that learns its path while the walk unwinds, and a payload this process cannot read."""

from __future__ import annotations

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxdict, _SHORT.maxstring, _SHORT.maxother = 2, 3, 60, 60


class Fault(Exception):  # noqa: N818  (never leaves the package: an EncodingError does)
    """A value or a payload that cannot be taken; every holder it unwinds through adds its part of the path."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: list[str] = []
        self.holders: list[int] = []

    def inside(self, segment: str, holder: object) -> Fault:
        """Note that the fault lies in `segment` (`['key']`, `[0]`, `.name`) of `holder`, and return the fault."""
        self.path.append(segment)
        self.holders.append(id(holder))
        return self

    def describe(self, name: str) -> str:
        """Return the message, after the whole path below `name`."""
        if len(set(self.holders)) < len(self.holders):
            seen = self.holders[::-1]
            end = next(i for i, holder in enumerate(seen) if holder in seen[:i])
            return f"{name}{''.join(self.path[::-1][:end])} contains itself: break the cycle, or keep it as an artifact"
        segments = self.path[::-1]
        if len(segments) > 12:
            segments = [*segments[:6], "…", *segments[-4:]]
        return f"{name}{''.join(segments)}: {self.message}"


class Unreadable(Exception):  # noqa: N818  (never leaves the package: an Opaque does)
    """A payload that is well formed and that this process has no means to restore: it is kept as an `Opaque`."""


def short(value: object) -> str:
    """Return a short, single-line repr of `value`, whatever its own repr does."""
    try:
        return " ".join(_SHORT.repr(value).split())[:120]
    except ValueError:  # an integer of more digits than Python prints
        return f"<{type_name(type(value))} of very large numbers>"


def type_name(cls: type) -> str:
    """Return the name by which an error speaks of `cls`."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
