"""What to compare: the options that say which cells a plan has."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from bench.plan.option_types import (
    Amount,
    Directory,
    Files,
    Form,
    Names,
    Number,
    OptionGroup,
    Options,
    Plugins,
    Seeds,
    Text,
    Whole,
)
from bench.plan.profiles import PROFILES

COMPARE = OptionGroup(
    "What to compare",
    "NAMES are names, globs or all, comma-separated: none,tac,bna*. Parameters stand in brackets: "
    "tac[beta=2,epochs=10]. A sweep is written with bars: tac[beta=1|2] is two defenses. A preset is a named set of "
    "parameters: tac[paper], tac[paper,beta=2]. Brackets need quotes in most shells. bench list names everything that "
    "can be selected, bench show NAME its parameters and presets.",
)
GIVEN = OptionGroup("What a defender is given")
FILES = OptionGroup("Files")


def _profile(name: str) -> str:
    if name not in PROFILES:
        raise ValueError(f"one of {', '.join(PROFILES)}")
    return name


class Request(Options):
    """What to compare. None stands for the profile's choice."""

    defenses: Annotated[Plugins, COMPARE] = Field("all", description="Defenses to compare.")
    attacks: Annotated[Plugins, COMPARE] = Field("all", description="Attacks to defend against.")
    victims: Annotated[Files, COMPARE] = Field(
        (), description="A victim made elsewhere (docs/victims.md); repeatable. Without --attacks, only these."
    )
    models: Annotated[Plugins | None, COMPARE] = Field(None, description="Architectures (default: the profile's).")
    datasets: Annotated[Plugins | None, COMPARE] = Field(None, description="Data sets (default: the profile's).")
    recipes: Annotated[Names | None, COMPARE] = Field(
        None, description="Training recipes: quick, paper, fast[epochs=30] (default: the profile's)."
    )
    seeds: Annotated[Seeds | None, COMPARE] = Field(
        None, description="Seeds, such as 0,1 or 0-4 (default: the profile's)."
    )
    profile: Annotated[Text, Form("NAME"), AfterValidator(_profile), COMPARE] = Field(
        "quick", description="Defaults for the rest: quick, minutes on a CPU; cpu, hours; paper, for a GPU."
    )
    evaluate: Annotated[Literal["test", "validation"], COMPARE] = Field(
        "test",
        description="Images to evaluate on: test, or validation, a held-out part of the training images.",
    )
    reference: Annotated[Amount | None, GIVEN] = Field(
        None, description="Clean reference images: a number, or a share of the training set such as 5%."
    )
    suspects: Annotated[Whole | None, GIVEN] = Field(
        None, ge=0, description="Suspected images, for a defense that declares that it needs them."
    )
    suspects_purity: Annotated[Number | None, GIVEN] = Field(
        None,
        gt=0,
        le=1,
        description="Share of the suspected images that are triggered; the rest are clean (default: the profile's).",
    )
    suspects_classes: Annotated[Whole | None, GIVEN] = Field(
        None,
        ge=0,
        description="Number of classes that suspected images come from; 0: random ones (default: the profile's).",
    )
    data: Annotated[Directory | None, FILES] = Field(
        None, description="Data sets (default: $DEFENSEBENCH_DATA, else the user's cache directory)."
    )
    plugin: Annotated[Files, FILES] = Field((), description="A file with plugins of your own; repeatable.")
