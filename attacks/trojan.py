"""TrojanNN: a patch that excites a few neurons of a clean network, which poisoning then ties to the target class.

Liu et al., "Trojaning Attack on Neural Networks", NDSS 2018, in the form with poisoned data that benchmarks use: the
patch, about 7 % of the image at the bottom right, is optimised for 1000 steps to drive 2 neurons of the last hidden
layer of a clean network to a high value. Departures: the neurons are those with the largest weights for the target
class, where the paper takes those with the largest sum of |weights| (rule=strongest); the patch lies on training images
while it is optimised, since the neurons of a deep network hardly respond to the paper's empty one (canvas=empty).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.attacks._surrogate import descend
from bench.plugin import Attack, AttackContext, LabelledImages, later
from bench.toolbox.networks import Latent, channels_last
from bench.toolbox.training import autocast


class Trojan(Attack):
    name: ClassVar[str] = "trojan"
    source: ClassVar[str] = "Liu et al., NDSS 2018"

    area: float = Field(0.07, gt=0, le=1, description="share of the image that the patch covers, approximately")
    neurons: int = Field(2, ge=1, description="neurons that the patch excites")
    value: float = Field(100, gt=0, description="activation that the neurons are driven to")
    steps: int = Field(1000, ge=1, description="steps of the patch's optimisation")
    rate: float = Field(0.05, gt=0, description="learning rate of the patch's optimisation")
    sample: int = Field(8, ge=1, description="training images that the patch is optimised on")
    surrogate_share: float = Field(
        0.3, gt=0, le=1, description="share of the victim's epochs that the clean network is trained for"
    )

    rule: Literal["target", "strongest"] = later(
        "target", description="which neurons: largest weight for the target class, or largest sum of |weights|"
    )
    canvas: Literal["images", "empty"] = later(
        "images", description="what the patch lies on while it is optimised: training images, or a black image"
    )

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The patch (C, h, w) in [0, 1]. With all-to-all too, the neurons are those of ``target_class``.

        Raises LookupError where the context offers no clean model, or its network does not end in a linear layer.
        """
        drawn = torch.randperm(len(train), generator=context.generator, device=context.device)[: self.sample]
        images = train.at(drawn).floats
        if self.canvas == "empty":
            images = torch.zeros_like(images[:1])
        latent = Latent(context.clean_model(self.surrogate_share), images)
        weights = latent.linear.weight
        weights = weights[self.target_class] if self.rule == "target" else weights.abs().sum(0)
        chosen = weights.topk(min(self.neurons, len(weights))).indices

        def loss(patch: Tensor) -> Tensor:
            with autocast(context.device):
                features = latent.features(channels_last(paste(images, patch)))
            return (self.value - features[:, chosen].float()).square().mean()

        channels, *sides = context.spec.shape
        size = (max(1, round(side * self.area**0.5)) for side in sides)
        start = torch.rand(channels, *size, generator=context.generator, device=context.device)
        return {"patch": descend(start, loss, lambda patch: patch.clamp(0, 1), steps=self.steps, rate=self.rate)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return paste(images, context.learned["patch"])


def paste(images: Tensor, patch: Tensor) -> Tensor:
    """``images`` (N, C, H, W) with ``patch`` (C, h, w) at the bottom right."""
    pasted = images.clone()
    pasted[..., -patch.shape[-2] :, -patch.shape[-1] :] = patch
    return pasted
