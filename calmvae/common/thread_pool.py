"""Parts of a batch in threads, each with a BLAS of one thread: numpy lets go of the interpreter while it computes."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

# A thread with fewer rows than this spends its time on overhead.
_ROWS_A_THREAD = 16


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shards(n: int, parts: int) -> list[slice]:
    """At most `parts` ranges of about one length that make up 0 to `n`, each of 16 rows or more if possible."""
    parts = max(1, min(parts, n // _ROWS_A_THREAD))
    edges = np.linspace(0, n, parts + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keeps BLAS from starting threads inside each product; that costs more than it gives at these sizes."""
    # The command line sets this before numpy is loaded, and saves the import and the search for libraries.
    if os.environ.get("OPENBLAS_NUM_THREADS") == "1":
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


class Threads:
    """A pool that runs tasks side by side, or one after the other when it has one thread only.

    Args:
      count: threads, default one a core.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or cores()
        self._pool = ThreadPoolExecutor(self.count) if self.count > 1 else None

    def run(self, tasks: list[Callable[[], object]]) -> None:
        """Runs all tasks to their end, and raises what the first of them raised."""
        if self._pool is None or len(tasks) == 1:
            for task in tasks:
                task()
            return
        # A copy of the context takes numpy's error state along.
        for future in [self._pool.submit(contextvars.copy_context().run, task) for task in tasks]:
            future.result()

    def over(self, n: int, work: Callable[[slice], object]) -> None:
        """Calls `work` with ranges that make up 0 to `n`, one a thread."""
        self.run([functools.partial(work, part) for part in shards(n, self.count)])

    def close(self) -> None:
        """Ends the threads."""
        if self._pool:
            self._pool.shutdown()
