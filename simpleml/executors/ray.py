"""`RayExecutor`: the workers of a Ray cluster, a running one or one of this machine's own."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from simpleml.errors import ConfigurationError, ExecutorError, MissingDependencyError, WorkerDiedError
from simpleml.executors.driven import Call, DrivenExecutor, RemoteTraceback
from simpleml.executors.opening import usable_processors

_OBJECT_STORE = 100 << 20
"""Bytes for what travels within a cluster of our own; what is more goes to disk."""


class RayExecutor(DrivenExecutor):
    """Runs tasks on the Ray cluster that this process is connected to, one processor each."""

    def __init__(self, workers: int, *, ends: bool = False) -> None:
        super().__init__(workers)
        self._ends = ends
        self._under_way: set[Any] = set()
        self._run = _ray().remote(num_cpus=1, max_retries=0)(_run)

    def _call(self, call: Call) -> Any:
        ray = _ray()
        exceptions = ray.exceptions
        reference = self._run.remote(call)
        self._under_way.add(reference)
        try:
            return ray.get(reference)
        except exceptions.RayTaskError as error:
            raise _own(call, error) from RemoteTraceback(str(error))
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError) as error:
            raise WorkerDiedError(
                f"a Ray worker ended while it was to do {call.told}, so there is no result: {error}"
            ) from error
        except exceptions.RayError as error:
            raise ExecutorError(f"the Ray cluster gave up {call.told}: {error}") from error
        finally:
            self._under_way.discard(reference)

    def abandon(self) -> None:
        """Kill what is under way, whose tasks then fail."""
        for reference in list(self._under_way):
            _ray().cancel(reference, force=True)

    def _close(self) -> None:
        if self._ends:
            self._ends = False
            _ray().shutdown()


def _run(call: Call) -> Any:
    return call()


def _own(call: Call, error: Any) -> BaseException:
    """Return the error of the task itself, if it could travel."""
    cause = error.cause
    if isinstance(cause, BaseException) and not isinstance(cause, _ray().exceptions.RayError):
        return cause
    return ExecutorError(f"{call.told} raised an error that cannot travel: {error}")


def open_ray(workers: int | None, address: str | None) -> RayExecutor:
    """Return an executor on the cluster at `address` (`auto`, `ray://host:10001`), or on one of this machine alone.

    A process that is connected to a cluster already stays so, also afterwards.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        try:
            ray.init(**_options(workers, address))
        except (ConnectionError, ValueError) as error:
            raise ConfigurationError(f"no Ray cluster answers at {address}: {error}") from error
    return RayExecutor(workers or max(1, int(ray.cluster_resources().get("CPU", 1))), ends=mine)


def _options(workers: int | None, address: str | None) -> dict[str, Any]:
    quiet = {"log_to_driver": False, "logging_level": "error"}
    if address is not None:
        return {"address": address, **quiet}
    return {
        "address": "local",
        "num_cpus": workers or usable_processors(),
        "include_dashboard": False,
        "object_store_memory": _OBJECT_STORE,
        # What can be imported here can be imported there.
        "runtime_env": {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}},
        **quiet,
    }


def _ray() -> Any:
    try:
        return import_module("ray")
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingDependencyError("the executor 'ray' needs Ray: pip install 'simpleml[ray]'") from error
