"""How often each method, and the verdict, were right about networks of which it is known whether they are attacked.

``scan_rates.json`` beside this file is made by ``benchmarks/scan_rates.py``.
"""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

VERDICT = "verdict"  # the name of the combined verdict among the methods


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
    model: str
    recipe: str
    attacks: list[str]
    seeds: list[int]
    images: int = Field(gt=0, description="clean images that the methods were given, of the training split")
    date: str
    version: str
    note: str = ""
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


def worth(methods: list[str]) -> list[str]:
    """Lines that say how often the verdict and these methods were right, or that it is not yet measured."""
    lines = []
    for measured in rates().measured:
        on = f"{measured.dataset}, {measured.model}, recipe {measured.recipe}, {len(measured.attacks)} attacks"
        seeds, note = ", ".join(map(str, measured.seeds)), f" ({measured.note})" * bool(measured.note)
        lines.append(f"measured on {on}, seeds {seeds}, {measured.images} images, {measured.date}{note}:")
        for method in [VERDICT, *methods]:
            if (counts := measured.counts.get(method)) is not None:
                lines.append(f"  {method}: {_told(counts)}")
            else:
                lines.append(f"  {method}: not yet measured")
    return lines or ["how often the methods are right is not yet measured"]


def _told(counts: Counts) -> str:
    parts = [
        f"of {counts.victims} attacked networks right {counts.right}, another class {counts.wrong}, none {counts.none}"
    ]
    parts.append(f"of {counts.benign} benign ones {counts.false_alarms} false alarms")
    parts += [f"no answer on {counts.unanswered}"] * bool(counts.unanswered)
    return "; ".join(parts)
