"""Profiles: named defaults for everything that a request leaves open."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Profile:
    """Defaults of a request. ``parameters`` sets plugin parameters that the request does not set itself."""

    datasets: str
    models: str
    recipe: str
    seeds: tuple[int, ...]
    reference: str
    suspects: int
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)


PROFILES = {
    # real images shipped inside a dependency and a slim network: minutes on two CPU cores
    "quick": Profile(
        datasets="mnist5k",
        models="resnet18[width=16,stem=pooled]",
        recipe="quick",
        seeds=(0,),
        reference="5%",
        suspects=64,
        # Strokes are strong evidence of the true class: at 40/255 in half of the class ASR stays near 0.1. It takes
        # nearly the whole class, and the stronger signal at inference that the paper allows (docs/findings.md).
        parameters={"sig": {"poisoning_rate": 0.0975, "test_delta": 80 / 255}},
    ),
    # the papers' setting, for one GPU
    "paper": Profile(
        datasets="cifar10",
        models="resnet18",
        recipe="paper",
        seeds=(0, 1, 2),
        reference="5%",
        suspects=64,
    ),
}
