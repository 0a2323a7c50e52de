"""FST, feature shift tuning: fine-tune with a new last layer that is pushed away from the old one.

Min, Qin, Shen, Cheng, "Towards Stable Backdoor Purification through Feature Shift Tuning", NeurIPS 2023,
arXiv 2310.01875. Where few images were poisoned, plain fine-tuning leaves the backdoor's features as they are. Here
the last linear layer starts from random weights, its inner product with its old weights is penalised, and its norm is
held at the old one; the features have to follow.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import FineTuning
from bench.plugin import Case, Context, Known, Objective
from bench.toolbox.networks import last_linear


class FST(FineTuning):
    """Fine-tuning with a new last layer."""

    name: ClassVar[str] = "fst"
    source: ClassVar[str] = "Min et al., NeurIPS 2023, arXiv 2310.01875"

    epochs: int = Field(10, ge=0, description="epochs of fine-tuning on the reference images")
    alpha: float = Field(0.2, ge=0, description="weight of the inner product of the new weights and the old ones")

    def unsupported(self, case: Case) -> str | None:
        try:
            last_linear(case.network, case.example)
        except LookupError as error:
            return str(error)
        return None

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        linear = last_linear(model, data.example)
        objective = Shift(linear, self.alpha)
        reinitialise(linear, context.generator)
        self.fine_tune(model, data, context, objective=objective)
        objective.project()  # after the last step
        return model


class Shift(Objective):
    """Cross-entropy plus ``alpha`` times the inner product of ``linear``'s weights with those at construction."""

    def __init__(self, linear: nn.Linear, alpha: float) -> None:
        self.linear, self.alpha = linear, alpha
        self.old = linear.weight.detach().clone()

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        self.project()  # the step before this one has changed the norm
        logits = model(images)
        return F.cross_entropy(logits, labels) + self.alpha * (self.linear.weight * self.old).sum()

    @torch.no_grad()
    def project(self) -> None:
        """Scale the weights to the norm of the old ones."""
        self.linear.weight.mul_(self.old.norm() / self.linear.weight.norm())


@torch.no_grad()
def reinitialise(linear: nn.Linear, generator: torch.Generator) -> None:
    """Draw weights and biases anew, in place: uniform within 1/sqrt(d), as PyTorch does for a layer of d inputs."""
    bound = linear.in_features**-0.5
    for parameter in linear.parameters():
        parameter.uniform_(-bound, bound, generator=generator)
