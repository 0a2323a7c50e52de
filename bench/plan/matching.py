"""Which records a request selects: those that ``bench run`` with the same selections would have made.

Nothing is planned and no plugin is loaded: a record is matched by the names, the label and the parameters that it
carries, so that records can be selected whose plugins are not installed. A name means what it means for ``bench run``,
the plugin with its usual parameters; ``all`` and globs mean every variant.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import Any

from bench.errors import RequestError, did_you_mean, shortened
from bench.plan.option_types import flag
from bench.plan.profiles import PROFILES, PUBLISHED
from bench.plan.request import Request
from bench.plan.selection import Choice, choices, parse
from bench.plugin.parameters import spelled, written
from bench.records import Record

KINDS = ("dataset", "model", "attack", "defense")
OF_CELLS = frozenset({"defenses", "reference", "suspects", "suspects_purity", "suspects_classes"})  # not of victims
NOT_SELECTING = frozenset({"data", "plugin"})
_MOST_NAMED = 12
Test = Callable[[Record], bool]


@dataclass(frozen=True)
class Matched:
    """The selected records. ``notes``: a line for each part of a selection that no record fits.

    ``given``: the labels of attacks and defenses in the order in which the selections name them, by kind; none for a
    kind without a selection.
    """

    records: list[Record]
    notes: list[str] = field(default_factory=list)
    given: dict[str, list[str]] = field(default_factory=dict)


def selecting(request: Request) -> frozenset[str]:
    """The options of a request that select: those that were given, but for the places of files."""
    return frozenset(request.model_fields_set) - NOT_SELECTING


def matching(request: Request, records: Iterable[Record]) -> Matched:
    """The records that fit every selection that was given. Raises RequestError, naming what there is, for none."""
    found, notes, given = list(records), list[str](), dict[str, list[str]]()
    everything = found
    for kind in KINDS:
        if (name := f"{kind}s") in selecting(request):
            chosen = choices(kind, getattr(request, name))
            there = list(dict.fromkeys(_part(record, kind) for record in everything))
            notes += _unmatched(name, chosen, there)
            given[kind] = _in_order(chosen, there)
    for name, test in _tests(request, everything).items():
        if everything and not any(map(test, everything)):
            raise RequestError(_nothing(name, request, everything))
        found = [record for record in found if test(record)]
    if everything and not found:
        named = "; ".join(f"{kind}s {_named(_labels(kind, everything))}" for kind in ("attack", "defense"))
        options = " ".join(map(flag, sorted(selecting(request))))
        raise RequestError(f"{options}: no record fits all of them together; there are {named}")
    return Matched(found, notes, {kind: labels for kind, labels in given.items() if kind in ("attack", "defense")})


def _tests(request: Request, records: Sequence[Record]) -> dict[str, Test]:
    """A test of a record for each option that was given."""
    chosen = selecting(request)
    tests: dict[str, Test] = {}
    for kind in ("dataset", "model", "defense"):
        if (name := f"{kind}s") in chosen:
            tests[name] = _of_kind(choices(kind, getattr(request, name)), kind)
    if chosen & {"attacks", "victims"}:
        attacks = choices("attack", request.attacks) if "attacks" in chosen else []
        contents = _contents(request)
        of_attacks = _of_kind(attacks, "attack")
        name = "attacks" if "attacks" in chosen else "victims"
        tests[name] = lambda record: (
            of_attacks(record) or _read_parameters(record.attack_params).get("content") in contents
        )
    if "recipes" in chosen and request.recipes is not None:
        labels = _recipes(request.recipes, {record.recipe for record in records})
        tests["recipes"] = lambda record: record.recipe in labels
    plain: dict[str, Test] = {
        "seeds": lambda record: record.seed in (request.seeds or ()),
        "profile": lambda record: record.profile == request.profile,
        "evaluate": lambda record: record.evaluated_on == request.evaluate,
        "reference": lambda record: record.reference in (0, references(record)),
        "suspects": lambda record: record.suspects in (0, request.suspects),
        "suspects_purity": lambda record: not record.suspects or _same(record.suspects_purity, request.suspects_purity),
        "suspects_classes": lambda record: not record.suspects or record.suspects_classes == request.suspects_classes,
    }
    references = _reference_counts(request.reference, records) if request.reference is not None else lambda record: 0
    return tests | {name: test for name, test in plain.items() if name in chosen}


@dataclass(frozen=True)
class _Part:
    """A plugin as a record carries it; ``parameters`` as JSON."""

    name: str
    label: str
    parameters: str
    profile: str


def _part(record: Record, kind: str) -> _Part:
    name, label, parameters = (getattr(record, column) for column in (kind, f"{kind}_label", f"{kind}_params"))
    return _Part(name, label, parameters, record.profile)


def _of_kind(chosen: Sequence[Choice], kind: str) -> Test:
    @cache  # many records have the same part
    def fits(part: _Part) -> bool:
        return any(_fits(choice, part) for choice in chosen)

    return lambda record: fits(_part(record, kind))


def _fits(choice: Choice, part: _Part) -> bool:
    label = _read_label(part.label)
    if not any(_is_of(choice.pattern, one) for one in (part.name, label.pattern)):
        return False
    own = {**label.parameters, **_read_parameters(part.parameters)}
    if not all(
        parameter in own and _same(own[parameter], value, label.parameters.get(parameter))
        for parameter, value in choice.parameters.items()
    ):
        return False
    if not choice.is_name and choice.preset is None:
        return True
    if _preset(part.name, choice.preset, part.profile) != _preset(part.name, label.preset, part.profile):
        return not choice.is_name and choice.preset == label.preset
    return not choice.is_name or set(label.parameters) <= set(choice.parameters)


def _is_of(pattern: str, name: str) -> bool:
    return pattern == "all" or fnmatchcase(name, pattern)


@lru_cache(10_000)
def _read_label(label: str) -> Choice:
    """A label as the selection that it is written as; one that cannot be read has no parameters."""
    try:
        found = parse(label)
    except RequestError:
        found = []
    return found[0] if len(found) == 1 else Choice(label, {})


@lru_cache(10_000)
def _read_parameters(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def _same(own: Any, asked: Any, shown: Any = None) -> bool:
    """Whether a parameter has the value that is asked for, as a number or as tables print it (``shown``)."""
    if isinstance(own, float) and isinstance(asked, int | float) and not isinstance(asked, bool):
        return math.isclose(own, asked, rel_tol=1e-9) or asked == shown
    return spelled(own) == spelled(asked)


def _preset(name: str, preset: str | None, profile: str) -> str | None:
    """The preset that a plugin's parameters are of: the one that is named, else the one that the profile takes."""
    if preset is not None or profile not in PROFILES:
        return preset
    usual = PROFILES[profile].parameters
    if name in PUBLISHED:
        return "paper" if usual.get(name) == PUBLISHED[name] else None
    return PROFILES[profile].preset if name not in usual else None


