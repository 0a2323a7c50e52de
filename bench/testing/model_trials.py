"""A model's network on a sample: built, asked, and trained for a step, with all that several properties look at."""

from dataclasses import dataclass, field
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.errors import RequestError
from bench.plugin.base import Case
from bench.plugin.model import Model
from bench.testing.properties import Inapplicable, Unmet
from bench.testing.samples import Corner, Patterns, Sample, Untouched
from bench.testing.subject import Subject
from bench.testing.watched import Watched, watched

USUAL = Sample("colour images of 32x32 pixels, 10 classes", classes=10, side=32)


@dataclass
class Trial:
    """What became of a model on a sample.

    logits: of the fresh network for ``images``, in eval mode. without_gradient: parameters that a step leaves
    without a finite one. blind: whether the images get no gradient.
    """

    sample: Sample
    model: Model
    declined: str | None = None
    network: nn.Module | None = None
    logits: Any = None
    without_gradient: tuple[str, ...] = ()
    blind: bool = False
    seen: Watched = field(default_factory=Watched)

    def images(self) -> Tensor:
        return self.sample.images(4, seed=2).floats


def trial(subject: Subject, sample: Sample = USUAL, *, again: bool = False) -> Trial:
    """The model on this sample; run once, or ``again``."""

    def tried() -> Trial:
        made = Trial(sample, cast(Model, subject.quick))
        made.seen = watched(lambda: _run(made))
        return made

    return subject.once(f"model on {sample}", tried, again=again)


def built(subject: Subject) -> tuple[Trial, nn.Module]:
    """The trial on the usual sample and its network, in eval mode. Raises Inapplicable if there is none."""
    made = trial(subject)
    if made.seen.error is not None or made.network is None:
        raise Inapplicable("it does not run, as said above" if made.seen.error else f"it declines {made.sample.what}")
    return made, made.network


def fresh(made: Trial, seed: int = 0) -> nn.Module:
    """Another network of the trial's model, in eval mode, from a seed of the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return made.model.build(made.sample.spec).eval()


def _run(made: Trial) -> None:
    sample = made.sample
    try:
        model = made.model = made.model.resolve(sample.spec)
    except RequestError as error:
        made.declined = str(error)
        return
    data = Patterns(channels=sample.channels, classes=sample.classes, side=sample.side)
    reason: Any = model.unsupported(Case(data, model, Corner().resolve(sample.spec), Untouched()))
    if reason is not None:
        if not isinstance(reason, str) or not reason.strip():
            raise Unmet(f"unsupported gave {reason!r}", "a reason in words, or None")
        made.declined = reason
        return
    network: Any = model.build(sample.spec)
    if not isinstance(network, nn.Module):
        raise Unmet(f"build gave a {type(network).__name__}", "an nn.Module")
    made.network = network.eval()
    with torch.no_grad():
        made.logits = network(made.images())
    _step(made, network)


def _step(made: Trial, network: nn.Module) -> None:
    """The gradients of a training step, looked at; no weight changes."""
    images = made.images().requires_grad_()
    loss = F.cross_entropy(network.train()(images), torch.arange(len(images)) % made.sample.classes)
    loss.backward()
    wrong = [
        name for name, one in network.named_parameters() if one.grad is None or not bool(one.grad.isfinite().all())
    ]
    made.without_gradient = tuple(wrong)
    made.blind = images.grad is None or not bool(images.grad.any())
    network.zero_grad()
    network.eval()
