"""TeCo: a triggered input bears some corruptions much better than others; a clean one bears all about alike.

Liu, Li, Wang, Hu, Ye, Jin, Wu, Xiao, "Detecting Backdoors During the Inference Stage Based on Corruption Robustness
Consistency", CVPR 2023. Every input is corrupted in several ways at five severities. For each way, the first severity
at which the network changes its mind is noted (6 if it never does); the score is the standard deviation of these.

The paper takes the 15 corruptions of ImageNet-C and needs only labels; it leaves the threshold to the defender. Here
the corruptions are those of ``_corruptions``, the threshold is a quantile of the scores of clean images, and what clean
images bear on average is taken off in each way, so that they do bear all alike: digits bear blur and not fog, and
without this they deviate more than triggered ones do.

On digits (slim ResNet-18) the plain deviation ranks triggered images below clean ones, AUROC 0.04 (BadNets), 0.09
(blend) and 0.09 (SIG), centred 0.86, 0.97 and 0.95; WaNet is at 0.98 either way. A BadNets trigger bears nearly all
corruptions to the end, so that its centred score is about the same for every image, and few pass the quantile.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import AT_ONCE, Detector, clean_threshold, quick_logits
from bench.defenses._teco_corruptions import SEVERITIES, Corruption, corruptions
from bench.plugin import Context, Guard, Known


class TeCo(Detector):
    name: ClassVar[str] = "teco"
    source: ClassVar[str] = "Liu et al., CVPR 2023, arXiv 2303.18191"

    centred: bool = Field(
        True, description="take off the mean severity that clean images bear in each way; the paper does not"
    )
    false_rejection: float = Field(0.05, ge=0, lt=1, description="share of the reference images that may be flagged")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        reference = known.reference().floats
        channels, height, width = reference.shape[1:]
        ways = corruptions((channels, height, width), context.generator)

        changes = torch.cat(
            [first_changes(model, part, model(part).argmax(1), ways) for part in reference.split(AT_ONCE)]
        )
        borne = changes.mean(0) if self.centred else torch.zeros(len(ways), device=changes.device)
        threshold = clean_threshold((changes - borne).std(1, correction=0), self.false_rejection)
        context.note("threshold", threshold)
        context.note("first_change", dict(zip(ways, changes.mean(0).tolist(), strict=True)))

        def score(images: Tensor, predicted: Tensor) -> Tensor:
            return (first_changes(model, images, predicted, ways) - borne).std(1, correction=0)

        return self.judging(model, score, threshold)


def first_changes(model: nn.Module, images: Tensor, predicted: Tensor, ways: Mapping[str, Corruption]) -> Tensor:
    """The first severity (N, ways), from 1, at which ``images`` are no longer taken for ``predicted``; one more than
    the severest where they always are."""
    first = torch.full((len(images), len(ways)), SEVERITIES + 1.0, device=images.device)
    for way, corrupt in enumerate(ways.values()):
        left = torch.arange(len(images), device=images.device)
        for severity in range(1, SEVERITIES + 1):
            changed = quick_logits(model, corrupt(images[left], severity)).argmax(1) != predicted[left]
            first[left[changed], way] = severity
            left = left[~changed]
            if not len(left):
                break
    return first
