"""Records as this package reads them: every column there, the latest record of a cell and seed, and its place.

A *block* is what may be compared: one data set, model, profile and recipe. Within it a cell's row is its
attack and its column is its defense; the same defense under two budgets makes two columns.
"""

import json
import re
from typing import Any

import pandas as pd

ORACLE = " (oracle)"
BLOCK = ["dataset_label", "model_label", "profile", "recipe"]
METRICS = ["acc", "asr", "ra", "der"]
STEALTH = ["psnr", "ssim", "l0", "l2", "linf"]
COSTS = ["train_seconds", "defense_seconds", "inference_seconds", "ms_per_sample", "ms_per_sample_before"]
NUMBERS = [
    *METRICS,
    "acc_target",
    "acc_before",
    "asr_before",
    "ra_before",
    "acc_target_before",
    "auroc",
    "tpr",
    "fpr",
    "acc_benign",
    *STEALTH,
    *COSTS,
    "peak_memory_mb",
    "n_train",
    "n_poisoned",
]
TEXTS = ["dataset", "model", "attack", "defense", "profile", "recipe", "knowledge", "reason", "finished", "targets"]
TEXTS += ["doubt", "diagnostics", "packages", "device", "code_version", "commit", "started"]


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of ``frame``, one row a cell and seed, with every column that the tables and figures read.

    Numbers are float64 (NaN where there is none), texts are strings ("" where there is none). Of several
    records of one cell and seed the last to finish stays. ``column`` is the defense's heading; ``valid`` is False
    for every row of a victim that one of its records calls invalid.
    """
    out = frame.reset_index(drop=True).copy()
    for name in NUMBERS:
        out[name] = pd.to_numeric(_column(out, name), errors="coerce").astype("float64")
    for name in TEXTS:
        out[name] = _texts(_column(out, name))
    for name in ("dataset", "model", "attack", "defense"):
        label = _texts(_column(out, f"{name}_label"))
        out[f"{name}_label"] = label.where(label != "", out[name])
    status = _texts(_column(out, "status"))
    out["status"] = status.where(status != "", "done")
    out["seed"] = pd.to_numeric(_column(out, "seed"), errors="coerce").fillna(0).astype("int64")
    out["valid"] = [value != False for value in _column(out, "valid")]  # noqa: E712  what was not judged counts
    out["oracle"] = [bool(value == True) for value in _column(out, "oracle")]  # noqa: E712
    out["column"] = _headings(out)
    out = out.sort_values("finished", kind="stable")
    out = out.drop_duplicates([*BLOCK, "attack_label", "column", "seed"], keep="last").sort_index()
    out["valid"] = out.groupby([*BLOCK, "attack_label", "seed"])["valid"].transform("all").astype(bool)
    return out


def natural(label: str) -> list[tuple[int, float, str]]:
    """A sorting key under which a[x=2] stands before a[x=10]."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return [(0, float(part), "") if place % 2 else (1, 0.0, part) for place, part in enumerate(parts)]


def ordered(rows: pd.DataFrame, label: str, kind: str) -> list[str]:
    """The different values of ``label``: first the control's, whose ``kind`` is "none", oracles last, by name."""
    control = set(rows.loc[rows[kind] == "none", label])
    return sorted(
        rows[label].unique(), key=lambda value: (value not in control, value.endswith(ORACLE), natural(value))
    )


def parsed(text: str, default: Any) -> Any:
    """What the JSON ``text`` holds; ``default`` where it is empty, broken or of another type."""
    try:
        value = json.loads(text)
    except ValueError:
        return default
    return value if isinstance(value, type(default)) else default


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    return frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)


def _texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = [value if isinstance(value, str) else "" if pd.isna(value) else str(value) for value in column.tolist()]
    return pd.Series(texts, index=column.index, dtype=object)


def _headings(frame: pd.DataFrame) -> "pd.Series[Any]":
    """The defense's label; with what it knows where a block holds it under several budgets."""
    heading = frame["defense_label"].copy()
    for _, rows in frame.groupby([*BLOCK, "defense_label"], sort=False):
        known = rows["knowledge"]
        if len(set(known) - {""}) > 1 and (rows["defense"] != "none").all():
            heading[rows.index] = [
                f"{name} ({what or '?'})" for name, what in zip(rows["defense_label"], known, strict=True)
            ]
    return heading.where(~frame["oracle"], heading + ORACLE)
