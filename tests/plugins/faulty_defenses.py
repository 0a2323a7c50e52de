"""Defenses with one mistake each: ``breaks`` is the property that they lack, ``entails`` what they lack by that."""

import os
import random
import time
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from bench.plugin import Case, Context, Guard, Known, Prediction, Repair, Runtime


class Sound(Runtime):
    """A guard that lacks nothing: it scores inputs by the largest logit."""

    name: ClassVar[str] = "sound"
    source: ClassVar[str] = "a test's own"
    knowledge: ClassVar[Any] = "clean"
    breaks: ClassVar[str] = ""
    entails: ClassVar[tuple[str, ...]] = ()
    sharpness: float = Field(1.0, gt=0, le=10, description="that logits are multiplied by")

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        return lambda images: self.judged(self.sharpness * model(images))

    def judged(self, logits: Tensor) -> Prediction:
        score = logits.amax(1)
        return Prediction(logits, score, score > 5)


class NoSource(Sound):
    """A guard whose source nobody knows."""

    breaks = "source"
    source = ""


class Undescribed(Sound):
    """A guard with a parameter that nobody can guess."""

    breaks = "described"
    q: int = 3


class DefaultBeyond(Sound):
    """A guard whose default is not within its own bound, which pydantic does not look at."""

    breaks = "defaults"
    entails = ("written",)
    epochs: int = Field(0, ge=1, description="passes")


class FailsAtItsBound(Sound):
    """A guard that cannot be made at a bound that it declares."""

    breaks = "bounds"
    share: float = Field(0.5, ge=0, le=1, description="of all images")

    @model_validator(mode="after")
    def _odds(self) -> "FailsAtItsBound":
        _ = 1 / self.share
        return self


class TakesAnything(Sound):
    """A guard that takes a misspelt parameter without a word."""

    breaks = "beyond"
    entails = ("frozen",)
    model_config: ClassVar[Any] = {"extra": "ignore"}


class Mutable(Sound):
    """A guard whose parameters can be set."""

    breaks = "frozen"
    model_config: ClassVar[Any] = {"frozen": False}


class WrongPreset(Sound):
    """A guard with a preset beyond its bounds."""

    breaks = "presets"
    presets: ClassVar[Any] = {"strong": {"sharpness": 100.0}}


class Forgetful(Sound):
    """A guard that is another one when it is read again."""

    breaks = "pickling"

    def __getstate__(self) -> dict[Any, Any]:
        return {**super().__getstate__(), "__dict__": {"sharpness": 2.0}}


class Undeclared(Sound):
    """A guard that uses what it does not declare to know."""

    breaks = "knowledge"
    entails = ("runs",)

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        level = model(known.suspects).amax(1).mean()  # type: ignore[arg-type]
        return lambda images: Prediction(model(images), model(images).amax(1) - level)


class OneColumn(Sound):
    """A guard whose scores have an axis too many."""

    breaks = "answers"

    def judged(self, logits: Tensor) -> Prediction:
        return Prediction(logits, logits.amax(1, keepdim=True))


class Numbered(Sound):
    """A guard that counts how often it was made."""

    breaks = "repeats"
    entails = ("after-others",)
    made: ClassVar[list[int]] = []

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        self.made.append(1)
        count = len(self.made)
        return lambda images: Prediction(model(images), model(images).amax(1) * count)


class Cached(Sound):
    """A guard that answers by the network that it saw last but one, if that had other images."""

    breaks = "after-others"
    seen: ClassVar[list[int]] = []

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        channels = known.reference().images.shape[1]
        others = [one for one in self.seen if one != channels]
        self.seen.append(channels)
        return lambda images: Prediction(model(images), model(images).amax(1) + len(others))


class Relative(Sound):
    """A guard that judges an input by the others of its batch."""

    breaks = "batch-sizes"

    def judged(self, logits: Tensor) -> Prediction:
        return Prediction(logits, logits.amax(1) - logits.amax(1).mean())


class Meddler(Sound):
    """A guard that changes the network that it was given."""

    breaks = "network"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        with torch.no_grad():
            next(model.parameters()).mul_(1.01)
        return super().guard(model, known, context)


class Hooked(Repair):
    """A repair that leaves a hook on the network."""

    name: ClassVar[str] = "hooked"
    source: ClassVar[str] = "a test's own"
    breaks: ClassVar[str] = "repaired"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        model.register_forward_hook(lambda *_: None)
        return model


class InPlace(Sound):
    """A guard that writes into the images that it was asked about."""

    breaks = "inputs"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        return lambda images: self.judged(model(images.clamp_(0.1, 0.9)))


class WideNotes(Sound):
    """A guard that notes what no record can hold."""

    breaks = "notes"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        context.diagnostics["level"] = float("nan")
        return super().guard(model, known, context)


class OnlyConvolutions(Sound):
    """A guard that takes a batch normalisation for granted."""

    breaks = "vit"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        layer = next(part for part in model.modules() if isinstance(part, nn.BatchNorm2d))
        return lambda images: self.judged(model(images) * (1 + 0 * layer.weight.sum()))


class OnlyColour(Sound):
    """A guard that takes three colours for granted."""

    breaks = "grey"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        weights = torch.tensor([0.3, 0.6, 0.1]).view(3, 1, 1)
        return lambda images: Prediction(model(images), (images * weights).sum((1, 2, 3)) + images[:, 2].sum((1, 2)))


class ThirdBest(Sound):
    """A guard that looks at the third best class."""

    breaks = "two-classes"

    def judged(self, logits: Tensor) -> Prediction:
        return Prediction(logits, logits.topk(3).values[:, 2])


class AtMostFifty(Sound):
    """A guard that has room for fifty classes, and says no by half a sentence: an empty one."""

    breaks = "hundred-classes"

    def unsupported(self, case: Case) -> str | None:
        return "" if case.dataset.spec.classes > 50 else None


class EveryClass(Sound):
    """A guard that needs a reference image of every class."""

    breaks = "missing-class"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        clean, classes = known.reference(), model(known.reference().floats).shape[1]
        means = torch.stack([model(clean.at(clean.labels == label).floats).mean(0) for label in range(classes)])
        return lambda images: Prediction(model(images), torch.cdist(model(images), means).amin(1))


class LeavesState(Sound):
    """A guard that sets a variable of the environment."""

    breaks = "state"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        os.environ["A_DEFENSE_WAS_HERE"] = "1"
        return super().guard(model, known, context)


class GlobalDraws(Sound):
    """A guard that draws from Python's generator."""

    breaks = "random-numbers"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        factor = 1 + random.random()
        return lambda images: self.judged(model(images) * factor)


class Chatty(Sound):
    """A guard that prints."""

    breaks = "printing"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        print("working", time.asctime())  # noqa: T201
        return super().guard(model, known, context)


class Raises(Sound):
    """A guard that raises."""

    breaks = "runs"

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        raise KeyError("layer4")
