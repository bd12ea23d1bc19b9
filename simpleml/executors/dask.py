"""`DaskExecutor`: the workers of a dask.distributed cluster, a running one or one of this machine's own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from contextlib import ExitStack
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import Any

from simpleml.errors import ConfigurationError, ExecutorError, MissingDependencyError, WorkerDiedError
from simpleml.executors.driven import Call, DrivenExecutor
from simpleml.executors.opening import usable_processors


class DaskExecutor(DrivenExecutor):
    """Runs tasks on a Dask cluster: as many at once as it has threads when it is opened, unless told otherwise."""

    def __init__(self, client: Any, workers: int | None = None, close: Callable[[], object] = lambda: None) -> None:
        super().__init__(workers or max(1, sum(client.nthreads().values())))
        self._client = client
        self._under_way: set[Any] = set()
        self._end = ExitStack()
        self._end.callback(close)

    def _call(self, call: Call) -> Any:
        future = self._client.submit(call, pure=False)
        self._under_way.add(future)
        try:
            return future.result()
        except _distributed().KilledWorker as error:
            raise WorkerDiedError(
                f"a Dask worker ({error.last_worker.address}) ended while it was to do {call.told}, so there is no result; "
                "its log says why (out of memory?)"
            ) from error
        except CancelledError as error:
            raise ExecutorError(f"the Dask cluster gave up {call.told}: {error}") from error
        finally:
            self._under_way.discard(future)

    def abandon(self) -> None:
        """Let nobody wait for what is under way; a cluster of our own ends with it."""
        self._client.cancel(list(self._under_way))

    def _close(self) -> None:
        self._end.close()


def open_dask(workers: int | None, address: str | None) -> DaskExecutor:
    """Return an executor on the cluster at `address`; without one, on a cluster of worker processes of this machine."""
    distributed = _distributed()
    with ExitStack() as stack:
        if address is None:
            scratch = stack.enter_context(TemporaryDirectory(prefix="simpleml-dask-", ignore_cleanup_errors=True))
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers or usable_processors(),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    local_directory=scratch,  # else a folder with locks in it is left behind
                    silence_logs=logging.CRITICAL,
                    # A task that kills its worker is told, not tried again.
                    scheduler_kwargs={"allowed_failures": 0, "local_directory": scratch},
                )
            )
            client = stack.enter_context(distributed.Client(cluster))
        else:
            try:
                client = stack.enter_context(distributed.Client(address))
            except (OSError, ValueError) as error:
                raise ConfigurationError(
                    f"no Dask scheduler answers at {address}: {error}; give its address, like dask:tcp://host:8786"
                ) from error
        return DaskExecutor(client, workers, stack.pop_all().close)
    raise AssertionError  # the block returns


def _distributed() -> Any:
    try:
        return import_module("distributed")
    except ModuleNotFoundError as error:
        if error.name not in ("dask", "distributed"):
            raise
        raise MissingDependencyError("the executor 'dask' needs Dask: pip install 'simpleml[dask]'") from error
