"""A defense at work on a sample, as in a cell, with all that several properties look at."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.cell.answers import checked
from bench.cell.defender import DefenderHere
from bench.cell.reference import DefenseInputs
from bench.errors import RequestError, one_line
from bench.plugin.base import Case
from bench.plugin.defense import Defense
from bench.plugin.values import Context, Known, Prediction
from bench.testing.properties import Inapplicable, Unmet
from bench.testing.samples import BASE, Corner, Network, Patterns, Sample
from bench.testing.subject import Subject
from bench.testing.watched import Watched, watched


@dataclass
class Trial:
    """What became of a defense on a sample. Several fields say what was different after it, in words, or "".

    declined: why it declines the sample, or None. answer: to all inputs at once, as the defense gave it. noted: what
    is wrong with its notes. seen: how it ran.
    """

    sample: Sample
    defense: Defense
    ask: Callable[[Tensor], Prediction] | None = None
    declined: str | None = None
    answer: Prediction | None = None
    network: str = ""
    given: str = ""
    noted: str = ""
    seen: Watched = field(default_factory=Watched)

    def checked(self) -> Prediction:
        """The answer, if it is what an answer must be. Raises TypeError or ValueError, as a cell does."""
        return checked(cast(Prediction, self.answer), len(self.sample.inputs()), self.sample.classes)


def trial(subject: Subject, sample: Sample = BASE, *, again: bool = False) -> Trial:
    """The defense on this sample; run once, or ``again``."""
    return subject.once(f"defense on {sample}", lambda: try_on(subject, sample), again=again)


def answered(subject: Subject) -> Trial:
    """The trial on the base sample. Raises Inapplicable if it gave no proper answer: other properties say so."""
    made = trial(subject)
    if made.seen.error is not None:
        raise Inapplicable("it does not run, as said above")
    if made.declined is not None:
        raise Inapplicable(f"it declines {made.sample.what}")
    try:
        made.checked()
    except (TypeError, ValueError):
        raise Inapplicable("it gives no proper answer, as said above") from None
    return made


def try_on(subject: Subject, sample: Sample, known: Known | None = None) -> Trial:
    """Run the defense on a sample with what it declares to know, or with ``known``."""
    made = Trial(sample, cast(Defense, subject.quick))
    made.seen = watched(lambda: _run(made, known))
    return made


def _run(made: Trial, known: Known | None) -> None:
    sample = made.sample
    try:
        defense = made.defense = made.defense.resolve(sample.spec)
    except RequestError as error:
        made.declined = str(error)
        return
    reason: Any = defense.unsupported(_case(sample, defense))
    if reason is not None:
        if not isinstance(reason, str) or not reason.strip():
            raise Unmet(f"unsupported gave {reason!r}", "a reason in words, or None")
        made.declined = reason
        return
    network = sample.network()
    known = known or sample.known(defense.knowledge, pairs=bool(defense.wants_pairs))
    context = Context(torch.device("cpu"), torch.Generator().manual_seed(0))
    inputs, before_network, before_known = sample.inputs(), _copied(network), deepcopy(known)
    defender = DefenderHere(defense, DefenseInputs(network, known, context, sample.secret), "")
    with torch.no_grad():
        made.ask, made.answer = defender, defender(inputs)
    made.network = _different(before_network, network)
    made.given = _changed_inputs(before_known, known, inputs, sample)
    try:
        defender.report()
    except (TypeError, ValueError) as error:
        made.noted = one_line(error)


def _case(sample: Sample, defense: Defense) -> Case:
    data = Patterns(channels=sample.channels, classes=sample.classes, side=sample.side)
    attack = Corner().resolve(sample.spec)
    return Case(data, Network(architecture=sample.architecture), attack, defense)


def _copied(network: nn.Module) -> tuple[dict[str, Tensor], nn.Module]:
    return {name: value.clone() for name, value in network.state_dict().items()}, network


def _different(before: tuple[dict[str, Tensor], nn.Module], network: nn.Module) -> str:
    """What of a network is different now; hooks and the mode count too."""
    weights, now = before[0], network.state_dict()
    if changed := [name for name, value in weights.items() if name not in now or not torch.equal(value, now[name])]:
        return f"{changed[0]} changed"
    if added := [name for name in now if name not in weights]:
        return f"{added[0]} added"
    if any(module.training for module in network.modules()):
        return "the network in training mode"
    if hooked := [name for name, part in network.named_modules() if part._forward_hooks or part._forward_pre_hooks]:
        return f"a hook on {hooked[0] or 'the network'}"
    return ""


def _changed_inputs(before: Known, known: Known, inputs: Tensor, sample: Sample) -> str:
    """Which of the images that a defense was given it has changed."""
    if not torch.equal(inputs, sample.inputs()):
        return "the inputs that it was asked about changed"
    for what in ("suspects", "originals"):
        first, second = getattr(before, what), getattr(known, what)
        if first is not None and not torch.equal(first, second):
            return f"the {what} changed"
    clean = before.clean, known.clean
    if clean[0] is not None and clean[1] is not None:
        for what in ("images", "labels"):
            if not torch.equal(getattr(clean[0], what), getattr(clean[1], what)):
                return f"the {what} of the reference set changed"
    return ""
