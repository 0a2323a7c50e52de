"""What every plugin leaves behind when it has run: nothing but its result."""

from collections.abc import Callable
from typing import Any

from bench.errors import shortened
from bench.testing import attack_trials, dataset_trials, defense_trials, model_trials
from bench.testing.properties import Family, Inapplicable, Unmet
from bench.testing.subject import Subject
from bench.testing.watched import Watched

FAMILY = Family()
_RUNS: dict[str, Callable[..., Any]] = {
    "defense": defense_trials.trial,
    "attack": attack_trials.trial,
    "model": model_trials.trial,
    "dataset": dataset_trials.trial,
}


@FAMILY.property("state", "no state of the process left changed: dtype, modes, threads, flags, environment, folder")
def state(subject: Subject) -> str:
    if changes := _seen(subject).changes:
        raise Unmet(f"that it left {', '.join(changes)}")
    if subject.loading:
        raise Unmet(f"that its import left {', '.join(subject.loading)}")
    return ""


@FAMILY.property("random-numbers", "random numbers from the context's generator alone")
def random_numbers(subject: Subject) -> str:
    drawn = [name for name in _seen(subject).drawn if (subject.kind, name) != ("model", "torch")]
    if drawn:  # again: some libraries draw when they are first imported
        drawn = [name for name in drawn if name in _RUNS[subject.kind](subject, again=True).seen.drawn]
    if drawn:
        raise Unmet(f"that the global generator of {' and '.join(drawn)} was used")
    return ""


@FAMILY.property("printing", "nothing printed; context.log is for what a reader should know")
def printing(subject: Subject) -> str:
    if text := _seen(subject).printed.strip():
        raise Unmet(repr(shortened(text, 80)))
    return ""


def _seen(subject: Subject) -> Watched:
    seen: Watched = _RUNS[subject.kind](subject).seen
    if seen.error is not None:
        raise Inapplicable("it does not run, as said above")
    return seen
