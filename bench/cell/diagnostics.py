"""What only the harness can tell of a defense: how true its reconstruction is, how it does as a stream passes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bench.cell.backdoors import TriggeredSet
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of

PARTS = 10  # of a stream


def compare_with_truth(
    diagnostics: dict[str, Any],
    network: nn.Module,
    test: TriggeredSet,
    after: Mapping[str, Tensor],
    stream: Tensor | None,
) -> None:
    """Add to a defense's ``diagnostics`` what follows from them and from what the harness alone knows.

    network: the victim's; after, stream: as ``predict`` returned and was given them.
    """
    if stream is not None:
        diagnostics["stream_curve"] = stream_curve(after, test.originals.labels, test.targets, stream)
    if shifts := diagnostics.get("latent_shifts"):
        diagnostics["shift_truth"] = shift_agreement(shifts, network, test)


@torch.no_grad()
def shift_agreement(
    shifts: Mapping[str, list[float]], network: nn.Module, test: TriggeredSet
) -> dict[str, dict[str, float]]:
    """For every target of ``shifts`` (by class: d numbers) how well the shift agrees with the true change.

    The true change is the mean over the test images that the trigger leads to this target of what it adds to the
    latent before the last linear layer of ``network``, the victim's. cosine: of the two vectors; correlation:
    Pearson's, over the d dimensions; length: of the shift, in lengths of the true change. A class that no trigger leads
    to is left out.
    """
    latent = Latent(network, test.originals.example)
    change = logits_of(latent.features, test.images) - logits_of(latent.features, test.originals.floats)
    found = {}
    for label, values in shifts.items():
        led = test.eligible & (test.targets == int(label))
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


def stream_curve(
    after: Mapping[str, Tensor], labels: Tensor, targets: Tensor, stream: Tensor
) -> dict[str, list[float | None]]:
    """How well a guard did as the stream passed, in ten parts of equal length.

    after: what it said, by name, as it is stored; stream: the order (2N,) in which images passed, of which the first
    N are clean and the others triggered. Returned: how many triggered images had passed at the end of each part; acc,
    asr, ra of the part's images, None where it has none.
    """
    count = len(labels)
    said = torch.cat((after["clean_logits"], after["triggered_logits"])).argmax(1).to(labels.device)
    curve: dict[str, list[float | None]] = {"triggered": [], "acc": [], "asr": [], "ra": []}
    passed = 0
    for part in stream.tensor_split(PARTS):
        clean, lit = part[part < count], part[part >= count]
        lit = lit[(targets != labels)[lit - count]]
        passed += len(lit)
        curve["triggered"].append(passed)
        curve["acc"].append(_share(said[clean] == labels[clean]))
        curve["asr"].append(_share(said[lit] == targets[lit - count]))
        curve["ra"].append(_share(said[lit] == labels[lit - count]))
    return curve


def _share(hits: Tensor) -> float | None:
    return float(hits.float().mean()) if len(hits) else None
