"""From a request to its stages: victims, and the cells that share them."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, cast, get_args

import torch

from bench.errors import RequestError, shortened
from bench.plan import evaluation, identity, recipes
from bench.plan.blame import blaming
from bench.plan.budget import Budget, budget_of, source_classes
from bench.plan.labels import label
from bench.plan.parameter_check import check_parameters
from bench.plan.profiles import PROFILES, Profile
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.selection import Choice, choices
from bench.plan.stages import CellStage, NaturalStage, Ref, VictimStage
from bench.plugin import Defense, Oracle
from bench.plugin.attack import Attack
from bench.plugin.base import Case, Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec, Knowledge

MOST_CELLS = 1_000_000


@dataclass(frozen=True)
class Plan:
    """The cells of a request in the order of its table, and their plugins by kind and identity."""

    cells: list[CellStage]
    plugins: dict[tuple[str, str], Plugin] = field(repr=False)
    registry: Registry = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()  # lines that whoever asked should read
    _reasons: dict[tuple[int, ...], str | None] = field(default_factory=dict, repr=False, compare=False)

    @property
    def victims(self) -> list[VictimStage]:
        return list({cell.victim.key: cell.victim for cell in self.cells}.values())

    @property
    def natural(self) -> list[NaturalStage]:
        """For each attacked victim the benign one that is its counterpart, if the plan has it."""
        benign, attacked = {}, []
        for one in self.victims:
            if cast(Attack, self.plugin(one.attack)).plants_nothing:
                benign[one.counterpart] = one
            else:
                attacked.append(one)
        return [NaturalStage(one, benign[one.counterpart]) for one in attacked if one.counterpart in benign]

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
        spec, available = _images_of(source, data, request.evaluate, registry)
        fitted = {kind: chooser.fitted(chosen, "resolve", spec) for kind, chosen in choices.items()}
        given = [_given(choice.plugin) for choice in fitted["defense"]]
        budget = budget_of(request, profile, available, given)
        if "suspects" in given and budget.classes:
            _check_source_classes(budget.classes, fitted["attack"], dataset.ref.label, spec.classes, registry)
        paired = [_wants_pairs(choice.plugin, registry) for choice in fitted["defense"]]
        for model, recipe, attack, seed in product(fitted["model"], trainings, fitted["attack"], seeds):
            parts = (dataset.ref, model.ref, attack.ref)
            victim = VictimStage(*parts, request.profile, recipe, seed, request.evaluate)
            for defense, pairs in zip(fitted["defense"], paired, strict=True):
                cell = _cell(victim, defense, budget, pairs=pairs)
                cells.setdefault(cell.key, cell)
    return Plan(list(cells.values()), chooser.plugins, registry, tuple(chooser.notes))


def _images_of(source: Dataset, data: Path, evaluate: str, registry: Registry) -> tuple[ImageSpec, int]:
    """What a data set's images are, and how many there are to train with beside those held out to ``evaluate``."""
    with registry.asking(source.kind, source.name, "spec"):
        spec = source.spec
    if not isinstance(spec, ImageSpec) or not all(
        type(size) is int and size > 0 for size in (*spec.shape, spec.classes)
    ):
        raise RequestError(f"{_name(source)}: spec={shortened(repr(spec))}: expected an ImageSpec of positive sizes")
    with registry.asking(source.kind, source.name, "reading its training images"):
        available = (source if evaluate == "test" else evaluation.whole(source)).training_images(data)
    if type(available) is not int or available < 1:
        raise RequestError(f"{_name(source)}: {shortened(repr(available))} training images: expected 1 or more")
    return spec, available if evaluate == "test" else evaluation.left_to_train(source, available)


def _check_source_classes(classes: int, attacks: "list[_Chosen]", dataset: str, count: int, registry: Registry) -> None:
    """Raise RequestError if suspects cannot come from so many of the data set's ``count`` classes."""
    for attack in attacks:
        with registry.asking("attack", attack.plugin.name, "target"):
            most = len(source_classes(cast(Attack, attack.plugin), count))
        if classes > most:
            raise RequestError(
                f"--suspects-classes {classes}: expected at most {most}, the classes of {dataset} that "
                f"{attack.ref.label} leads elsewhere"
            )


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


def _wants_pairs(plugin: Plugin, registry: Registry) -> bool:
    with registry.asking(plugin.kind, plugin.name, "wants_pairs"):
        return bool(cast(Defense, plugin).wants_pairs)


def _cell(victim: VictimStage, chosen: "_Chosen", budget: Budget, *, pairs: bool) -> CellStage:
    defense = cast(Defense, chosen.plugin)
    clean = budget.reference if defense.knowledge != "none" else 0
    cell = CellStage(victim, chosen.ref, clean, 0, pairs, isinstance(defense, Oracle))
    if defense.knowledge != "suspects":
        return cell
    return replace(cell, suspects=budget.suspects, purity=budget.purity, classes=budget.classes)


@dataclass(frozen=True)
class _Chosen:
    plugin: Plugin
    ref: Ref


class _Chooser:
    """Turns selections into plugins, and collects all of them in ``plugins``, by kind and identity.

    notes: what to say of the plugins, a line each.
    """

    def __init__(self, registry: Registry, profile: Profile) -> None:
        self.registry, self.profile = registry, profile
        self.plugins: dict[tuple[str, str], Plugin] = {}
        self.notes: dict[str, None] = {}

    def choose(self, kind: str, selected: "str | tuple[Any, ...]") -> list[_Chosen]:
        """The plugins of a selection, each once."""
        chosen: dict[str, _Chosen] = {}
        for choice in choices(kind, selected):
            for name in self.registry.select(kind, choice):
                defaults = self._defaults(kind, name, choice)
                plugin = self.registry.create(kind, name, {**defaults, **choice.parameters})
                ref = self._ref(plugin, label(plugin, defaults, choice.preset, self.registry))
                chosen.setdefault(identity.canonical(ref.identity), _Chosen(plugin, ref))
        return list(chosen.values())

    def _defaults(self, kind: str, name: str, choice: Choice) -> Mapping[str, Any]:
        """What the parameters that a choice leaves open are, if not the plugin's own defaults: those of its preset.

        Without one, the profile's. A preset stands in the profile's place, so that it means the same in every profile.
        """
        if choice.preset is not None:
            return self.registry.preset(kind, name, choice.preset)
        built_in = self.registry.entry(kind, name).is_built_in
        known = self.profile.parameters if built_in else {}
        if name not in known and self.profile.preset is not None:
            presets = self.registry.presets(kind, name)
            known = {name: presets[self.profile.preset]} if self.profile.preset in presets else {}
            fields = self.registry.load(kind, name).model_fields
            if not known and kind != "dataset" and name != "none" and set(fields) - set(choice.parameters):
                line = f"profile {self.profile.preset}: no published setting of {kind} {name!r}: its defaults are used"
                self.notes[line] = None
        return known.get(name, {})

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
