"""NAD: a fine-tuned copy of the network teaches the network where to look.

Li, Lyu, Koren, Lyu, Li, Ma, "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural Networks",
ICLR 2021, arXiv 2101.05930. The teacher is the network, fine-tuned on the clean images. The network itself is then
fine-tuned with, besides the cross-entropy, the distance between its attention maps and the teacher's behind the later
stages: beta 500, 1000, 1000 in the paper.

Both are trained at the same rate. Measured with 200 digits and a slim ResNet-18: at .01 the backdoor stays (ASR 1.0);
at .05 the betas above cost 27 points of ACC, a tenth of them 3 to 5; at .07 a fiftieth of them leaves an ASR of .07 for
2.7 points.

An attention map is the sum over channels of |activation|^p; of a transformer's block, over the features of every token.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import FineTuning
from bench.plugin import Case, Context, Known, Objective
from bench.toolbox.networks import stages


class NAD(FineTuning):
    name: ClassVar[str] = "nad"
    source: ClassVar[str] = "Li et al., ICLR 2021, arXiv 2101.05930"

    teacher_epochs: int = Field(10, ge=0, description="epochs of fine-tuning that make the teacher")
    betas: tuple[float, ...] = Field(
        (500.0, 1000.0, 1000.0), min_length=1, description="weights of the last stages' distances, the last stage last"
    )
    power: float = Field(2.0, gt=0, description="p of the attention map")

    def unsupported(self, case: Case) -> str | None:
        spec = case.dataset.spec
        network = case.network
        with torch.no_grad():
            _, maps = attended(network, self._places(network), torch.zeros(2, *spec.shape), self.power)
        return None if any(len(one[0]) > 1 for one in maps) else "no stage of the network has an attention map"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data, teacher = known.reference(), copy.deepcopy(model)
        share = self.teacher_epochs / max(1, self.teacher_epochs + self.epochs)
        first = replace(context, progress=lambda done: context.progress(share * done))
        second = replace(context, progress=lambda done: context.progress(share + (1 - share) * done))
        self.fine_tune(teacher, data, first, epochs=self.teacher_epochs)
        objective = Distillation(teacher, self._places(teacher), self._places(model), self.betas, self.power)
        self.fine_tune(model, data, second, objective=objective)
        return model

    def _places(self, model: nn.Module) -> list[nn.Module]:
        """The last stages, as many as there are betas or, in a small network, as it has."""
        return list(stages(model).values())[-len(self.betas) :]


class Distillation(Objective):
    """Cross-entropy plus the distances between the attention maps of the network and of its teacher."""

    def __init__(
        self,
        teacher: nn.Module,
        told: Sequence[nn.Module],
        asked: Sequence[nn.Module],
        betas: Sequence[float],
        power: float,
    ) -> None:
        self.teacher, self.told, self.asked = teacher, told, asked
        self.betas, self.power = list(betas)[-len(asked) :], power

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        with torch.no_grad():
            _, wanted = attended(self.teacher, self.told, images, self.power)
        logits, maps = attended(model, self.asked, images, self.power)
        loss = F.cross_entropy(logits, labels)
        for beta, one, other in zip(self.betas, maps, wanted, strict=True):
            loss = loss + beta * F.mse_loss(one, other)
        return loss


def attended(
    model: nn.Module, places: Sequence[nn.Module], images: Tensor, power: float
) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, C) of ``images`` and the attention maps (N, positions) behind ``places``, in their order."""
    maps: dict[int, Tensor] = {}
    hooks = [
        # at once, before the next layer can change the activations in place
        place.register_forward_hook(lambda module, _, output: maps.update({id(module): attention(output, power)}))
        for place in places
    ]
    try:
        logits: Tensor = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return logits, [maps[id(place)] for place in places]


def attention(activations: Tensor, power: float) -> Tensor:
    """The attention map (N, positions), of length one, of activations (N, C, H, W), (N, H, W, C) or (N, tokens, C).

    Four dimensions are read as channels first, unless only so the map were no square. Flat activations (N, C) have
    one position, and a map that says nothing.
    """
    shape = activations.shape
    last = len(shape) != 4 or (shape[1] == shape[2] != shape[3])
    maps = activations.float().abs().pow(power).sum(-1 if last else 1)
    return F.normalize(maps.flatten(1) if maps.ndim > 1 else maps[:, None], dim=1)
