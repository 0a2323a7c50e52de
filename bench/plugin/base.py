"""What every plugin kind shares.

A plugin is a frozen pydantic model, and its fields are its parameters with their bounds. It has no state: what it
learns is a value that the harness stores for it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import torch
from pydantic import BaseModel, ConfigDict, PydanticUserError
from torch import Tensor, nn

from bench.errors import RequestError as RequestError  # plugins import it from here
from bench.plugin import rules
from bench.plugin.values import ImageSpec

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)


class HasImages(Protocol):
    """The part of a data set that a plugin may look at in a case."""

    @property
    def spec(self) -> ImageSpec: ...


class Builds(Protocol):
    """The part of a model that a plugin may use in a case."""

    def build(self, spec: ImageSpec) -> nn.Module: ...


class PluginClass(ModelMetaclass):
    """What makes the classes of plugins: it names the rule that one breaks (``bench.plugin.rules``)."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **rest: Any) -> type:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Field name .* shadows an attribute in parent")  # which is refused here
            try:
                cls: type = super().__new__(mcs, name, bases, body, **rest)
            except PydanticUserError as error:
                raise rules.unfit(name, error) from None
        rules.check(cls, body)
        return cls


class Plugin(BaseModel, metaclass=PluginClass):
    """Base of every plugin kind.

    A plugin sets ``name`` and ``source``, its citation, and raises ``version`` when its results change.
    ``title`` is how a paper spells its name, such as "FT-SAM", and ``bibtex`` one BibTeX entry, what a paper cites for
    it (``bench.records.bibtex``): reports in LaTeX have both.

    ``presets`` are named sets of its parameters: with ``presets = {"paper": {"beta": 1.0}}`` a request can select
    ``name[paper]`` and ``name[paper,epochs=5]``. A parameter that a preset does not name has its default, whatever the
    profile. A profile takes the preset of its own name, so ``paper`` is the place of published settings. Names begin
    with a letter and are not those of parameters; values are within the parameters' bounds, else the plugin is broken.
    ``Preset("what it is for", beta=1.0)`` in place of the dictionary is shown with that text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    kind: ClassVar[str]
    name: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[str] = ""
    title: ClassVar[str] = ""  # "": the name is shown
    bibtex: ClassVar[str] = ""
    places: ClassVar[frozenset[str]] = frozenset()  # parameters that say where something lies; no key has them
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    by_name_only: ClassVar[bool] = False  # left out of "all" and of globs, because it has a parameter that must be set

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise AttributeError(
                f"{type(self).__name__}.{name} cannot be set: plugins are frozen. A parameter is written in the class, "
                f"{name}: float = 1.0; what a method works out stays in its variables, or in the guard that it returns"
            )
        super().__setattr__(name, value)

    def resolve(self, spec: ImageSpec) -> Self:
        """This plugin with those parameters filled in that follow from the images.

        Raises RequestError for a parameter that does not fit the images.
        """
        return self

    def unsupported(self, case: "Case") -> str | None:
        """Why this plugin cannot be applied to ``case``, or None if it can."""
        return None


@dataclass(frozen=True)
class Case:
    """A combination of plugins that any of them may decline (``Plugin.unsupported``)."""

    dataset: HasImages
    model: Builds
    attack: Plugin
    defense: Plugin

    @property
    def network(self) -> nn.Module:
        """An untrained network of this case's model, in eval mode. Cases share it, so it must not be changed."""
        identity = f"{type(self.model)} {self.model!r} {self.dataset.spec}"
        if identity not in _untrained:
            _untrained.clear()
            _untrained[identity] = self.model.build(self.dataset.spec).eval()
        return _untrained[identity]

    @property
    def example(self) -> Tensor:
        """A black image (1, C, H, W) of the data set's shape, to run ``network`` on."""
        return torch.zeros(1, *self.dataset.spec.shape)


_untrained: dict[str, nn.Module] = {}  # the last one, by its model, all parameters of it, and its images' spec
