"""A small architecture, and defenses for a suspicious network of it that take a moment."""

from typing import ClassVar

import torch
from checkpoint_files import Small
from pydantic import Field
from torch import nn

from bench.plugin import Case, Context, ImageSpec, Known, Model, Prediction, Repair, Runtime, note_trigger_picture


class SmallModel(Model):
    name: ClassVar[str] = "small"

    def build(self, spec: ImageSpec) -> nn.Module:
        return Small(spec.channels, spec.classes)


class ByBias(Repair):
    """Names the classes with a bias above ``over``, and takes their bias away."""

    name: ClassVar[str] = "by_bias"
    identifies: ClassVar[bool] = True

    over: float = Field(5, description="bias above which a class is named")

    def unsupported(self, case: Case) -> str | None:
        return None if case.dataset.spec.classes > 2 else "two classes are too few"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        last = next(module for module in model.modules() if isinstance(module, nn.Linear))
        named = (last.bias > self.over).nonzero()[:, 0].tolist()
        context.note_class_statistic("bias", last.bias.tolist(), named)
        image = known.reference().example[0]
        note_trigger_picture(context, int(last.bias.argmax()), "patch", image, 1 - image)
        context.log(f"looked at {len(known.reference())} images")
        with torch.no_grad():
            last.bias[named] = 0
        return model


class ByBiasToo(ByBias):
    name: ClassVar[str] = "by_bias_too"

    over: float = Field(7, description="bias above which a class is named")


class Silent(Runtime):
    """Declares that it names classes, and names none."""

    name: ClassVar[str] = "silent"
    identifies: ClassVar[bool] = True

    def guard(self, model: nn.Module, known: Known, context: Context):
        return lambda images: Prediction(model(images))


class Longer(Repair):
    """Adds a layer."""

    name: ClassVar[str] = "longer"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        last = next(module for module in model.modules() if isinstance(module, Small))
        last.append(nn.Linear(last.fc.out_features, last.fc.out_features))
        return model


class Hooked(Repair):
    """Changes what a layer puts out, and no weight."""

    name: ClassVar[str] = "hooked"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        model.register_forward_hook(lambda module, inputs, output: output.flip(1))
        return model
