"""From a request to its stages: victims, and the cells that share them."""

import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast, get_args

import torch
from pydantic import ValidationError

from bench.errors import RequestError, shortened
from bench.plan import identity, recipes
from bench.plan.blame import blaming
from bench.plan.parameter_check import check_parameters
from bench.plan.profiles import PROFILES, Profile
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.selection import parse
from bench.plan.stages import CellStage, Ref, VictimStage
from bench.plugin import Defense, Oracle
from bench.plugin.base import Case, Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.defense import Knowledge
from bench.plugin.model import Model
from bench.plugin.parameters import spelled, written
from bench.plugin.values import ImageSpec

MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """The cells of a request in the order of its table, and their plugins by kind and identity."""

    cells: list[CellStage]
    plugins: dict[tuple[str, str], Plugin] = field(repr=False)
    registry: Registry = field(repr=False, compare=False)
    _reasons: dict[tuple[int, ...], str | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def victims(self) -> list[VictimStage]:
        return list({cell.victim.key: cell.victim for cell in self.cells}.values())

    def plugin(self, ref: Ref) -> Plugin:
        return self.plugins[ref.kind, identity.canonical(ref.identity)]

    def summaries(self, data: Path) -> dict[str, str]:
        """What each data set says of the images in the folder ``data``, on a line each, by its label."""
        lines = {}
        for ref in {victim.dataset.label: victim.dataset for victim in self.victims}.values():
            source = cast(Dataset, self.plugin(ref))
            with self.registry.asking(source.kind, source.name, "summary"):
                summary = source.summary(data)
            with blaming(_name(source), "summary"):
                lines[ref.label] = shortened(" ".join(summary.split()), 1000)
        return lines

    def unsupported(self, cell: CellStage) -> str | None:
        """Why a cell is not applicable, from the first of its plugins that declines it; None if none does."""
        refs = tuple(map(id, cell.refs.values()))  # cells that differ only in their seed have the same answer
        if refs not in self._reasons:
            self._reasons[refs] = self._reason(cell)
        return self._reasons[refs]

    def _reason(self, cell: CellStage) -> str | None:
        plugins = [self.plugin(ref) for ref in cell.refs.values()]
        case = Case(cast(Dataset, plugins[0]), cast(Model, plugins[1]), *plugins[2:])
        involved = [(ref.kind, ref.name) for ref in cell.refs.values()]
        apart = partial(self.registry.apart, *involved)
        return next((reason for plugin in plugins if (reason := _declined(plugin, case, apart))), None)


def make_plan(request: Request, registry: Registry, data: Path) -> Plan:
    """The plan of a request. ``data`` is the folder of the data sets. Raises RequestError for what cannot be met."""
    profile = PROFILES[request.profile]
    chooser = _Chooser(registry, profile)
    selected = chooser.choose("dataset", request.datasets or profile.datasets)
    datasets = chooser.fitted(selected, "located", data)
    choices = {
        "model": chooser.choose("model", request.models or profile.models),
        "attack": chooser.choose("attack", request.attacks),
        "defense": chooser.choose("defense", request.defenses),
    }
    trainings = recipes.chosen(request.recipes or profile.recipe)
    seeds = profile.seeds if request.seeds is None else request.seeds
    sizes: list[int] = [len(datasets), *map(len, choices.values()), len(trainings), len(seeds)]
    count = math.prod(sizes)
    if count > MOST_CELLS:
        raise RequestError(f"the request has {count} cells: expected at most {MOST_CELLS}")
    cells: dict[str, CellStage] = {}
    for dataset in datasets:
        source = cast(Dataset, dataset.plugin)
        spec, available = _images_of(source, data, registry)
        fitted = {kind: chooser.fitted(chosen, "resolve", spec) for kind, chosen in choices.items()}
        given = [_given(choice.plugin) for choice in fitted["defense"]]
        reference, suspects = _budgets(request, profile, available, given)
        paired = [_wants_pairs(choice.plugin, registry) for choice in fitted["defense"]]
        for model, recipe, attack, seed in product(fitted["model"], trainings, fitted["attack"], seeds):
            victim = VictimStage(dataset.ref, model.ref, attack.ref, request.profile, recipe, seed)
            for defense, pairs in zip(fitted["defense"], paired, strict=True):
                cell = _cell(victim, defense, reference, suspects, pairs=pairs)
                cells.setdefault(cell.key, cell)
    return Plan(list(cells.values()), chooser.plugins, registry)


def _images_of(source: Dataset, data: Path, registry: Registry) -> tuple[ImageSpec, int]:
    """What a data set's images are, and how many there are to train with."""
    with registry.asking(source.kind, source.name, "spec"):
        spec = source.spec
    if not isinstance(spec, ImageSpec) or not all(
        type(size) is int and size > 0 for size in (*spec.shape, spec.classes)
    ):
        raise RequestError(f"{_name(source)}: spec={shortened(repr(spec))}: expected an ImageSpec of positive sizes")
    with registry.asking(source.kind, source.name, "reading its training images"):
        available = source.training_images(data)
    if type(available) is not int or available < 1:
        raise RequestError(f"{_name(source)}: {shortened(repr(available))} training images: expected 1 or more")
    return spec, available


def _budgets(request: Request, profile: Profile, available: int, given: list[str]) -> tuple[int, int]:
    """The numbers of reference images and of suspects; the latter must be there if a defense asks for them."""
    suspects = profile.suspects if request.suspects is None else request.suspects
    reference = reference_count(request.reference or profile.reference, available)
    if "suspects" in given and reference + suspects > available:
        raise RequestError(f"--suspects {suspects}: expected at most {available - reference} beside the reference set")
    return reference, suspects


def _given(defense: Plugin) -> str:
    """What a defense declares that it must be given."""
    knowledge = cast(Defense, defense).knowledge
    if knowledge not in get_args(Knowledge):
        expected = ", ".join(get_args(Knowledge))
        raise RequestError(f"{_name(defense)}: knowledge={shortened(repr(knowledge))}: expected one of {expected}")
    return knowledge


def _declined(part: Plugin, case: Case, apart: Callable[[], AbstractContextManager[None]]) -> str | None:
    """Why a plugin declines a case, or None. ``apart``: a context for code of the plugins in it.

    Where the model's own network cannot be built or run, nobody can say: the case is tried, and fails under its name.
    """
    if type(part).unsupported is Plugin.unsupported:
        return None
    try:
        with blaming(_name(part), "unsupported"), apart():
            reason = part.unsupported(case)
    except RequestError:
        with apart():
            can_run = _can_run(case)
        if can_run:
            raise
        return None
    if reason is not None and not isinstance(reason, str):
        raise RequestError(f"{_name(part)}: unsupported gave {shortened(repr(reason))}: expected a reason, or None")
    return reason and shortened(" ".join(reason.split()), 1000)


def _can_run(case: Case) -> bool:
    try:
        with torch.no_grad():
            logits = case.network(case.example)
        return isinstance(logits, torch.Tensor) and logits.shape == (1, case.dataset.spec.classes)
    except Exception:  # whatever the model raises
        return False


def _name(plugin: Plugin) -> str:
    return f"{plugin.kind} {plugin.name!r}"


def reference_count(text: str, available: int) -> int:
    """The number of clean reference images that "200" or "5%" means, out of ``available`` training images.

    Raises RequestError for a malformed text, or a number that is not in 1 to ``available``.
    """
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", text.strip())
    count = -1
    if match and len(text) <= 20:  # of more digits it is too large in any case
        count = int(match[1]) if match[1] else round(float(match[2]) / 100 * available)
    if not 0 < count <= available:
        raise RequestError(
            f"--reference {shortened(text)}: expected a number of images from 1 to {available}, or a share such as 5%"
        )
    return count


def _wants_pairs(plugin: Plugin, registry: Registry) -> bool:
    with registry.asking(plugin.kind, plugin.name, "wants_pairs"):
        return bool(cast(Defense, plugin).wants_pairs)


def _cell(victim: VictimStage, chosen: "_Chosen", reference: int, suspects: int, *, pairs: bool) -> CellStage:
    defense = cast(Defense, chosen.plugin)
    clean = reference if defense.knowledge != "none" else 0
    suspected = suspects if defense.knowledge == "suspects" else 0
    return CellStage(victim, chosen.ref, clean, suspected, pairs, isinstance(defense, Oracle))


@dataclass(frozen=True)
class _Chosen:
    plugin: Plugin
    ref: Ref


class _Chooser:
    """Turns selections into plugins, and collects all of them in ``plugins``, by kind and identity."""

    def __init__(self, registry: Registry, profile: Profile) -> None:
        self.registry, self.profile = registry, profile
        self.plugins: dict[tuple[str, str], Plugin] = {}

    def choose(self, kind: str, text: str) -> list[_Chosen]:
        """The plugins of a selection, each once."""
        chosen: dict[str, _Chosen] = {}
        for choice in parse(text):
            for name in self.registry.select(kind, choice):
                defaults = self.profile.parameters.get(name, {})
                plugin = self.registry.create(kind, name, {**defaults, **choice.parameters})
                ref = self._ref(plugin, _label(plugin, defaults, self.registry))
                chosen.setdefault(identity.canonical(ref.identity), _Chosen(plugin, ref))
        return list(chosen.values())

    def fitted(self, chosen: list[_Chosen], method: str, what: Any) -> list[_Chosen]:
        """The plugins that their ``method`` makes of the chosen ones for ``what``, with the labels of these."""
        fitted = []
        for choice in chosen:
            with self.registry.asking(choice.plugin.kind, choice.plugin.name, method):
                plugin = getattr(choice.plugin, method)(what)
            if not isinstance(plugin, type(choice.plugin)):
                given = shortened(repr(plugin))
                raise RequestError(f"{_name(choice.plugin)}: {method} gave {given}: expected a plugin")
            check_parameters(plugin)
            fitted.append(_Chosen(plugin, self._ref(plugin, choice.ref.label)))
        return fitted

    def _ref(self, plugin: Plugin, label: str) -> Ref:
        kind, name = plugin.kind, plugin.name
        version, code = self.registry.version(kind, name), self.registry.fingerprint(kind, name)
        foreign = not self.registry.entry(kind, name).is_built_in
        ref = Ref(kind, name, version, plugin.model_dump(mode="json"), label, foreign, plugin.places, code)
        self.plugins[plugin.kind, identity.canonical(ref.identity)] = plugin
        return ref


def _label(plugin: Plugin, defaults: dict[str, Any], registry: Registry) -> str:
    """The plugin's name in tables, with those parameters that are not the defaults of the plugin or the profile."""
    fields, values = type(plugin).model_fields, plugin.model_dump()
    required = {name: values[name] for name, field in fields.items() if field.is_required()}
    try:
        with registry.apart((plugin.kind, plugin.name)):
            usual_plugin = type(plugin)(**{**required, **defaults})
        usual = usual_plugin.model_dump()
    except ValidationError:  # parameters that go together: without the others, what is required is refused
        usual = {}
    left_out = {name: fields[name].default for name in fields if name not in values and name in usual}
    shown = {
        name: value
        for name, value in (values | left_out).items()  # a dump leaves out a later parameter that has its default
        if name in required or name not in usual or value != usual[name]
    }
    return written(plugin.name, {name: spelled(value) for name, value in shown.items()})
