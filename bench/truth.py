"""What a defense has reconstructed, held against what the harness knows of the trigger."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.networks import Latent
from bench.plugin import LabelledImages
from bench.training import logits_of


@torch.no_grad()
def held_against(
    shifts: Mapping[str, list[float]], victim: nn.Module, test: LabelledImages, triggered: Tensor, targets: Tensor
) -> dict[str, dict[str, float]]:
    """For every target of ``shifts`` (by class: d numbers) how well the shift agrees with the true change.

    The true change is the mean over the test images that the trigger leads to this target of what it adds to the
    latent before the last linear layer of ``victim``. cosine: of the two vectors; correlation: Pearson's, over the d
    dimensions; length: of the shift, in lengths of the true change. A class that no trigger leads to is left out.
    """
    latent = Latent(victim, test.images[:1].float() / 255)
    change = logits_of(latent.features, triggered) - logits_of(latent.features, test.floats)
    found = {}
    for label, values in shifts.items():
        led = (targets == int(label)) & (test.labels != int(label))
        if not bool(led.any()):
            continue
        true = change[led].mean(0).double().cpu()
        shift = torch.tensor(values, dtype=torch.float64)
        found[label] = {
            "cosine": float(torch.cosine_similarity(shift, true, dim=0)),
            "correlation": float(torch.corrcoef(torch.stack((shift, true)))[0, 1]),
            "length": float(shift.norm() / true.norm()),
        }
    return found
