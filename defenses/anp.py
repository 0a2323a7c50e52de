"""ANP: prune the channels whose adversarial perturbation would bring the backdoor out.

Wu and Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021. The gains and offsets of the
normalisation layers are perturbed by a relative share epsilon, in the direction that hurts clean images most; masks
m in [0, 1] over the gains are trained to withstand it: alpha CE(m) + (1 - alpha) CE(m + perturbation). Channels with
small masks are pruned.

Objective, epsilon, alpha and the masks' SGD (rate 0.2, momentum 0.9) are the paper's. Its 2,000 steps on 5 % of
CIFAR-10 are 100 epochs. The published code chooses the threshold by the success of the attack, which a defender does
not know: here it is the highest one (in steps of 0.02) within a bound of the reference accuracy. Derived: a
network without batch normalisation is masked at its layer normalisations.

With 200 digits and a slim ResNet-18 these are 200 steps, and where the threshold ends is chance: after 50, 100 and 200
steps a BadNets victim is left at about 0.4, 0.5 and 1.0, another at 1.0, 1.0 and 0.6, by a curve on a part of the test
images. Batches of 64, or the network's own statistics in place of the batch's, which the perturbation then ruins
(accuracy below 0.5), were worse.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._channels import Channels, Norm, descend, prune_below, rescaled, scaled_layers
from bench.plugin import Case, Context, Known, LabelledImages, Repair, batches


class ANP(Repair):
    name: ClassVar[str] = "anp"
    source: ClassVar[str] = "Wu and Wang, NeurIPS 2021, arXiv 2110.14430"

    epsilon: float = Field(0.4, gt=0, description="largest perturbation, as a share of gain and offset")
    alpha: float = Field(0.2, ge=0, le=1, description="weight of the unperturbed loss; the perturbed one has the rest")
    learning_rate: float = Field(0.2, gt=0, description="of the masks")
    epochs: int = Field(100, ge=1, description="of the masks' training")
    batch_size: int = Field(128, ge=2, description="reference images a step")
    step: float = Field(0.02, gt=0, lt=1, description="between the thresholds that are tried")
    bound: float = Field(0.02, ge=0, lt=1, description="share of the reference accuracy that pruning may cost")

    def unsupported(self, case: Case) -> str | None:
        return None if scaled_layers(case.network) else "the network has no normalisation layer whose gains to mask"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        layers = scaled_layers(model)
        masks = self._masks(model, layers, data, context)
        cut = prune_below(model, layers, masks, data, bound=self.bound, step=self.step)
        context.note("pruned", {"channels": cut.pruned, "of": cut.channels, "threshold": cut.threshold})
        return model

    def _masks(self, model: nn.Module, layers: dict[str, Norm], data: LabelledImages, context: Context) -> Channels:
        """The trained masks, a value (K,) in [0, 1] for the channels of each layer."""
        model.train()
        masks = [torch.ones_like(layer.weight, requires_grad=True) for layer in layers.values()]
        optimizer = torch.optim.SGD(masks, lr=self.learning_rate, momentum=0.9)
        for epoch in range(self.epochs):
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]

                def loss(
                    gains: Channels,
                    offsets: Channels | None = None,
                    images: Tensor = images,
                    labels: Tensor = labels,
                ) -> Tensor:
                    return F.cross_entropy(rescaled(model, layers, gains, offsets)(images), labels)

                on_gains, on_offsets = worst_noise(loss, masks, self.epsilon, context.generator)
                robust = loss(added(masks, on_gains), [1 + noise for noise in on_offsets])
                total = self.alpha * loss(masks) + (1 - self.alpha) * robust
                descend(optimizer, masks, total)
            context.progress((epoch + 1) / self.epochs)
        model.eval()
        return [mask.detach() for mask in masks]


def worst_noise(
    loss: Callable[[Channels, Channels], Tensor], masks: Channels, epsilon: float, generator: torch.Generator
) -> tuple[Channels, Channels]:
    """Perturbations in [-epsilon, epsilon] of gains and offsets (K,) that raise ``loss``: from a random start one
    signed step of size epsilon, as in the paper."""
    gains, offsets = (
        [
            ((2 * torch.rand(mask.shape, generator=generator, device=mask.device) - 1) * epsilon).requires_grad_()
            for mask in masks
        ]
        for _ in range(2)
    )
    value = loss(added([mask.detach() for mask in masks], gains), [1 + noise for noise in offsets])
    gradients = torch.autograd.grad(value, gains + offsets, allow_unused=True)  # not every layer has an offset
    moved = [
        noise.detach() if gradient is None else (noise + epsilon * gradient.sign()).detach().clamp(-epsilon, epsilon)
        for noise, gradient in zip(gains + offsets, gradients, strict=True)
    ]
    return moved[: len(masks)], moved[len(masks) :]


def added(masks: Channels, noise: Channels) -> Channels:
    return [mask + part for mask, part in zip(masks, noise, strict=True)]
