"""FIRE on hand-made networks: the planted trigger's direction is estimated, detected and removed; nothing else is."""

from typing import Literal

import pytest
import torch
from planted import Task, context, pixel_task
from small_networks import tiny_vit
from torch import Tensor, nn

from bench.defenses._fire_repair import Estimate, Samples
from bench.defenses.fire import FIRE
from bench.plugin.values import Context, ImageSpec, Known, Prediction

TASK = pixel_task(classes=3, side=8, target=2, trigger=40, dark=False)
OTHERS = pixel_task(classes=2, side=8, target=2, trigger=40, dark=False)  # its images without those of the target class
CLASSES, TARGET = TASK.classes, TASK.target
TRIGGER = int(TASK.trigger.flatten().nonzero())


class Chain(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images)
        return logits


def victim(middle: type[nn.Module] = nn.Identity) -> nn.Module:
    """Pixel c votes for class c, the trigger pixel with three times the weight for TARGET; stages are identities.

    Unlike ``planted.Victim``, it may be without a ReLU, so that a repair in its latent can be computed by hand.
    """
    linear = nn.Linear(64, CLASSES)
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.zero_()
        linear.weight[:, :CLASSES] = 8 * torch.eye(CLASSES)
        linear.weight[TARGET, TRIGGER] = 24
    return Chain(nn.Flatten(), middle(), linear).eval()


def shifting_victim() -> nn.Module:
    """Pixel c votes for class c, and with the trigger pixel more strongly for class c + 1: all-to-all."""
    hidden, linear = nn.Linear(64, 2 * CLASSES), nn.Linear(2 * CLASSES, CLASSES)
    with torch.no_grad():
        for parameter in (*hidden.parameters(), *linear.parameters()):
            parameter.zero_()
        for label in range(CLASSES):
            hidden.weight[label, label] = 1
            hidden.weight[CLASSES + label, [label, TRIGGER]] = 1
            hidden.bias[CLASSES + label] = -1
            linear.weight[label, label] = 8
            linear.weight[(label + 1) % CLASSES, CLASSES + label] = 24
    return Chain(nn.Flatten(), hidden, nn.ReLU(), linear).eval()


def known(pairs: bool = True, suspects: int = 24, task: Task = OTHERS) -> Known:
    """Clean images of all classes, and suspects that were drawn from ``task``."""
    originals = task.draw(suspects, seed=2).floats
    return Known(TASK.draw(60, seed=1), TASK.triggered(originals), originals if pairs else None)


def accuracy(prediction: Prediction, labels: Tensor) -> float:
    return float((prediction.logits.argmax(1) == labels).float().mean())


@pytest.mark.parametrize("form", ["shift", "projection"])
@pytest.mark.parametrize("direction", ["unpaired", "paired"])
def test_a_planted_trigger_is_removed(
    direction: Literal["unpaired", "paired"], form: Literal["shift", "projection"]
) -> None:
    model, clean = victim(), TASK.draw(90, seed=3)
    fire = FIRE(direction=direction, form=form)
    guard = fire.guard(model, known(pairs=fire.wants_pairs), context())
    assert bool((model(TASK.triggered(clean.floats)).argmax(1) == TARGET).all())
    repaired = guard(TASK.triggered(clean.floats))
    assert accuracy(repaired, clean.labels) == 1
    assert repaired.flagged is not None
    assert torch.equal(repaired.flagged, clean.labels != TARGET)
    untouched = guard(clean.floats)
    torch.testing.assert_close(untouched.logits, model(clean.floats))
    assert untouched.flagged is not None
    assert not untouched.flagged.any()


def test_a_random_direction_of_the_same_length_does_not_repair() -> None:
    clean, (true, control) = OTHERS.draw(90, seed=3), (context(), context())
    FIRE().guard(victim(), known(pairs=False), true)
    guard = FIRE(direction="random").guard(victim(), known(pairs=False), control)
    assert control.diagnostics["chosen"] == true.diagnostics["chosen"]
    assert accuracy(guard(TASK.triggered(clean.floats)), clean.labels) < 0.1


@pytest.mark.parametrize("direction", ["unpaired", "paired"])
def test_an_all_to_all_trigger_is_removed(direction: Literal["unpaired", "paired"]) -> None:
    model, clean = shifting_victim(), TASK.draw(90, seed=3)
    assert accuracy(Prediction(model(TASK.triggered(clean.floats))), (clean.labels + 1) % CLASSES) == 1
    fire = FIRE(direction=direction)
    guard = fire.guard(model, known(pairs=fire.wants_pairs, task=TASK), context())
    assert accuracy(guard(TASK.triggered(clean.floats)), clean.labels) > 0.95
    assert accuracy(guard(clean.floats), clean.labels) == 1


