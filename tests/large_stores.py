"""Stores of many cells that were never computed, with predictions of a few images each: how fast are they read?"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save

from bench.records import Record
from bench.store.store import Store

CLASSES = 10
_FACTS = {
    **{"train_seconds": 1.0, "ms_per_sample": 0.5, "n_train": 4, "n_poisoned": 1, "n_cover": 0, "targets": [0]},
    **{"log": "", "fingerprints": {}, "stealth": {"psnr": 30.0, "ssim": 0.9, "l0": 1.0, "l2": 0.1, "linf": 0.5}},
}  # of a victim, as stage.json has them


def put_all(frame: pd.DataFrame, folder: Path, images: int = 100) -> Store:
    """A store of the cells in ``frame`` and of their victims, each with predictions of so many test images."""
    store, draw = Store(folder), np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, images)
    counts = {"n_test": images, "n_triggered": int((labels != 0).sum())}
    victims: set[str] = set()
    for row in frame.to_dict("records"):
        record = _record(row, counts)
        if record.victim_key not in victims:
            victims.add(record.victim_key)
            store.write("victims", record.victim_key, _victim(draw, labels, counts), durable=False)
        content: dict[str, Any] = {"record.json": record.to_json()}
        failed = record.status in ("failed", "timeout")
        if record.status == "done":
            content["predictions.safetensors"] = save(_predictions(draw, labels))
        if failed:
            content["traceback.txt"] = "made up"
        store.write("failures" if failed else "cells", record.key, content, durable=False)
    return store


def _record(row: dict[str, Any], counts: dict[str, int]) -> Record:
    known = {name: value for name, value in row.items() if name in Record.model_fields and value == value}
    known |= counts | {"dataset_params": "{}", "model_params": "{}", "recipe": "quick"}
    known |= {name: hashlib.sha256(row[name].encode()).hexdigest()[:32] for name in ("key", "victim_key")}
    return Record(**known | ({"n_triggered": 0} if row["attack"] == "none" else {}))


def _victim(draw: np.random.Generator, labels: np.ndarray, counts: dict[str, int]) -> dict[str, Any]:
    pictures = np.zeros((1, 1, 8, 8), np.uint8)
    truth = {"labels": labels, "targets": np.zeros(len(labels), np.int64)}
    return {
        "model.safetensors": save({"weight": np.zeros((2, 2), np.float32)}),
        "learned.safetensors": save({}),
        "pictures.safetensors": save({"clean": pictures, "triggered": pictures}),
        "predictions.safetensors": save(_predictions(draw, labels) | truth),
        "stage.json": json.dumps(_FACTS | counts),
    }


def _predictions(draw: np.random.Generator, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Logits (N, 10): nine of ten clean images are classified right, and half of those with a trigger."""
    found = {}
    for part, share in (("clean", 0.9), ("triggered", 0.5)):
        answers = np.where(draw.random(len(labels)) < share, labels, (labels + 1) % CLASSES)
        logits = draw.normal(size=(len(labels), CLASSES)).astype(np.float32)
        logits[np.arange(len(labels)), answers] = 9
        found[f"{part}_logits"] = logits
    return found
