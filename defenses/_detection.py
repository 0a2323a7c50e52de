"""What the detectors of triggered inputs share: the verdict, the threshold, and what a flagged input is answered."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Guard, Prediction, Runtime
from bench.toolbox.training import autocast

AT_ONCE = 512  # variants of images in one forward pass

Score = Callable[[Tensor, Tensor], Tensor]  # images (N, C, H, W) and what they are taken for (N,) to suspicion (N,)


class Detector(Runtime):
    """A guard that judges its input. Published detectors refuse a flagged input and answer nothing else.

    Every image must be answered here, so ``keep``, the default, answers what the network answers, and the verdict
    is judged on its own (AUROC, TPR, FPR): ACC and ASR stay, and DER is 0.5 of whatever detector. With ``second`` a
    flagged input is answered the class that the network likes second best: the attack has then failed, and so has a
    clean image that the network had right. ASR, and ACC but for the network's own errors, become what they are if
    every refused input counts as an error.
    """

    on_flag: Literal["keep", "second"] = Field(
        "keep", description="what a flagged input is answered: the network's class, or its second best"
    )

    def judging(self, model: nn.Module, score: Score, threshold: float) -> Guard:
        """``model``, whose input is flagged where its score is above ``threshold``."""

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            logits: Tensor = model(images)
            found = score(images, logits.argmax(1))
            flagged = found > threshold
            return Prediction(second_best(logits, flagged) if self.on_flag == "second" else logits, found, flagged)

        return guarded


def second_best(logits: Tensor, rows: Tensor) -> Tensor:
    """``logits`` (N, C) whose highest value is put below the lowest where ``rows`` (N,) is set."""
    lowered = logits.scatter(1, logits.argmax(1, keepdim=True), logits.amin(1, keepdim=True) - 1)
    return torch.where(rows[:, None], lowered, logits)


def clean_threshold(scores: Tensor, false_rejection: float) -> float:
    """The least of the clean images' ``scores`` (R,) that at most the share ``false_rejection`` of them exceeds."""
    return float(scores.sort().values[len(scores) - 1 - int(false_rejection * len(scores))])


@torch.no_grad()
def quick_logits(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The logits (N, C) of variants of images, in half precision where the hardware computes in it."""
    with autocast(images.device):
        return model(images.contiguous(memory_format=torch.channels_last)).float()
