"""Records of cells that were never computed, for tests of what is selected, read and shown."""

import hashlib
import json
from typing import Any

from report_frames import record

from bench.records import Record

KINDS = ("dataset", "model", "attack", "defense")


def cell(attack: str, defense: str, seed: int = 0, **changed: Any) -> Record:
    """A done cell, or what ``changed`` makes of it; labels are ``attack`` and ``defense``, with their parameters."""
    name = defense if defense in ("none", "bna", "fire", "fine_pruning") else "tac[beta=1.0]"
    row = record(attack.split("[")[0], name, seed) | {f"{kind}_params": "{}" for kind in KINDS}
    row |= {"attack_label": attack, "defense": defense.split("[")[0], "defense_label": defense}
    row |= {"recipe": "quick", "n_triggered": 0 if attack == "none" else 900}
    row |= {name: json.dumps(value) if name.endswith("_params") else value for name, value in changed.items()}
    row |= {"key": key_of(attack, defense, seed), "victim_key": key_of(attack, seed)}
    return Record(**{name: value for name, value in row.items() if name in Record.model_fields})


def key_of(*parts: object) -> str:
    """A key that follows from the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]
