"""LIRA: the trigger is small noise that a generator, learned together with the classifier, adds to each image.

Doan, Lao, Zhao, Li, "LIRA: Learnable, Imperceptible and Robust Backdoor Attacks", ICCV 2021. The attacker controls
training. A triggered image is x + epsilon tanh(g(x)). First, in every step, the generator g learns to lead triggered
images to their targets, and the classifier minimises alpha times the loss of clean images plus (1 - alpha) times that
of triggered ones; then g stays as it is and only the classifier learns on.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._generator import drawn, recalled, stored
from bench.plugin import Attack, AttackContext, LabelledImages, Objective, Poisoned, stamp


class LIRA(Attack):
    name: ClassVar[str] = "lira"
    source: ClassVar[str] = "Doan et al., ICCV 2021"
    controls: ClassVar[Literal["data", "training"]] = "training"
    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one", "all-to-all"] = Field(
        "all-to-one", description="every class to target_class; or class y to (y+1) mod classes"
    )
    poisoning_rate: float = Field(
        0.1, gt=0, lt=1, description="triggered images that are added to every batch, as a share of it"
    )
    epsilon: float = Field(0.01, gt=0, le=1, description="largest change of a pixel; pixels are in [0, 1]")
    alpha: float = Field(0.5, gt=0, lt=1, description="weight of the clean images in the classifier's loss")
    learning_share: float = Field(0.5, gt=0, le=1, description="share of the training in which the generator learns")
    learning_rate: float = Field(0.01, gt=0, description="of the generator, with Adam")
    width: int = Field(16, ge=4, multiple_of=4, description="channels of the generator at half size")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        generator = recalled(context.learned, "", context.spec.channels, context.spec.channels, self.width)
        return self.with_noise(images, generator(images))

    def with_noise(self, images: Tensor, maps: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] with the generator's maps of them as noise."""
        return (images + self.epsilon * maps.float().tanh()).clamp(0, 1)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """The set as it is: the trigger changes while the classifier is trained, and is put on in ``objective``."""
        nothing = train.labels[:0]
        return stamp(train, nothing, train.at(nothing).floats, nothing)

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        return LIRAObjective(self, context)


class LIRAObjective(Objective):
    """The classifier's loss. In the first phase its backward pass reaches the generator too, where clean images have
    no part; the generator's step, which Adam makes independent of the weight 1 - alpha, follows in the next call."""

    def __init__(self, attack: LIRA, context: AttackContext) -> None:
        self.attack = attack
        self.generator = drawn(context.spec.channels, attack.width, context)
        self.optimizer = torch.optim.Adam(self.generator.parameters(), lr=attack.learning_rate)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        learning = share < self.attack.learning_share
        if learning:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        count = max(1, round(self.attack.poisoning_rate * len(images)))
        with torch.set_grad_enabled(learning):
            triggered = self.attack.with_noise(images[:count], self.generator(images[:count]))
        logits = model(torch.cat((images, triggered)))
        clean = F.cross_entropy(logits[: len(images)], labels)
        led = F.cross_entropy(logits[len(images) :], self.attack.target(labels[:count]))
        return self.attack.alpha * clean + (1 - self.attack.alpha) * led

    def learned(self) -> Mapping[str, Tensor]:
        return stored(self.generator, "")
