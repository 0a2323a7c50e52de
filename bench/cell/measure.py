"""Every metric of a cell, derived from stored predictions."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from bench.cell import metrics
from bench.errors import Damaged
from bench.records import Record
from bench.store.store import Store


def measure(victim_key: str, store: Store, after: dict[str, Tensor]) -> dict[str, Any]:
    """Every metric of a cell, by the name of its column, from predictions alone.

    victim_key: the key of the cell's victim, whose predictions are in the store. after: the defended network's
    predictions, by name, as ``predict`` returns them. Raises Damaged for a stored file that is not what was written.
    """
    facts = store.facts(victim_key)
    before = store.tensors("victims", victim_key, "predictions.safetensors")
    labels, targets = before["labels"], before["targets"]
    if len(labels) != facts.n_test:
        why = f"is of {len(labels)} images, its stage.json of {facts.n_test}"
        raise Damaged("victims", victim_key, "predictions.safetensors", why)
    after = {name: value.cpu() for name, value in after.items()}
    undefended, defended = _accuracies(before, labels, targets), _accuracies(after, labels, targets)
    eligible = targets != labels
    columns: dict[str, Any] = {**defended, **{f"{name}_before": value for name, value in undefended.items()}}
    columns["der"] = metrics.defense_effectiveness(
        undefended["acc"], undefended["asr"], defended["acc"], defended["asr"]
    )
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
        "class_names": json.dumps(facts.class_names),
        "victim_log": facts.log,
        "ms_per_sample_before": facts.ms_per_sample,
    }


def measure_again(store: Store, damaged: Callable[[Damaged], object]) -> Iterator[tuple[Record, Record]]:
    """Derive the metrics of every finished cell anew. Yields the old and the new record where the two differ.

    The new record replaces the old one in the store. A cell with a damaged file is left as it is, and ``damaged`` is
    called with the error.
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


def _accuracies(predictions: dict[str, Tensor], labels: Tensor, targets: Tensor) -> dict[str, float]:
    """ACC, ASR, RA and ACC on the target classes, by the name of their column."""
    clean, triggered = (predictions[f"{part}_logits"].argmax(1) for part in ("clean", "triggered"))
    return {
        "acc": metrics.accuracy(clean, labels),
        "asr": metrics.attack_success(triggered, labels, targets),
        "ra": metrics.robust_accuracy(triggered, labels, targets),
        "acc_target": metrics.target_accuracy(clean, labels, targets[targets != labels].unique()),
    }
