"""Made-up frames of records as large, or as small, as a test of figures needs, with notes for every figure."""

import json
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from report_frames import record

GIVEN = ["nothing", "200 clean", "200 clean + 64 suspected", "everything"]
_OF = ["badnets", "blend", "sig", "wanet", "input_aware", "trojannn", "lf", "ssba", "bpp", "adaptive_blend"]
_BY = ["fine_pruning", "ft[lr=0.1]", "nad", "abl", "tac", "bna", "anp[budget=0.4]", "nc", "i_bau", "ft_sam", "rnp"]


def named(names: list[str], count: int) -> list[str]:
    """``count`` labels, all different."""
    return [names[at % len(names)] + (f"[x={at // len(names)}]" if at >= len(names) else "") for at in range(count)]


def large(defenses: int, attacks: int, seeds: int = 1, *, noted: bool = True) -> pd.DataFrame:
    """A row a cell: ``attacks``, of which the first is none, by ``defenses`` in four groups of equal knowledge.

    A few cells are not done, one defense ruins ACC, and with ``noted`` every cell has all notes that are drawn.
    """
    columns = ["none", *named(_BY, defenses)]
    rows = []
    for (a, attack), (d, defense) in product(enumerate(["none", *named(_OF, attacks - 1)]), enumerate(columns)):
        for seed in range(seeds):
            rows.append(_record(a, attack, d, defense, seed, noted, d == len(columns) - 2))
    return pd.DataFrame(rows)


def _record(a: int, attack: str, d: int, defense: str, seed: int, noted: bool, ruined: bool) -> dict[str, Any]:
    draw, victim = np.random.default_rng([a, d, seed]), np.random.default_rng([a, seed])
    before = [0.93 + 0.01 * victim.random(), 0.9 + 0.1 * victim.random(), 0.1 * victim.random()]
    fall = 0.7 if ruined else 0.04 * np.random.default_rng(d).random() + 0.01 * draw.random()
    after = [before[0] - fall, before[1] * draw.random() ** (1 + d % 6), 0.8 * draw.random()]
    if d == 0:
        after = before
    measured = dict(zip(["acc", "asr", "ra"], after, strict=True))
    measured |= dict(zip(["acc_before", "asr_before", "ra_before"], before, strict=True))
    if attack == "none":
        measured |= dict.fromkeys(["asr", "ra", "asr_before", "ra_before"], np.nan)
    group = 0 if d == 0 else min((d - 1) * len(GIVEN) // 26, len(GIVEN) - 1)
    der = (measured["asr_before"] - measured["asr"] - max(0, before[0] - after[0]) + 1) / 2
    changed: dict[str, Any] = {"der": np.nan if attack == "none" or d == 0 else der}
    changed |= {"knowledge": GIVEN[group], "oracle": GIVEN[group] == "everything", "attack_label": attack}
    changed |= {"key": f"{a}-{d}-{seed}", "victim_key": f"{a}-{seed}", "defense": defense.split("[")[0]}
    changed |= {"defense_label": defense, "attack": attack.split("[")[0], "diagnostics": "{}", "identified": ""}
    changed |= {"attack_params": json.dumps({"x": a}), "defense_params": json.dumps({"x": d})}
    if noted and d:
        changed["diagnostics"] = json.dumps(_notes(draw, attack, d))
    if (a * 7 + d * 11) % 97 == 5 and d:
        changed |= {"status": ["failed", "timeout", "not-applicable"][seed % 3], "reason": "made up"}
    return record("blend", "bna", seed) | measured | changed | _nothing(changed)


def _nothing(changed: dict[str, Any]) -> dict[str, Any]:
    """What a cell that is not done lacks."""
    if "status" not in changed:
        return {}
    return dict.fromkeys(["acc", "acc_target", "asr", "ra", "der"], np.nan) | {"diagnostics": "{}"}


def _notes(draw: np.random.Generator, attack: str, d: int) -> dict[str, Any]:
    values = draw.normal(1, 0.1, 10)
    values[0] = 40.0 if d == 3 else 0.3 if attack != "none" else 1
    bins = [np.round(draw.dirichlet(np.ones(30)), 4).tolist() for _ in range(3)]
    histograms = dict(zip(["clean", "triggered", "aligned"], bins, strict=True))
    channel = {"layer": "layer4.1.conv2", "channel": int(draw.integers(512)), "low": -2.0, "width": 0.25} | histograms
    return {
        "class_statistic": {
            "name": "norm of the minimal perturbation",
            "values": np.round(values, 4).tolist(),
            "flagged": [0] if attack != "none" and draw.random() < 0.7 else [],
        },
        "stream_curve": {
            "triggered": list(range(0, 1000, 100)),
            **{name: np.sort(draw.random(10)).round(4).tolist() for name in ("acc", "asr", "ra")},
        },
        "activations": {"0": [channel]},
    }
