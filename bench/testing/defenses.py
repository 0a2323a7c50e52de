"""What every defense does: it answers every input for itself, from what it declares to know, wherever it is tried."""

from typing import cast, get_args

import torch
from torch import Tensor

from bench.cell.predict import MAY_DIFFER, ROUNDING
from bench.errors import one_line
from bench.plugin.defense import Defense
from bench.plugin.repair import Repair
from bench.plugin.runtime import Runtime
from bench.plugin.values import Knowledge, Prediction
from bench.testing.defense_trials import Trial, answered, trial, try_on
from bench.testing.properties import Family, Inapplicable, Unmet
from bench.testing.samples import BASE, GREY, HUNDRED, MISSING, TWO, VIT, Sample
from bench.testing.situations import add_situations, declined
from bench.testing.subject import Subject
from bench.testing.watched import watched

FAMILY = Family("defense")
PARTS = ("logits", "score", "flagged")


@FAMILY.property("knowledge", "it runs with exactly what its knowledge declares")
def knowledge(subject: Subject) -> str:
    declared = cast(type[Defense], subject.plugin).knowledge
    if declared not in get_args(Knowledge):
        raise Unmet(f"knowledge={declared!r}", f"one of {', '.join(get_args(Knowledge))}")
    first = trial(subject)
    if first.seen.error is not None and declared != "suspects":
        more = try_on(subject, BASE, BASE.known("suspects", pairs=True))
        if more.seen.error is None:
            raise Unmet(
                f"that with knowledge={declared!r} it raises {one_line(first.seen.error)}, and with suspects and "
                "clean images it runs"
            )
        raise Inapplicable("it does not run with more either, as said below")
    return f"knowledge={declared!r}"


@FAMILY.property("runs", f"it runs on {BASE.what}")
def runs(subject: Subject) -> str:
    return declined(trial(subject), "an answer") or "an answer"


@FAMILY.property("answers", "logits (N, C), and score and flagged (N,) or none, finite, of the right types")
def answers(subject: Subject) -> str:
    made = trial(subject)
    if made.answer is None:
        raise Inapplicable("it does not run, or declines this sample, as said above")
    try:
        answer = made.checked()
    except (TypeError, ValueError) as error:
        raise Unmet(one_line(error)) from None
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in _parts(answer).items())


@FAMILY.property("repeats", "the same answer when it is run twice with one seed")
def repeats(subject: Subject) -> str:
    return _same(answered(subject), trial(subject, again=True), "the second time")


@FAMILY.property("after-others", "the same answer after other runs in the same process")
def after_others(subject: Subject) -> str:
    first = answered(subject)
    trial(subject, GREY)  # the same plugin on other images
    watched(_train_something)
    return _same(first, trial(subject, again=True), "after other runs")


@FAMILY.property("batch-sizes", "the same prediction at batch sizes 1, 7 and all, and in any order")
def batch_sizes(subject: Subject) -> str:
    made = answered(subject)
    if isinstance(made.defense, Runtime) and made.defense.learns_from_stream:
        raise Inapplicable("it declares that it learns from its stream")
    inputs, whole = BASE.inputs(), made.checked()
    in_order = torch.arange(len(inputs))
    mixed = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    for what, order, size in (("7", in_order, 7), ("1", in_order, 1), ("all, in another order", mixed, len(inputs))):
        _compare(whole, _asked(made, inputs, order, size), f"in batches of {what}")
    return f"{len(inputs)} inputs"


@FAMILY.property("network", "the network that it was given as it was")
def network(subject: Subject) -> str:
    made = answered(subject)
    if not isinstance(made.defense, Runtime) and not getattr(made.defense, "changes_nothing", False):
        raise Inapplicable("a repair may change the network, which is a copy")
    if made.network:
        raise Unmet(made.network)
    return ""


@FAMILY.property("repaired", "a network that is in eval mode and finite, with no hook left on it")
def repaired(subject: Subject) -> str:
    made = answered(subject)
    if not isinstance(made.defense, Repair):
        raise Inapplicable("it is no repair")
    if made.network.startswith("a hook"):
        raise Unmet(made.network)
    return ""


@FAMILY.property("inputs", "the images that it was given as they were")
def inputs(subject: Subject) -> str:
    if changed := answered(subject).given:
        raise Unmet(changed)
    return ""


@FAMILY.property("notes", "notes that a record can hold")
def notes(subject: Subject) -> str:
    if wrong := answered(subject).noted:
        raise Unmet(wrong)
    return ""


def _works_on(sample: Sample, subject: Subject) -> str:
    answered(subject)
    made = trial(subject, sample)
    if reason := declined(made, "an answer"):
        return reason
    try:
        made.checked()
    except (TypeError, ValueError) as error:
        raise Unmet(one_line(error)) from None
    return "an answer"


add_situations(
    FAMILY,
    {"vit": VIT, "grey": GREY, "two-classes": TWO, "hundred-classes": HUNDRED, "missing-class": MISSING},
    _works_on,
)


def _parts(answer: Prediction) -> dict[str, Tensor]:
    return {name: value for name in PARTS if (value := getattr(answer, name)) is not None}


def _same(first: Trial, second: Trial, when: str) -> str:
    if second.seen.error is not None:
        raise Unmet(f"that {when} it raises {one_line(second.seen.error)}")
    if second.answer is None:
        raise Unmet(f"that {when} it declines: {second.declined}")
    before, after = _parts(first.checked()), _parts(second.checked())
    for name in PARTS:
        if (name in before) != (name in after):
            raise Unmet(f"{name} one time only")
        if name in before and not torch.equal(before[name], after[name]):
            count = int((before[name] != after[name]).view(len(before[name]), -1).any(1).sum())
            raise Unmet(f"other {name} for {count} of {len(before[name])} inputs {when}")
    return "bit for bit"


@torch.no_grad()
def _asked(made: Trial, inputs: Tensor, order: Tensor, size: int) -> dict[str, Tensor]:
    """The answers to inputs in this order, in batches of this size; put back into the order of the inputs."""
    assert made.ask is not None
    parts = [_parts(made.ask(inputs[index])) for index in order.split(size)]
    found = {}
    for name in parts[0]:
        if any(name not in part for part in parts):
            raise Unmet(f"{name} for some batches only")
        found[name] = torch.cat([part[name] for part in parts])[order.argsort()]
    return found


def _compare(whole: Prediction, asked: dict[str, Tensor], when: str) -> None:
    """Raise Unmet for what differs by more than rounding, as ``bench.cell.predict.ask_again`` has it."""
    expected = _parts(whole)
    if expected.keys() != asked.keys():
        raise Unmet(f"{' and '.join(asked)} {when}, and {' and '.join(expected)} for all at once")
    for name, value in expected.items():
        if asked[name].shape != value.shape:
            raise Unmet(f"{name} {tuple(asked[name].shape)} {when}, and {tuple(value.shape)} for all at once")
        if value.dtype == torch.bool:
            different, allowed = int((asked[name] != value).sum()), MAY_DIFFER
        else:
            change = (asked[name].float() - value).abs().view(len(value), -1).amax(1)
            different, allowed = int((change > ROUNDING * value.abs().max()).sum()), 0
        if different > allowed:
            raise Unmet(f"other {name} for {different} of {len(value)} inputs {when}")


def _train_something() -> None:
    """A few steps of an optimizer: what other plugins do in a process."""
    model, data = BASE.network(), BASE.train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(data.floats), data.labels).backward()
        optimizer.step()