def _recipes(text: str, there: set[str]) -> set[str]:
    """The labels of the selected recipes. Where they are spelled as in the records, nothing heavy is imported."""
    spelled_out = {_text(choice) for choice in parse(text)}
    if spelled_out <= there:
        return spelled_out
    from bench.plan import recipes

    return set(recipes.chosen(text))


def _contents(request: Request) -> set[str]:
    """What the records of victims made elsewhere carry of their files."""
    if not request.victims or "victims" not in selecting(request):
        return set()
    from bench.imported.read import read

    return {read(path).digest for path in request.victims}


def _reference_counts(text: str, records: Sequence[Record]) -> Callable[[Record], int]:
    """The number of reference images that an amount means for a record's data set."""
    from bench.plan.budget import reference_count

    sizes: dict[tuple[str, ...], int] = {}
    for record in records:
        sizes[_data(record)] = max(record.n_train, sizes.get(_data(record), 0))
    wrong = reference_count(text, max([1, *sizes.values()]))  # raises for what is malformed
    counts = {data: reference_count(text, size) if size else wrong for data, size in sizes.items()}
    return lambda record: counts[_data(record)]


def _data(record: Record) -> tuple[str, ...]:
    return record.dataset, record.dataset_params, record.evaluated_on


def _in_order(chosen: Sequence[Choice], parts: Sequence[_Part]) -> list[str]:
    """The labels choice by choice; those of one choice, such as of a glob, by name."""
    of_choices = (sorted(part.label for part in parts if _fits(choice, part)) for choice in chosen)
    return list(dict.fromkeys(label for labels in of_choices for label in labels))


def _unmatched(option: str, chosen: Sequence[Choice], parts: Sequence[_Part]) -> list[str]:
    """A line for each choice that no record fits, if others have some."""
    missing = [choice for choice in chosen if not any(_fits(choice, part) for part in parts)]
    if len(missing) == len(chosen):
        return []
    labels = sorted({part.label for part in parts})
    return [f"{flag(option)} {_text(choice)}: no record{_variants(choice, labels)}" for choice in missing]


def _nothing(option: str, request: Request, records: Sequence[Record]) -> str:
    """The line for a selection that no record fits, with what there is."""
    value = getattr(request, option)
    kind = option.removesuffix("s")
    if kind in KINDS:
        chosen = choices(kind, value)
        text = ",".join(map(_text, chosen))
        hint = _hint(chosen[0], kind, records) if len(chosen) == 1 else ""
        return f"{flag(option)} {shortened(text)}: no record; there are {_named(_labels(kind, records))}{hint}"
    column = {"seeds": "seed", "recipes": "recipe", "evaluate": "evaluated_on", "victims": "attack_label"}
    there = sorted({getattr(record, column.get(option, option)) for record in records})
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{flag(option)} {shortened(text)}: no record; there are {_named(list(map(str, there)))}"


def _hint(choice: Choice, kind: str, records: Sequence[Record]) -> str:
    """The variants of a plugin that was named without their parameters, or the nearest name."""
    labels = _labels(kind, records)
    return _variants(choice, labels) or did_you_mean(choice.pattern, {_read_label(label).pattern for label in labels})


def _variants(choice: Choice, labels: Sequence[str]) -> str:
    found = [label for label in labels if _read_label(label).pattern == choice.pattern]
    return f"; {choice.pattern}* selects {_named(found)}" if found else ""


def _labels(kind: str, records: Sequence[Record]) -> list[str]:
    return sorted({getattr(record, f"{kind}_label") for record in records})


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(shortened(name, 100) for name in names[:_MOST_NAMED]) + more


def _text(choice: Choice) -> str:
    return written(choice.pattern, {name: spelled(value) for name, value in choice.parameters.items()}, choice.preset)
