"""`open_executor`: an executor by its name, or one that the caller brings, for one block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from simpleml.errors import ConfigurationError
from simpleml.registries import Registry

DEFAULT = "inline"


class ExecutorFactory(Protocol):
    """What is registered under a name: makes an executor that owns whatever it starts, and ends it with `shutdown()`."""

    def __call__(self, workers: int | None, address: str | None) -> Executor:
        """Return an executor of so many workers (None: its own choice), at the address that followed the name, if any."""


@runtime_checkable
class Abandonable(Protocol):
    """An executor that can end tasks which are under way."""

    def abandon(self) -> None:
        """End what is under way, as far as that can be done, and begin nothing more."""


_HERE = "simpleml.executors"

executors: Registry[ExecutorFactory] = Registry(
    "executor",
    known={
        "inline": f"{_HERE}.inline:open_inline",
        "threads": f"{_HERE}.threads:open_threads",
        "processes": f"{_HERE}.processes:open_processes",
        "dask": f"{_HERE}.dask:open_dask",
        "ray": f"{_HERE}.ray:open_ray",
    },
    entry_points="simpleml.executors",
)
"""Executors by name; `executors.register("mine", factory)` adds one."""


@contextmanager
def open_executor(what: str | Executor | None = None, workers: int | None = None) -> Iterator[Executor]:
    """Give an executor for the block, and end it afterwards; without a name, work is done in line.

    `what` is a registered name, perhaps with an address (`"dask:tcp://host:8786"`, `"processes:forkserver"`), or an
    executor, which stays the caller's: it is not shut down. When the block raises, what has not begun is cancelled; when it
    is interrupted, what is under way in other processes is ended too.
    """
    if isinstance(what, Executor):
        if workers is not None:
            raise ConfigurationError(
                f"workers={workers} says how many to start, but {type(what).__name__} is there already: leave it out"
            )
        yield what
        return
    executor = _made(DEFAULT if what is None else what, checked_workers(workers))
    try:
        yield executor
    except BaseException as error:
        executor.shutdown(wait=False, cancel_futures=True)
        if not isinstance(error, Exception) and isinstance(executor, Abandonable):
            executor.abandon()
        raise
    finally:
        executor.shutdown(wait=True)


def _made(what: object, workers: int | None) -> Executor:
    if not isinstance(what, str):
        raise ConfigurationError(
            f"{what!r:.80} ({type(what).__name__}) is no executor: give a concurrent.futures.Executor (of a dask client, "
            f"client.get_executor()), or a name: {', '.join(executors.names())}"
        )
    name, _, address = what.partition(":")
    return executors.get(name)(workers, address or None)


def check_executor(what: str | Executor) -> None:
    """Raise `UnknownNameError` for a name that nothing is registered under, before anything is started."""
    if isinstance(what, str):
        executors.get(what.partition(":")[0])


def checked_workers(workers: object) -> int | None:
    """Return a number of workers that can be; `ConfigurationError` for any other."""
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ConfigurationError(f"workers is {workers!r:.80}, but must be a whole number from 1 on, or left out")
    return workers


def usable_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def refuse_address(name: str, address: str | None, *known: str) -> None:
    """Raise `ConfigurationError` for an address that this executor does not take."""
    if address is not None and address not in known:
        allowed = " or ".join(repr(f"{name}:{each}") for each in known)
        raise ConfigurationError(
            f"the executor {name!r} was given {address!r:.80} after the colon, but "
            + (f"only {allowed} are known" if known else "takes nothing there")
        )
