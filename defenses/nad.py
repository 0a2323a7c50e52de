"""NAD: a fine-tuned copy of the network teaches the network where to look.

Li, Lyu, Koren, Lyu, Li, Ma, "Neural Attention Distillation: Erasing Backdoor Triggers from Deep Neural Networks",
ICLR 2021, arXiv 2101.05930. The teacher is the network, fine-tuned on the clean images. The network itself is then
fine-tuned with the cross-entropy and the distance between its attention maps and the teacher's behind the later stages.
An attention map is the sum over channels of |activation|^p. Derived: teacher and student are trained at the same rate,
and in a transformer the sum goes over the features of every token.
"""

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._classifier import lacks_plain_stages
from bench.defenses._finetuning import FineTuning
from bench.plugin import Case, Context, Known, Objective
from bench.toolbox.networks import stages, watching


class NAD(FineTuning):
    """Fine-tuning with distilled attention."""

    name: ClassVar[str] = "nad"
    source: ClassVar[str] = "Li et al., ICLR 2021, arXiv 2101.05930"

    teacher_epochs: int = Field(10, ge=0, description="epochs of fine-tuning that make the teacher")
    betas: tuple[float, ...] = Field(
        (500.0, 1000.0, 1000.0), min_length=1, description="weights of the last stages' distances, the last stage last"
    )
    power: float = Field(2.0, gt=0, description="p of the attention map")

    def unsupported(self, case: Case) -> str | None:
        if reason := lacks_plain_stages(case):
            return reason
        network = case.network
        with torch.no_grad():
            _, maps = logits_and_maps(network, self._last_stages(network), case.example, self.power)
        return None if any(len(one[0]) > 1 for one in maps) else "no stage of the network has an attention map"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data, teacher = known.reference(), copy.deepcopy(model)
        share = self.teacher_epochs / max(1, self.teacher_epochs + self.epochs)
        self.fine_tune(teacher, data, context.part(0, share), epochs=self.teacher_epochs)
        objective = Distillation(teacher, self._last_stages(teacher), self._last_stages(model), self.betas, self.power)
        self.fine_tune(model, data, context.part(share, 1), objective=objective)
        return model

    def _last_stages(self, model: nn.Module) -> list[nn.Module]:
        """The last stages: as many as there are betas, or all of a network that has fewer."""
        return list(stages(model).values())[-len(self.betas) :]


class Distillation(Objective):
    """Cross-entropy plus the distances between the attention maps of the network and of its teacher.

    ``betas`` are the weights of the distances; of more betas than stages the last ones count.
    """

    def __init__(
        self,
        teacher: nn.Module,
        teacher_stages: Sequence[nn.Module],
        student_stages: Sequence[nn.Module],
        betas: Sequence[float],
        power: float,
    ) -> None:
        self.teacher, self.teacher_stages, self.student_stages = teacher, teacher_stages, student_stages
        self.betas, self.power = list(betas)[-len(student_stages) :], power

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        with torch.no_grad():
            _, wanted = logits_and_maps(self.teacher, self.teacher_stages, images, self.power)
        logits, maps = logits_and_maps(model, self.student_stages, images, self.power)
        loss = F.cross_entropy(logits, labels)
        for beta, one, other in zip(self.betas, maps, wanted, strict=True):
            loss = loss + beta * F.mse_loss(one, other)
        return loss


def logits_and_maps(
    model: nn.Module, modules: Sequence[nn.Module], images: Tensor, power: float
) -> tuple[Tensor, list[Tensor]]:
    """Logits (N, C) of ``images`` and the attention maps (N, positions) behind ``modules``, in their order."""
    maps: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, output: Tensor) -> None:
        # at once, before the next layer can change the activations in place
        maps[module] = attention_map(output, power)

    with watching(modules, note):
        logits: Tensor = model(images)
    return logits, [maps[module] for module in modules]


def attention_map(activations: Tensor, power: float) -> Tensor:
    """The attention map (N, positions), of length one, of activations (N, C, H, W), (N, H, W, C) or (N, tokens, C).

    Four dimensions are read as channels first, unless the map is square only with channels last. Flat activations
    (N, C) have one position, and a map that says nothing.
    """
    shape = activations.shape
    last = len(shape) != 4 or (shape[1] == shape[2] != shape[3])
    maps = activations.float().abs().pow(power).sum(-1 if last else 1)
    return F.normalize(maps.flatten(1) if maps.ndim > 1 else maps[:, None], dim=1)
