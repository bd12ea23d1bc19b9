"""Aliases and typed dictionaries that several layers share."""

from __future__ import annotations

from typing import Any, NotRequired, TypeAlias, TypedDict

JSON: TypeAlias = "None | bool | int | float | str | list[JSON] | dict[str, JSON]"
"""A value that `json` writes and reads back equal."""

Metadata: TypeAlias = dict[str, Any]
"""What the metadata column holds: any value that `simpleml.encoding` can write, under string keys."""


class Reference(TypedDict):
    """Where one save pattern put one artifact: all that is needed to read it back, and to know that it is unharmed.

    `store` is a name that each machine's settings map to a place of its own; `key` is relative to that place. No
    machine path, URL or credential is ever part of a reference.
    """

    store: str
    key: str
    digest: str
    size: int
    serializer: str
    format: int
    details: NotRequired[dict[str, JSON]]
    layout: NotRequired[str]
    """How the artifact is cut into several objects (`chunks`, `folder`); without it, one object holds it all."""
    parts: NotRequired[list[str]]
    """The keys of those objects, in the order of the manifest, which is the object under `key`."""
    total: NotRequired[int]
    """How many bytes the artifact has, where `size` is that of its manifest."""


Filepaths: TypeAlias = dict[str, dict[str, Reference]]
"""Artifact name → save pattern name → reference, in the order in which loading tries them."""
