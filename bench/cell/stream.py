"""The stream of test images that a learning guard sees: their order, and how well the guard does as they pass."""

from collections.abc import Mapping

import torch
from torch import Tensor

PARTS = 10  # that the curve divides the stream into


def stream_curve(
    predictions: Mapping[str, Tensor], labels: Tensor, targets: Tensor, stream: Tensor
) -> dict[str, list[float | None]]:
    """How well a guard did as the stream passed, in ``PARTS`` parts of equal length.

    predictions: the guard's, by name, as ``predict`` returns them. labels, targets: (N,). stream: the order (2N,) in
    which the images passed, where indices below N are clean images and the others triggered ones.

    Returns, with one value a part, ``triggered``: how many eligible triggered images had passed at its end; ``acc``,
    ``asr`` and ``ra``: of the part's images, in [0, 1], or None if the part has no such image.
    """
    count = len(labels)
    classes = torch.cat((predictions["clean_logits"], predictions["triggered_logits"])).argmax(1).to(labels.device)
    curve: dict[str, list[float | None]] = {"triggered": [], "acc": [], "asr": [], "ra": []}
    passed = 0
    for part in stream.tensor_split(PARTS):
        clean, triggered = part[part < count], part[part >= count]
        triggered = triggered[(targets != labels)[triggered - count]]
        passed += len(triggered)
        curve["triggered"].append(passed)
        curve["acc"].append(_fraction(classes[clean] == labels[clean]))
        curve["asr"].append(_fraction(classes[triggered] == targets[triggered - count]))
        curve["ra"].append(_fraction(classes[triggered] == labels[triggered - count]))
    return curve


def _fraction(hits: Tensor) -> float | None:
    """The fraction of True in ``hits`` (N,) bool; None if it is empty, because JSON knows no NaN."""
    return float(hits.float().mean()) if len(hits) else None
