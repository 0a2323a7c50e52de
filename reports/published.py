"""Published figures: what papers and their authors' code say of an attack against a defense (docs/published).

Every cell names its source, its setting as far as it is known, and how sure it is. A figure that nobody could read is
not there.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bench.records import printable

METRICS = ("acc", "asr", "ra", "der", "tpr_assigned", "fpr_assigned")  # of a published cell, in %

Percent = Annotated[float | None, Field(ge=0, le=100, allow_inf_nan=False)]


def _line(text: str) -> str:
    if printable(text, 300) != text:
        raise ValueError("expected at most 300 printable characters")
    return text


Text = Annotated[str, AfterValidator(_line)]


def _settings(value: Any) -> Any:
    """The text ``alpha=0.2; search=pairs`` as a dictionary."""
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split("; ") if part]
    if not all(re.fullmatch(r"[a-z_0-9]+", name) and re.fullmatch(r"[\w./+-]+", text) for name, _, text in parts):
        raise ValueError(f"{value!r}: expected name=value; name=value")
    return {name: text for name, _, text in parts}


Settings = Annotated[dict[str, str], BeforeValidator(_settings)]


class Published(BaseModel):
    """One published cell. Figures are in %, as printed; None is what the source does not say or nobody could read.

    dataset, architecture, attack and defense are the names of plugins, "" where there is none: the names that the
    source has stand beside them. The defense "none" is the undefended network. ``poisoning_rate`` is a share of the
    whole training set, ``width`` the number of channels of the architecture's first stage, ``reference`` the number of
    clean images that the defender has. The settings are of parameters that the plugins have. ``certainty``: "firm" was
    read in the paper or in its authors' code, "second-hand" elsewhere; "not stated": where it was read is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text = Field(min_length=1)
    arxiv: str = Field(pattern=r"^(\d{4}\.\d{4,5})?$")
    table: Text = Field(min_length=1)
    dataset: str = Field(pattern=r"^\w*$")
    dataset_as_published: Text = Field(min_length=1)
    architecture: str = Field(pattern=r"^\w*$")
    architecture_as_published: Text = Field(min_length=1)
    width: int | None = Field(ge=1)
    train_images: int | None = Field(ge=1)
    epochs: int | None = Field(ge=1)
    attack: str = Field(pattern=r"^\w*$")
    attack_as_published: Text = Field(min_length=1)
    label_map: Literal["", "all-to-one", "all-to-all"]
    poisoning_rate: float | None = Field(gt=0, le=1)
    attack_settings: Settings
    defense: str = Field(pattern=r"^\w*$")
    defense_as_published: Text = Field(min_length=1)
    defense_settings: Settings
    reference: int | None = Field(ge=0)
    reference_from: Literal["", "train", "test"]
    acc: Percent
    asr: Percent
    ra: Percent
    der: Percent
    tpr_assigned: Percent
    fpr_assigned: Percent
    certainty: Literal["firm", "second-hand", "not stated"]
    note: Text

    @model_validator(mode="before")
    @classmethod
    def _blanks(cls, values: Any) -> Any:
        """An empty field of numbers is None."""
        if not isinstance(values, Mapping):
            return values
        numbers = {"width", "train_images", "epochs", "poisoning_rate", "reference", *METRICS}
        return {name: None if value == "" and name in numbers else value for name, value in values.items()}

    @model_validator(mode="after")
    def _says_something(self) -> "Published":
        if all(getattr(self, metric) is None for metric in METRICS):
            raise ValueError(f"no figure; expected one of {', '.join(METRICS)}")
        return self


def read(lines: Iterable[str], name: str) -> list[Published]:
    """The cells of a CSV file. Raises ValueError with the file's ``name`` and the line of what is wrong."""
    cells = []
    for number, row in enumerate(csv.DictReader(lines), 2):
        try:
            cells.append(Published.model_validate(row))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {' '.join(str(error).split())}") from None
    return cells


@cache
def published_cells() -> tuple[Published, ...]:
    """All published cells that come with the package, file by file."""
    folder = files("bench") / "published"
    found = sorted((one for one in folder.iterdir() if one.name.endswith(".csv")), key=lambda one: one.name)
    return tuple(cell for one in found for cell in read(one.read_text("utf-8").splitlines(), one.name))


def family(model: str) -> str:
    """What architectures are compared by: ResNet-18 and PreActResNet-18 are of one family."""
    return model.removeprefix("preact_")


def number(text: str) -> Fraction | None:
    """The number that a setting is, also as a fraction such as 20/255; None for a word."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        return None
