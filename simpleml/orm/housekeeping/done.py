"""`Done`: what a verification has looked at, so that one that was cut short can go on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TextIO, TypeAlias

if TYPE_CHECKING:
    from simpleml.orm.database import Database

Object: TypeAlias = tuple[str, str, int, str]
"""The key, the store, the size and the digest of an object."""


class Done:
    """The objects that this run found to be whole, on disk until it comes to its end: what `resume` goes on from.

    A place that cannot be written only means that nothing can be resumed.
    """

    def __init__(self, database: Database, *, resume: bool) -> None:
        self._path = database.settings.cache / "verified" / database.ledger_id
        self._before: frozenset[str] = frozenset()
        self._file: TextIO | None = None
        with contextlib.suppress(OSError):
            if resume and self._path.exists():
                self._before = frozenset(self._path.read_text(encoding="utf-8").splitlines())
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = self._path.open("a" if resume else "w", encoding="utf-8", buffering=1)

    def __contains__(self, wanted: Object) -> bool:
        return self._line(wanted) in self._before

    def add(self, wanted: Object) -> None:
        """Note an object."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write(self._line(wanted) + "\n")

    def close(self, *, finished: bool) -> None:
        """End the run; one that came to its end is forgotten."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
                if finished:
                    self._path.unlink(missing_ok=True)

    @staticmethod
    def _line(wanted: Object) -> str:
        return " ".join(map(str, wanted))
