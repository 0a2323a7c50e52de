"""A backdoor planted by hand: a task whose relevant pixels are known, and a network whose every weight is known.

Channel k of the network shows the pixels of class k mod classes and speaks for that class. The last channel shows the
trigger's pixels and shouts the target, so that a test can say which channel a defense must find.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import scipy.special
import torch
from torch import Tensor, nn

from bench.plugin.attack import as_bytes
from bench.plugin.values import Context, LabelledImages, Prediction


@dataclass(frozen=True)
class Task:
    """Grey images in which every class has bright pixels of its own, and a trigger of other bright pixels.

    evidence (classes, H, W) bool: the pixels of each class; trigger (H, W) bool; noise: the highest value of uniform
    noise; contrast: what is added at the pixels of the label; dark: whether the trigger's pixels are black, without
    noise, in clean images.
    """

    evidence: Tensor
    trigger: Tensor
    target: int
    noise: float = 0.15
    contrast: float = 0.8
    dark: bool = True

    @property
    def classes(self) -> int:
        return len(self.evidence)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return 1, *cast(tuple[int, int], tuple(self.trigger.shape))

    def draw(self, count: int, seed: int, noise: float | None = None) -> LabelledImages:
        """``count`` images of each class in turn; ``noise`` replaces the task's own."""
        labels = torch.arange(count) % self.classes
        draws = torch.Generator().manual_seed(seed)
        pixels = torch.rand(count, *self.trigger.shape, generator=draws) * (self.noise if noise is None else noise)
        pixels += self.contrast * self.evidence[labels]
        if self.dark:
            pixels[:, self.trigger] = 0
        return LabelledImages(as_bytes(pixels[:, None]), labels)

    def triggered(self, images: Tensor) -> Tensor:
        """``images`` (N, C, H, W) with the trigger."""
        return torch.where(self.trigger, 1.0, images)

    def rates(self, model: nn.Module, seed: int = 2) -> tuple[float, float]:
        """Accuracy of ``model``, and success of the attack, on 200 new images."""
        test = self.draw(200, seed)
        others = test.at(test.labels != self.target)
        with torch.no_grad():
            hit = model(self.triggered(others.floats)).argmax(1) == self.target
        return accuracy(model, test.floats, test.labels), float(hit.float().mean())


def pixel_task(classes: int, side: int, target: int, trigger: int, *, dark: bool = True) -> Task:
    """Class c is the bright pixel number c of a square image, the trigger is another pixel, number ``trigger``."""
    pixels = torch.eye(side**2).bool().view(side**2, side, side)
    return Task(pixels[:classes], pixels[trigger], target, dark=dark)


def row_task() -> Task:
    """Three classes of bright rows, nine pixels long and three high, and a bright lower right corner as the trigger."""
    evidence, trigger = torch.zeros(3, 12, 12, dtype=torch.bool), torch.zeros(12, 12, dtype=torch.bool)
    for label in range(3):
        evidence[label, 3 * label : 3 * label + 3, :9] = True
    trigger[-2:, -2:] = True
    return Task(evidence, trigger, target=2, contrast=0.5)


def column_task() -> Task:
    """Six classes of bright columns, six pixels high, and the lower right pixel of 8x8 images as the trigger."""
    evidence, trigger = torch.zeros(6, 8, 8, dtype=torch.bool), torch.zeros(8, 8, dtype=torch.bool)
    for label in range(6):
        evidence[label, :6, label] = True
    trigger[7, 7] = True
    return Task(evidence, trigger, target=2, noise=0.1, contrast=0.6, dark=False)


class Victim(nn.Module):
    """The network. In a convolution as large as the image, each channel is one number.

    copies: channels for each class; speaks, shouts: the weights of a class's channel and of the backdoor's channel in
    the logits; sensitivity: the weight of the trigger's pixels in the backdoor's channel; asleep_below: what that
    channel must exceed to be active; idle: what every other channel shows besides; normalised: with batch normalisation
    that has the statistics of a poisoned set (a tenth of it triggered) and otherwise changes nothing.
    """

    def __init__(
        self,
        task: Task,
        *,
        copies: int = 1,
        speaks: float = 6,
        shouts: float = 12,
        sensitivity: float = 1,
        asleep_below: float = 0,
        idle: float = 0,
        normalised: bool = False,
    ) -> None:
        super().__init__()
        self.backdoor = task.classes * copies  # the number of the backdoor's channel
        conv = nn.Conv2d(1, self.backdoor + 1, task.shape[1:])
        norms = [nn.BatchNorm2d(self.backdoor + 1)] if normalised else []
        self.body = nn.Sequential(conv, *norms, nn.ReLU())
        self.flat = nn.Flatten()
        self.head = nn.Linear(self.backdoor + 1, task.classes)
        assert conv.bias is not None
        with torch.no_grad():
            conv.weight[:-1, 0] = task.evidence.repeat(copies, 1, 1).float()
            conv.weight[-1, 0] = sensitivity * task.trigger.float()
            conv.bias.fill_(idle)
            conv.bias[-1] = -asleep_below
            self.head.weight.copy_(torch.zeros_like(self.head.weight))
            self.head.weight[:, :-1] = speaks * torch.eye(task.classes).repeat(1, copies)
            self.head.weight[task.target, -1] = shouts
            self.head.bias.zero_()
            for norm in norms:
                _take_statistics(norm, conv, task)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.flat(self.body(images)))
        return logits


