"""Sweeps: the results of a block over one parameter, or over one budget, where everything else is equal."""

import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from bench.records import printable
from bench.reports.blocks import Block
from bench.reports.diagnostics import parsed
from bench.reports.records import natural
from bench.reports.stats import RowSet
from bench.reports.sweep_values import Value as Value
from bench.reports.sweep_values import all_but, text, value_of, without

PREFIX = "sweep:"
BUDGETS = ("reference", "suspects")
_TOLD = ["attack", "attack_label", "attack_params", "defense", "defense_label", "defense_params", "column", "status"]


class UnknownFigure(ValueError):
    """A figure that was asked for and cannot be made, in one line."""


class Variable(NamedTuple):
    """What a sweep is over: a parameter of an "attack" or a "defense", or what a defender is "given" (plugin "")."""

    kind: str
    plugin: str
    name: str

    @property
    def text(self) -> str:
        """As it is asked for: ``tac.beta``, ``reference``."""
        return f"{self.plugin}.{self.name}" if self.plugin else self.name


@dataclass(frozen=True)
class Line:
    """Results that differ in the swept value alone, and in the seed: the done records of each value."""

    label: str
    rows: dict[Value, RowSet]


@dataclass(frozen=True)
class Sweep:
    """The ``lines`` of each attack, by its heading; ``name`` is what was asked for, ``parameter`` its last part.

    ``points`` are the values of all lines in their order: numbers by size, or texts, as soon as one is no number.
    """

    name: str
    parameter: str
    points: list[Value]
    lines: dict[str, list[Line]]

    @property
    def numeric(self) -> bool:
        """Whether the values are quantities. A class is none, though it is told by its number."""
        return not any(isinstance(value, str) for value in self.points)


def sweeps(compared: Sequence[Block], asked: Iterable[str]) -> list[list[Sweep]]:
    """The sweeps of each block among those ``asked`` for as ``sweep:beta``, ``sweep:tac.beta`` or ``sweep:reference``.

    A sweep of a block where nothing varies over it is left out. Raises UnknownFigure, in one line, for one that is in
    no block, with those that there are, and for one that stands for parameters of attacks and of defenses.
    """
    names = list(dict.fromkeys(asked))
    if not names:
        return [[] for _ in compared]
    trials = [_trials(block) for block in compared]
    varying = [_varying(own) for own in trials]
    there_are = list(dict.fromkeys(variable for own in varying for variable in own))
    chosen = {name: _chosen(name, there_are) for name in names}
    made: list[list[Sweep]] = []
    for block, own, present in zip(compared, trials, varying, strict=True):
        wanted = {name: [one for one in variables if one in present] for name, variables in chosen.items()}
        made.append([_sweep(block, own, name, variables) for name, variables in wanted.items() if variables])
    return made


def of_defenses(block: Block) -> list[Sweep]:
    """The sweeps of a block over any parameter of a defense."""
    told = block.records[["defense", "defense_params", "status"]]
    sets = told[told["status"] == "done"].groupby("defense")["defense_params"].nunique()
    if not (sets > 1).any():
        return []
    trials = _trials(block)
    return [_sweep(block, trials, PREFIX + one.text, [one]) for one in _varying(trials) if one.kind == "defense"]


@dataclass(frozen=True)
class _Trial:
    """A done cell: its place among the block's records, and what may be swept over."""

    place: int
    attack: str
    attack_label: str
    attack_parameters: dict[str, Any]
    defense: str
    defense_label: str
    defense_parameters: dict[str, Any]
    column: str
    budgets: dict[str, Any]
    rests: dict[Hashable, tuple[tuple[str, str], ...]] = field(repr=False)

    def rest(self, name: str) -> tuple[tuple[str, str], ...]:
        """All that the defense was given but this parameter or budget, in words."""
        key = (id(self.defense_parameters), tuple(self.budgets.values()), name)
        if key not in self.rests:
            self.rests[key] = all_but(self.defense_parameters | self.budgets, name)
        return self.rests[key]


