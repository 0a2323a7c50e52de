"""What became of every test image in a stored cell, for reports that say how sure their figures are."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import Damaged
from bench.records.outcomes import Outcomes, OutcomesOf
from bench.store.store import Store

_NAME = "predictions.safetensors"
_VICTIMS = 64  # kept in memory; the cells of one are asked for one after the other


def outcomes(store: Store, damaged: Callable[[Damaged], object]) -> OutcomesOf:
    """A function from the keys of a cell and of its victim to what became of every test image.

    It gives None for what is not in the store, and for a damaged file; for that, ``damaged`` is called first.
    """

    @lru_cache(_VICTIMS)
    def of_victim(key: str) -> dict[str, NDArray[Any]] | None:
        try:
            return _victim(store.arrays("victims", key, _NAME)) if store.has("victims", key) else None
        except Damaged as error:
            damaged(error)
            return None

    def of_cell(key: str, victim_key: str) -> Outcomes | None:
        victim = of_victim(victim_key)
        if victim is None or not store.has("cells", key):
            return None
        try:
            found = store.arrays("cells", key, _NAME)
        except Damaged as error:
            damaged(error)
            return None
        if len(found["clean_logits"]) != len(victim["labels"]):
            return None  # bench measure says what is wrong with it
        after = _answers(found, victim["labels"], victim["targets"])
        kept = {name: victim[name] for name in ("of_target", "eligible")}
        return Outcomes.of({**after, **kept, **{name: victim[name] for name in victim if name.endswith("_before")}})

    return of_cell


def _victim(found: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What all cells of a victim share, and its labels and targets."""
    labels, targets = found["labels"], found["targets"]
    eligible = targets != labels
    before = {f"{name}_before": mask for name, mask in _answers(found, labels, targets).items()}
    shared = {"of_target": np.isin(labels, targets[eligible]), "eligible": eligible}
    return {"labels": labels, "targets": targets, **shared, **before}


def _answers(found: dict[str, NDArray[Any]], labels: NDArray[Any], targets: NDArray[Any]) -> dict[str, NDArray[Any]]:
    clean, triggered = (found[f"{part}_logits"].argmax(1) for part in ("clean", "triggered"))
    return {"right": clean == labels, "hit": triggered == targets, "robust": triggered == labels}
