"""Made-up records with what became of every test image, for reports that say how sure they are."""

import numpy as np
import pandas as pd
from report_frames import record

from bench.records.outcomes import Outcomes

BEFORE = {"right_before": 0.95, "hit_before": 0.97, "robust_before": 0.02}


def images(shares: dict[str, float], before: dict[str, float], seed: int, size: int = 400) -> Outcomes:
    rng = np.random.default_rng(seed)
    found = {name: np.random.default_rng(i).random(size) < share for i, (name, share) in enumerate(before.items())}
    found |= {name: rng.random(size) < share for name, share in shares.items()}
    eligible = np.arange(size) % 10 != 0
    return Outcomes.of({"eligible": eligible, "of_target": ~eligible} | {name: found[name] for name in found})


def with_outcomes(**asr: float) -> tuple[pd.DataFrame, dict[str, Outcomes]]:
    """One attack, one seed, with a defense for each ASR, and what became of its test images."""
    rows, found = [], {}
    for number, (name, share) in enumerate(asr.items()):
        own = images({"right": 0.9, "hit": share, "robust": 0.5}, BEFORE, 10 + number)
        chosen = own["eligible"] > 0
        acc, acc_before = own["right"].mean(), own["right_before"].mean()
        figures = {part: own[mask][chosen].mean() for part, mask in (("asr", "hit"), ("asr_before", "hit_before"))}
        der = (figures["asr_before"] - figures["asr"] - max(0, acc_before - acc) + 1) / 2
        changed = {"acc": acc, "acc_before": acc_before, "der": der, "n_test": 400, "n_triggered": 360, **figures}
        rows.append(record("blend", "bna", 0, **changed) | {"defense": name, "defense_label": name, "key": name})
        found[name] = own
    return pd.DataFrame(rows), found
