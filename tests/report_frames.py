"""Made-up frames of records for the tests of reports."""

import json
from io import StringIO
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.reports.blocks import blocks
from bench.reports.sections import Section, section

ATTACKS = ["none", "badnets", "blend", "sig", "wanet"]
DEFENSES = ["none", "tac[beta=1.0]", "bna", "fire", "fine_pruning"]
HOSTILE = "<script>alert(1)</script> 50 % & _x_ \\ | `a` [red]"
KNOWLEDGE = {"none": "nothing", "fire": "200 clean + 64 suspected"}
MEASURED = ["acc", "acc_target", "asr", "ra", "der", "auroc", "tpr", "fpr", "tpr_assigned", "fpr_assigned"]
PICTURES = {  # by the victim's key
    "sig-0": (np.full((4, 28, 28), 0.2), np.full((4, 28, 28), 0.3)),
    "wanet-0": (np.zeros((2, 32, 32, 3)), np.ones((2, 32, 32, 3))),
}
_ALIKE = {  # in every record
    "dataset": "mnist5k",
    "model": "resnet18",
    "dataset_label": "mnist5k",
    "model_label": "resnet18[width=16]",
    "recipe": '{"epochs": 6}',
    "profile": "quick",
    "reference": 200,
    "suspects": 64,
    "status": "done",
    "reason": None,
    "n_train": 4000,
    "n_test": 1000,
    "train_seconds": 35.0,
    "inference_seconds": 0.4,
    "ms_per_sample": 0.3,
    "ms_per_sample_before": 0.2,
    "peak_memory_mb": 512.0,
    "device": "cpu",
    "threads": 1,
    "base_rate": 0.004,
    "ms_added": 0.1,
    "ms_added_spread": 0.02,
    "code_version": "0.1.0",
    "commit": "0123abc",
    "dirty": False,
    "packages": '{"torch": "2.11.0", "numpy": "2.4.6"}',
    "started": "2026-01-01T00:00:00+00:00",
}


def record(attack: str, defense: str, seed: int, **changed: Any) -> dict[str, Any]:
    """One made-up record; ``changed`` replaces columns."""
    name = defense.split("[")[0]
    row = _ALIKE | {
        "key": f"{attack}-{defense}-{seed}",
        "victim_key": f"{attack}-{seed}",
        "attack": attack,
        "defense": name,
        "attack_label": "badnets[poisoning_rate=0.05]" if attack == "badnets" else attack,
        "defense_label": defense,
        "seed": seed,
        "knowledge": KNOWLEDGE.get(name, "200 clean"),
        "targets": "[0]",
        "finished": f"2026-01-01T00:0{seed}:30+00:00",
    }
    row |= _measured(attack, defense, seed)
    if attack == "none":
        row |= dict.fromkeys(["asr", "ra", "der", "asr_before", "ra_before"], np.nan) | {"targets": "[]"}
    row |= changed
    if row["status"] != "done":
        row |= dict.fromkeys(MEASURED, np.nan) | {"diagnostics": "{}", "identified": ""}
    return row


def _measured(attack: str, defense: str, seed: int) -> dict[str, Any]:
    """Random but repeatable results: of a victim the same before every defense."""
    draw = np.random.default_rng([ATTACKS.index(attack), DEFENSES.index(defense), seed])
    victim = np.random.default_rng([ATTACKS.index(attack), seed])
    before = {"acc": 0.98 + 0.01 * victim.random(), "asr": 0.9 + 0.1 * victim.random(), "ra": 0.1 * victim.random()}
    after = {"acc": 0.9 + 0.09 * draw.random(), "asr": 0.6 * draw.random() ** 3, "ra": 0.5 + 0.45 * draw.random()}
    if defense == "none":
        after = dict(before)
    values = draw.normal(1, 0.1, 10)
    values[0] = 0.3
    statistic = {"name": "norm of the minimal perturbation", "values": values.tolist(), "flagged": [0]}
    detection = (0.97, 0.9, 0.05, 0.95, 0.5) if defense == "fire" else (np.nan,) * 5
    looks = defense.startswith(("tac", "bna"))
    return {
        **after,
        "der": (max(0, before["asr"] - after["asr"]) - max(0, before["acc"] - after["acc"]) + 1) / 2,
        "acc_target": after["acc"] - 0.01,
        "acc_target_before": before["acc"],
        **{f"{metric}_before": value for metric, value in before.items()},
        **dict(zip(MEASURED[5:], detection, strict=True)),
        "defense_seconds": 2.5 * draw.random(),
        "identified": ("none" if attack == "none" else "right") if looks else "",
        "diagnostics": json.dumps({"class_statistic": statistic}) if looks else "{}",
    }


def grid(seeds: int) -> pd.DataFrame:
    """Every attack against every defense, with three cells that are not done and, over seeds, one partly done."""
    rows = []
    for attack, defense, seed in product(ATTACKS, DEFENSES, range(seeds)):
        changed: dict[str, Any] = {}
        if (attack, defense) == ("sig", "fire"):
            changed = {"status": "failed", "reason": HOSTILE}
        if (attack, defense) == ("wanet", "fine_pruning"):
            changed = {"status": "timeout", "reason": "stopped after 60 s"}
        if (attack, defense) == ("none", "fire"):
            changed = {"status": "not-applicable", "reason": "no suspected images without an attack"}
        if (attack, defense, seed) == ("blend", "bna", 2):
            changed = {"status": "failed", "reason": "LinAlgError: did not converge"}
        rows.append(record(attack, defense, seed, **changed))
    return pd.DataFrame(rows)


def small() -> pd.DataFrame:
    """Two attacks against two defenses and the control, one of the cells failed."""
    frame = grid(1)
    return frame[frame["attack"].isin(["sig", "wanet"]) & frame["defense"].isin(["none", "bna", "fire"])]


def one_attack(**der: float) -> pd.DataFrame:
    """One attack, one seed: the DER of each defense."""
    ders = {"none": 0.99, **der}
    rows = [record("blend", "none", 0) | {"defense": name, "defense_label": name, "der": ders[name]} for name in ders]
    return pd.DataFrame(rows)


def with_logs() -> pd.DataFrame:
    """``one_attack`` against the defenses a and b with three seeds; a says one thing with two seeds, b nothing.

    With the last seed a also says something that is hostile to every format.
    """
    frame = pd.concat([one_attack(a=0.9, b=0.8).assign(seed=seed, log="") for seed in range(3)], ignore_index=True)
    frame.loc[(frame["defense"] == "a") & (frame["seed"] == 0), "log"] = "left as it is"
    frame.loc[(frame["defense"] == "a") & (frame["seed"] == 2), "log"] = f"{HOSTILE}\nleft as it is"
    return frame


def sections(frame: pd.DataFrame) -> list[Section]:
    """What the formats lay out, of every block of ``frame``."""
    return [section(block) for block in blocks(frame)]


def printed(tables: list[Table], width: int) -> list[str]:
    """The lines that a console of this width prints, with no colours."""
    buffer = StringIO()
    console = Console(file=buffer, width=width, no_color=True)
    for table in tables:
        console.print(table)
    return buffer.getvalue().splitlines()
