"""ANP: prune the channels whose adversarial perturbation brings the backdoor out.

Wu and Wang, "Adversarial Neuron Pruning Purifies Backdoored Deep Models", NeurIPS 2021, arXiv 2110.14430. Gains and
offsets of the normalisation layers are perturbed by a share epsilon, in the direction that hurts clean images most.
Masks m in [0, 1] over the gains are trained to withstand it: alpha CE(m) + (1 - alpha) CE(m + perturbation). Channels
with small masks are pruned. Departures: the published code chooses the threshold by the attack's success, which no
defender knows; here it is the highest one within a bound of the reference accuracy. The paper's 2,000 steps are 100
epochs. Derived: a network without batch normalisation is masked at its layer normalisations.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._augmentation import Augmenting
from bench.defenses._channels import NO_GAINS, Channels, Norm, prune_below, rescaled, scaled_layers, trained_masks
from bench.plugin import Case, Context, Known, Repair, later


class ANP(Augmenting, Repair):
    """Pruning by masks that withstand adversarial perturbations of the channels."""

    name: ClassVar[str] = "anp"
    source: ClassVar[str] = "Wu and Wang, NeurIPS 2021, arXiv 2110.14430"

    epsilon: float = Field(0.4, gt=0, description="largest perturbation, as a share of gain and offset")
    alpha: float = Field(0.2, ge=0, le=1, description="weight of the unperturbed loss; the perturbed one has the rest")
    learning_rate: float = Field(0.2, gt=0, description="of the masks")
    epochs: int = Field(100, ge=1, description="of the masks' training")
    batch_size: int = Field(128, ge=2, description="reference images a step")
    step: float = Field(0.02, gt=0, lt=1, description="between the thresholds that are tried")
    bound: float = Field(0.02, ge=0, lt=1, description="share of the reference accuracy that pruning may cost")
    steps: int | None = later(
        None, ge=1, description="of the masks' training, in place of epochs: each takes a batch drawn with replacement"
    )
    clamp: bool = later(
        True, description="keep perturbations within epsilon; the authors' code lets them reach twice it"
    )

    def unsupported(self, case: Case) -> str | None:
        return None if scaled_layers(case.network) else NO_GAINS

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()

        def loss(layers: dict[str, Norm], masks: Channels, images: Tensor, labels: Tensor) -> Tensor:
            return self._loss(model, layers, masks, images, labels, context.generator)

        self.crop_and_flip(context)  # says so if there is nothing to augment with
        masks = trained_masks(
            model,
            data,
            context,
            loss,
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            steps=self.steps,
            vary=lambda images: self.varied(images, context),
        )
        result = prune_below(model, scaled_layers(model), masks, data, bound=self.bound, step=self.step)
        context.note("pruned", result.figures)
        return model

    def _loss(
        self,
        model: nn.Module,
        layers: dict[str, Norm],
        masks: Channels,
        images: Tensor,
        labels: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """The loss of ``masks`` on a batch: as they are, and under the worst perturbation."""

        def loss(gains: Channels, offsets: Channels | None = None) -> Tensor:
            return F.cross_entropy(rescaled(model, layers, gains, offsets)(images), labels)

        on_gains, on_offsets = worst_noise(loss, masks, self.epsilon, generator, clamp=self.clamp)
        robust = loss(added(masks, on_gains), [1 + noise for noise in on_offsets])
        return self.alpha * loss(masks) + (1 - self.alpha) * robust


def worst_noise(
    loss: Callable[[Channels, Channels], Tensor],
    masks: Channels,
    epsilon: float,
    generator: torch.Generator,
    *,
    clamp: bool = True,
) -> tuple[Channels, Channels]:
    """Perturbations of gains and of offsets, (K,) in [-epsilon, epsilon] for each layer, that raise ``loss``.

    ``loss`` takes factors (K,) of the gains and of the offsets. As in the paper, it is one signed step of size epsilon
    from a random start; without ``clamp`` the sum of the two is left as it is.
    """
    limit = epsilon if clamp else 2 * epsilon
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
        noise.detach() if gradient is None else (noise + epsilon * gradient.sign()).detach().clamp(-limit, limit)
        for noise, gradient in zip(gains + offsets, gradients, strict=True)
    ]
    return moved[: len(masks)], moved[len(masks) :]


def added(masks: Channels, noise: Channels) -> Channels:
    """The sums, layer by layer."""
    return [mask + part for mask, part in zip(masks, noise, strict=True)]
