"""One small interface for long work: a bar in a terminal once the work has lasted a second, and nothing elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PATIENCE = 1.0  # seconds before a bar appears: short work stays quiet

enabled = True
"""Whether any bar may appear; `settings.progress = false` and the command line's `--json` turn it off."""


_turn = threading.Lock()  # held by the one bar that is drawn: others, inside it or beside it, stay silent


class Progress:
    """Counts `advance(n)` towards `total` (None: unknown); shows it only where a person is looking."""

    def __init__(self, label: str, total: int | None = None, *, bytes_: bool = False) -> None:
        self._label = label
        self._total = total
        self._bytes = bytes_
        self._done = 0
        self._start = time.monotonic()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._visible = enabled and sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            _turn.release()

    def advance(self, amount: int = 1) -> None:
        """Say that `amount` more units are done."""
        self._done += amount
        if not self._visible:
            return
        if self._bar is None and time.monotonic() - self._start > _PATIENCE and _turn.acquire(blocking=False):
            self._bar = self._open()
            self._task = self._bar.add_task(self._label, total=self._total)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)

    def _open(self) -> Bar:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        count = DownloadColumn() if self._bytes else MofNCompleteColumn()
        bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            count,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        bar.start()
        return bar
