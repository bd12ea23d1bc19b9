"""`Plan`: how one frame is written; `Refused`: why it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Refused(Exception):  # noqa: N818  # not an error of its own: `dump` turns it into one, `accepts` into False
    """Why a frame would not come back as it is; the text names the column."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to write one frame: `part(start, stop)` gives an arrow table of `schema`, `note` all that the table lacks."""

    schema: Any
    rows: int
    row_bytes: float
    part: Callable[[int, int], Any]
    note: dict[str, Any]
