"""Executors: the contract on each of them, and what is told of a wrong one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from simpleml.errors import ConfigurationError, ExecutorError, MissingDependencyError, UnknownNameError, WorkerDiedError
from simpleml.executors import executors, open_executor
from simpleml.executors.inline import InlineExecutor
from simpleml.executors.processes import ProcessesExecutor
from simpleml.executors.threads import ThreadsExecutor
from simpleml.testing.executors import ExecutorContract, add, die, whereabouts

ROOT = Path(__file__).resolve().parents[2]


class TestInline(ExecutorContract):
    """In line."""

    queues = separate = False

    def executor(self) -> Executor:
        return InlineExecutor()


class TestThreads(ExecutorContract):
    """Threads of ours."""

    separate = False

    def executor(self) -> Executor:
        return ThreadsExecutor(2)


class TestStandardThreads(ExecutorContract):
    """The standard library's threads: the contract is the one of `concurrent.futures`."""

    separate = False

    def executor(self) -> Executor:
        return ThreadPoolExecutor(2)


class TestProcesses(ExecutorContract):
    """Spawned processes, two for all tests."""

    method = "spawn"
    kept: ProcessesExecutor

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _keep(cls):
        cls.kept = ProcessesExecutor(2, cls.method)
        yield
        cls.kept.shutdown()

    def executor(self) -> Executor:
        return self.kept

    def finish(self, executor: Executor) -> None:
        """Keep them."""

    def test_shutdown_finishes_what_there_is(self) -> None:
        """The same, on processes of its own."""
        kept, type(self).kept = self.kept, ProcessesExecutor(1, self.method)
        try:
            super().test_shutdown_finishes_what_there_is()
        finally:
            type(self).kept = kept


class TestForkedProcesses(TestProcesses):
    """Forked processes keep the contract too."""

    method = "fork"


def test_the_standard_pool_breaks_where_ours_goes_on():
    """A known-bad twin: after a worker's death the standard pool does nothing more, so the contract tells the two apart."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert not isinstance(pool.submit(die).exception(60), WorkerDiedError)
        with pytest.raises(RuntimeError):
            pool.submit(add, 1)


# by name


@pytest.mark.parametrize("name", ["inline", "threads", "processes", "processes:forkserver"])
def test_an_executor_is_opened_by_its_name(name):
    """Each name gives an executor for the block, which takes nothing after it."""
    with open_executor(name) as executor:
        assert executor.submit(add, 1, 2).result(60) == 3
    with pytest.raises(RuntimeError):
        executor.submit(add, 1)


def test_without_a_name_work_is_done_in_line():
    """The default needs nothing: the caller's own thread does the work."""
    with open_executor() as executor:
        assert isinstance(executor, InlineExecutor)
        assert executor.submit(whereabouts).result() == os.getpid()


def test_an_executor_that_is_brought_stays_open():
    """Whoever made an executor ends it."""
    with ThreadPoolExecutor(1) as mine:
        with open_executor(mine) as executor:
            assert executor is mine
        assert mine.submit(add, 1).result() == 1
        with pytest.raises(ConfigurationError, match="ThreadPoolExecutor is there already"), open_executor(mine, 2):
            pass


def test_workers_are_counted():
    """`workers` is the number of tasks that are under way at once."""
    with open_executor("threads", workers=3) as executor:
        assert isinstance(executor, ThreadsExecutor)
        assert executor.workers == 3


def test_a_block_that_raises_cancels_what_waits():
    """What has not begun when the block raises is never done."""
    with pytest.raises(KeyError), open_executor("threads", workers=1) as executor:
        first = executor.submit(time.sleep, 0.2)
        rest = [executor.submit(add, 1) for _ in range(5)]
        raise KeyError
    assert first.done()
    assert all(future.cancelled() for future in rest)


