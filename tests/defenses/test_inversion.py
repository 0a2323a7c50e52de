"""Reverse-engineering of triggers: what it recovers, and how searches are given up."""

import pytest
import torch
from planted import SIX_COLUMNS, column_victim, context, rising
from torch import Tensor

from bench.defenses._inversion import TRIGGER_MODELS, invert, promising
from bench.defenses.bna import of_classes

CLASSES = SIX_COLUMNS.classes


def test_the_smallest_patch_is_that_of_the_backdoor_and_lies_where_the_trigger_lies() -> None:
    data = SIX_COLUMNS.draw(60, 1)
    images = torch.stack(
        [of_classes(data, [k for k in range(CLASSES) if k != t], 16, context().generator) for t in range(CLASSES)]
    )
    targets = torch.arange(CLASSES)
    triggers = invert(column_victim(), TRIGGER_MODELS["patch"], images, targets, context(), steps=80, goal=0.95)
    assert triggers.norms.argmin() == 2
    assert triggers.success[2] >= 0.95
    triggered = triggers.apply(images)
    assert triggered.min() >= 0
    assert triggered.max() <= 1
    share = (column_victim()(triggered[2]).argmax(1) == 2).float().mean()
    assert share == pytest.approx(triggers.success[2].item())
    mask = triggers.parameters[0][2, 0].sigmoid()
    assert mask.argmax() == SIX_COLUMNS.trigger.flatten().nonzero()


@pytest.mark.parametrize("kind", TRIGGER_MODELS)
def test_a_trigger_is_the_same_alone_and_side_by_side_with_others(kind: str) -> None:
    images = SIX_COLUMNS.draw(24, 2).floats.view(4, 6, *SIX_COLUMNS.shape)
    model = TRIGGER_MODELS[kind]
    parameters = [p + 0.3 for p in model.start(4, SIX_COLUMNS.shape, context().generator)]
    together, norms = model.apply(parameters, images), model.norm(parameters)
    for k in range(4):
        alone = [p[k : k + 1] for p in parameters]
        assert torch.allclose(model.apply(alone, images[k : k + 1])[0], together[k], atol=1e-6)
        assert torch.allclose(model.norm(alone)[0], norms[k])


def test_a_warp_of_whole_pixels_moves_the_image() -> None:
    images = torch.rand(1, 2, 3, 7, 9)
    moved = TRIGGER_MODELS["warp"].apply([torch.tensor([2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 6)], images)
    assert torch.allclose(moved[..., :-1, :-2], images[..., 1:, 2:], atol=1e-5)


def pairs() -> tuple[Tensor, Tensor]:
    """For every ordered pair of classes six images of the source, and the target."""
    data, order = SIX_COLUMNS.draw(60, 1), [(s, t) for t in range(CLASSES) for s in range(CLASSES) if s != t]
    images = [of_classes(data, [source], 6, context().generator) for source, _ in order]
    return torch.stack(images), torch.tensor([target for _, target in order])


def test_giving_up_hopeless_searches_does_not_change_the_results_of_the_others() -> None:
    images, targets = pairs()
    around, shares = rising()
    whole, pruned = (
        invert(
            column_victim(), TRIGGER_MODELS["patch"], images, targets, some, steps=80, goal=0.95,
            prune=prune, least=CLASSES, batch=batch,
        )
        for some, prune, batch in ((context(), 0.0, 1024), (around, 0.5, 24))
    )  # fmt: skip
    assert len(shares) > 80  # told after every step
    assert shares[-1] == 1
    assert whole.finished.all()
    assert pruned.finished[targets == 2].all()
    assert CLASSES <= pruned.finished.sum() < 2 / 3 * len(targets)
    assert torch.allclose(pruned.norms[pruned.finished], whole.norms[pruned.finished], rtol=1e-2)
    given_up = ~pruned.finished
    assert pruned.norms[given_up].min() > 10 * pruned.norms[targets == 2].max()
    assert pruned.norms[given_up].median() == pytest.approx(whole.norms[given_up].median().item(), rel=0.1)


def test_the_smallest_triggers_that_work_are_the_most_promising() -> None:
    norms, success = torch.tensor([5.0, 2, 1, 3, 4]), torch.tensor([1.0, 0.96, 0.5, 0.7, 0.95])
    assert promising(norms, success, 0.95).tolist() == [1, 4, 0, 3, 2]
