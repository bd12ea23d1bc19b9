"""The contract on real local clusters of two worker processes each, one for all tests of a class."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import Executor

import pytest

from simpleml.errors import ConfigurationError, ExecutorError
from simpleml.executors import open_executor
from simpleml.executors.dask import DaskExecutor, open_dask
from simpleml.executors.ray import RayExecutor, open_ray
from simpleml.testing.executors import ExecutorContract, add, wait_for


class _Kept(ExecutorContract):
    """A cluster that is kept; each test gets an executor of its own on it."""

    def test_large_results(self) -> None:
        """The same; Dask warns that large arguments are better put where workers read them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            super().test_large_results()

    def test_what_is_under_way_can_be_abandoned(self, tmp_path) -> None:
        """After `abandon` nobody waits for a task any more, and the cluster goes on."""
        executor = self.executor()
        gate = tmp_path / "gate"
        future = executor.submit(wait_for, str(gate))
        while not executor._under_way:
            time.sleep(0.01)
        executor.shutdown(wait=False, cancel_futures=True)
        executor.abandon()
        assert isinstance(future.exception(60), ExecutorError)
        gate.touch()
        assert self.executor().submit(add, 1).result(60) == 1


class TestDask(_Kept):
    """Dask: two worker processes."""

    cluster: DaskExecutor

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _keep(cls):
        cls.cluster = open_dask(2, None)
        yield
        cls.cluster.shutdown()

    def executor(self) -> Executor:
        return DaskExecutor(self.cluster._client, 2)

    def test_a_running_cluster_is_joined_by_its_address(self):
        """`dask:ADDRESS` works on a cluster that is there already, and leaves it there."""
        self.cluster._client.wait_for_workers(2, timeout=60)  # another test kills one
        address = self.cluster._client.scheduler.address
        with open_executor(f"dask:{address}") as executor:
            assert isinstance(executor, DaskExecutor)
            assert executor.workers == 2
            assert executor.submit(add, 1).result(60) == 1
        assert self.cluster.submit(add, 1).result(60) == 1

    def test_the_executor_of_a_client_is_an_executor(self):
        """What a Dask client gives as an executor is taken as it is."""
        with open_executor(self.cluster._client.get_executor()) as executor:
            assert executor.submit(add, 1, 2).result(60) == 3


class TestRay(_Kept):
    """Ray: two workers."""

    cluster: RayExecutor

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _keep(cls):
        cls.cluster = open_ray(2, None)
        yield
        cls.cluster.shutdown()

    def executor(self) -> Executor:
        return RayExecutor(2)

    def test_a_connected_process_stays_connected(self):
        """`ray` in a process that is connected works there, and does not disconnect it."""
        with open_executor("ray") as executor:
            assert isinstance(executor, RayExecutor)
            assert executor.workers == 2
            assert executor.submit(add, 1).result(60) == 1
        assert self.cluster.submit(add, 1).result(60) == 1


def test_a_cluster_that_is_not_there_is_told():
    """An address at which nothing answers is an error that shows it."""
    from dask import config

    with (
        config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(ConfigurationError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
        open_executor("dask:tcp://127.0.0.1:1"),
    ):
        pass