@pytest.mark.parametrize("direction", ["unpaired", "paired"])
def test_suspects_without_a_trigger_change_nothing(direction: Literal["unpaired", "paired"]) -> None:
    model, clean, suspects = victim(), TASK.draw(90, seed=3), TASK.draw(24, seed=2).floats
    guard = FIRE(direction=direction).guard(model, Known(TASK.draw(60, seed=1), suspects, suspects), context())
    prediction = guard(clean.floats)
    torch.testing.assert_close(prediction.logits, model(clean.floats))
    assert prediction.flagged is not None
    assert not prediction.flagged.any()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_suspects_change_nothing(count: int) -> None:
    model, images = victim(), TASK.triggered(TASK.draw(9, seed=3).floats)
    guard = FIRE().guard(model, Known(TASK.draw(60, seed=1), images[:count]), context())
    torch.testing.assert_close(guard(images).logits, model(images))


def test_a_class_may_be_missing_among_the_clean_images() -> None:
    some, clean = known(pairs=False), OTHERS.draw(30, seed=3)
    reference = some.reference().at(some.reference().labels != TARGET)
    guard = FIRE().guard(victim(), Known(reference, some.suspects), context())
    assert accuracy(guard(TASK.triggered(clean.floats)), clean.labels) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_batch_size_does_not_matter(stream: bool) -> None:
    clean = TASK.draw(30, seed=3).floats
    images = torch.stack((clean, TASK.triggered(clean)), 1).flatten(0, 1)
    whole, single = (FIRE(stream=stream).guard(victim(), known(pairs=False), context()) for _ in range(2))
    at_once, one_by_one = whole(images), [single(image) for image in images.split(1)]
    for part in ("logits", "score", "flagged"):
        torch.testing.assert_close(getattr(at_once, part), torch.cat([getattr(one, part) for one in one_by_one]))


def test_in_a_stream_the_direction_is_the_mean_of_all_samples_so_far() -> None:
    model, some, fresh = victim(), known(pairs=False), OTHERS.draw(20, seed=3)
    assert some.suspects is not None
    reference, images = some.reference(), TASK.triggered(fresh.floats)
    guard = FIRE(stream=True, strength=1).guard(model, some, context())
    means = torch.stack([reference.floats[reference.labels == label].mean(0).flatten() for label in range(CLASSES)])
    originals = means[:TARGET].mean(0)
    samples = [suspect.flatten() - originals for suspect in some.suspects]  # their mean is the direction at the start
    for image in images:
        expected = model((image.flatten() - torch.stack(samples).mean(0)).view(1, *TASK.shape))
        torch.testing.assert_close(guard(image[None]).logits, expected, atol=1e-4, rtol=0)
        samples.append(image.flatten() - originals)


def test_apply_says_which_inputs_are_repaired() -> None:
    model, clean = victim(nn.ReLU), TASK.draw(90, seed=3)  # a clean image of the target survives a shift before a ReLU

    def touched(apply: Literal["suspected", "target", "all"]) -> Tensor:
        guard = FIRE(apply=apply, direction="paired", strength=1).guard(model, known(), context())
        change: Tensor = guard(clean.floats).logits - model(clean.floats)
        return change.abs().amax(1) > 1e-3

    assert not touched("suspected").any()
    assert torch.equal(touched("target"), clean.labels == TARGET)
    assert touched("all").float().mean() > 0.9  # all but those whose trigger pixel is as dark as can be


@pytest.mark.parametrize("middle", [nn.Identity, nn.ReLU])
def test_a_single_pass_gives_the_predictions_of_two(middle: type[nn.Module]) -> None:
    model, clean = victim(middle), TASK.draw(90, seed=3)
    images = torch.cat((clean.floats, TASK.triggered(clean.floats)))
    fire, passes = FIRE(apply="present"), list[int]()
    guard = fire.guard(model, known(pairs=False), context())
    counter = model.register_forward_hook(lambda *_: passes.append(1))
    prediction = guard(images)
    counter.remove()
    assert len(passes) == 1
    assert prediction.score is not None
    present = torch.arange(180) >= 90
    assert prediction.flagged is not None
    assert torch.equal(prediction.score > 0.5, present)
    assert torch.equal(prediction.flagged, present & (torch.cat((clean.labels, clean.labels)) != TARGET))
    assert accuracy(prediction, torch.cat((clean.labels, clean.labels))) == 1
    torch.testing.assert_close(prediction.logits[:90], model(clean.floats))
    twice = FIRE().guard(model, known(pairs=False), context())(images)  # repairs the same images here
    torch.testing.assert_close(prediction.logits, twice.logits, atol=1e-4, rtol=0)


