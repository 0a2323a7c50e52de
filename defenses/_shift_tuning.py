"""Unlearning a backdoor in the latent space: fine-tuning with a shift added that does what the trigger does.

Iwahana et al., 2025, arXiv 2511.08944; for ``tac``, which reconstructs the shift, and ``true_tac``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.plugin import Case, Context, Defense, LabelledImages, batches
from bench.toolbox.networks import Latent, last_linear
from bench.toolbox.training import autocast


@dataclass(frozen=True)
class Backdoor:
    """One trigger, as TAC sees it: for every class (C,) the class that its images are led to; is it one for all?"""

    targets: tuple[int, ...]

    @property
    def universal(self) -> bool:
        return len(set(self.targets)) == 1


class ShiftTuning(Defense):
    """A defense that trains the network against shifts of its latent representation."""

    objective: Literal["suppress", "restore"] = Field(
        "restore", description="of shifted images: away from the poisoned class, or back to their own"
    )
    beta: float = Field(4.0, ge=0, description="weight of the shifted images in the loss")
    stretch: float = Field(2.0, gt=0, description="length of the shift in fine-tuning, in lengths of the given one")
    epochs: int = Field(30, ge=1, description="of fine-tuning")
    learning_rate: float = Field(0.01, gt=0, description="of SGD")
    batch_size: int = Field(50, ge=2, description="reference images a step")
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD")
    weight_decay: float = Field(5e-4, ge=0, description="of SGD")

    def unlearn(
        self,
        latent: Latent,
        found: list[Backdoor],
        shifts: Tensor,
        data: LabelledImages,
        beta: float,
        context: Context,
        *,
        anew: Callable[[], Tensor] | None = None,
    ) -> None:
        """Train with the loss of clean images plus ``beta`` times that of the same images, shifted.

        shifts: what is added for each of the B backdoors ``found`` to the latents of each class's images, (B, C, d).
        anew: gives them again before every epoch but the first; their lengths stay what they were, for stability.
        """
        model = latent.model
        optimizer = torch.optim.SGD(
            model.parameters(), lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay
        )
        targets = torch.tensor([one.targets for one in found], device=context.device)
        lengths = self.stretch * torch.linalg.vector_norm(shifts, dim=2, keepdim=True)
        added = self.stretch * shifts
        for epoch in range(self.epochs):
            if anew is not None and epoch:
                now = anew()
                added = lengths * now / torch.linalg.vector_norm(now, dim=2, keepdim=True).clamp_min(1e-12)
            if not bool(added.any()):
                break  # no direction leads to a class any more
            model.train()
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                with autocast(context.device):
                    features = latent.features(images.contiguous(memory_format=torch.channels_last))
                    clean = latent.linear(features)
                    shifted = [latent.linear(features + one[labels]) for one in added]
                penalties = [
                    shifted_loss(logits.float(), labels, own[labels], self.objective)
                    for logits, own in zip(shifted, targets, strict=True)
                ]
                loss = F.cross_entropy(clean.float(), labels) + beta * torch.stack(penalties).mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            model.eval()
            context.progress((epoch + 1) / self.epochs)


def shifted_loss(logits: Tensor, labels: Tensor, targets: Tensor, objective: Literal["suppress", "restore"]) -> Tensor:
    """The loss of shifted images: logits (N, C), labels (N,), the classes that the shifts lead to (N,).

    suppress: -log(1 - softmax_target), over the images of other classes. restore: cross-entropy with their own labels.
    """
    if objective == "restore":
        return F.cross_entropy(logits, labels)
    away = labels != targets
    others = logits.masked_fill(F.one_hot(targets, logits.shape[1]).bool(), -torch.inf)
    surprise = logits[away].logsumexp(1) - others[away].logsumexp(1)
    return surprise.sum() / max(1, len(surprise))


def note_shifts(found: list[Backdoor], shifts: Tensor, context: Context) -> None:
    """Keep the shifts (B, C, d) of backdoors with one target in the record, by target: the harness, which knows the
    trigger, holds them against the true change of the latent."""
    pairs = zip(found, shifts, strict=True)
    context.note_latent_shifts({one.targets[0]: row[0] for one, row in pairs if one.universal})


def unsupported(case: Case) -> str | None:
    """Why a network has no latent to shift."""
    try:
        last_linear(case.network, case.example)
    except LookupError as error:
        return str(error)
    return None
