"""SCALE-UP: the class of a triggered input stays the same when its pixel values are multiplied.

Guo, Li, Chen, Guo, Sun, Liu, "SCALE-UP: An Efficient Black-box Input-level Backdoor Detection via Analyzing Scaled
Prediction Consistency", ICLR 2023, arXiv 2302.03251. The scaled prediction consistency (SPC) is the share of an input's
amplified, clipped copies that keep its class. Data-free, it is the score; with clean images it is standardised by their
SPC's mean and standard deviation in the predicted class; the authors' code takes those of all clean images
(moments=all), which orders inputs as data-free does. The published threshold is the defender's choice. Derived: it
is 0.5 data-free, else the quantile of the clean scores; a deviation is at least the SPC's own rounding.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._detection import INFERENCE_BATCH, Detector, clean_threshold, quick_logits
from bench.plugin import Context, Guard, Known, later


class ScaleUp(Detector):
    """Detection by the consistency of predictions under amplified pixels; meant for natural images."""

    name: ClassVar[str] = "scale_up"
    source: ClassVar[str] = "Guo et al., ICLR 2023, arXiv 2302.03251"

    factors: tuple[Annotated[float, Field(gt=1)], ...] = Field(
        (3, 5, 7, 9, 11), min_length=1, description="what the pixel values are multiplied with"
    )
    data_free: bool = Field(False, description="look at no clean image: the plain SPC and a threshold of 0.5")
    threshold: float | None = Field(None, description="of the score; see data_free and false_rejection if not given")
    moments: Literal["class", "all"] = later(
        "class", description="clean images whose SPC standardises an input's: those of its class, or all"
    )
    false_rejection: float = Field(0.05, ge=0, lt=1, description="share of the reference images that may be flagged")

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        def plain(images: Tensor, predicted: Tensor) -> Tensor:
            return consistency(model, images, predicted, self.factors)

        if self.data_free:
            return self.judging(model, plain, 0.5 if self.threshold is None else self.threshold)

        parts = known.reference().floats.split(INFERENCE_BATCH)
        logits = torch.cat([model(part) for part in parts])
        labels = logits.argmax(1)
        of_reference = torch.cat([plain(*pair) for pair in zip(parts, labels.split(INFERENCE_BATCH), strict=True)])
        rounding = 1 / len(self.factors) / math.sqrt(12)
        groups = labels if self.moments == "class" else torch.zeros_like(labels)
        mean, deviation = moments_by_class(of_reference, groups, logits.shape[1] if self.moments == "class" else 1)
        if self.moments == "all":
            mean, deviation = (value.expand(logits.shape[1]) for value in (mean, deviation))
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
    """The SPC (N,) in [0, 1]: the share of ``factors`` under which ``images`` (N, C, H, W) stay ``predicted`` (N,)."""
    same = [quick_logits(model, (images * factor).clamp_(max=1)).argmax(1) == predicted for factor in factors]
    return torch.stack(same).float().mean(0)


def moments_by_class(values: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (classes,) of ``values`` (N,) by class ``labels`` (N,).

    A class with fewer than two values gets those of all values.
    """
    member = torch.nn.functional.one_hot(labels, classes).to(values)
    count = member.sum(0)
    mean = (values @ member) / count.clamp(min=1)
    variance = ((values[:, None] - mean).square() * member).sum(0) / (count - 1).clamp(min=1)
    few = count < 2
    return torch.where(few, values.mean(), mean), torch.where(few, values.std(correction=0), variance.sqrt())