@pytest.mark.parametrize(
    ("what", "workers", "told"),
    [
        (
            "thread",
            None,
            r"no executor 'thread'; known: dask, inline, processes, ray, threads \(did you mean 'threads'\?\)",
        ),
        (7, None, r"7 \(int\) is no executor: .*inline"),
        ("threads", 0, "workers is 0, but must be a whole number from 1 on"),
        ("threads", True, "workers is True"),
        ("inline", 4, "4 workers mean nothing: take 'threads' or 'processes'"),
        ("threads:many", None, "'many' after the colon, but takes nothing there"),
        ("processes:spoon", None, "'spoon' after the colon, but only 'processes:fork' or"),
    ],
)
def test_a_wrong_one_is_told(what, workers, told):
    """An executor that cannot be opened is told with the offending value and what is known."""
    with pytest.raises((ConfigurationError, UnknownNameError), match=told), open_executor(what, workers):
        pass


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("ray", "ray")])
def test_a_missing_extra_gives_the_pip_line(monkeypatch, name, module):
    """An executor whose library is not installed says how to install it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'simpleml\[{name}\]'"), open_executor(name):
        pass


def test_ones_own_executor_has_a_name():
    """A factory that is registered gets the number of workers and the address, and its executor is shut down at the end."""
    asked = []

    def factory(workers, address):
        asked.append((workers, address))
        return ThreadPoolExecutor(workers)

    executors.register("my-own", factory)
    try:
        with open_executor("my-own:at:home", workers=2) as executor:
            assert executor.submit(add, 1).result() == 1
        assert asked == [(2, "at:home")]
        with pytest.raises(RuntimeError):
            executor.submit(add, 1)
    finally:
        executors.drop("my-own")


# processes


def test_what_cannot_be_pickled_is_told_before_it_is_sent():
    """A function that no other process can import is an error that says so, and the worker stays."""
    with open_executor("processes", workers=1) as executor:
        before = executor.submit(whereabouts).result(60)
        with pytest.raises(ExecutorError, match=r"<lambda>\(\) or an argument .* function that can be imported there"):
            executor.submit(lambda: 1).result(60)
        assert executor.submit(whereabouts).result(60) == before


def test_a_worker_that_is_killed_while_idle_is_replaced():
    """A worker that dies between two tasks costs none of them."""
    with open_executor("processes", workers=1) as executor:
        before = executor.submit(whereabouts).result(60)
        os.kill(before, signal.SIGKILL)
        while Path(f"/proc/{before}/stat").read_text().split()[2] != "Z":
            time.sleep(0.01)
        assert executor.submit(whereabouts).result(60) not in {before, os.getpid()}


def test_a_killed_worker_is_told_by_its_signal():
    """The message of a worker that was killed names the signal, the process and the function."""
    with open_executor("processes", workers=1) as executor:
        worker = executor.submit(whereabouts).result(60)
        future = executor.submit(os.kill, worker, signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match=rf"process {worker} ended by SIGKILL \(out of memory\?\)"):
            future.result(60)


def test_an_executor_does_not_survive_a_fork():
    """A forked child that uses its parent's executor is told so, instead of waiting for threads that it does not have."""
    with open_executor("threads", workers=1) as executor:
        assert executor.submit(add, 1).result() == 1
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                executor.submit(add, 1)
            except ExecutorError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            assert "open one in this process, after the fork" in told.read()
        os.waitpid(child, 0)
        assert executor.submit(add, 1).result() == 1


def test_an_interrupt_ends_everything(tmp_path):
    """Ctrl-C, which reaches all processes of a terminal, ends the script and its workers, however long their tasks are."""
    script = tmp_path / "script.py"
    script.write_text(
        "import time\nfrom simpleml.executors import open_executor\n"
        "if __name__ == '__main__':\n"
        "    with open_executor('processes', workers=2) as executor:\n"
        "        print(executor.submit(abs, -1).result(), flush=True)\n"
        "        futures = [executor.submit(time.sleep, 3600) for _ in range(4)]\n"
        "        while not all(future.running() for future in futures[:2]): time.sleep(0.01)\n"
        "        time.sleep(1)\n"
        "        print('busy', flush=True)\n"
        "        futures[0].result()\n"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "1\n"
    assert process.stdout.readline() == "busy\n"
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)  # to the end of what its workers have open too
    assert "KeyboardInterrupt" in err


def _held(path: str) -> None:
    """Hold something until the end, and take a moment to give it back."""
    Path(path).write_text("held")
    try:
        time.sleep(3600)
    finally:
        time.sleep(0.2)
        Path(path).write_text("given back")


def test_what_is_abandoned_gives_back_what_it_holds(tmp_path):
    """A task is interrupted once, however often it is told, before it is killed; so nobody waits for what it held."""
    path = tmp_path / "held"
    with ProcessesExecutor(1) as executor:
        pid = executor.submit(whereabouts).result()
        task = executor.submit(_held, str(path))
        while not path.exists() or path.read_text() != "held":
            time.sleep(0.01)
        os.kill(pid, signal.SIGINT)  # as a terminal does
        executor.abandon()
        assert path.read_text() == "given back"
        assert isinstance(task.exception(), KeyboardInterrupt)
        with pytest.raises(ExecutorError, match="abandoned"):
            executor.submit(add, 1).result()


SCRIPT = """
from simpleml.executors.processes import ProcessesExecutor
from simpleml.testing.executors import whereabouts
{guard}
    executor = ProcessesExecutor(1)
    print(executor.submit(whereabouts).result(60) > 0)
"""


@pytest.mark.parametrize(("guard", "code"), [("if __name__ == '__main__':", 0), ("if True:", 1)])
def test_a_script_ends_although_nobody_shut_down(tmp_path, guard, code):
    """A script that forgets `shutdown()` ends by itself; one without the guard for spawned processes is told about it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard=guard))
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, "" if code else "True\n")
    last = (done.stderr.splitlines() or [""])[-1]
    assert ("WorkerDiedError" in last, "`if __name__ == '__main__':`" in last) == (code == 1, code == 1)
