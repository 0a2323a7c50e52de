"""Reports: what the tables say, and that nothing in a record can break or mislead them."""

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

ATTACKS = ["none", "badnets", "blend", "sig", "wanet"]
DEFENSES = ["none", "tac[beta=1.0]", "bna", "fire", "fine_pruning"]
HOSTILE = "<script>alert(1)</script> 50 % & _x_ \\ | `a` [red]"
KNOWLEDGE = {"none": "nothing", "fire": "200 clean + 64 suspected"}


def record(attack: str, defense: str, seed: int, **changed: Any) -> dict[str, Any]:
    """One made-up record; ``changed`` replaces columns."""
    draw = np.random.default_rng([ATTACKS.index(attack), DEFENSES.index(defense), seed])
    victim = np.random.default_rng([ATTACKS.index(attack), seed])
    before = {"acc": 0.98 + 0.01 * victim.random(), "asr": 0.9 + 0.1 * victim.random(), "ra": 0.1 * victim.random()}
    after = {"acc": 0.9 + 0.09 * draw.random(), "asr": 0.6 * draw.random() ** 3, "ra": 0.5 + 0.45 * draw.random()}
    if defense == "none":
        after = dict(before)
    values = draw.normal(1, 0.1, 10)
    values[0] = 0.3
    fall_asr, fall_acc = before["asr"] - after["asr"], before["acc"] - after["acc"]
    der = (max(0, fall_asr) - max(0, fall_acc) + 1) / 2
    statistic = {"name": "norm of the minimal perturbation", "values": values.tolist(), "flagged": [0]}
    name = defense.split("[")[0]
    row: dict[str, Any] = {
        "key": f"{attack}-{defense}-{seed}",
        "victim_key": f"{attack}-{seed}",
        "dataset": "mnist5k",
        "model": "resnet18",
        "attack": attack,
        "defense": name,
        "dataset_label": "mnist5k",
        "model_label": "resnet18[width=16]",
        "attack_label": "badnets[poisoning_rate=0.05]" if attack == "badnets" else attack,
        "defense_label": defense,
        "recipe": '{"epochs": 6}',
        "profile": "quick",
        "seed": seed,
        "reference": 200,
        "suspects": 64,
        "knowledge": KNOWLEDGE.get(name, "200 clean"),
        "status": "done",
        "reason": None,
        **after,
        "der": der,
        "acc_target": after["acc"] - 0.01,
        **{f"{metric}_before": value for metric, value in before.items()},
        "auroc": 0.97 if name == "fire" else np.nan,
        "tpr": 0.9 if name == "fire" else np.nan,
        "fpr": 0.05 if name == "fire" else np.nan,
        "targets": "[0]",
        "n_train": 4000,
        "n_test": 1000,
        "train_seconds": 35.0,
        "defense_seconds": 2.5 * draw.random(),
        "inference_seconds": 0.4,
        "ms_per_sample": 0.3,
        "ms_per_sample_before": 0.2,
        "peak_memory_mb": 512.0,
        "device": "cpu",
        "threads": 1,
        "code_version": "0.1.0",
        "commit": "0123abc",
        "dirty": False,
        "packages": '{"torch": "2.11.0", "numpy": "2.4.6"}',
        "started": "2026-01-01T00:00:00+00:00",
        "finished": f"2026-01-01T00:0{seed}:30+00:00",
        "diagnostics": json.dumps({"class_statistic": statistic}) if name in ("tac", "bna") else "{}",
    }
    if attack == "none":
        row |= dict.fromkeys(["asr", "ra", "der", "asr_before", "ra_before"], np.nan) | {"targets": "[]"}
    row |= changed
    if row["status"] != "done":
        row |= dict.fromkeys(["acc", "asr", "ra", "der", "auroc", "tpr", "fpr"], np.nan) | {"diagnostics": "{}"}
    return row


def grid(seeds: int) -> pd.DataFrame:
    """Every attack against every defense, with three cells that are not done and, over seeds, one half done."""
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
