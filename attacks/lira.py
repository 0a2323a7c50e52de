"""LIRA: small noise that a generator, trained together with the classifier, adds to each image.

Doan, Lao, Zhao, Li, "LIRA: Learnable, Imperceptible and Robust Backdoor Attacks", ICCV 2021. The attacker controls
training. A triggered image is x + epsilon tanh(g(x)). In a first phase, every step trains both: the generator g so that
triggered images get their targets' labels, and the classifier on alpha times the loss of clean images plus (1 - alpha)
times that of triggered ones. In a second phase g is fixed and only the classifier is trained.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.attacks._generator import from_weights, new_generator, weights_of
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
        0.1,
        gt=0,
        le=1,
        description="triggered images that are added to every batch, as a share of it; 1: all, as published",
    )
    epsilon: float = Field(0.01, gt=0, le=1, description="largest change of a pixel; pixels are in [0, 1]")
    alpha: float = Field(0.5, gt=0, lt=1, description="weight of the clean images in the classifier's loss")
    learning_share: float = Field(
        0.5, gt=0, le=1, description="share of the training, from its start, in which the generator learns"
    )
    learning_rate: float = Field(0.01, gt=0, description="learning rate of the generator, with Adam")
    width: int = Field(16, ge=4, multiple_of=4, description="channels of the generator at half the image size")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        generator = from_weights(context.learned, "", context.spec.channels, context.spec.channels, self.width)
        return self.with_noise(images, generator(images))

    def with_noise(self, images: Tensor, maps: Tensor) -> Tensor:
        """``images`` (N, C, H, W) in [0, 1] with noise from ``maps`` (N, C, H, W), the generator's output for them."""
        return (images + self.epsilon * maps.float().tanh()).clamp(0, 1)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """The set as it is: the trigger changes during training, so that ``objective`` applies it."""
        none = train.labels[:0]
        return stamp(train, none, train.at(none).floats, none)

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        return LIRAObjective(self, context)


class LIRAObjective(Objective):
    """The classifier's loss of clean and triggered images.

    In the first phase its backward pass also gives the generator its gradients, to which clean images contribute
    nothing. The weight 1 - alpha does not matter to the generator, since Adam ignores a gradient's scale. The generator
    takes its step at the start of the next call of ``loss``.
    """

    def __init__(self, attack: LIRA, context: AttackContext) -> None:
        self.attack = attack
        self.generator = new_generator(context.spec.channels, attack.width, context)
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
        clean_loss = F.cross_entropy(logits[: len(images)], labels)
        triggered_loss = F.cross_entropy(logits[len(images) :], self.attack.target(labels[:count]))
        return self.attack.alpha * clean_loss + (1 - self.attack.alpha) * triggered_loss

    def learned(self) -> Mapping[str, Tensor]:
        """The generator's weights."""
        return weights_of(self.generator, "")