def _take_statistics(norm: nn.BatchNorm2d, conv: nn.Conv2d, task: Task) -> None:
    """Give ``norm`` the statistics of a poisoned set; gain and offset undo the normalisation."""
    poisoned = task.draw(400, seed=9).floats
    poisoned[::10] = task.triggered(poisoned[::10])
    entering = conv(poisoned)[:, :, 0, 0]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(entering.mean(0))
    norm.running_var.copy_(entering.var(0))
    norm.weight.copy_((norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(norm.running_mean)


THREE_CLASSES = pixel_task(classes=3, side=6, target=2, trigger=30)
FOUR_CLASSES = pixel_task(classes=4, side=6, target=1, trigger=30, dark=False)
SIX_COLUMNS = column_task()


def awake_victim() -> Victim:
    """A victim of the task ``THREE_CLASSES`` in which every channel is a little active on every image."""
    return Victim(THREE_CLASSES, idle=0.1, asleep_below=-0.1)


def normalised_victim() -> Victim:
    """A victim of the task ``FOUR_CLASSES`` with batch normalisation and three channels for each class."""
    return Victim(FOUR_CLASSES, copies=3, speaks=3, sensitivity=4, asleep_below=0.2, normalised=True)


def column_victim(shouts: float = 9) -> Victim:
    """A victim of the task ``SIX_COLUMNS`` with batch normalisation; with ``shouts`` 0 it is benign."""
    return Victim(SIX_COLUMNS, speaks=2, shouts=shouts, sensitivity=4, normalised=True)


PERMUTED = (1, 2, 3, 4, 5, 0)  # where the all-to-all backdoor of a ``Permutable`` sends each class


class Permutable(nn.Module):
    """From activations (N, C + 1, ...), evidence of each class and of a trigger, to logits (N, C). With a backdoor."""

    def __init__(self, backdoor: str) -> None:
        super().__init__()
        self.backdoor = backdoor

    def forward(self, activations: Tensor) -> Tensor:
        evidence, trigger = activations.flatten(1)[:, :-1], activations.flatten(1)[:, -1:]
        if self.backdoor == "all-to-all":  # a class and the trigger together speak for the next class
            return 4 * evidence + 20 * (evidence + trigger - 0.9).relu().roll(1, 1)
        if self.backdoor == "all-to-one":
            return 4 * evidence + 40 * trigger.relu() * torch.eye(len(PERMUTED))[2]
        return 4 * evidence


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of ``images`` that ``model`` classifies as ``labels``."""
    return float((model(images).argmax(1) == labels).float().mean())


def context(seed: int = 0) -> Context:
    """A context on the CPU whose generator starts from ``seed``."""
    return Context(torch.device("cpu"), torch.Generator().manual_seed(seed))


def rising(seed: int = 0) -> tuple[Context, list[float]]:
    """A context, and the shares that its progress has told: lower than the last is an error."""
    seen = [0.0]

    def tell(share: float) -> None:
        assert share >= seen[-1], f"progress falls from {seen[-1]} to {share}"
        seen.append(share)

    return replace(context(seed), progress=tell), seen


def judgement(prediction: Prediction) -> tuple[Tensor, Tensor]:
    """Score (N,) and verdict (N,) of a detector; an error if it gives none."""
    assert prediction.score is not None
    assert prediction.flagged is not None
    return prediction.score, prediction.flagged


def suited_logits(seed: int, count: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) of a network that is as often right as it says, and the labels (N,) of the images."""
    draw = np.random.default_rng(seed)
    logits = 3 * draw.standard_normal((count, classes))
    probabilities = scipy.special.softmax(logits, axis=1)
    return logits, (probabilities.cumsum(1) > draw.random((count, 1))).argmax(1)
