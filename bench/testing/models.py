"""What every model does: a network from images in [0, 1] to logits (N, C), which learns, keeps and repeats."""

from typing import Any

import torch
from torch import Tensor, nn

from bench.testing.model_trials import USUAL, Trial, built, fresh, trial
from bench.testing.properties import Family, Unmet
from bench.testing.samples import Sample
from bench.testing.situations import add_situations, declined
from bench.testing.subject import Subject

FAMILY = Family("model")
SITUATIONS = {
    "grey": Sample("grey images of 28x28 pixels, 7 classes", channels=1, classes=7, side=28),
    "larger": Sample("colour images of 64x64 pixels, 7 classes", classes=7, side=64),
    "two-classes": Sample("2 classes, 32x32 pixels", classes=2, side=32),
    "hundred-classes": Sample("100 classes, 32x32 pixels", classes=100, side=32),
}


@FAMILY.property("runs", f"it builds a network for {USUAL.what}")
def runs(subject: Subject) -> str:
    return _works(trial(subject))


@FAMILY.property("logits", "logits (N, C), float32 and finite, also for black and white images")
def logits(subject: Subject) -> str:
    made, network = built(subject)
    _expect_logits(made.logits, made)
    for value in (0.0, 1.0):
        with torch.no_grad():
            _expect_logits(network(torch.full_like(made.images(), value)), made)
    return f"{tuple(made.logits.shape)}"


@FAMILY.property("eval", "the same logits twice in eval mode, for an image alone too, and no buffer changed")
def in_eval_mode(subject: Subject) -> str:
    made, network = built(subject)
    images, before = made.images(), {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        first, second = network(images), network(images)
        alone = torch.cat([network(image) for image in images.split(1)])
    if changed := [name for name, value in network.state_dict().items() if not torch.equal(value, before[name])]:
        raise Unmet(f"that {changed[0]} changed when it was asked")
    if not torch.equal(first, second):
        raise Unmet("other logits the second time: something is random in eval mode")
    if not torch.allclose(first, alone, rtol=1e-2, atol=1e-3 * float(first.abs().max())):
        raise Unmet("other logits for an image alone: something depends on the batch")
    return ""


@FAMILY.property("gradients", "finite gradients of every parameter and of the images")
def gradients(subject: Subject) -> str:
    made, network = built(subject)
    _expect_gradients(made)
    return f"{len(list(network.parameters()))} parameters"


@FAMILY.property("initialisation", "weights that follow from the seed of torch's global generator, and from it alone")
def initialisation(subject: Subject) -> str:
    made, _ = built(subject)
    one, same = fresh(made, 1).state_dict(), fresh(made, 1).state_dict()
    if different := [name for name, value in one.items() if not torch.equal(value, same[name])]:
        raise Unmet(f"another {different[0]} from the same seed")
    if getattr(made.model, "pretrained", False):
        return ""
    other = fresh(made, 2).state_dict()
    if all(torch.equal(value, other[name]) for name, value in one.items()):
        raise Unmet("the same weights from another seed", "weights drawn anew for every victim")
    return ""


@FAMILY.property("storable", "a state_dict that holds all: a network that loads it gives the same logits")
def storable(subject: Subject) -> str:
    made, _ = built(subject)
    one, other = fresh(made, 1), fresh(made, 2)
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    with torch.no_grad():
        if not torch.equal(one(made.images()), other(made.images())):
            raise Unmet("other logits after loading: a tensor is neither a parameter nor a registered buffer")
    return ""


def _works_on(sample: Sample, subject: Subject) -> str:
    built(subject)
    return _works(trial(subject, sample))


add_situations(FAMILY, SITUATIONS, _works_on)


def _works(made: Trial) -> str:
    if reason := declined(made, "a network"):
        return reason
    if made.sample != USUAL:
        _expect_logits(made.logits, made)
        _expect_gradients(made)
    return f"a network of {_count(made.network)} parameters"


def _count(network: nn.Module | None) -> str:
    return f"{sum(one.numel() for one in network.parameters()):,}" if network is not None else "no"


def _expect_gradients(made: Trial) -> None:
    if made.without_gradient:
        count = len(made.without_gradient)
        raise Unmet(f"none of {made.without_gradient[0]}" + f" and {count - 1} more" * (count > 1))
    if made.blind:
        raise Unmet("none of the images")


def _expect_logits(given: Any, made: Trial) -> None:
    expected = (len(made.images()), made.sample.classes)
    if not isinstance(given, Tensor):
        raise Unmet(f"a {type(given).__name__}", f"logits {expected}")
    if given.shape != expected or given.dtype != torch.float32:
        raise Unmet(f"{given.dtype} {tuple(given.shape)}", f"torch.float32 {expected}")
    if not bool(given.isfinite().all()):
        raise Unmet(f"{int((~given.isfinite()).sum())} logits that are not finite")
