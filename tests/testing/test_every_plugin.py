"""Every built-in keeps the contract of its kind, by the kit that authors check their own plugins with.

Here are the properties for which nothing is run, those that look at a single run of a plugin, and all for a few.
All properties of all plugins: ``pytest -m slow``.
"""

import time
from typing import Any

import pytest

from bench.plan.registry import KINDS, Registry
from bench.testing import Subject, examine, properties_of

REGISTRY = Registry()
NEEDED: dict[str, dict[str, Any]] = {  # parameters without which a plugin stands for nothing small
    "timm": {"architecture": "mobilenetv3_small_050"},
    "image_folder": {"path": "no-such-folder"},
}
QUICK = {  # by kind: what looks at one run
    "dataset": {"spec", "splits", "count", "summary"},
    "model": {"runs", "logits", "gradients", "grey", "larger"},
    "attack": {"runs", "trigger", "pure", "batch-sizes", "target", "poison", "state", "random-numbers", "printing"},
    "defense": {
        "knowledge", "runs", "answers", "batch-sizes", "network", "repaired", "inputs", "notes", "state",
        "random-numbers", "printing",
    },
}  # fmt: skip
VARIANTS = {  # of plugins whose code differs much by a parameter
    "preact_resnet18": [{"last_norm": True}],
    "blend": [{"picture": "noise"}],
    "bpp": [{"dithering": False}, {"poisons": "batches"}],
    "wanet": [{"poisons": "batches"}],
    "scale_up": [{"data_free": True}],
}
SIBLINGS = {"vit_small": "vit_tiny", "efficientnet_b0": "mobilenet_v3"}  # larger models with the code of smaller ones
WHOLLY = [("dataset", "digits"), ("model", "resnet18"), ("attack", "sig"), ("defense", "strip"), ("defense", "ft")]
EVERY = [
    pytest.param(kind, entry.name, variant, id="-".join([kind, entry.name, *variant]))
    for kind in KINDS
    for entry in REGISTRY.entries(kind)
    if entry.is_built_in
    for variant in [{}, *VARIANTS.get(entry.name, [])]
]
every = pytest.mark.parametrize(("kind", "name", "parameters"), EVERY)


def subject(kind: str, name: str, parameters: dict[str, Any], tmp_path: Any) -> Subject:
    return Subject(REGISTRY.load(kind, name), {**NEEDED.get(name, {}), **parameters}, True, tmp_path)


def faults(of: Subject, names: set[str] | None = None) -> list[str]:
    properties = [one for one in properties_of(of.kind) if names is None or one.name in names]
    assert len(properties) == len(names or properties)
    return [str(finding) for finding in examine(of, properties) if finding.status == "failed"]


@every
def test_what_a_built_in_says_of_itself_is_sound(kind, name, parameters, tmp_path):
    names = {one.name for one in properties_of(kind, runs=False)}
    assert faults(subject(kind, name, parameters, tmp_path), names) == []


@every
def test_a_built_in_runs_as_its_kind_must(kind, name, parameters, tmp_path):
    usual_images_only = {"grey", "larger"} if name in SIBLINGS else set()
    assert faults(subject(kind, name, parameters, tmp_path), QUICK[kind] - usual_images_only) == []


@pytest.mark.parametrize(("larger", "smaller"), SIBLINGS.items())
def test_a_model_that_is_examined_on_usual_images_alone_has_the_code_of_a_sibling(larger, smaller):
    one, other = (REGISTRY.load("model", name) for name in (larger, smaller))
    assert one.__bases__ == other.__bases__
    assert one.build is other.build
    assert one.resolve is other.resolve


@pytest.mark.parametrize(("kind", "name"), WHOLLY)
def test_of_each_kind_one_built_in_has_every_property(kind, name, tmp_path):
    properties = [one for one in properties_of(kind) if one.name not in QUICK[kind] | {"import"}]
    assert faults(subject(kind, name, {}, tmp_path), {one.name for one in properties}) == []


@pytest.mark.slow
@every
def test_a_built_in_has_every_property_in_less_than_20_seconds(kind, name, parameters, tmp_path):
    began = time.process_time()
    assert faults(subject(kind, name, parameters, tmp_path)) == []
    assert time.process_time() - began < 20
