"""defensebench: compare defenses against backdoor attacks on image classifiers.

The names below are the whole public interface. They are loaded on first use, so that ``bench --help``
never pays for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "bench.plugin": (
        "Attack",
        "AttackContext",
        "Case",
        "Context",
        "Dataset",
        "Defense",
        "ImageSpec",
        "Known",
        "LabelledImages",
        "Model",
        "Objective",
        "Oracle",
        "Plugin",
        "Poisoned",
        "Prediction",
        "Repair",
        "Runtime",
        "Secret",
        "Splits",
    ),
    "bench.api": ("Results", "run"),
    "bench.errors": ("RequestError",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

if TYPE_CHECKING:
    from bench.api import Results, run
    from bench.errors import RequestError
    from bench.plugin import (
        Attack,
        AttackContext,
        Case,
        Context,
        Dataset,
        Defense,
        ImageSpec,
        Known,
        LabelledImages,
        Model,
        Objective,
        Oracle,
        Plugin,
        Poisoned,
        Prediction,
        Repair,
        Runtime,
        Secret,
        Splits,
    )

__all__ = [
    "Attack",
    "AttackContext",
    "Case",
    "Context",
    "Dataset",
    "Defense",
    "ImageSpec",
    "Known",
    "LabelledImages",
    "Model",
    "Objective",
    "Oracle",
    "Plugin",
    "Poisoned",
    "Prediction",
    "Repair",
    "RequestError",
    "Results",
    "Runtime",
    "Secret",
    "Splits",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)
