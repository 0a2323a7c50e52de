"""What a network says of the test images, and every metric of that."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.cell import metrics
from bench.errors import Damaged
from bench.plugin.values import Prediction
from bench.records import Record
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


def measure(victim_key: str, store: Store, after: dict[str, Tensor]) -> dict[str, Any]:
    """Every metric of a cell, by the name of its column, from stored predictions alone.

    victim_key: that of the cell's victim; after: what the defended network said, by name, as ``predict`` returns it.
    Raises Damaged for a stored file that is not what was written.
    """
    facts = store.facts(victim_key)
    before = store.tensors("victims", victim_key, "predictions.safetensors")
    labels, targets = before["labels"], before["targets"]
    if len(labels) != facts.n_test:
        why = f"is of {len(labels)} images, its stage.json of {facts.n_test}"
        raise Damaged("victims", victim_key, "predictions.safetensors", why)
    after = {name: value.cpu() for name, value in after.items()}
    then, now = _figures(before, labels, targets), _figures(after, labels, targets)
    eligible = targets != labels
    columns: dict[str, Any] = {**now, **{f"{name}_before": value for name, value in then.items()}}
    columns["der"] = metrics.defense_effectiveness(then["acc"], then["asr"], now["acc"], now["asr"])
    if "clean_score" in after:
        columns["auroc"] = metrics.auroc(after["clean_score"], after["triggered_score"][eligible])
    if "clean_flagged" in after:
        columns["tpr"] = metrics.true_positive_rate(after["triggered_flagged"][eligible])
        columns["fpr"] = metrics.false_positive_rate(after["clean_flagged"])
    counts = ("n_train", "n_poisoned", "n_cover", "n_test", "n_triggered", "train_seconds")
    return {
        **columns,
        **{name: getattr(facts, name) for name in counts},
        **facts.stealth.model_dump(),
        "targets": json.dumps(facts.targets),
        "victim_log": facts.log,
        "ms_per_sample_before": facts.ms_per_sample,
    }


def measure_again(store: Store, damaged: Callable[[Damaged], object]) -> Iterator[tuple[Record, Record]]:
    """Every finished cell's record as it is stored and with its metrics derived anew, where the two differ.

    The new ones are put in place of the old ones. Cells with a damaged file are handed to ``damaged`` and stay.
    """
    for key in store.keys("cells"):
        try:
            record = store.record(key)
            if record is None or record.status != "done":
                continue
            name = "predictions.safetensors"
            after = store.tensors("cells", key, name)
            if (count := store.facts(record.victim_key).n_test) != len(after["clean_logits"]):
                raise Damaged("cells", key, name, f"is of {len(after['clean_logits'])} images, its victim of {count}")
            again = Record.model_validate({**record.model_dump(), **measure(record.victim_key, store, after)})
            if again.to_json() == record.to_json():
                continue
            store.write("cells", key, {**store.contents("cells", key), "record.json": again.to_json()}, replace=True)
        except FileNotFoundError:
            damaged(Damaged("cells", key, "record.json", "is of a victim that is not there"))
        except Damaged as error:
            damaged(error)
        else:
            yield record, again


def _figures(predictions: dict[str, Tensor], labels: Tensor, targets: Tensor) -> dict[str, float]:
    clean, triggered = (predictions[f"{part}_logits"].argmax(1) for part in ("clean", "triggered"))
    return {
        "acc": metrics.accuracy(clean, labels),
        "asr": metrics.attack_success(triggered, labels, targets),
        "ra": metrics.robust_accuracy(triggered, labels, targets),
        "acc_target": metrics.target_accuracy(clean, labels, targets[targets != labels].unique()),
    }
