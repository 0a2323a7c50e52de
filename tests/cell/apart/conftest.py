"""What the tests of forked processes share: one keeper, which takes seconds to start."""

from collections.abc import Iterator

import forked
import pytest

from bench.cell.apart.forks import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes with one thread for torch. A test that ends the keeper takes ``own_forks``."""
    forks = Forks(forked.one_thread)
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def own_forks() -> Iterator[Forks]:
    """Those of a keeper that a test may end: the next one has another."""
    forks = Forks(forked.one_thread)
    yield forks
    forks.close()
