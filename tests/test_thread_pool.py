"""Parts of a batch, and threads to work on them."""

import threading
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from calmvae.common import thread_pool


@pytest.mark.parametrize(("n", "parts"), [(0, 2), (1, 2), (31, 2), (32, 2), (100, 3), (1000, 7)])
def test_shards_make_up_the_whole(n, parts):
    found = thread_pool.shards(n, parts)
    assert [k for part in found for k in range(part.start, part.stop)] == list(range(n))
    assert 1 <= len(found) <= parts
    assert len(found) == 1 or min(part.stop - part.start for part in found) >= 16


def test_tasks_run_side_by_side():
    threads = thread_pool.Threads(2)
    both = threading.Barrier(2, timeout=20)
    threads.run([both.wait, both.wait])
    seen = np.zeros(100, int)

    def count(part):
        seen[part] += 1

    threads.over(100, count)
    assert (seen == 1).all()
    threads.close()


@pytest.mark.parametrize("count", [1, 2])
def test_a_failing_task_is_raised(count):
    def fail():
        raise KeyError("here")

    threads = thread_pool.Threads(count)
    with pytest.raises(KeyError, match="here"):
        threads.run([lambda: None, fail])
    threads.close()


def test_numpys_error_state_reaches_the_threads():
    def overflow():
        np.exp(np.float32([1000.0]))

    threads = thread_pool.Threads(2)
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")
        threads.run([overflow, overflow])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        threads.run([overflow, overflow])
    threads.close()


def test_one_blas_thread(monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with thread_pool.one_blas_thread():
        assert all(library["num_threads"] == 1 for library in threadpool_info() if library["user_api"] == "blas")
