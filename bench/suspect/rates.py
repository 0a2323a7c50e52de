"""How often each method, and the verdict, were right about networks of which it is known whether they are attacked.

``scan_rates.json`` beside this file is made by ``benchmarks/scan_rates.py``, a measurement for each kind of images.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from math import log
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

VERDICT = "verdict"  # the name of the combined verdict among the methods
FEW_NETWORKS = 10  # attacked or benign ones; where there are fewer, it is said


class Counts(BaseModel):
    """Counts of networks. Of victims: right (it names targets and nothing else), wrong (it names another class), none
    (it names no class). Of benign ones: false alarms, and how many it gave an answer on. unanswered: of both."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    right: int = Field(ge=0)
    wrong: int = Field(ge=0)
    none: int = Field(ge=0)
    false_alarms: int = Field(ge=0)
    benign: int = Field(ge=0)
    unanswered: int = Field(0, ge=0)

    @property
    def victims(self) -> int:
        return self.right + self.wrong + self.none


class Measured(BaseModel):
    """One measurement: on which networks, with which images, when, and the counts by method."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    shape: tuple[int, int, int] = Field(description="channels, height and width of the images")
    model: str
    recipe: str
    attacks: list[str]
    seeds: list[int]
    images: int = Field(gt=0, description="clean images that the methods were given, of the training split")
    date: str = Field(description="of the newest result")
    version: str
    note: str = ""
    parameters: dict[str, dict[str, Any]] = Field(description="of each method")
    counts: dict[str, Counts]


class Rates(BaseModel):
    """The file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    measured: list[Measured]


FILE = Path(__file__).with_name("scan_rates.json")


@cache
def rates() -> Rates:
    """What has been measured; nothing where there is no file."""
    return Rates.model_validate_json(FILE.read_text(encoding="utf-8")) if FILE.exists() else Rates(measured=[])


def nearest(shape: tuple[int, int, int], images: int) -> list[Measured]:
    """All measurements, that on the images most like these first: as many channels, then size, then how many."""

    def distance(one: Measured) -> tuple[bool, float, float]:
        area, other = shape[1] * shape[2], one.shape[1] * one.shape[2]
        return one.shape[0] != shape[0], abs(log(area / other)), abs(log(images / one.images))

    return sorted(rates().measured, key=distance)


def worth(shape: tuple[int, int, int], images: int, asked: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lines that say how often the verdict and the methods asked were right on the kind of images nearest to these.

    shape: channels, height and width. asked: the methods' parameters, by label; none of one that gave no answer.
    """
    if not rates().measured:
        return ["how often the methods are right is not yet measured"]
    first, *others = nearest(shape, images)
    lines = [
        f"how often this is right, measured on {_kind(first)}, the nearest to these images: {first.model}, "
        f"recipe {first.recipe}, {len(first.attacks)} attacks, {_seeds(first.seeds)}, {first.images} "
        f"images, {first.date}{f' ({first.note})' * bool(first.note)}; in brackets 95 % intervals"
    ]
    told = first.counts[VERDICT]
    if min(told.victims, told.benign) < FEW_NETWORKS:
        lines.append(f"  these are few networks, {told.victims} attacked and {told.benign} benign: little is known")
    lines.append(f"  {_by(first.parameters)}: {_told(told)}")
    if set(asked) != set(first.parameters):
        lines.append(f"  {_by(asked)}: not yet measured")
    for method, parameters in asked.items():
        counts = first.counts.get(method)
        other = "" if counts is None else _differing(first.parameters.get(method, {}), parameters)
        lines.append(f"  {method}: {'not yet measured' if counts is None else _told(counts)}{other}")
    for one in others:
        lines.append(f"  on {_kind(one)}, {_by(one.parameters)}: {_told(one.counts[VERDICT])}")
    return lines


def _kind(measured: Measured) -> str:
    channels, height, width = measured.shape
    return f"{measured.dataset} ({'grey' if channels == 1 else 'colour'}, {height}x{width})"


def _seeds(seeds: list[int]) -> str:
    if len(seeds) > 2 and seeds == list(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]}-{seeds[-1]}"
    return f"seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds))}"


def _by(methods: Iterable[str]) -> str:
    return f"verdict of {', '.join(methods)}"


def _told(counts: Counts) -> str:
    told = (
        f"of {_several(counts.victims, 'attacked network')} {counts.right} right"
        f"{_interval(counts.right, counts.victims)}, {counts.wrong} another class, {counts.none} none; "
        f"of {_several(counts.benign, 'benign one')} {_several(counts.false_alarms, 'false alarm')}"
        f"{_interval(counts.false_alarms, counts.benign)}"
    )
    return told + f"; no answer on {counts.unanswered}" * bool(counts.unanswered)


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _interval(some: int, among: int) -> str:
    """Wilson's interval of a share, in brackets; nothing where there is none."""
    if not among:
        return ""
    from scipy.stats import binomtest

    interval = binomtest(some, among).proportion_ci(method="wilson")
    return f" [{100 * interval.low:.0f}–{100 * interval.high:.0f} %]"


def _differing(measured: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Which parameters had other values where it was measured, in brackets; nothing where none had."""
    here = json.loads(json.dumps(here, default=str))
    names = [name for name in measured if name in here and measured[name] != here[name]]
    return f" (measured with other parameters than here: {', '.join(names)})" if names else ""
