"""TAC with the true latent change: what unlearning a shift is worth when the shift is right.

No defense but an oracle: the mean change of the latent under the trigger, over further images of the training split,
takes the place of the reconstructed shift. Iwahana et al., 2025, arXiv 2511.08944, compare with it. Several triggers
have a change each; in an all-to-all attack every class has its own change.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.defenses._shift_tuning import Backdoor, ShiftTuning, note_shifts, unsupported
from bench.plugin import Case, Context, Known, Oracle, Secret
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of


class TrueTAC(ShiftTuning, Oracle):
    name: ClassVar[str] = "true_tac"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "reference column of Iwahana et al., 2025, arXiv 2511.08944"

    def unsupported(self, case: Case) -> str | None:
        return unsupported(case)

    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        if not len(secret.targets):
            return model
        clean = logits_of(latent.features, secret.originals.floats)
        triggered = logits_of(latent.features, secret.triggered)
        classes = len(latent.linear.weight)
        backdoors, shifts = true_shifts(triggered - clean, secret.originals.labels, secret.targets, classes)
        note_shifts(backdoors, shifts, context)
        self.unlearn(latent, backdoors, shifts, data, self.beta, context)
        return model


def true_shifts(changes: Tensor, labels: Tensor, targets: Tensor, classes: int) -> tuple[list[Backdoor], Tensor]:
    """The backdoors, and the mean change (B, C, d) that each adds to the latents of each class's images.

    changes (M, d): of the latents of images with the classes ``labels`` (M,), which the trigger sends to ``targets``
    (M,).
    """
    targets_of = {label: targets[labels == label].unique().tolist() for label in labels.unique().tolist()}
    if len(targets.unique()) > 1 and all(len(some) == 1 for some in targets_of.values()):
        rows = torch.zeros(1, classes, changes.shape[1], device=changes.device)
        for label in targets_of:
            rows[0, label] = changes[labels == label].mean(0)
        return [Backdoor(tuple(targets_of.get(label, [label])[0] for label in range(classes)))], rows
    backdoors = [Backdoor.all_to_one(target, classes) for target in targets.unique().tolist()]
    means = torch.stack([changes[targets == backdoor.targets[0]].mean(0) for backdoor in backdoors])
    return backdoors, means[:, None].expand(-1, classes, -1).contiguous()
