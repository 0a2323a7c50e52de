"""TAC with the true latent change: what unlearning a shift is worth when the shift is right.

No defense but an oracle: the mean change of the latent under the trigger, over further images of the training split,
takes the place of the reconstructed shift (Iwahana et al., 2025, arXiv 2511.08944, compare with it). Several triggers
have a change each; where every class has a target of its own (all-to-all), every class has its own change.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._shift_tuning import Backdoor, ShiftTuning, note_shifts, unsupported
from bench.plugin import Case, Context, Known, Oracle, Secret
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of


class TrueTAC(ShiftTuning, Oracle):
    name: ClassVar[str] = "true_tac"
    source: ClassVar[str] = "reference column of Iwahana et al., 2025, arXiv 2511.08944"

    stretch: float = Field(1.0, gt=0, description="length of the shift in fine-tuning, in lengths of the true change")

    def unsupported(self, case: Case) -> str | None:
        return unsupported(case)

    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        if not len(secret.targets):
            return model
        clean, triggered = (
            logits_of(latent.features, images) for images in (secret.originals.floats, secret.triggered)
        )
        found, shifts = changes(triggered - clean, secret.originals.labels, secret.targets, len(latent.linear.weight))
        note_shifts(found, shifts, context)
        self.unlearn(latent, found, shifts, data, self.beta, context)
        return model


def changes(change: Tensor, labels: Tensor, targets: Tensor, classes: int) -> tuple[list[Backdoor], Tensor]:
    """The backdoors behind latent changes (M, d) of images of classes ``labels`` that are led to ``targets``, and the
    mean change (B, C, d) that each adds to the images of each of ``classes`` classes."""
    led = {label: targets[labels == label].unique().tolist() for label in labels.unique().tolist()}
    if len(targets.unique()) > 1 and all(len(some) == 1 for some in led.values()):
        rows = torch.zeros(1, classes, change.shape[1], device=change.device)
        for label in led:
            rows[0, label] = change[labels == label].mean(0)
        return [Backdoor(tuple(led[label][0] if label in led else label for label in range(classes)))], rows
    found = [Backdoor((target,) * classes) for target in targets.unique().tolist()]
    means = torch.stack([change[targets == one.targets[0]].mean(0) for one in found])
    return found, means[:, None].expand(-1, classes, -1).contiguous()
