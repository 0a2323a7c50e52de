"""Defenses chosen for a network: those that name a backdoor's target classes, and those that repair.

No defense is known here by name: a plugin declares ``identifies``, whoever wrote it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import nn

from bench.errors import RequestError, shortened
from bench.plan.labels import label
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.selection import Choice, parse
from bench.plugin.base import Case
from bench.plugin.defense import Defense
from bench.plugin.model import Model
from bench.plugin.oracle import Oracle
from bench.plugin.repair import Repair
from bench.plugin.values import Context, ImageSpec
from bench.suspect.subject import Subject

FEW = 1000  # images below which the parameters are those for few
MANY = "cpu"  # the profile of a scan with more: that with which the methods were measured on real images


@dataclass(frozen=True)
class Method:
    """A defense with its parameters; ``label``: as a selection writes it."""

    label: str
    defense: Defense


def profile_for(images: int, many: str | None = None) -> str | None:
    """The profile whose parameters suit so many images: quick is for few; None for the defenses' own defaults.

    many: the profile for more, ``MANY`` for a scan; a repair then has its own defaults.
    """
    return "quick" if images < FEW else many


def detectors(registry: Registry, selection: str = "all", profile: str | None = "quick") -> list[Method]:
    """The defenses of a selection that name target classes and need no suspected images. "all": every one there is.

    profile: whose parameters they have where the selection leaves them open; None for their own defaults.

    Raises RequestError for one that is named and does not.
    """
    chosen = []
    for choice in parse(selection):
        methods = [_method(registry, name, choice, profile) for name in registry.select("defense", choice)]
        if choice.is_name and (reason := _no_detector(methods[0].defense)):
            names = [entry.name for entry in registry.entries("defense") if _detects(registry, entry.name)]
            raise RequestError(f"--defenses {methods[0].label}: {reason}; there are {', '.join(names)}")
        chosen += [method for method in methods if _no_detector(method.defense) is None]
    if not chosen:
        raise RequestError(f"--defenses {shortened(selection)}: none of them names a backdoor's target classes")
    return list({method.label: method for method in chosen}.values())


def repair_named(registry: Registry, selection: str, profile: str | None = "quick") -> Method:
    """The one repair of a selection; ``profile`` as for ``detectors``. Raises RequestError for anything else."""
    methods = [
        _method(registry, name, choice, profile)
        for choice in parse(selection)
        for name in registry.select("defense", choice)
    ]
    if len(methods) != 1:
        raise RequestError(f"--defense {shortened(selection)}: stands for {len(methods)} defenses, expected one")
    [method] = methods
    if not isinstance(method.defense, Repair):
        raise RequestError(
            f"--defense {method.label}: guards a network or compares with it, and changes none; expected a repair"
        )
    if method.defense.knowledge == "suspects":
        raise RequestError(f"--defense {method.label}: needs suspected images, and there are none here")
    return method


def model_named(registry: Registry, selection: str) -> tuple[str, Model]:
    """The label of the one model of a selection, and the model. Raises RequestError for anything else."""
    chosen = [(name, choice) for choice in parse(selection) for name in registry.select("model", choice)]
    if len(chosen) != 1:
        raise RequestError(f"--model {shortened(selection)}: stands for {len(chosen)} models, expected one")
    [(name, choice)] = chosen
    defaults = registry.preset("model", name, choice.preset) if choice.preset else {}
    model = registry.create("model", name, {**defaults, **choice.parameters})
    assert isinstance(model, Model)
    return label(model, defaults, choice.preset, registry), model


def fitted(method: Method, on: Subject, registry: Registry) -> Defense:
    """The defense with what follows from the images filled in. Raises Declined where it declines, with its reason."""
    with registry.asking("defense", method.defense.name, "resolve"):
        defense = method.defense.resolve(on.spec)
    no_attack = registry.create("attack", "none", {})
    case = Case(_Images(on.spec), _Built(on.network), no_attack, defense)
    with registry.asking("defense", defense.name, "unsupported"):
        reason = defense.unsupported(case)
    if reason:
        raise Declined(" ".join(str(reason).split()))
    return defense


class Declined(RequestError):
    """A defense does not work on such a network or such images."""


@contextmanager
def context_for(
    on: Subject, seed: int, log: Callable[[str], None], progress: Callable[[float], None] = lambda share: None
) -> Iterator[Context]:
    """What a defense runs in. The global random state is put back."""
    with torch.random.fork_rng(devices=[on.device] if on.device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield Context(on.device, torch.Generator(on.device).manual_seed(seed), progress, log)


def _method(registry: Registry, name: str, choice: Choice, profile: str | None) -> Method:
    defaults: Mapping[str, Any] = {}
    if choice.preset:
        defaults = registry.preset("defense", name, choice.preset)
    elif profile and registry.entry("defense", name).is_built_in:
        defaults = PROFILES[profile].parameters.get(name, {})
    defense = registry.create("defense", name, {**defaults, **choice.parameters})
    assert isinstance(defense, Defense)
    return Method(label(defense, defaults, choice.preset, registry), defense)


def _no_detector(defense: Defense) -> str | None:
    """Why a defense cannot be asked for target classes; None if it can."""
    if isinstance(defense, Oracle) or not defense.identifies:
        return "names no target classes"
    return "needs suspected images, and there are none here" if defense.knowledge == "suspects" else None


def _detects(registry: Registry, name: str) -> bool:
    try:
        defense = registry.load("defense", name)
    except RequestError:
        return False
    return issubclass(defense, Defense) and defense.identifies and defense.knowledge != "suspects"


@dataclass(frozen=True)
class _Images:
    """The part of a data set that a defense may look at."""

    spec: ImageSpec


@dataclass(frozen=True)
class _Built:
    """The part of a model that a defense may look at: its network is the one that was brought."""

    network: nn.Module = field(repr=False)
    number: int = field(default_factory=count().__next__)  # a case knows models by what they look like as text

    def build(self, spec: ImageSpec) -> nn.Module:
        return self.network
