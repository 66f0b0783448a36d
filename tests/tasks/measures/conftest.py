"""Settings of the tests of the measures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.measures import pair_selection


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Multiply sparse matrices in one thread: on a busy machine two threads wait seconds for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pair_selection, "THREADS", 1)
        yield
