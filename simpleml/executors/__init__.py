"""Where work runs: in line, in threads, in processes, on Dask, on Ray, or on any `concurrent.futures.Executor`.

Executors know nothing of what they run. What travels to another process is a function and its arguments.
"""

from simpleml.executors.opening import ExecutorFactory, executors, open_executor

__all__ = ["ExecutorFactory", "executors", "open_executor"]
