"""What TAC identifies a backdoor by: distances, what permutes the classes, and control networks."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from planted import PERMUTED, Permutable, context
from torch import nn

from bench.defenses import _tac_evidence
from bench.defenses._tac_evidence import Distances, permuted, reinitialised
from bench.plugin.values import LabelledImages

CLASSES = len(PERMUTED)


def test_an_image_says_nothing_of_its_own_class_or_of_the_class_that_it_is_given():
    values = torch.tensor([[0.0, 2.0, 8.0], [1.0, 0.0, 4.0], [3.0, 0.0, 0.0]])  # image 1 is given the class 2
    distances = Distances(values, torch.tensor([0, 1, 2]))
    np.testing.assert_allclose(distances.of_classes(), [4, 2, 3], rtol=1e-6)


def pictures(each: int) -> LabelledImages:
    """``each`` images a class: a pixel for each class, bright for its own, and one for the trigger, dark."""
    labels = torch.arange(CLASSES).repeat(each)
    noise = torch.randint(0, 13, (len(labels), CLASSES), generator=torch.Generator().manual_seed(each))
    pixels = (255 * torch.eye(CLASSES, dtype=torch.long)[labels] - noise).abs()
    pixels = torch.cat([pixels, torch.zeros(len(labels), 1, dtype=torch.long)], 1)
    return LabelledImages(pixels.to(torch.uint8)[:, None, None], labels)


def network(backdoor: str, before: int) -> nn.Module:
    """One with ``before`` stages, which change nothing, before the one with the backdoor."""
    last = nn.Linear(CLASSES, CLASSES, bias=False)
    torch.nn.init.eye_(last.weight)
    return nn.Sequential(*(nn.Identity() for _ in range(before)), Permutable(backdoor), last)


@pytest.mark.parametrize("each", [2, 9, 40])
@pytest.mark.parametrize("before", [1, 2, 4])
def test_what_permutes_the_classes_is_found_behind_late_stages_and_by_other_images(before, each):
    shares, targets = permuted(network("all-to-all", before), CLASSES, pictures(each), context())
    assert targets == PERMUTED
    assert len(shares) == min(before, 2)
    assert max(shares) > 0.8
    for backdoor in ("all-to-one", "none"):
        model = network(backdoor, before)
        shares, targets = permuted(model, CLASSES, pictures(each), context())
        assert targets is None
        assert max(shares) < 0.5
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_one_image_a_class_says_nothing_of_a_permutation():
    assert permuted(network("all-to-all", 2), CLASSES, pictures(1), context()) == ([], None)


def test_few_images_of_a_class_are_asked_and_those_that_find_a_change_do_not_judge_it(monkeypatch):
    numbers = torch.arange(50 * CLASSES)
    images = torch.stack([numbers // 256, numbers % 256], 1).to(torch.uint8)[:, :, None, None]  # each names itself
    asked: list[set[tuple[float, ...]]] = []

    def head(*_):
        return lambda floats: asked.append({*map(tuple, floats.flatten(1).tolist())}) or floats, None

    monkeypatch.setattr(_tac_evidence, "_cut", head)
    monkeypatch.setattr(_tac_evidence, "permuting_change", lambda *_: SimpleNamespace(share=lambda *_: 0, targets=()))
    permuted(network("none", 1), CLASSES, LabelledImages(images, numbers % CLASSES), context())
    found_with, judged_by = asked
    assert len(found_with) == len(judged_by) == 10 * CLASSES
    assert not found_with & judged_by


def test_a_control_network_is_new_and_the_same_again():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 36), nn.ReLU(), nn.Linear(36, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    first, again = (reinitialised(net, torch.Generator().manual_seed(5)).state_dict() for _ in range(2))
    other = reinitialised(net, torch.Generator().manual_seed(6)).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], value) for name, value in before.items())
    assert not any(torch.equal(first[name], other[name]) for name in first)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())
    assert torch.equal(torch.get_rng_state(), state)
