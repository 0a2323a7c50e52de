"""Records as the reports read them: every column present and of one type, one row a cell and seed.

A *block* is what may be compared: one data set, model, profile and recipe. Within a block a cell stands in the row of
its attack and in the column of its defense. The same defense under two budgets has two columns.
"""

import re
from math import inf, nan
from typing import Any

import pandas as pd

from bench.records import printable
from bench.reports.diagnostics import Noted
from bench.reports.identity import KINDS, agreeing, one_a_cell

NO_DEFENSE = "no defense"  # what the undefended network is called
DAGGER = "†"  # behind an attack that had not worked
AVERAGE = "Average"  # heading of the row of means over attacks
ORACLE = " (oracle)"
VALIDATION = " (evaluated on the validation part)"
MEANS = " (table of means)"
STRATIFIED = ", in equal numbers of all classes"
BLOCK = ["dataset_label", "model_label", "profile", "recipe"]
HEADS = {"acc": "ACC", "acc_target": "ACC(t)", "asr": "ASR", "ra": "RA", "der": "DER"}  # the columns of a main table
METRICS = list(HEADS)
RANKED = "der"  # the metric that a reader sees first, if it is shown
LOWER_IS_BETTER = {"asr"}
BEFORE = [name for name in METRICS if name != "der"]  # the metrics of the undefended network
STEALTH = ["psnr", "ssim", "l0", "l2", "linf"]
DETECTION = ["auroc", "average_precision", "tpr_at_1_fpr", "tpr", "fpr", "tpr_assigned", "fpr_assigned"]
COSTS = ["train_seconds", "defense_seconds", "inference_seconds", "ms_per_sample", "ms_per_sample_before"]
COSTS += ["ms_added", "ms_added_spread"]
NUMBERS = [
    *METRICS,
    *(f"{name}_before" for name in BEFORE),
    *DETECTION,
    "base_rate",
    "majority",
    "acc_benign",
    "asr_benign",
    *STEALTH,
    *COSTS,
    "peak_memory_mb",
    "n_train",
    "n_poisoned",
]
COUNTS = ["n_test", "n_triggered", "means_over"]  # of test images; of seeds
TEXTS = ["dataset", "model", "attack", "defense", "profile", "recipe", "knowledge", "reason", "finished", "targets"]
TEXTS += ["doubt", "diagnostics", "log", "victim_log", "packages", "device", "code_version", "commit", "started"]
TEXTS += [
    "key",
    "victim_key",
    "controls",
    "identified",
    "class_names",
    "class_acc_before",
    "fingerprints",
    *(f"{kind}_params" for kind in KINDS),
]
TEXTS += ["titles", "citations", "recipe_params"]
_RAW = {
    "diagnostics",
    "targets",
    "class_names",
    "class_acc_before",
    "packages",
    "fingerprints",
    "titles",
    "citations",
    "recipe_params",
    *(f"{kind}_params" for kind in KINDS),
}  # JSON
_RAW |= {"log", "victim_log", *KINDS}  # several lines each; names, which tell plugins apart


