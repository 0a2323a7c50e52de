"""For tests of what comes from outside: texts that steer a terminal, and records as a file holds them."""

import json
from typing import Any

from bench.records import Record

TEXTS = dict.fromkeys(("dataset_params", "model_params", "attack_params", "defense_params"), "{}")
NAMES = dict.fromkeys(("dataset", "model", "attack", "defense", "profile", "recipe", "knowledge"), "x")
LABELS = {f"{kind}_label": "x" for kind in ("dataset", "model", "attack", "defense")}
PLAIN: dict[str, Any] = {"key": "0" * 32, "victim_key": "1" * 32, "seed": 0, "reference": 1, "suspects": 0}
PLAIN |= {"status": "done", **TEXTS, **NAMES, **LABELS}
STEERING = "\x1b[31m\x07\x00\x9b2J\u202e\u2066\u200b\r\x7f\ud800"


def read(**changed: Any) -> Record:
    """The record in a file that holds these values."""
    return Record.model_validate_json(json.dumps(PLAIN | changed))
