"""Samples on which a plugin works, or declines with a reason: one property for each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from bench.errors import one_line
from bench.testing.properties import Family, Unmet
from bench.testing.samples import Sample
from bench.testing.subject import Subject
from bench.testing.watched import Watched


class Ran(Protocol):
    """A trial. declined: why the plugin declines the sample, or None. seen: how it ran."""

    declined: str | None
    seen: Watched


def add_situations(family: Family, samples: Mapping[str, Sample], look: Callable[[Sample, Subject], str]) -> None:
    """A property for each of the samples, by name. look: runs the plugin on one, and says what was found."""
    for name, sample in samples.items():
        family.property(name, f"it works or declines with a reason: {sample.what}")(partial(look, sample))


def declined(made: Ran, expected: str) -> str | None:
    """What to say of a trial whose plugin declined; None if it ran. Raises Unmet for one that raised."""
    error = made.seen.error
    if isinstance(error, Unmet):
        raise error
    if error is not None:
        raise Unmet(f"it raises {one_line(error)}", f"{expected}, or a reason from unsupported or resolve")
    return None if made.declined is None else f"that it declines: {made.declined}"
