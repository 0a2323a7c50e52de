"""What the tests of defenses share."""

from contextlib import nullcontext

import pytest

from bench.defenses import _detection


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detectors compute in full precision: what is compared with a direct computation must not be rounded."""
    monkeypatch.setattr(_detection, "autocast", lambda device: nullcontext())
