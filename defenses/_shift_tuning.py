"""Unlearning a backdoor in the latent space: fine-tuning with a shift of the latents that acts as the trigger does.

Iwahana et al., 2025, arXiv 2511.08944. Used by ``tac``, which reconstructs the shift, and by ``true_tac``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.defenses._augmentation import Augmenting
from bench.defenses._losses import surprise_without
from bench.plugin import Case, Context, LabelledImages, batches, later, steps_per_epoch
from bench.toolbox.networks import Latent, channels_last, last_linear
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast

Objective = Literal["suppress", "restore"]


@dataclass(frozen=True)
class Backdoor:
    """One trigger, as TAC sees it. ``targets`` (C,): for every class the class that the trigger sends its images to."""

    targets: tuple[int, ...]

    @classmethod
    def all_to_one(cls, target: int, classes: int) -> "Backdoor":
        return cls((target,) * classes)

    @property
    def has_one_target(self) -> bool:
        return len(set(self.targets)) == 1


class ShiftTuning(Augmenting):
    """A defense that trains the network against shifts of its latent representation."""

    augment: bool = Field(True, description="vary the reference images as training varies its images: crops, flips")
    objective: Objective = Field(
        "suppress", description="of shifted images: away from the poisoned class, or back to their own"
    )
    beta: float = Field(1.0, ge=0, description="weight of the shifted images in the loss")
    stretch: float = Field(1.0, gt=0, description="length of the shift in fine-tuning, in lengths of the given one")
    epochs: int = Field(20, ge=1, description="of fine-tuning")
    learning_rate: float = Field(0.01, gt=0, description="of SGD")
    batch_size: int = Field(256, ge=2, description="reference images a step")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="of SGD")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="of the learning rate")
    hold: float = later(
        0.0,
        ge=0,
        description="weight of a poisoned class's clean images in the loss, as a share of how many shifted images are "
        "pushed away from the class for each of its own; 0, or where that is less than 1: as all others",
    )
    normalise: bool = later(
        False, description="divide the loss by 1 + beta, so that beta does not also make the steps longer"
    )

    def unlearn(
        self,
        latent: Latent,
        backdoors: list[Backdoor],
        shifts: Tensor,
        data: LabelledImages,
        beta: float,
        context: Context,
        *,
        recompute: Callable[[], Tensor] | None = None,
    ) -> None:
        """Train with the loss of clean images plus ``beta`` times that of the same images, shifted.

        shifts (B, C, d): what each of the B backdoors adds to the latents of each class's images.
        recompute: gives the shifts anew before every epoch but the first; their first lengths are kept, for stability.
        """
        model = latent.model
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        total = max(1, self.epochs * steps_per_epoch(len(data), self.batch_size))
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self._rate(step / total))
        self.crop_and_flip(context)  # says so if there is nothing to augment with
        targets = torch.tensor([backdoor.targets for backdoor in backdoors], device=context.device)
        lengths = self.stretch * torch.linalg.vector_norm(shifts, dim=2, keepdim=True)
        added = self.stretch * shifts
        weights = self._weights(torch.bincount(data.labels, minlength=targets.shape[1]), targets)
        trained = images_per_epoch(len(data), self.batch_size)
        for epoch in range(self.epochs):
            if recompute is not None and epoch:
                now = recompute()
                added = lengths * now / torch.linalg.vector_norm(now, dim=2, keepdim=True).clamp_min(1e-12)
            if not bool(added.any()):
                break  # no shift gives all images the class any more
            model.train()
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images = self.varied(data.at(index).floats, context)
                loss = self._loss(latent, images, data.labels[index], added, targets, weights, beta)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                rate.step()
            model.eval()
            note_trained(context, "tuning", trained)
            expect_finite(model, when=f" after epoch {epoch + 1} of {self.epochs}")
            context.progress((epoch + 1) / self.epochs)

    def _rate(self, done: float) -> float:
        """The learning rate, as a share of ``learning_rate``, when the share ``done`` of the steps is done."""
        return 1.0 if self.schedule == "constant" else (1 + math.cos(math.pi * done)) / 2

    def _weights(self, counts: Tensor, targets: Tensor) -> Tensor | None:
        """The weight (C,) of each class's clean images in the loss; None if all weigh alike.

        counts (C,): the reference images of each class; targets (B, C).
        """
        if not self.hold:
            return None
        others = counts * (targets != torch.arange(len(counts), device=targets.device))  # (B, C)
        pushed = torch.zeros(len(counts), device=targets.device)
        pushed.scatter_add_(0, targets.flatten(), others.flatten().float() / len(targets))
        return (self.hold * pushed / counts.clamp_min(1)).clamp_min(1)

    def _loss(
        self,
        latent: Latent,
        images: Tensor,
        labels: Tensor,
        added: Tensor,
        targets: Tensor,
        weights: Tensor | None,
        beta: float,
    ) -> Tensor:
        """The loss of a batch, with the latents as they are and with ``added`` (B, C, d).

        targets (B, C); weights (C,): of each class's clean images.
        """
        with autocast(labels.device):
            features = latent.features(channels_last(images))
            clean = latent.linear(features)
            shifted = [latent.linear(features + of_class[labels]) for of_class in added]
        penalties = [
            shifted_loss(logits.float(), labels, of_class[labels], self.objective)
            for logits, of_class in zip(shifted, targets, strict=True)
        ]
        kept = F.cross_entropy(clean.float(), labels, reduction="mean" if weights is None else "none")
        if weights is not None:
            kept = (weights[labels] * kept).mean()
        loss = kept + beta * torch.stack(penalties).mean()
        return loss / (1 + beta) if self.normalise else loss


def shifted_loss(logits: Tensor, labels: Tensor, targets: Tensor, objective: Objective) -> Tensor:
    """The loss of shifted images: logits (N, C), labels (N,), the classes that the shifts lead to (N,).

    suppress: -log(1 - p_target), the mean over the images of other classes. restore: cross-entropy with their labels.
    """
    if objective == "restore":
        return F.cross_entropy(logits, labels)
    others = labels != targets
    surprise = surprise_without(logits[others], targets[others])
    return surprise.sum() / max(1, len(surprise))


def note_shifts(backdoors: list[Backdoor], shifts: Tensor, context: Context) -> None:
    """Record the shifts (B, C, d) of backdoors with one target, by target. The harness, which knows the trigger,
    compares them with the true change of the latent."""
    pairs = zip(backdoors, shifts, strict=True)
    context.note_latent_shifts({backdoor.targets[0]: rows[0] for backdoor, rows in pairs if backdoor.has_one_target})


def randomly_directed(shifts: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts (B, C, d) of the same lengths in random directions; one for all classes where they had one shift."""
    drawn = torch.randn(shifts.shape, generator=generator, device=shifts.device)
    one = (shifts == shifts[:, :1]).all(2).all(1)[:, None, None]
    drawn = torch.where(one, drawn[:, :1], drawn)
    lengths = torch.linalg.vector_norm(shifts, dim=2, keepdim=True)
    turned: Tensor = lengths * drawn / torch.linalg.vector_norm(drawn, dim=2, keepdim=True)
    return turned


def images_per_epoch(count: int, batch_size: int) -> int:
    """How many of ``count`` images one epoch trains with."""
    return min(count, batch_size * steps_per_epoch(count, batch_size))


def note_trained(context: Context, what: str, images: int) -> None:
    """Add to the record how many images have passed a step of training ``what``; an image counts in every epoch."""
    noted: dict[str, int] = context.diagnostics.get("images_trained", {})
    context.note("images_trained", noted | {what: noted.get(what, 0) + images})


def unsupported(case: Case) -> str | None:
    """Why a network has no latent to shift; None if it has one."""
    try:
        last_linear(case.network, case.example)
    except LookupError as error:
        return str(error)
    return None
