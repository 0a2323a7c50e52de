"""A network's predictions on the test images, and every metric that is derived from them."""

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
    guard: Callable[[Tensor], Prediction],
    clean: Tensor,
    triggered: Tensor,
    stream: Tensor | None = None,
    *,
    classes: int,
) -> dict[str, Tensor]:
    """The predictions of ``guard`` on clean and triggered images (N, C, H, W), by name, as the store takes them.

    clean_logits, triggered_logits (N, classes); where the guard gives them, also clean_score and triggered_score (N,),
    clean_flagged and triggered_flagged (N,) bool. ``stream`` is an order (2N,) of the clean and then the triggered
    images: with it they pass one by one in this order, without it in batches. Raises TypeError or ValueError, in one
    line, for an answer that is not a Prediction of finite logits (B, classes), finite scores (B,) or none, and verdicts
    (B,) bool or none.
    """
    images = torch.cat([clean, triggered])
    order = torch.arange(len(images), device=images.device) if stream is None else stream
    parts = [_checked(guard(images[index]), len(index), classes) for index in order.split(_batch(stream))]
    predictions: dict[str, Tensor] = {}
    for name in ("logits", "score", "flagged"):
        values = [value for part in parts if (value := getattr(part, name)) is not None]
        if len(values) not in (0, len(parts)):
            raise ValueError(f"{name}: given for {len(values)} of {len(parts)} batches, expected for all or for none")
        if not values:
            continue
        merged = torch.cat(values).to(images.device)
        in_given_order = torch.empty_like(merged)
        in_given_order[order] = merged
        predictions[f"clean_{name}"] = in_given_order[: len(clean)]
        predictions[f"triggered_{name}"] = in_given_order[len(clean) :]
    return predictions


def _batch(stream: Tensor | None) -> int:
    return BATCH if stream is None else 1


def _checked(prediction: Prediction, count: int, classes: int) -> Prediction:
    """The prediction for ``count`` images, with logits and scores as float32."""
    if not isinstance(prediction, Prediction):
        raise TypeError(f"the guard gave a {type(prediction).__name__}, expected a Prediction")
    score, flagged = prediction.score, prediction.flagged
    return Prediction(
        _numbers("logits", prediction.logits, (count, classes)),
        None if score is None else _numbers("score", score, (count,)),
        None if flagged is None else _dense("flagged", flagged, (count,), "bool", (torch.bool,)),
    )


_FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def _numbers(name: str, value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``value`` as float32; ValueError unless all of it is finite, also then."""
    numbers = _dense(name, value, shape, "floats", _FLOATS).float()
    if wrong := int((~numbers.isfinite()).sum()):
        raise ValueError(f"{name}: {wrong} of {numbers.numel()} values are not numbers, expected finite float32 values")
    return numbers


def _dense(name: str, value: Tensor, shape: tuple[int, ...], kind: str, types: tuple[torch.dtype, ...]) -> Tensor:
    """``value``, if it is a dense tensor of this shape and of one of these types."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got a {type(value).__name__}, expected a tensor of {kind} {shape}")
    if value.layout != torch.strided or value.is_nested or value.is_meta:
        layout = "meta" if value.is_meta else "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise TypeError(f"{name}: got a {layout} tensor, expected a dense tensor of {kind} {shape}")
    if value.dtype not in types:
        raise TypeError(f"{name}: got {str(value.dtype).removeprefix('torch.')} values, expected {kind} {shape}")
    if value.shape != shape:
        hint = ", the transpose of it" if len(shape) == 2 and value.shape == shape[::-1] else ""
        raise ValueError(f"{name}: got shape {tuple(value.shape)}, expected {shape}{hint}")
    return value


# --- records -----------------------------------------------------------------------------------------


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
