"""TeCo: a triggered input withstands some corruptions much better than others, a clean one all about equally.

Liu, Li, Wang, Hu, Ye, Jin, Wu, Xiao, "Detecting Backdoors During the Inference Stage Based on Corruption Robustness
Consistency", CVPR 2023, arXiv 2303.18191. Every input is corrupted in several ways at five severities. The score is the
standard deviation, over the ways, of the first severity at which the predicted class changes (6 if it never does).
Departures: the corruptions are those of ``_teco_corruptions``, not the 15 of ImageNet-C; the threshold, which the paper
leaves to the defender, is a quantile of the clean images' scores; and the mean severity that clean images withstand is
subtracted in each way, as digits, for one, withstand blur but not fog (the paper's form is ``teco[paper]``).
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import INFERENCE_BATCH, Detector, clean_threshold, quick_logits
from bench.defenses._teco_corruptions import SEVERITIES, Corruption, corruptions
from bench.plugin import Context, Guard, Known


class TeCo(Detector):
    """Detection by the deviation of the severities of corruption that an input withstands."""

    name: ClassVar[str] = "teco"
    source: ClassVar[str] = "Liu et al., CVPR 2023, arXiv 2303.18191"

    centred: bool = Field(
        True, description="subtract the mean severity that clean images withstand in each way; the paper does not"
    )
    false_rejection: float = Field(0.05, ge=0, lt=1, description="share of the reference images that may be flagged")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        reference = known.reference().floats
        channels, height, width = reference.shape[1:]
        ways = corruptions((channels, height, width), context.generator)

        severities = torch.cat(
            [flip_severities(model, part, model(part).argmax(1), ways) for part in reference.split(INFERENCE_BATCH)]
        )
        usual = severities.mean(0) if self.centred else torch.zeros(len(ways), device=severities.device)
        threshold = clean_threshold((severities - usual).std(1, correction=0), self.false_rejection)
        context.note("threshold", threshold)
        context.note("first_change", dict(zip(ways, severities.mean(0).tolist(), strict=True)))

        def score(images: Tensor, predicted: Tensor) -> Tensor:
            return (flip_severities(model, images, predicted, ways) - usual).std(1, correction=0)

        return self.judging(model, score, threshold)


def flip_severities(model: nn.Module, images: Tensor, predicted: Tensor, ways: Mapping[str, Corruption]) -> Tensor:
    """The first severity (N, ways), from 1, at which ``images`` (N, C, H, W) are no longer ``predicted`` (N,).

    It is one more than the highest severity where the prediction never changes.
    """
    first = torch.full((len(images), len(ways)), SEVERITIES + 1.0, device=images.device)
    for way, corrupt in enumerate(ways.values()):
        unchanged = torch.arange(len(images), device=images.device)
        for severity in range(1, SEVERITIES + 1):
            logits = quick_logits(model, corrupt(images[unchanged], severity))
            changed = logits.argmax(1) != predicted[unchanged]
            first[unchanged[changed], way] = severity
            unchanged = unchanged[~changed]
            if not len(unchanged):
                break
    return first
