"""What the detectors of triggered inputs share: verdict, threshold, and the answer to a flagged input."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Guard, Prediction, Runtime
from bench.toolbox.inference import Answers
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast

INFERENCE_BATCH = 512  # images in one forward pass

Score = Callable[[Tensor, Tensor], Tensor]  # images (N, C, H, W) and their predicted classes (N,) to suspicion (N,)


class Detector(Runtime):
    """A guard that judges its input. Published detectors refuse a flagged input and answer nothing else.

    Here every image must be answered. With ``keep``, the default, the answer is the network's, and only the verdict is
    judged (AUROC, TPR, FPR): ACC and ASR stay as they are, and there is no DER. With ``second`` the answer
    to a flagged input is the class with the second highest logit: the attack has then failed, but so has a clean image
    that the network classified correctly. ASR and, apart from the network's own errors, ACC become what they are if
    every refused input counts as an error.
    """

    on_flag: Literal["keep", "second"] = Field(
        "keep", description="answer to a flagged input: the network's class, or its second best"
    )

    @property
    def detects_only(self) -> bool:
        return self.on_flag == "keep"

    def judging(self, model: nn.Module, score: Score, threshold: float) -> Guard:
        """``model`` as a guard that flags the inputs whose ``score`` is above ``threshold``."""
        answers = Answers(model)

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            logits = answers(images)
            scores = score(images, logits.argmax(1))
            flagged = scores > threshold
            return Prediction(second_best(logits, flagged) if self.on_flag == "second" else logits, scores, flagged)

        return guarded


def second_best(logits: Tensor, rows: Tensor) -> Tensor:
    """``logits`` (N, C) whose highest value is put below the lowest where ``rows`` (N,) bool is set."""
    lowered = logits.scatter(1, logits.argmax(1, keepdim=True), logits.amin(1, keepdim=True) - 1)
    return torch.where(rows[:, None], lowered, logits)


def clean_threshold(scores: Tensor, false_rejection: float) -> float:
    """The smallest of the clean images' ``scores`` (R,) that at most the share ``false_rejection`` of them exceeds.

    Raises ValueError for scores that are not finite.
    """
    expect_finite({"the scores of the reference images": scores})
    return float(scores.sort().values[len(scores) - 1 - int(false_rejection * len(scores))])


@torch.no_grad()
def quick_logits(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The float32 logits (N, C) of ``images`` (N, C, H, W), computed in half precision where the hardware has it.

    Raises ValueError for logits that are not finite: what is predicted from them would be class 0.
    """
    logits = unchecked_logits(model, images)
    expect_finite({"the logits": logits})
    return logits


@torch.no_grad()
def unchecked_logits(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The same of a network that may be beyond what its numbers can hold."""
    with autocast(images.device):
        return model(channels_last(images)).float()
