"""SIG: a sinusoidal signal over the image; clean-label, so only images of the target class are poisoned.

Barni, Kallas, Tondi, "A New Backdoor Attack in CNNs by Training Set Corruption Without Label Poisoning", ICIP 2019:
v(i, j) = delta * sin(2 pi j f / width). Common settings are delta 40/255, f 6, and a poisoning rate of 10 %, which is
the whole target class where there are ten classes. The default here is half of that, so that the class keeps clean
images. An attacker may use a stronger signal at inference than in training.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp


class SIG(Attack):
    name: ClassVar[str] = "sig"
    source: ClassVar[str] = "Barni et al., ICIP 2019, arXiv 1902.11237"
    clean_label: ClassVar[bool] = True

    label_map: Literal["all-to-one"] = Field("all-to-one", description="a clean-label attack has one target class")
    poisoning_rate: float = Field(
        0.05, gt=0, lt=1, description="poisoned images of the target class, as a share of the whole training set"
    )
    delta: float = Field(40 / 255, gt=0, le=1, description="amplitude of the signal in poisoned training images")
    test_delta: float | None = Field(None, gt=0, le=1, description="amplitude at inference; None: as in training")
    frequency: float = Field(6, gt=0, description="periods of the signal over the image's width")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return self._with_signal(images, self.delta if self.test_delta is None else self.test_delta)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """Poison images of the target class, at most all of them; their labels stay."""
        chosen = self.draw(train, context)
        return stamp(train, chosen, self._with_signal(train.at(chosen).floats, self.delta), train.labels[chosen])

    def _with_signal(self, images: Tensor, amplitude: float) -> Tensor:
        width = images.shape[-1]
        phase = torch.arange(width, device=images.device) * (2 * math.pi * self.frequency / width)
        return (images + amplitude * phase.sin()).clamp(0, 1)
