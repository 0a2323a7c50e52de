"""The grids of tuning.py: one parameter of a defense or an attack, the values to choose from, and how to choose.

Victims have seeds from 100 on and other target classes than 0, and all figures are of the validation part.

The rule for a defense: of the values that cost benign victims at most 5 points of ACC on average and raise no more
alarms there than the published value, the one with the highest mean DER over the attacked victims (those whose attack
worked). DER counts the loss of ACC already; the bound, which a victim's attack must keep as well, leaves out what
nobody would use. With a bound of 1 point fine-tuning on 200 images keeps its published rate, which hardly changes a
victim (DER 52 %), and a baseline that is made weak flatters what it is compared with. Values whose DER agrees to a
tenth of a percent are equal: the published one wins, then the one nearest to it in the grid. A value with a cell that
failed cannot be chosen. If no value is left, the published one stays.

The rule for an attack: the value nearest to the published one with which it works on every victim; where there is none,
the one with which it works on most of them. Whether it worked is what the † of the tables says. So an attack is made no
stronger than it has to be. Values are tried in this order, and those behind the first that works on all are not tried.
"""

import json
import math
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from bench.cell.validity import MAX_ACC_LOSS
from bench.errors import RequestError
from bench.plan.selection import parse
from bench.plugin.parameters import explained, written

FIRST_SEED = 100  # those below are for tables
DECIMALS = 1  # of a percentage, in which equal DERs agree

Value = bool | int | float | str
Figure = dict[str, Any]  # of one value: what ``summary`` says of it, with the ``value``
Told = Callable[[Figure], str]


