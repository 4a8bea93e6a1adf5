"""Parts of a batch in threads, each with single-threaded BLAS; numpy releases the interpreter while it computes."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# With fewer rows a thread spends its time on overhead.
_ROWS_A_THREAD = 16


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shards(n: int, parts: int) -> list[slice]:
    """At most `parts` ranges of similar length that cover 0 to `n`, each of 16 rows or more if possible."""
    parts = max(1, min(parts, n // _ROWS_A_THREAD))
    edges = np.linspace(0, n, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keeps BLAS from starting threads within each product, which costs more time than it saves at these sizes."""
    # The command line sets this before numpy is loaded; that saves the import and the search for libraries.
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


class Threads:
    """A pool that runs tasks in parallel, or one after the other if it has only one thread.

    Args:
      count: threads, default one per core.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or cores()
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def run(self, tasks: list[Callable[[], object]]) -> None:
        """Runs all tasks to their end, and raises the first error."""
        if self._pool is None or len(tasks) == 1:
            for task in tasks:
                task()
            return
        # A copy of the context carries numpy's error state.
        for future in [self._pool.submit(contextvars.copy_context().run, task) for task in tasks]:
            future.result()

    def over(self, n: int, work: Callable[[slice], object]) -> None:
        """Calls `work` with ranges that cover 0 to `n`, one per thread."""
        self.run([functools.partial(work, part) for part in shards(n, self.count)])

    def close(self) -> None:
        """Ends the threads."""
        if self._pool:
            self._pool.shutdown()
