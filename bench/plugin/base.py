"""What every plugin kind shares.

A plugin is a frozen pydantic model: its fields are its parameters, with their bounds. A plugin holds no
state; what it learns is a value that the harness keeps for it.
"""

from abc import ABC
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from bench.errors import RequestError as RequestError  # plugins import it from here
from bench.plugin.values import ImageSpec

if TYPE_CHECKING:
    from bench.plugin.defense import Case


class Plugin(BaseModel, ABC):
    """Base of every plugin kind. A subclass sets ``name``, and raises ``version`` when its results change."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    kind: ClassVar[str]
    name: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[str] = ""
    by_name_only: ClassVar[bool] = False  # left out of "all" and of globs: it cannot do without a parameter

    def resolve(self, spec: ImageSpec) -> Self:
        """This plugin with the parameters filled in that follow from the images; raises RequestError
        where a parameter does not fit them."""
        return self

    def unsupported(self, case: "Case") -> str | None:
        """Why this plugin cannot be applied to ``case``, or None if it can."""
        return None