class Grid(BaseModel, ABC):
    """One parameter of one plugin, the values to choose from (``candidates``), and the victims to choose by.

    published: the value in the method's source. fixed: further parameters of the plugin. targets: target classes, each
    for every attack but those that name their own. request: other options of ``bench.run``, such as datasets, recipes,
    profile and reference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: ClassVar[Literal["defense", "attack"]]
    columns: ClassVar[dict[str, Told]]  # of a page
    judged: ClassVar[tuple[str, Told]]  # what decides, in the list of all

    parameter: str
    candidates: list[Value] = Field(min_length=2)
    published: Value
    fixed: dict[str, Value] = {}
    targets: list[int] = Field([3, 7], min_length=1)
    seeds: list[int] = Field([100, 101], min_length=1)
    request: dict[str, Any] = {}

    @field_validator("targets")
    @classmethod
    def _not_tabled(cls, targets: list[int]) -> list[int]:
        if 0 in targets:
            raise ValueError("other classes than 0, the target of the tables")
        return targets

    @field_validator("seeds")
    @classmethod
    def _own(cls, seeds: list[int]) -> list[int]:
        if min(seeds) < FIRST_SEED:
            raise ValueError(f"seeds from {FIRST_SEED} on; those below are for tables")
        return seeds

    @field_validator("request")
    @classmethod
    def _rest(cls, request: dict[str, Any]) -> dict[str, Any]:
        if own := {"attacks", "defenses", "seeds", "evaluate"} & set(request):
            raise ValueError(f"no {min(own)}, which the grid says itself")
        return request

    @field_validator("published")
    @classmethod
    def _among(cls, published: Value, info: ValidationInfo) -> Value:
        if published not in info.data.get("candidates", [published]):
            raise ValueError("one of the candidates")
        return published

    @property
    @abstractmethod
    def plugin(self) -> str:
        """The name of the plugin that has the parameter."""

    @abstractmethod
    def options(self, value: Value) -> dict[str, Any]:
        """What ``bench.run`` is asked for with one of the candidates."""

    @abstractmethod
    def summary(self, frame: pd.DataFrame) -> dict[str, Any]:
        """What the rule looks at, from the results with one value."""

    @abstractmethod
    def chosen(self, figures: list[Figure]) -> Value:
        """The value that the rule chooses. ``figures``: of the values that were tried."""

    def order(self) -> list[Value]:
        """The candidates as they are tried."""
        return self.candidates

    def decided(self, figure: Figure) -> bool:
        """Whether no value behind the one of this figure can be chosen."""
        return False

    def selection(self, value: Value, **more: Value) -> str:
        """The plugin with this value, as a selection writes it."""
        parameters = {**self.fixed, self.parameter: value, **more}
        return written(self.plugin, {name: text(one) for name, one in parameters.items()})

    def distance(self, value: Value) -> int:
        """How many places of the grid lie between a value and the published one."""
        return abs(self.candidates.index(value) - self.candidates.index(self.published))


class DefenseGrid(Grid):
    """A parameter of a defense. attacks: what its victims were attacked with; benign ones are always among them."""

    kind = "defense"
    columns: ClassVar = {
        "mean DER %": lambda figure: percent(figure["der"]),
        "attacked victims": lambda figure: str(figure["victims"]),
        "fall of ACC, benign, points": lambda figure: percent(figure["fall"]),
        "alarms": lambda figure: f"{figure['alarms']} of {figure['benign']}",
        "not done": lambda figure: str(figure["not_done"]),
    }
    judged = ("its DER", columns["mean DER %"])

    defense: str
    attacks: str = "badnets,blend,wanet"

    @field_validator("attacks")
    @classmethod
    def _not_tabled_either(cls, attacks: str) -> str:
        if any(str(choice.parameters.get("target_class")) == "0" for choice in parse(attacks)):
            raise ValueError("other target classes than 0, which the tables have")
        return attacks

    @property
    def plugin(self) -> str:
        return self.defense

    def options(self, value: Value) -> dict[str, Any]:
        attacks = ["none"]
        for choice in parse(self.attacks):
            own = {name: text(of_attack) for name, of_attack in choice.parameters.items()}
            targets = [own["target_class"]] if "target_class" in own else self.targets
            attacks += [written(choice.pattern, {**own, "target_class": str(target)}) for target in targets]
        asked = {"attacks": attacks, "defenses": self.selection(value), "seeds": self.seeds, "evaluate": "validation"}
        return {**self.request, **asked}

    def summary(self, frame: pd.DataFrame) -> dict[str, Any]:
        """Mean DER over attacked victims, fall of ACC and alarms on benign ones, cells not done."""
        done, benign = frame["status"] == "done", frame["attack"] == "none"
        attacked = frame[done & ~benign & frame["valid"].eq(True)]
        clean = frame[done & benign]
        return {
            "der": float(attacked["der"].mean()),
            "victims": len(attacked),
            "fall": float((clean["acc_before"] - clean["acc"]).mean()),
            "alarms": sum(map(_alarmed, clean["diagnostics"])),
            "benign": len(clean),
            "not_done": int((~done).sum()),
        }

    def chosen(self, figures: list[Figure]) -> Value:
        most_alarms = next(figure["alarms"] for figure in figures if figure["value"] == self.published)
        allowed = [
            (round(100 * figure["der"], DECIMALS), -self.distance(figure["value"]), figure["value"])
            for figure in figures
            if figure["fall"] <= MAX_ACC_LOSS
            and figure["alarms"] <= most_alarms
            and not figure["not_done"]
            and not math.isnan(figure["der"])
        ]
        return max(allowed, key=lambda one: one[:2])[2] if allowed else self.published


class AttackGrid(Grid):
    """A parameter of an attack: how strong it has to be to work on these data and this network."""

    kind = "attack"
    columns: ClassVar = {
        "worked on": lambda figure: f"{figure['worked']} of {figure['victims']}",
        "mean ASR %": lambda figure: percent(figure["asr"]),
        "mean base rate %": lambda figure: percent(figure["base_rate"]),
        "fall of ACC, points": lambda figure: percent(figure["fall"]),
        "not done": lambda figure: str(figure["not_done"]),
    }
    judged = ("works on", columns["worked on"])

    attack: str

    @property
    def plugin(self) -> str:
        return self.attack

    def options(self, value: Value) -> dict[str, Any]:
        attacks = ["none", *(self.selection(value, target_class=target) for target in self.targets)]
        asked = {"attacks": attacks, "defenses": "none", "seeds": self.seeds, "evaluate": "validation"}
        return {**self.request, **asked}

    def summary(self, frame: pd.DataFrame) -> dict[str, Any]:
        """On how many victims the attack worked; means of ASR, base rate and fall of ACC; cells not done."""
        done, benign = frame["status"] == "done", frame["attack"] == "none"
        attacked = frame[done & ~benign]
        return {
            "worked": int(attacked["valid"].eq(True).sum()),
            "victims": int((~benign).sum()),
            "asr": float(attacked["asr_before"].mean()),
            "base_rate": float(attacked["base_rate"].mean()),
            "fall": float((attacked["acc_benign"] - attacked["acc_before"]).mean()),
            "not_done": int((~done).sum()),
        }

    def order(self) -> list[Value]:
        return sorted(self.candidates, key=self.distance)

    def decided(self, figure: Figure) -> bool:
        return bool(figure["worked"] == figure["victims"])

    def chosen(self, figures: list[Figure]) -> Value:
        best: Value = max(figures, key=lambda figure: (figure["worked"], -self.distance(figure["value"])))["value"]
        return best


KINDS: tuple[type[Grid], ...] = (DefenseGrid, AttackGrid)


def read_grids(file: Path) -> dict[str, Grid]:
    """The grids of a TOML file by name. What is under ``[every]`` counts for all.

    Raises RequestError for a file or a grid that is wrong.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"{file}: {error}") from error
    common = tables.pop("every", {})
    grids: dict[str, Grid] = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise RequestError(f"{file}: {name}: expected a table")
        merged = {**common, **table, "request": {**common.get("request", {}), **table.get("request", {})}}
        kind = next((kind for kind in KINDS if kind.kind in table), DefenseGrid)
        try:
            grids[name] = kind.model_validate(merged)
        except ValidationError as error:
            raise RequestError(f"{file}: {name}: {_wrong(error, kind)}") from error
    return grids


def text(value: object) -> str:
    """A value as a selection writes it, to the last digit."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _wrong(error: ValidationError, kind: type[Grid]) -> str:
    first = error.errors()[0]
    if first["type"] == "missing":
        return f"{first['loc'][0]} is missing"
    return explained(error, kind.model_fields)


def _alarmed(diagnostics: str) -> bool:
    """Whether a defense took a class of a benign victim for a target."""
    return bool(json.loads(diagnostics).get("class_statistic", {}).get("flagged"))
