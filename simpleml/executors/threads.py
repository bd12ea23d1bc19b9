"""`ThreadsExecutor`: several threads of this process."""

from __future__ import annotations

from typing import Any

from simpleml.executors.driven import Call, DrivenExecutor
from simpleml.executors.opening import refuse_address, usable_processors


class ThreadsExecutor(DrivenExecutor):
    """Runs tasks in threads: nothing to pickle; parallel as far as the libraries in use let go of the interpreter."""

    def _call(self, call: Call) -> Any:
        return call()


def open_threads(workers: int | None, address: str | None) -> ThreadsExecutor:
    """Return an executor of so many threads, by default one for each processor."""
    refuse_address("threads", address)
    return ThreadsExecutor(workers or usable_processors())
