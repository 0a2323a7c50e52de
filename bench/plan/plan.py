"""From a request to its stages: victims, and the cells that share them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import cast, get_args

from bench.errors import RequestError, shortened
from bench.plan import evaluation, identity, recipes
from bench.plan.blame import blaming, named
from bench.plan.budget import Budget, budget_of, source_classes
from bench.plan.chooser import Chooser, Chosen
from bench.plan.declined import Declined
from bench.plan.imported import imported_victims
from bench.plan.profiles import PROFILES
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.plan.stages import CellStage, ImportedVictim, NaturalStage, Ref, VictimStage
from bench.plugin import Defense, Oracle
from bench.plugin.attack import Attack
from bench.plugin.base import Case, Plugin
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import ImageSpec, Knowledge

MOST_CELLS = 1_000_000
_MOST_TOLD = 60  # characters


@dataclass(frozen=True)
class Plan:
    """The cells of a request in the order of its table, and their plugins by kind and identity."""

    cells: list[CellStage]
    plugins: dict[tuple[str, str], Plugin] = field(repr=False)
    registry: Registry = field(repr=False, compare=False)
    notes: tuple[str, ...] = ()  # lines that whoever asked should read
    _reasons: dict[tuple[int, ...], str | None] = field(default_factory=dict, repr=False, compare=False)
    _asked: Declined = field(default_factory=Declined, repr=False, compare=False)

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
            with blaming(named(source), "summary"):
                lines[ref.label] = shortened(" ".join(summary.split()), 1000)
        return lines

    def unsupported(self, cell: CellStage) -> str | None:
        """Why a cell is not applicable, from the first of its plugins that declines it; None if none does."""
        refs = tuple(map(id, cell.refs.values()))  # cells that differ only in their seed have the same answer
        if refs not in self._reasons:
            self._reasons[refs] = self._reason(cell)
        return self._reasons[refs]

    def _reason(self, cell: CellStage) -> str | None:
        if isinstance(cell.victim, ImportedVictim) and (lacking := cell.victim.lacks(cell)):
            return lacking
        plugins = [self.plugin(ref) for ref in cell.refs.values()]
        case = Case(cast(Dataset, plugins[0]), cast(Model, plugins[1]), *plugins[2:])
        involved = [(ref.kind, ref.name) for ref in cell.refs.values()]
        apart = partial(self.registry.apart, *involved)
        return next((reason for plugin in plugins if (reason := self._asked.reason(plugin, case, apart))), None)


def make_plan(request: Request, registry: Registry, data: Path) -> Plan:
    """The plan of a request. ``data`` is the folder of the data sets. Raises RequestError for what cannot be met."""
    profile = PROFILES[request.profile]
    chooser = Chooser(registry, profile)
    only_imported = bool(request.victims) and "attacks" not in request.model_fields_set
    datasets = [] if only_imported else _datasets(request, chooser, data)
    models = [] if only_imported else chooser.choose("model", request.models or profile.models)
    attacks = [] if only_imported else chooser.choose("attack", request.attacks)
    defenses = chooser.choose("defense", request.defenses)
    trainings = recipes.chosen(request.recipes or profile.recipe)
    seeds = profile.seeds if request.seeds is None else request.seeds
    imported = imported_victims(request, chooser, data, seeds, {attack.ref.label for attack in attacks})
    sizes: list[int] = [len(datasets), len(models), len(attacks), len(defenses), len(trainings), len(seeds)]
    count = math.prod(sizes) + len(imported) * len(defenses)
    if count > MOST_CELLS:
        raise RequestError(f"the request has {count} cells: expected at most {MOST_CELLS}")
    cells: dict[str, CellStage] = {}
    for dataset in datasets:
        spec, available = _images_of(cast(Dataset, dataset.plugin), data, request.evaluate, registry)
        fitted = [chooser.fitted(chosen, "resolve", spec) for chosen in (models, attacks)]
        victims = [
            VictimStage(dataset.ref, model.ref, attack.ref, request.profile, recipe, seed, request.evaluate)
            for model, recipe, attack, seed in product(fitted[0], trainings, fitted[1], seeds)
        ]
        _add_cells(cells, victims, fitted[1], _Images(dataset, spec, available), (defenses, request, chooser))
    for dataset, victim in imported:
        spec, available = _images_of(cast(Dataset, dataset.plugin), data, "test", registry)
        _add_cells(cells, [victim], [], _Images(dataset, spec, available), (defenses, request, chooser))
    return Plan(list(cells.values()), chooser.plugins, registry, tuple(chooser.notes))


@dataclass(frozen=True)
class _Images:
    """A data set, what its images are, and how many there are to train with."""

    dataset: Chosen
    spec: ImageSpec
    available: int


def _datasets(request: Request, chooser: Chooser, data: Path) -> list[Chosen]:
    selected = chooser.choose("dataset", request.datasets or chooser.profile.datasets)
    return chooser.fitted(selected, "located", data)


def _add_cells(
    cells: dict[str, CellStage],
    victims: Sequence[VictimStage],
    attacks: list[Chosen],
    images: _Images,
    asked: tuple[list[Chosen], Request, Chooser],
) -> None:
    """Add the cells of all defenses on victims of one data set, by key, unless they are there.

    attacks: that the victims are made by. asked: the defenses of the request, and what they are chosen by.
    """
    defenses, request, chooser = asked
    registry, fitted = chooser.registry, chooser.fitted(defenses, "resolve", images.spec)
    given = [_given(choice.plugin) for choice in fitted]
    budget = budget_of(request, chooser.profile, images.available, given)
    if "suspects" in given and budget.classes:
        _check_source_classes(budget.classes, attacks, images.dataset.ref.label, images.spec.classes, registry)
    needs = [(_wants_pairs(choice.plugin, registry), _told(choice.plugin, registry)) for choice in fitted]
    for victim in victims:
        for defense, (pairs, told) in zip(fitted, needs, strict=True):
            cell = _cell(victim, defense, budget, pairs=pairs, told=told)
            cells.setdefault(cell.key, cell)


def _images_of(source: Dataset, data: Path, evaluate: str, registry: Registry) -> tuple[ImageSpec, int]:
    """What a data set's images are, and how many there are to train with beside those held out to ``evaluate``."""
    with registry.asking(source.kind, source.name, "spec"):
        spec = source.spec
    if not isinstance(spec, ImageSpec) or not all(
        type(size) is int and size > 0 for size in (*spec.shape, spec.classes)
    ):
        raise RequestError(f"{named(source)}: spec={shortened(repr(spec))}: expected an ImageSpec of positive sizes")
    with registry.asking(source.kind, source.name, "reading its training images"):
        available = (source if evaluate == "test" else evaluation.whole(source)).training_images(data)
    if type(available) is not int or available < 1:
        raise RequestError(f"{named(source)}: {shortened(repr(available))} training images: expected 1 or more")
    return spec, available if evaluate == "test" else evaluation.left_to_train(source, available)


