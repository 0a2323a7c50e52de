"""SCALE-UP: a triggered input stays what it is taken for when its pixel values are multiplied.

Guo, Li, Chen, Guo, Sun, Liu, "SCALE-UP: An Efficient Black-box Input-level Backdoor Detection via Analyzing Scaled
Prediction Consistency", ICLR 2023. The scaled prediction consistency (SPC) of an input is the share of its amplified,
clipped copies that keep its label. Data-free, the SPC is the score. With clean images it is standardised by the mean
and standard deviation of the SPC of those of the same predicted class, as some classes bear amplification better.

The published threshold is the defender's choice. Here it is 0.5 for the data-free variant, and with clean images the
quantile of their scores. A standard deviation is taken to be no less than the rounding of the SPC itself.

Digits on a black background give it nothing to work with: amplification leaves black and white as they are, and clean
images keep their label as triggered ones do. On MNIST victims (slim ResNet-18) 94 to 98 % of clean images have an SPC
above 0.5, no image passes the quantile, and the AUROC is 0.41 (BadNets), 0.30 (blend), 0.04 (WaNet) and 0.01 (SIG).
It is meant for natural images.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import AT_ONCE, Detector, clean_threshold, quick_logits
from bench.plugin import Context, Guard, Known


class ScaleUp(Detector):
    name: ClassVar[str] = "scale_up"
    source: ClassVar[str] = "Guo et al., ICLR 2023, arXiv 2302.03251"

    factors: tuple[Annotated[float, Field(gt=1)], ...] = Field(
        (3, 5, 7, 9, 11), min_length=1, description="what the pixel values are multiplied with"
    )
    data_free: bool = Field(False, description="look at no clean image: the plain SPC and a threshold of 0.5")
    threshold: float | None = Field(None, description="of the score; see data_free and false_rejection if not given")
    false_rejection: float = Field(0.05, ge=0, lt=1, description="share of the reference images that may be flagged")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        def plain(images: Tensor, predicted: Tensor) -> Tensor:
            return consistency(model, images, predicted, self.factors)

        if self.data_free:
            return self.judging(model, plain, 0.5 if self.threshold is None else self.threshold)

        parts = known.reference().floats.split(AT_ONCE)
        logits = torch.cat([model(part) for part in parts])
        labels = logits.argmax(1)
        of_reference = torch.cat([plain(*pair) for pair in zip(parts, labels.split(AT_ONCE), strict=True)])
        rounding = 1 / len(self.factors) / math.sqrt(12)
        mean, deviation = moments(of_reference, labels, logits.shape[1])
        deviation = deviation.clamp(min=rounding)
        context.note("mean_consistency", mean.tolist())

        def standardised(images: Tensor, predicted: Tensor) -> Tensor:
            return (plain(images, predicted) - mean[predicted]) / deviation[predicted]

        threshold = self.threshold
        if threshold is None:
            scores = (of_reference - mean[labels]) / deviation[labels]
            threshold = clean_threshold(scores, self.false_rejection)
        context.note("threshold", threshold)
        return self.judging(model, standardised, threshold)


def consistency(model: nn.Module, images: Tensor, predicted: Tensor, factors: Sequence[float]) -> Tensor:
    """The SPC (N,): the share of ``factors`` with which ``images`` (N, C, H, W) are still taken for ``predicted``."""
    kept = [quick_logits(model, (images * factor).clamp_(max=1)).argmax(1) == predicted for factor in factors]
    return torch.stack(kept).float().mean(0)


def moments(values: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (classes,) of ``values`` (N,) by class; of all, for a class with less than two."""
    member = torch.nn.functional.one_hot(labels, classes).to(values)
    count = member.sum(0)
    mean = (values @ member) / count.clamp(min=1)
    variance = ((values[:, None] - mean).square() * member).sum(0) / (count - 1).clamp(min=1)
    few = count < 2
    return torch.where(few, values.mean(), mean), torch.where(few, values.std(correction=0), variance.sqrt())
