"""What a network says of the test images, and every metric of that."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from bench.cell import metrics
from bench.plan import identity
from bench.plan.stages import CellStage
from bench.plugin.values import Prediction
from bench.store.store import Store

BATCH = 250


@torch.no_grad()
def predict(
    guard: Callable[[Tensor], Prediction], clean: Tensor, triggered: Tensor, stream: Tensor | None = None
) -> dict[str, Tensor]:
    """What ``guard`` says of clean and triggered images (N, C, H, W): tensors by name, ready for the store.

    With ``stream``, a permutation of the clean and the triggered images (2N,), they pass one by one in its order.
    """
    images = torch.cat([clean, triggered])
    order = torch.arange(len(images), device=images.device) if stream is None else stream
    parts = [_checked(guard(images[index]), len(index)) for index in order.split(BATCH if stream is None else 1)]
    found: dict[str, Tensor] = {}
    for name in ("logits", "score", "flagged"):
        values = [getattr(part, name) for part in parts]
        if any(value is None for value in values):
            continue
        merged = torch.cat(values)
        inverse = torch.empty_like(merged)
        inverse[order] = merged
        found[f"clean_{name}"], found[f"triggered_{name}"] = inverse[: len(clean)], inverse[len(clean) :]
    return {name: value.float() if value.is_floating_point() else value for name, value in found.items()}


def _checked(prediction: Prediction, count: int) -> Prediction:
    if not isinstance(prediction, Prediction):
        raise TypeError(f"the guard gave a {type(prediction).__name__}, expected a Prediction")
    if prediction.logits.ndim != 2 or len(prediction.logits) != count:
        raise ValueError(f"the defended model gave logits {tuple(prediction.logits.shape)} for {count} images")
    if not bool(torch.isfinite(prediction.logits).all()):
        raise ValueError("the defended model gave logits that are not numbers")
    return prediction


# --- records -----------------------------------------------------------------------------------------


def describe(stage: CellStage) -> dict[str, Any]:
    """The columns of a record that say which cell it is."""
    victim = stage.victim
    return {
        "key": stage.key,
        "victim_key": victim.key,
        **{kind: ref.name for kind, ref in stage.refs.items()},
        **stage.labels,
        **{f"{kind}_params": identity.canonical(ref.parameters) for kind, ref in stage.refs.items()},
        "profile": victim.profile,
        "recipe": victim.recipe,
        "seed": victim.seed,
        "reference": stage.reference,
        "suspects": stage.suspects,
        "knowledge": stage.knowledge,
        "oracle": stage.oracle,
    }


def measure(stage: CellStage, store: Store, after: dict[str, Tensor]) -> dict[str, Any]:
    """Every metric of a cell, from stored predictions alone."""
    facts = store.read_json("victims", stage.victim.key, "stage.json")
    before = store.tensors("victims", stage.victim.key, "predictions.safetensors")
    labels, targets = before["labels"], before["targets"]
    after = {name: value.cpu() for name, value in after.items()}
    then = _figures(before, labels, targets)
    now = _figures(after, labels, targets)
    eligible = targets != labels
    found: dict[str, Any] = {**now, **{f"{name}_before": value for name, value in then.items()}}
    found["der"] = metrics.defense_effectiveness(then["acc"], then["asr"], now["acc"], now["asr"])
    if "clean_score" in after:
        found["auroc"] = metrics.auroc(after["clean_score"], after["triggered_score"][eligible])
    if "clean_flagged" in after:
        found["tpr"] = metrics.share(after["triggered_flagged"][eligible])
        found["fpr"] = metrics.share(after["clean_flagged"])
    counts = ("n_train", "n_poisoned", "n_cover", "n_test", "n_triggered", "train_seconds")
    return {
        **found,
        **{name: facts[name] for name in counts},
        **facts["stealth"],
        "targets": json.dumps(facts["targets"]),
        "ms_per_sample_before": facts["ms_per_sample"],
    }


def _figures(predictions: dict[str, Tensor], labels: Tensor, targets: Tensor) -> dict[str, float]:
    clean, triggered = (predictions[f"{part}_logits"].argmax(1) for part in ("clean", "triggered"))
    return {
        "acc": metrics.accuracy(clean, labels),
        "asr": metrics.attack_success(triggered, labels, targets),
        "ra": metrics.robust_accuracy(triggered, labels, targets),
        "acc_target": metrics.target_accuracy(clean, labels, targets[targets != labels].unique()),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