def compared(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records of ``frame`` that may be compared, ``complete``, one a cell and seed, and those that are left out.

    Left out is what ``bench.reports.identity`` says, also where the same cell was computed again by newer code or on a
    newer victim; and of several records of one cell and seed all but the last that is done. valid is False for every
    row of a victim that one of its records calls invalid. A defense that only flags, as one of its records says, has no
    DER.
    """
    cell = [*BLOCK, "attack_label", "column", "seed"]
    out, left_out = agreeing(complete(frame).sort_values("finished", kind="stable"), BLOCK)
    out, repeated = one_a_cell(out.sort_index(), cell)
    left_out, out = pd.concat([left_out, repeated]), out.copy()
    out["valid"] = out.groupby([*BLOCK, "attack_label", "seed"])["valid"].transform("all").astype(bool)
    out["detects_only"] = out.groupby([*BLOCK, "column"])["detects_only"].transform("any").astype(bool)
    out["der"] = out["der"].where(~out["detects_only"])
    return out, left_out


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of ``frame`` with every column that the tables and figures read. What they print is printable.

    The columns of ``NUMBERS`` are float64 (NaN where there is no value) and those of ``TEXTS`` are strings ("" where
    there is none), those of ``COUNTS`` int64 (0), also where ``frame`` lacks the column. seed is int64; valid, oracle
    and detects_only are bool. The new column ``column`` is the heading of the defense's column.
    """
    out = frame.reset_index(drop=True).copy()
    for name in NUMBERS:
        out[name] = pd.to_numeric(_column(out, name), errors="coerce").astype("float64").replace([inf, -inf], nan)
    for name in COUNTS:
        out[name] = pd.to_numeric(_column(out, name), errors="coerce").clip(0, 2**53).fillna(0).astype("int64")
    for name in TEXTS:
        out[name] = _texts(_column(out, name)) if name in _RAW else _printable(_column(out, name))
    of_means = out["means_over"] > 0
    for name in KINDS:  # a table of means knows labels alone, and "{}" in the place of all parameters
        out[f"{name}_params"] = out[f"{name}_params"].where(~of_means, "")
    out["diagnostics"] = pd.Series([Noted(text) for text in out["diagnostics"]], index=out.index, dtype=object)
    for name in KINDS:
        label = _printable(_column(out, f"{name}_label"))
        out[f"{name}_label"] = label.where(label != "", _printable(out[name]))
        out[f"{name}_label"] = _one_label(out, name)
    out["attack_label"] = out["attack_label"].where(out["attack_label"] != AVERAGE, f"{AVERAGE} (attack)")
    out["attack_label"] = out["attack_label"].str.replace(DAGGER, r"\u2020")  # a name of its own is no mark of ours
    out["defense_label"] = out["defense_label"].where(out["defense_label"] != NO_DEFENSE, f"{NO_DEFENSE} (defense)")
    out["dataset_label"] = _block_labels(out)
    out["knowledge"] += _drawn(out)
    status = _printable(_column(out, "status"))
    out["status"] = status.where(status != "", "done")
    out["seed"] = pd.to_numeric(_column(out, "seed"), errors="coerce").fillna(0).astype("int64")
    out["valid"] = [value != False for value in _column(out, "valid")]  # noqa: E712  a victim without a verdict counts
    for name in ("oracle", "detects_only"):
        out[name] = [bool(value == True) for value in _column(out, name)]  # noqa: E712
    out["column"] = _headings(out)
    return out.copy()  # in one piece: it is made of a hundred columns, and what is taken from it would be, too


def natural(label: str) -> list[tuple[int, float, str]]:
    """A sorting key under which a[x=2] stands before a[x=10]."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return [(0, float(part), "") if index % 2 else (1, 0.0, part) for index, part in enumerate(parts)]


def ordered(records: pd.DataFrame, label: str, kind: str) -> list[str]:
    """The distinct values of the column ``label``: those of the control first, oracles last, else by name.

    The control is where the column ``kind`` is "none".
    """
    control = set(records.loc[records[kind] == "none", label])
    return sorted(
        records[label].unique(), key=lambda value: (value not in control, value.endswith(ORACLE), natural(value))
    )


def _column(frame: pd.DataFrame, name: str) -> "pd.Series[Any]":
    return frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)


def _texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    texts = [value if isinstance(value, str) else "" if pd.isna(value) else str(value) for value in column.tolist()]
    return pd.Series(texts, index=column.index, dtype=object)


def _printable(column: "pd.Series[Any]") -> "pd.Series[Any]":
    return _texts(column).map(printable).astype(object)


def _one_label(frame: pd.DataFrame, kind: str) -> "pd.Series[Any]":
    """The label of the newest record with the same parameters: two requests may spell them in two ways, such as a
    preset and its values. A record whose parameters are not known keeps its own."""
    label = frame[f"{kind}_label"].copy()
    told = frame[frame[f"{kind}_params"] != ""].sort_values("finished", kind="stable")
    for _, rows in told.groupby(["profile", kind, f"{kind}_params"], sort=False):
        label[rows.index] = rows[f"{kind}_label"].iloc[-1]
    return label


def _block_labels(frame: pd.DataFrame) -> "pd.Series[Any]":
    """The labels of the data sets, such that figures of other images than the test images make a block.

    So do rows of a table of means where there are records under the same heading: it knows no parameters, no code and
    no seeds, and can neither agree nor disagree with them. A table alone keeps its headings.
    """
    label, of_means = frame["dataset_label"].copy(), frame["means_over"] > 0
    held_out = _texts(_column(frame, "evaluated_on")).map({"validation": VALIDATION}).fillna("")
    by = [held_out, *(frame[name] for name in BLOCK[1:])]
    while (shared := of_means & (~of_means).groupby([label, *by]).transform("any").astype(bool)).any():
        label[shared] += MEANS  # again where a data set is called so
    return label + held_out


def _drawn(frame: pd.DataFrame) -> "pd.Series[Any]":
    """What is added to the knowledge of older records, whose suspects were drawn in another way and have no purity."""
    suspected = frame["knowledge"].str.contains("suspected|pairs", regex=True)
    older = suspected & _column(frame, "suspects_purity").isna() & ("suspects_purity" in frame)
    return older.map({True: STRATIFIED, False: ""})


def _headings(frame: pd.DataFrame) -> "pd.Series[Any]":
    """The defense's label, followed by its budget where a block holds the defense under several."""
    heading = frame["defense_label"].copy()
    counts = [_texts(_column(frame, name)) for name in ("reference", "suspects")]
    budgets = pd.DataFrame(
        {
            "told": frame["knowledge"].where(frame["knowledge"] != "", "?"),
            "counts": counts[0] + " clean, " + counts[1] + " suspected",
        }
    )
    for _, rows in frame.groupby([*BLOCK, "defense_label", "oracle"], sort=False):
        own = budgets.loc[rows.index]
        if len(own.drop_duplicates()) > 1 and (rows["defense"] != "none").all():
            untold = own["told"].nunique() < len(own.drop_duplicates())  # of an oracle, "everything"
            text = own["told"] + (": " + own["counts"] if untold else "")
            heading[rows.index] = rows["defense_label"] + " (" + text + ")"
    return heading.where(~frame["oracle"], heading + ORACLE)
