"""Fixtures of the models' tests."""

from typing import Any

import pytest


@pytest.fixture
def weights(monkeypatch) -> dict[str, Any]:
    """The weights that timm can download, by the name of their repository; any others are an error."""
    available: dict[str, Any] = {}

    def load(repository: str, *_: Any, **__: Any) -> Any:
        if repository not in available:
            raise OSError(f"no connection to {repository}\nand a second line")
        return {name: value.clone() for name, value in available[repository].items()}

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", load)
    return available