def test_on_a_stream_the_fit_is_renewed_whenever_the_triggered_images_have_doubled() -> None:
    fresh, clean = OTHERS.draw(60, seed=3), TASK.draw(60, seed=4)

    def stream(memory: int) -> tuple[Context, list[int], Prediction]:
        around, model = context(), victim()
        some = known(pairs=False, suspects=4)
        guard = FIRE(stream=True, memory=memory).guard(model, some, around)
        for image in TASK.triggered(fresh.floats):
            guard(image[None])
        chosen = [int(name.removeprefix("chosen_")) for name in around.diagnostics if name.startswith("chosen_")]
        return around, chosen, guard(clean.floats)

    around, chosen, on_clean = stream(memory=40)
    assert chosen == [8, 16, 32]
    assert "chosen" in around.diagnostics
    torch.testing.assert_close(on_clean.logits, victim()(clean.floats))
    assert stream(memory=0)[1] == []


def test_the_random_control_does_not_learn() -> None:
    images = TASK.triggered(OTHERS.draw(30, seed=3).floats)
    still, stream = (
        FIRE(direction="random", stream=learns).guard(victim(), known(pairs=False), context())(images)
        for learns in (False, True)
    )
    torch.testing.assert_close(still.logits, stream.logits)


def test_a_vision_transformer_is_repaired_behind_its_blocks() -> None:
    model = tiny_vit(ImageSpec(*TASK.shape, classes=CLASSES, mean=(0.5,), std=(0.25,))).train()
    data = TASK.draw(120, seed=1)
    train = torch.cat((data.floats, TASK.triggered(data.floats)))
    labels = torch.cat((data.labels, torch.full_like(data.labels, TARGET)))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train), labels).backward()
        optimizer.step()
    model.eval()
    clean = TASK.draw(90, seed=3)
    others = clean.at(clean.labels != TARGET)
    assert bool((model(TASK.triggered(others.floats)).argmax(1) == TARGET).all())
    around = context()
    guard = FIRE().guard(model, known(pairs=False), around)
    assert any(name.startswith("blocks.") for name in around.diagnostics["worth"])
    assert accuracy(guard(TASK.triggered(others.floats)), others.labels) > 0.75
    assert accuracy(guard(clean.floats), clean.labels) > 0.95


def test_the_network_stays_as_it_was() -> None:
    model = victim()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    guard = FIRE(stream=True).guard(model, known(pairs=False), context())
    guard(TASK.triggered(TASK.draw(5, seed=3).floats))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_same_seed_gives_the_same_guard() -> None:
    images = TASK.triggered(TASK.draw(9, seed=3).floats)
    first, second = (
        FIRE(direction="random", apply="all").guard(victim(), known(pairs=False), context(5))(images) for _ in range(2)
    )
    assert torch.equal(first.logits, second.logits)


def test_pairs_are_asked_for_only_where_they_are_used() -> None:
    assert FIRE(direction="paired").wants_pairs
    assert not FIRE().wants_pairs
    assert FIRE(stream=True).learns_from_stream
    assert not FIRE().learns_from_stream
    with pytest.raises(LookupError):
        FIRE(direction="paired").guard(victim(), known(pairs=False), context())


def test_an_unpaired_direction_is_counted_from_the_class_means_or_from_all_clean_images() -> None:
    model, clean = victim(), TASK.draw(60, seed=1)
    suspects = TASK.triggered(OTHERS.draw(24, seed=2).floats)
    for baseline in ("classes", "images"):
        samples = Samples(
            clean.floats.flatten(1), model(clean.floats), clean.labels, suspects.flatten(1), model(suspects), None, None
        )
        estimate = Estimate.of(samples, torch.arange(CLASSES) == TARGET, baseline)
        of_classes = torch.stack([clean.floats[clean.labels == label].flatten(1).mean(0) for label in (0, 1)]).mean(0)
        origin = of_classes if baseline == "classes" else clean.floats.flatten(1).mean(0)
        torch.testing.assert_close(estimate.direction, suspects.flatten(1).mean(0) - origin)


def test_the_baseline_that_is_asked_for_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    of = Estimate.of
    monkeypatch.setattr(
        Estimate, "of", lambda samples, targets, baseline: seen.append(baseline) or of(samples, targets)
    )
    FIRE(baseline="images").guard(victim(), known(pairs=False), context())
    assert set(seen) == {"images"}
