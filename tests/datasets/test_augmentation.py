"""What a data set says of crops and flips stands in its spec too, where defenses see it."""

import pytest

from bench.plan.registry import Registry

REGISTRY = Registry()
NAMES = [entry.name for entry in REGISTRY.entries("dataset") if entry.is_built_in and entry.name != "image_folder"]


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_says_how_training_may_vary_the_images(name: str) -> None:
    dataset = REGISTRY.create("dataset", name, {})
    assert (dataset.spec.crop, dataset.spec.flip) == (dataset.crop, dataset.flip)
