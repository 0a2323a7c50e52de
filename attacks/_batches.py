"""Poisoning every batch of the training anew: the published form of attacks that control the training."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.plugin import Attack, AttackContext, LabelledImages, Objective, Poisoned, RequestError, later, stamp


class ControlsByPoisons:
    """``controls`` of an attack whose parameter ``poisons`` says whether it also has the training."""

    def __get__(self, attack: Any, owner: type[Any]) -> Literal["data", "training"]:
        return "data" if attack is None or attack.poisons == "data" else "training"


def poisons() -> Any:
    """The field of the parameter ``poisons``."""
    return later(
        "data",
        description="the training set, once; or, as published, every batch of the training, which the attacker "
        "then controls",
    )


def refuse_several(attack: Attack, poisons: str) -> None:
    """Raise RequestError where every batch is to be poisoned for several targets: each needs a trigger of its own."""
    if poisons == "batches" and attack.label_map == "several":
        raise RequestError(f"{attack.name}: poisons=batches: expected label_map=all-to-one or all-to-all with it")


def unpoisoned(train: LabelledImages) -> Poisoned:
    """The set as it is: the objective poisons its batches."""
    none = train.labels[:0]
    return stamp(train, none, train.at(none).floats, none)


class BatchPoisoning(Objective):
    """The cross-entropy of batches of which a part is triggered, another part is covers, and the rest is clean.

    trigger: images (K, C, H, W) in [0, 1] to the same with the trigger. cover: images (L, C, H, W), as many other
    images of the batch, and a random generator to the cover images. ratio: covers for each triggered image.
    """

    def __init__(
        self,
        attack: Attack,
        context: AttackContext,
        *,
        ratio: float,
        trigger: Callable[[Tensor], Tensor],
        cover: Callable[[Tensor, Tensor, torch.Generator], Tensor],
    ) -> None:
        self.attack, self.ratio, self.trigger, self.cover = attack, ratio, trigger, cover
        seed = int(torch.randint(2**62, (1,), generator=context.generator, device=context.device))
        self.generator = torch.Generator(context.device).manual_seed(seed)

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        return F.cross_entropy(model(self.mixed(images)), self.labels(labels))

    def mixed(self, images: Tensor) -> Tensor:
        """A batch (N, C, H, W), in a random order, with its triggered images first, then covers, then the rest."""
        count = self._count(images)
        both = min(count + round(self.ratio * count), len(images))
        # the order is random, so the preceding images are as good as any others
        others = images.roll(max(1, both - count), 0)[count:both]
        covers = self.cover(images[count:both], others, self.generator)
        return torch.cat((self.trigger(images[:count]), covers, images[both:]))

    def labels(self, labels: Tensor) -> Tensor:
        """The labels (N,) of ``mixed``, from those of the batch."""
        count = self._count(labels)
        return torch.cat((self.attack.target(labels[:count]), labels[count:]))

    def state(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())

    def _count(self, batch: Tensor) -> int:
        return max(1, round(self.attack.poisoning_rate * len(batch)))
