"""STRIP: the class of a triggered input stays the same, whatever image is laid over it.

Gao, Xu, Wang, Chen, Ranasinghe, Nepal, "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks", ACSAC 2019,
arXiv 1902.06531. n clean images are added to the input, and the entropy of the n predictions is averaged; a trigger
dominates what is laid over it, and its entropy is low. The threshold gives the wanted false rejection rate on clean
images. Departures: the paper fits a normal distribution to their entropies, here the threshold is the quantile itself;
a reference image that is among the n is judged by the others.
"""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import INFERENCE_BATCH, Detector, clean_threshold, quick_logits
from bench.plugin import Context, Guard, Known


class STRIP(Detector):
    """Detection by the entropy of predictions under overlays; it costs n forward passes an image."""

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

        of_reference = torch.cat(
            [entropies(model, part, overlays, self.weight) for part in reference.split(INFERENCE_BATCH)]
        )
        of_reference[drawn, torch.arange(len(drawn), device=drawn.device)] = torch.nan  # an image over itself
        threshold = clean_threshold(-of_reference.nanmean(1), self.false_rejection)
        context.note("threshold", threshold)

        def score(images: Tensor, _: Tensor) -> Tensor:
            return -entropies(model, images, overlays, self.weight).mean(1)

        return self.judging(model, score, threshold)


def entropies(model: nn.Module, images: Tensor, overlays: Tensor, weight: float) -> Tensor:
    """The entropy in bits (N, n) of the predictions for ``images`` (N, C, H, W) under ``overlays`` (n, C, H, W).

    An overlay is added with ``weight``; the sum is clipped to [0, 1].
    """
    parts = []
    for part in overlays.split(max(1, INFERENCE_BATCH // max(1, len(images)))):
        blended = (images[:, None] + weight * part).clamp_(0, 1)
        probabilities = quick_logits(model, blended.flatten(0, 1)).softmax(1)
        parts.append(torch.special.entr(probabilities).sum(1).view(len(images), len(part)) / math.log(2))
    return torch.cat(parts, 1)