@dataclass
class _Curve:
    """What becomes a line: the places of the records of each value."""

    panel_labels: set[str] = field(default_factory=set)
    labels: set[str] = field(default_factory=set)
    places: dict[Value, list[int]] = field(default_factory=dict)


def _trials(block: Block) -> list[_Trial]:
    """The done cells of a block in the order of its tables."""
    records = block.records.reset_index(drop=True)
    budgets = [name for name in BUDGETS if name in records]
    parameters = {text: parsed(text, {}) for text in {*records["attack_params"], *records["defense_params"]}}
    rests: dict[Hashable, tuple[tuple[str, str], ...]] = {}  # many cells have the same
    found = [
        _Trial(
            place,
            row["attack"],
            row["attack_label"],
            parameters[row["attack_params"]],
            row["defense"],
            row["defense_label"],
            parameters[row["defense_params"]],
            row["column"],
            {name: row[name] for name in budgets},
            rests,
        )
        for place, row in enumerate(records[[*_TOLD, *budgets]].to_dict("records"))
        if row["status"] == "done"
    ]
    attacks, columns = ({label: at for at, label in enumerate(names)} for names in (block.attacks, block.defenses))
    return sorted(found, key=lambda trial: (attacks[trial.attack_label], columns.get(trial.column, -1)))


def _varying(trials: list[_Trial]) -> list[Variable]:
    """All that some lines of these cells can be drawn over."""
    candidates = [Variable("given", "", name) for name in BUDGETS]
    for kind in ("attack", "defense"):
        told: dict[str, dict[str, dict[str, Any]]] = {}  # by plugin, its sets of parameters
        for trial in trials:
            parameters = getattr(trial, f"{kind}_parameters")
            told.setdefault(getattr(trial, kind), {})[json.dumps(parameters)] = parameters
        for plugin, sets in told.items():
            names = dict.fromkeys(name for parameters in sets.values() for name in parameters)
            values = {name: {json.dumps(own[name]) if name in own else "" for own in sets.values()} for name in names}
            candidates += [Variable(kind, plugin, name) for name in names if len(values[name]) > 1]
    return [variable for variable in candidates if _curves(trials, [variable])]


def _chosen(asked: str, there_are: list[Variable]) -> list[Variable]:
    plugin, _, name = asked.removeprefix(PREFIX).rpartition(".")
    found = [one for one in there_are if one.name == name and plugin in ("", one.plugin)]
    given = [one for one in found if one.kind == "given"]
    if given:
        return given
    texts = [PREFIX + one.text for one in there_are]
    if not asked.startswith(PREFIX):
        raise UnknownFigure(f"{printable(asked, 60)}: expected {_one_of(texts) or 'sweep:PARAMETER'}")
    if not found:
        nothing = f"{printable(asked, 60)}: no results differ in this alone"
        raise UnknownFigure(f"{nothing}; expected {_one_of(texts)}" if texts else f"{nothing}, nor in anything else")
    if len({one.kind for one in found}) > 1:
        raise UnknownFigure(f"{asked}: of attacks and of defenses; expected {_one_of(PREFIX + o.text for o in found)}")
    return found


def _one_of(texts: Iterable[str]) -> str:
    return " or ".join(filter(None, [", ".join((listed := sorted(texts))[:-1]), *listed[-1:]]))


def _sweep(block: Block, trials: list[_Trial], name: str, variables: list[Variable]) -> Sweep:
    records, lines = RowSet.whole(block.records), dict[str, list[Line]]()
    curves = _curves(trials, variables)
    labels = _labels(curves)
    for own in curves.values():
        plain = min(set.union(*(curve.panel_labels for curve in own.values())), key=lambda label: (len(label), label))
        heading = block.marked(plain)
        if heading in lines:  # other parameters of the attack, which requests did not spell
            heading = f"{heading} ({len(lines) + 1})"
        lines[heading] = [
            Line(labels[key], {value: records.at(np.array(at)) for value, at in curve.places.items()})
            for key, curve in own.items()
        ]
    values: set[Value] = {value for own in lines.values() for line in own for value in line.rows}
    return _ordered(Sweep(name, variables[0].name, list(values), lines))


