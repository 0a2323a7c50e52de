"""What stands under one heading is one thing: one plugin with one set of parameters and one code.

Records say which plugins made them by name, parameters and the fingerprint of the code, and which victim was defended.
Where records under one heading differ in these, only those that agree with the newest are compared; the others are left
out and counted.
"""

from functools import lru_cache
from typing import Any

import pandas as pd

from bench.reports.diagnostics import texts

KINDS = ("dataset", "model", "attack", "defense")
OTHER_PLUGIN, OTHER_PARAMETERS, OTHER_CODE = "another plugin", "other parameters", "other code"
OTHER_VICTIM = "another victim"


def agreeing(records: pd.DataFrame, block: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records that may be averaged, and the others with new columns: ``kind`` and ``why``.

    ``block``: the columns that say what is compared at all. A block has one data set and one model, the row of an
    attack one attack, which with one seed has one victim, and the column of a defense one defense. Only done records
    have a code: the others hold no figures. Records whose code was not recorded count as of one code.
    """
    left_out = []
    for kind in KINDS:
        within = {"attack": [*block, "attack_label"], "defense": [*block, "column"]}.get(kind, block)
        why = _differing(records, kind, within)
        left_out.append(records[why != ""].assign(kind=kind, why=why[why != ""]))
        records = records[why == ""]
    why = _of_another_victim(records, [*block, "attack_label", "seed"])
    left_out.append(records[why != ""].assign(kind="attack", why=why[why != ""]))
    records = records[why == ""]
    return records, pd.concat(left_out)


_texts = lru_cache(1000)(texts)  # most records of a frame have the same codes


def left_out_lines(left_out: pd.DataFrame) -> list[str]:
    """A phrase for each plugin and reason: how many records, of what, and why."""
    phrases = []
    for kind in KINDS if len(left_out) else ():
        of_kind = left_out[left_out["kind"] == kind]
        for (label, why), rows in of_kind.groupby([f"{kind}_label", "why"], sort=True):
            count = f"{len(rows)} record{'s' * (len(rows) > 1)}"
            phrases.append(f"{count} of {kind} {label}: {why} than the newest" if why != OTHER_PLUGIN else
                           f"{count} of {kind} {label}: {why} of this name made the newest")  # fmt: skip
    return phrases


def _differing(records: pd.DataFrame, kind: str, within: list[str]) -> "pd.Series[str]":
    """Why each record does not agree with the newest under its heading; "" where it does."""
    why = pd.Series("", index=records.index, dtype=object)
    codes = pd.Series([_texts(text).get(kind, "") for text in records["fingerprints"]], index=records.index)
    codes = codes.where(records["status"] == "done")
    own = records.assign(code=codes)[[*within, kind, f"{kind}_params", "code", "finished", "status"]]
    for _, rows in own.groupby(within, sort=False):
        done = rows[rows["status"] == "done"]
        if rows[kind].nunique() == rows[f"{kind}_params"].nunique() == 1 and done["code"].nunique() < 2:
            continue
        newest = _newest(rows)
        other_code = rows["code"].notna() & (rows["code"] != newest["code"])
        why[rows.index[other_code]] = OTHER_CODE
        why[rows.index[rows[f"{kind}_params"] != newest[f"{kind}_params"]]] = OTHER_PARAMETERS
        why[rows.index[rows[kind] != newest[kind]]] = OTHER_PLUGIN
    return why


def _of_another_victim(records: pd.DataFrame, within: list[str]) -> "pd.Series[str]":
    """``OTHER_VICTIM`` for each record whose victim is not that of the newest under its heading; "" for the others."""
    why = pd.Series("", index=records.index, dtype=object)
    several = records[records.groupby(within, sort=False)["victim_key"].transform("nunique") > 1]
    for _, rows in several.groupby(within, sort=False):
        why[rows.index[rows["victim_key"] != _newest(rows)["victim_key"]]] = OTHER_VICTIM
    return why


def _newest(rows: pd.DataFrame) -> "pd.Series[Any]":
    """The last to finish of the done records, or of all if none is done."""
    done = rows[rows["status"] == "done"]
    return (done if len(done) else rows).sort_values("finished", kind="stable").iloc[-1]
