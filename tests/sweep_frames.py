"""Made-up records of sweeps."""

import json
from typing import Any

import pandas as pd
from report_frames import record

from bench.reports.blocks import blocks
from bench.reports.sweeps import Sweep, sweeps


def trial(attack: str, defense: str, seed: int = 0, *, told: dict[str, Any] | None = None, **changed: Any) -> Any:
    """A record of ``defense`` with the parameters ``told``; its label spells all of them."""
    told = told or {}
    inside = ",".join(f"{name}={value}" for name, value in told.items())
    row = record(attack, "fine_pruning" if defense != "none" else "none", seed, knowledge="clean")
    label = f"{defense}[{inside}]" if inside else defense
    key = f"{attack}-{label}-{seed}"
    return row | {
        "key": key, "defense": defense, "defense_label": label, "defense_params": json.dumps(told),
        "attack_label": attack, "attack_params": "{}", **changed,
    }  # fmt: skip


def swept(rows: list[Any], *names: str) -> list[Sweep]:
    return sweeps(blocks(pd.DataFrame(rows)), names)[0]