def _ordered(sweep: Sweep) -> Sweep:
    """The sweep with its values in their order, all of one kind."""
    if sweep.numeric and not sweep.parameter.endswith("class"):
        return Sweep(sweep.name, sweep.parameter, sorted(sweep.points, key=float), sweep.lines)
    lines = {
        heading: [Line(line.label, {text(value): rows for value, rows in line.rows.items()}) for line in own]
        for heading, own in sweep.lines.items()
    }
    texts: list[Value] = [*sorted(map(text, sweep.points), key=natural)]
    return Sweep(sweep.name, sweep.parameter, texts, lines)


class _Key(NamedTuple):
    """What tells one line from another: a plugin or a column, and all of its parameters that are not swept over."""

    name: str
    rest: tuple[tuple[str, str], ...] = ()


_Curves = dict[Hashable, dict[_Key, _Curve]]


def _curves(trials: list[_Trial], variables: list[Variable]) -> _Curves:
    """By attack and by all else that must be equal, what has two values or more."""
    curves: _Curves = {}
    for trial in trials:
        for variable in variables:
            if (place := _placed(trial, variable)) is None:
                continue
            value, (panel, panel_label), (line, label) = place
            curve = curves.setdefault(panel, {}).setdefault(line, _Curve())
            curve.panel_labels.add(panel_label)
            curve.labels.add(label)
            curve.places.setdefault(value, []).append(trial.place)
    several = {
        panel: {line: curve for line, curve in own.items() if len(curve.places) > 1} for panel, own in curves.items()
    }
    return {panel: own for panel, own in several.items() if own}


def _placed(trial: _Trial, variable: Variable) -> tuple[Value, tuple[Hashable, str], tuple[_Key, str]] | None:
    """The value, and the panel and the line of a cell, both with their label; None where it has none."""
    kind, plugin, name = variable
    if trial.defense == "none":
        return None  # what others are compared with
    attack = (trial.attack_label, trial.attack_label)
    if kind == "given":
        if name not in trial.budgets:
            return None
        rest = trial.rest(name)
        own = trial.defense if trial.defense_parameters else trial.defense_label  # without them, the label tells apart
        return value_of(trial.budgets, name, ""), attack, (_Key(own, rest), trial.defense_label)
    if getattr(trial, kind) != plugin:
        return None
    parameters, label = getattr(trial, f"{kind}_parameters"), getattr(trial, f"{kind}_label")
    value = value_of(parameters, name, label)
    if kind == "attack":
        return value, ((plugin, all_but(parameters, name)), without(label, name)), (_Key(trial.column), trial.column)
    return value, attack, (_Key(plugin, trial.rest(name)), without(trial.column, name))


def _labels(curves: _Curves) -> dict[_Key, str]:
    """A label for each line, the shortest that its records have; where two share it, with what tells them apart."""
    labels: dict[_Key, set[str]] = {}
    for own in curves.values():
        for key, curve in own.items():
            labels.setdefault(key, set()).update(curve.labels)
    shortest = {key: min(own, key=lambda label: (len(label), label)) for key, own in labels.items()}
    sharing: dict[str, list[set[tuple[str, str]]]] = {}
    for key, label in shortest.items():
        sharing.setdefault(label, []).append(set(key.rest))
    told = {}
    for key, label in shortest.items():
        apart = sorted(set(key.rest) - set[tuple[str, str]].intersection(*sharing[label]))
        told[key] = label + f" ({', '.join(f'{name}={value}' for name, value in apart)})" * bool(apart)
    return told
