"""STRIP: a triggered input stays what it is taken for, whatever image is laid over it.

Gao, Xu, Wang, Chen, Ranasinghe, Nepal, "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks", ACSAC
2019. n clean images are added to the input, and the entropy of the network's n predictions is averaged. A clean
input gives way to what is laid over it, a trigger does not, and its entropy is low. The threshold is the quantile of
the entropies of clean images that gives the false rejection rate wanted.

The paper fits a normal distribution to those entropies; here it is the quantile itself. A reference image that is
among the n is judged by the others.

Costs n forward passes an image. On digits (slim ResNet-18, BadNets) n = 16 and n = 32 reach an AUROC of 1.00; WaNet is
missed with n = 32 (0.30).
"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import AT_ONCE, Detector, clean_threshold, quick_logits
from bench.plugin import Context, Guard, Known


class STRIP(Detector):
    name: ClassVar[str] = "strip"
    source: ClassVar[str] = "Gao et al., ACSAC 2019, arXiv 1902.06531"

    overlays: int = Field(100, ge=2, description="n, clean images laid over every input; at most all reference images")
    weight: float = Field(1.0, gt=0, description="of the image laid over; the sum is clipped")
    false_rejection: float = Field(0.05, ge=0, lt=1, description="share of the reference images that may be flagged")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        reference = known.reference().floats
        if len(reference) < 2:
            raise LookupError(f"{self.name} needs two reference images or more")
        drawn = torch.randperm(len(reference), generator=context.generator, device=reference.device)[: self.overlays]
        overlays = reference[drawn]

        of_reference = torch.cat([entropies(model, part, overlays, self.weight) for part in reference.split(AT_ONCE)])
        of_reference[drawn, torch.arange(len(drawn), device=drawn.device)] = torch.nan  # an image over itself
        threshold = clean_threshold(-of_reference.nanmean(1), self.false_rejection)
        context.note("threshold", threshold)

        def score(images: Tensor, _: Tensor) -> Tensor:
            return -entropies(model, images, overlays, self.weight).mean(1)

        return self.judging(model, score, threshold)


def entropies(model: nn.Module, images: Tensor, overlays: Tensor, weight: float) -> Tensor:
    """The entropy in bits (N, n) of what ``model`` says of each of ``images`` (N, C, H, W) under each of ``overlays``
    (n, C, H, W)."""
    found = []
    for part in overlays.split(max(1, AT_ONCE // max(1, len(images)))):
        blended = (images[:, None] + weight * part).clamp_(0, 1)
        probabilities = quick_logits(model, blended.flatten(0, 1)).softmax(1)
        found.append(torch.special.entr(probabilities).sum(1).view(len(images), len(part)) / math.log(2))
    return torch.cat(found, 1)
