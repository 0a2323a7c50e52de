"""What every plugin kind shares.

A plugin is a frozen pydantic model: its fields are its parameters, with their bounds. A plugin holds no
state; what it learns is a value that the harness keeps for it.
"""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from bench.errors import RequestError as RequestError  # plugins import it from here
from bench.plugin.values import ImageSpec


class HasImages(Protocol):
    """What a case shows of its data set."""

    @property
    def spec(self) -> ImageSpec: ...


class Builds(Protocol):
    """What a case shows of its architecture."""

    def build(self, spec: ImageSpec) -> nn.Module: ...


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


@dataclass(frozen=True)
class Case:
    """One combination that a plugin may decline."""

    dataset: HasImages
    model: Builds
    attack: Plugin
    defense: Plugin

    @property
    def network(self) -> nn.Module:
        """An untrained network of this case's model, in eval mode, to look at and not to change: cases share it."""
        wanted = f"{type(self.model)} {self.model!r} {self.dataset.spec}"
        if wanted not in _untrained:
            _untrained.clear()
            _untrained[wanted] = self.model.build(self.dataset.spec).eval()
        return _untrained[wanted]

    @property
    def example(self) -> Tensor:
        """A black image (1, C, H, W) of the data set's shape, to run ``network`` on."""
        return torch.zeros(1, *self.dataset.spec.shape)


_untrained: dict[str, nn.Module] = {}  # the last one looked at, by its model with all parameters and its images
