"""An attack at work on a sample, as in a victim's training, with all that several properties look at."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench.cell import backdoors
from bench.errors import RequestError
from bench.plugin.attack import Attack
from bench.plugin.base import Case
from bench.plugin.values import AttackContext, LabelledImages, Poisoned
from bench.testing.properties import Inapplicable, Unmet
from bench.testing.samples import BASE, Network, Patterns, Sample, Untouched
from bench.testing.subject import Subject
from bench.testing.watched import Watched, watched
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import Recipe, train

RECIPE = Recipe(epochs=1, batch_size=20, learning_rate=0.01, schedule="cosine")


@dataclass
class Trial:
    """What became of an attack on a sample.

    clean, poisoned: the training set before and after. kept: whether the clean one is still what it was. context: that
    of inference, with what was learned. triggered: the inputs with the trigger, as ``Attack.trigger`` gave them.
    """

    sample: Sample
    attack: Attack
    declined: str | None = None
    clean: LabelledImages | None = None
    poisoned: Poisoned | None = None
    kept: bool = True
    context: AttackContext | None = None
    triggered: Tensor | None = None
    seen: Watched = field(default_factory=Watched)

    def inputs(self) -> Tensor:
        return self.sample.images(24, seed=2).floats


def trial(subject: Subject, sample: Sample = BASE, *, again: bool = False) -> Trial:
    """The attack on this sample; run once, or ``again``."""

    def tried() -> Trial:
        made = Trial(sample, cast(Attack, subject.quick))
        made.seen = watched(lambda: _run(made))
        return made

    return subject.once(f"attack on {sample}", tried, again=again)


def ran(subject: Subject) -> Trial:
    """The trial on the base sample. Raises Inapplicable if it did not come to its end: another property says so."""
    made = trial(subject)
    if made.seen.error is not None or made.triggered is None:
        raise Inapplicable("it does not run, as said above" if made.seen.error else f"it declines {made.sample.what}")
    return made


def _run(made: Trial) -> None:
    sample = made.sample
    try:
        attack = made.attack = _with_enough(made.attack).resolve(sample.spec)
    except RequestError as error:
        made.declined = str(error)
        return
    data = Patterns(channels=sample.channels, classes=sample.classes, side=sample.side)
    reason: Any = attack.unsupported(Case(data, Network(architecture=sample.architecture), attack, Untouched()))
    if reason is not None:
        if not isinstance(reason, str) or not reason.strip():
            raise Unmet(f"unsupported gave {reason!r}", "a reason in words, or None")
        made.declined = reason
        return
    clean = made.clean = sample.train()
    surrogate = sample.network(planted=False).requires_grad_(False)
    context = AttackContext(
        torch.device("cpu"), torch.Generator().manual_seed(0), spec=sample.spec, surrogate=lambda share: surrogate
    )
    context = replace(context, learned=backdoors.learn(attack, clean, context))
    made.poisoned = backdoors.poison(attack, clean, context)
    same = sample.train()
    made.kept = torch.equal(clean.images, same.images) and torch.equal(clean.labels, same.labels)
    learned = {**context.learned, **_trained(attack, sample.network(), made.poisoned.data, context)}
    expect_finite(learned, whose="what the attack learned: ")
    made.context = replace(context, generator=torch.Generator().manual_seed(1), learned=learned, surrogate=None)
    made.triggered = attack.trigger(made.inputs(), made.context)


def _trained(attack: Attack, network: nn.Module, data: LabelledImages, context: AttackContext) -> dict[str, Tensor]:
    objective = attack.objective(network, data, context)
    train(network, data, RECIPE, torch.Generator().manual_seed(2), objective=objective)
    return dict(objective.learned())


def _with_enough(attack: Attack) -> Attack:
    """The attack with a poisoning rate by which it poisons several of so few images."""
    if attack.poisoning_rate >= 0.1:
        return attack
    return attack.model_copy(update={"poisoning_rate": 0.1})