def _check_source_classes(classes: int, attacks: list[Chosen], dataset: str, count: int, registry: Registry) -> None:
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
        raise RequestError(f"{named(defense)}: knowledge={shortened(repr(knowledge))}: expected one of {expected}")
    return knowledge


def _wants_pairs(plugin: Plugin, registry: Registry) -> bool:
    with registry.asking(plugin.kind, plugin.name, "wants_pairs"):
        return bool(cast(Defense, plugin).wants_pairs)


def _told(plugin: Plugin, registry: Registry) -> str:
    with registry.asking(plugin.kind, plugin.name, "told"):
        told = cast(Defense, plugin).told
    if not isinstance(told, str) or len(told) > _MOST_TOLD or not told.isprintable():
        expected = f"at most {_MOST_TOLD} characters, all printable"
        raise RequestError(f"{named(plugin)}: told={shortened(repr(told))}: expected {expected}")
    return told


def _cell(victim: VictimStage, chosen: Chosen, budget: Budget, *, pairs: bool, told: str) -> CellStage:
    defense = cast(Defense, chosen.plugin)
    clean = budget.reference if defense.knowledge != "none" else 0
    cell = CellStage(victim, chosen.ref, clean, 0, pairs, isinstance(defense, Oracle), told=told)
    if defense.knowledge != "suspects":
        return cell
    return replace(cell, suspects=budget.suspects, purity=budget.purity, classes=budget.classes)
