"""Diagnostics that only the harness can add to a defense's own, because they need the true trigger and the test set."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.cell.backdoors import TriggeredSet
from bench.cell.stream import stream_curve
from bench.records import notes
from bench.toolbox.networks import Latent, channels_last
from bench.toolbox.training import autocast

BATCH = 256  # images of at most 64x64 pixels that pass the network at once


def compare_with_truth(
    diagnostics: dict[str, Any],
    network: nn.Module,
    test: TriggeredSet,
    predictions: Mapping[str, Tensor],
    stream: Tensor | None,
) -> None:
    """Add to a defense's ``diagnostics`` its stream curve and the agreement of its latent shifts with the true ones.

    network: the victim's. predictions: the defended network's, by name, as ``predict`` returned them. stream: the order
    (2N,) in which the images passed, or None if they passed in batches.
    """
    if stream is not None:
        curve = stream_curve(predictions, test.originals.labels, test.targets, stream)
        diagnostics["stream_curve"] = notes.typed("stream_curve", curve)
    if shifts := diagnostics.get("latent_shifts"):
        diagnostics["shift_truth"] = notes.typed("shift_truth", shift_agreement(shifts, network, test))


@torch.no_grad()
def shift_agreement(
    shifts: Mapping[str, list[float]], network: nn.Module, test: TriggeredSet
) -> dict[str, dict[str, float]]:
    """How well each of a defense's latent ``shifts`` (d numbers, by target class) agrees with the true one.

    The true shift is the mean change that the trigger makes to the latent before the last linear layer of ``network``,
    the victim's, over the eligible test images with this target.

    Returns by target class ``cosine``: of the two vectors; ``correlation``: Pearson's, over the d dimensions;
    ``length``: of the defense's shift, in lengths of the true one. A class that is nobody's target is left out. Raises
    ValueError for a shift that has not as many numbers as the latent.
    """
    latent = Latent(network, test.originals.example)

    def features(images: Tensor) -> Tensor:
        with autocast(images.device):
            return latent.features(channels_last(images)).float()

    everything = torch.arange(len(test), device=test.targets.device)
    change = torch.cat([features(after) - features(before) for before, after in test.pairs(everything, BATCH)])
    agreement = {}
    for label, values in shifts.items():
        with_this_target = test.eligible & (test.targets == int(label))
        if not bool(with_this_target.any()):
            continue
        true = change[with_this_target].mean(0).double().cpu()
        shift = torch.tensor(values, dtype=torch.float64)
        if shift.shape != true.shape:
            raise ValueError(f"note 'latent_shifts': class {label}: {len(shift)} numbers, the latent has {len(true)}")
        agreement[label] = {
            "cosine": float(torch.cosine_similarity(shift, true, dim=0)),
            "correlation": float(torch.corrcoef(torch.stack((shift, true)))[0, 1]),
            "length": float(shift.norm() / true.norm()),
        }
    return agreement
