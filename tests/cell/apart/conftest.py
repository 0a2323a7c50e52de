"""What the tests of forked processes share: one keeper, which takes seconds to start."""

from collections.abc import Iterator

import forked
import pytest

from bench.cell.apart.forks import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Processes with one thread for torch. A test that ends the keeper takes ``own_forks``."""
    forks = Forks(forked.one_thread)
    forks.start()
    yield forks
    forks.close()


@pytest.fixture(scope="session")
def _own_forks() -> Iterator[Forks]:
    forks = Forks(forked.one_thread)
    yield forks
    forks.close()


@pytest.fixture
def empty_keepers(monkeypatch) -> None:
    """Keepers that start meanwhile have loaded nothing for what they fork, which takes seconds."""
    code = "import sys; sys.path[:] = {path!r}; from bench.cell.apart import keeper"
    monkeypatch.setattr("bench.cell.apart.forks._START", f"{code}; keeper.LOADED = (); keeper.main({{descriptor}})")


@pytest.fixture
def own_forks(_own_forks, empty_keepers) -> Forks:
    """Those of a keeper that a test may end: the next one has another."""
    return _own_forks
