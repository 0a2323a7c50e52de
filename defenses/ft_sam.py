"""FT-SAM: fine-tuning that seeks flat minima and so moves the large weights, where a backdoor sits, further.

Zhu, Wei, Shen, Fan, Wu, "Enhancing Fine-Tuning Based Backdoor Defense with Sharpness-Aware Minimization", ICCV 2023,
arXiv 2304.11823. Every step minimises the loss not at the weights w but at w + e, where e is the worst perturbation
of adaptive norm rho: the larger a weight, the larger its part of e.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from bench.defenses._finetuning import FineTuning
from bench.plugin import Context, Known, Objective


class FTSAM(FineTuning):
    """Fine-tuning with the cross-entropy at the worst weights nearby."""

    name: ClassVar[str] = "ft_sam"
    source: ClassVar[str] = "Zhu et al., ICCV 2023, arXiv 2304.11823"

    rho: float = Field(2.0, ge=0, description="adaptive norm of the perturbation; 8 for GTSRB and Tiny ImageNet")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="of the cross-entropy")

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        self.fine_tune(model, known.reference(), context, objective=Sharpness(self.rho, self.label_smoothing))
        return model


class Sharpness(Objective):
    """Cross-entropy with label smoothing, at the worst weights around those that the network has."""

    def __init__(self, rho: float, label_smoothing: float) -> None:
        self.rho, self.label_smoothing = rho, label_smoothing

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        here = F.cross_entropy(model(images), labels, label_smoothing=self.label_smoothing)
        shifts = perturbation(list(weights.values()), torch.autograd.grad(here, list(weights.values())), self.rho)
        # e is taken as a constant, so the gradient with respect to w + e is the one of w. Batch normalisation keeps
        # the statistics at w: those that the second pass gathers are thrown away.
        moved = {name: weight + shift for (name, weight), shift in zip(weights.items(), shifts, strict=True)}
        scratch = {name: buffer.clone() for name, buffer in model.named_buffers()}
        logits = functional_call(model, moved | scratch, (images,))
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)


@torch.no_grad()
def perturbation(weights: Sequence[Tensor], gradients: Sequence[Tensor], rho: float) -> list[Tensor]:
    """The perturbation e with ||e / |w|||_2 <= ``rho`` that raises the loss most, to first order.

    It is rho T^2 g / ||T g||_2 with T = diag(|w|), over all weights together (Zhu et al., eq. 4). ``gradients`` g and
    the answer have one tensor for each of ``weights``, of its shape.
    """
    scaled = [weight.abs() * gradient for weight, gradient in zip(weights, gradients, strict=True)]
    norm = torch.stack([part.norm() for part in scaled]).norm().clamp_min(1e-12)
    return [rho / norm * weight.abs() * part for weight, part in zip(weights, scaled, strict=True)]
