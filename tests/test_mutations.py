"""Damaged music files: each is read, or refused in one sentence (`tools.mutations` has the whole campaign)."""

from __future__ import annotations

import pytest

from tools import mutations


@pytest.mark.parametrize("seed", [0, 1000, 2000])
def test_damaged_files_are_read_or_refused(seed):
    ends, slowest = mutations.run(300, seed)
    assert ends["read"] > 100 and ends["refused"] > 50
    assert ends.total() == 300 and slowest < mutations.SECONDS
