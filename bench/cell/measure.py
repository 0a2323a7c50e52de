"""Every metric of a cell, derived from stored predictions."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from bench.cell import metrics
from bench.errors import Damaged
from bench.plan.identity import canonical
from bench.records import Record
from bench.records.note_types import ClassStatistic
from bench.store.store import Store

FALSE_ALARMS = 0.01  # FPR at which a detector's TPR is compared
MAY_DIFFER = 0.01  # share of the answers of a detector that may differ from the network's, by rounding


def measure(
    victim_key: str,
    store: Store,
    after: dict[str, Tensor],
    diagnostics: Mapping[str, Any],
    detects_only: bool | None,
) -> dict[str, Any]:
    """Every metric of a cell, by the name of its column, from predictions and notes alone.

    victim_key: the key of the cell's victim, whose predictions are in the store. after: the defended network's
    predictions, by name, as ``predict`` returns them. diagnostics: the defense's notes. detects_only: what it declares;
    None where that was not recorded. Raises Damaged for a stored file that is not what was written.
    """
    facts = store.facts(victim_key)
    before = store.tensors("victims", victim_key, "predictions.safetensors")
    labels, targets = before["labels"], before["targets"]
    if len(labels) != facts.n_test:
        why = f"is of {len(labels)} images, its stage.json of {facts.n_test}"
        raise Damaged("victims", victim_key, "predictions.safetensors", why)
    after = {name: value.cpu() for name, value in after.items()}
    undefended, defended = _accuracies(before, labels, targets), _accuracies(after, labels, targets)
    detects_only = _only_detects(before, after, detects_only)
    der = metrics.defense_effectiveness(undefended["acc"], undefended["asr"], defended["acc"], defended["asr"])
    counts = ("n_train", "n_poisoned", "n_cover", "n_test", "n_triggered", "train_seconds")
    return {
        **defended,
        **{f"{name}_before": value for name, value in undefended.items()},
        "der": math.nan if detects_only else der,
        "detects_only": detects_only,
        **_detection(before, after),
        "identified": _identified(diagnostics, facts.targets),
        **_of_the_victim(before),
        **{name: getattr(facts, name) for name in counts},
        **facts.stealth.model_dump(),
        "targets": json.dumps(facts.targets),
        "class_names": json.dumps(facts.class_names),
        "victim_log": facts.log,
        "ms_per_sample_before": facts.ms_per_sample,
    }


def measure_victim(victim_key: str, store: Store) -> dict[str, Any]:
    """What is measured of a victim in the store, without any cell, by the name of the column.

    Raises Damaged for a stored file that is not what was written.
    """
    facts = store.facts(victim_key)
    before = store.tensors("victims", victim_key, "predictions.safetensors")
    undefended = _accuracies(before, before["labels"], before["targets"])
    return {
        **{f"{name}_before": value for name, value in undefended.items()},
        **_of_the_victim(before),
        "targets": json.dumps(facts.targets),
        "n_triggered": facts.n_triggered,
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
            facts = store.facts(record.victim_key)
            if (count := facts.n_test) != len(after["clean_logits"]):
                raise Damaged("cells", key, name, f"is of {len(after['clean_logits'])} images, its victim of {count}")
            declared = record.detects_only if "detects_only" in record.model_fields_set else None
            columns = measure(record.victim_key, store, after, json.loads(record.diagnostics), declared)
            if facts.made_of and facts.made_of.recipe.parameters:  # in older records only its label was kept
                columns["recipe_params"] = canonical(facts.made_of.recipe.parameters)
            again = Record.model_validate({**record.model_dump(), **columns})
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


def _only_detects(before: dict[str, Tensor], after: dict[str, Tensor], declared: bool | None) -> bool:
    """Whether the defense flags inputs and leaves every answer as it was.

    What it ``declared`` counts, unless its answers are others than the network's. Where that was not recorded (None),
    its answers must be the network's to the last one, though it has flagged some of the inputs. Without the latter it
    may be a mitigation that found nothing to act on, whose DER of 0.5 is deserved.
    """
    changed = [after[name].argmax(1) != before[name].argmax(1) for name in ("clean_logits", "triggered_logits")]
    if declared is not None:
        return declared and all(metrics.share(part) <= MAY_DIFFER for part in changed)
    flagged = any(bool(after[name].any()) for name in ("clean_flagged", "triggered_flagged") if name in after)
    return flagged and not any(bool(part.any()) for part in changed)


def _detection(before: dict[str, Tensor], after: dict[str, Tensor]) -> dict[str, float]:
    """What is measured of a guard's scores, and TPR and FPR with both denominators, by the name of their column, as
    far as the guard judges inputs."""
    labels, targets = before["labels"], before["targets"]
    eligible = targets != labels
    columns = {}
    if "clean_score" in after:
        scores = after["clean_score"], after["triggered_score"][eligible]
        columns["auroc"] = metrics.auroc(*scores)
        columns["tpr_at_1_fpr"] = metrics.true_positive_rate_at(*scores, FALSE_ALARMS)
        columns["average_precision"] = metrics.average_precision(*scores)
    if "clean_flagged" in after:
        clean, triggered = after["clean_flagged"], after["triggered_flagged"]
        assigned = [before[f"{part}_logits"].argmax(1) for part in ("clean", "triggered")]
        columns["tpr"] = metrics.true_positive_rate(triggered[eligible])
        columns["fpr"] = metrics.false_positive_rate(clean)
        columns["tpr_assigned"] = metrics.assigned_true_positive_rate(triggered, assigned[1], labels, targets)
        columns["fpr_assigned"] = metrics.assigned_false_positive_rate(clean, assigned[0], targets[eligible].unique())
    return columns


def _of_the_victim(before: dict[str, Tensor]) -> dict[str, Any]:
    """What its verdict is derived from, beside ACC and ASR, by the name of the column."""
    labels, predicted = before["labels"], before["clean_logits"].argmax(1)
    accuracies = metrics.class_accuracies(predicted, labels, before["clean_logits"].shape[1])
    return {
        "base_rate": metrics.base_rate(predicted, labels, before["targets"]),
        "majority": metrics.majority(labels),
        "class_acc_before": json.dumps([None if math.isnan(value) else value for value in accuracies]),
    }


def _identified(diagnostics: Mapping[str, Any], targets: list[int]) -> str:
    """Whether the classes that the defense took for targets are: "" if it has noted none, or nothing that can be read.

    targets: the true ones.
    """
    try:
        statistic = ClassStatistic.model_validate(diagnostics.get("class_statistic"))
    except ValidationError:
        return ""
    return metrics.identification(statistic.flagged, targets, len(statistic.values))
