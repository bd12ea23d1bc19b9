"""`Display`: what is being built right now, in a terminal; nothing elsewhere."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from simpleml import progress
from simpleml.jobs.plan import Plan, Planned

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_SHOWN = 8
"""How many nodes are shown by name while they are built."""

REFRESH = 0.5
"""Seconds after which what is shown is looked at again."""


class Display:
    """A bar for the whole run and a line for each node under way; used by one thread. It takes the place of other bars."""

    def __init__(self, plan: Plan) -> None:
        self._total = len(plan.doing("build"))
        self._done = self._failed = 0
        self._visible = progress.enabled and sys.stderr is not None and sys.stderr.isatty()
        self._bars: Bars | None = None
        self._whole: TaskID | None = None
        self._lines: dict[str, TaskID] = {}
        self._enabled = progress.enabled

    def __enter__(self) -> Self:
        if self._visible:
            self._bars = self._open()
            self._bars.start()
            self._whole = self._bars.add_task(self._told(), total=self._total)
            progress.enabled = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()
            progress.enabled = self._enabled

    @property
    def patience(self) -> float | None:
        """Seconds after which it wants to be told again what is under way; None if it shows nothing."""
        return None if self._bars is None else REFRESH

    def shows(self, under_way: Iterable[Planned]) -> None:
        """Say which nodes are being built."""
        if self._bars is None:
            return
        now = {planned.node.key: planned.node.label for planned in itertools.islice(under_way, _SHOWN)}
        for key in self._lines.keys() - now.keys():
            self._bars.remove_task(self._lines.pop(key))
        for key, label in now.items():
            if key not in self._lines:
                self._lines[key] = self._bars.add_task(f"  {label}", total=1)

    def ends(self, status: str) -> None:
        """Say what became of one node."""
        self._done += 1
        self._failed += status in {"failed", "skipped"}
        if self._bars is None or self._whole is None:
            return
        self._bars.update(self._whole, completed=self._done, description=self._told())

    def _told(self) -> str:
        return f"building {self._total}" + (f", {self._failed} failed or skipped" if self._failed else "")

    @staticmethod
    def _open() -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        return Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
