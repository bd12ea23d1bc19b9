"""Where a store is on this machine: a URL or a path, and the options that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from simpleml.settings.secret import HIDDEN, MaskedText, masked, tells
from simpleml.types import JSON

OWN_OPTIONS = ("chunked", "retries_for")
"""Options of a store that are ours; every other one is fsspec's."""


class StorePlace(MaskedText):
    """A URL, or the path of a folder, that is a plain string to use; `options` holds what was given besides.

    Its `repr` hides passwords and tokens, in the URL and in the options.
    """

    options: Mapping[str, JSON]

    def __new__(cls, at: str, options: Mapping[str, JSON] | None = None) -> Self:
        """Make the text, and keep the options beside it."""
        made = super().__new__(cls, at)
        made.options = dict(options or {})
        return made

    def __repr__(self) -> str:
        return repr(self.shown)

    @property
    def shown(self) -> str:
        """The place to show and to log."""
        options = ", ".join(f"{key}={_shown(key, value)}" for key, value in self.options.items())
        return masked(self) + (f" ({options})" if options else "")


def _shown(key: str, value: Any) -> str:
    if tells(key):
        return HIDDEN
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{inner}={_shown(inner, item)}" for inner, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(key, item) for item in value) + "]"
    return masked(str(value))


def is_folder(place: str) -> bool:
    """Whether a place is a folder of this machine."""
    scheme, found, _ = place.partition("://")
    return not found or scheme in {"file", "local"}


def options_of(place: str) -> Mapping[str, JSON]:
    """Return the options of a place; a plain string has none."""
    return place.options if isinstance(place, StorePlace) else {}
