"""What stands under one heading is one thing: one plugin with one set of parameters and one code, on the same data.

Records say which plugins made them by name, parameters and the fingerprint of the code, by which recipe the victim was
trained, on how many images of which classes, and which victim was defended. Where records under one heading differ in
these, as they may where they come from several machines, only those that agree with the newest are compared; the others
are left out and counted.
"""

from functools import lru_cache
from typing import Any

import pandas as pd

from bench.records import printable
from bench.reports.diagnostics import texts

KINDS = ("dataset", "model", "attack", "defense")
OTHER_PLUGIN, OTHER_PARAMETERS, OTHER_CODE = "another plugin", "other parameters", "other code"
OTHER_VICTIM, OTHER_TRAINING = "another victim", "another training of the same victim"
OTHER_DATA = "other images or classes"
OTHER_RECIPE = "other values"
OLDER, WITHOUT_RESULT = "older", "without a result"
_BEFORE = ("acc_before", "asr_before", "ra_before")
_ROUNDING = 1e-6  # of a share
_LABELS = {"recipe": "recipe"}  # the columns with the label of a kind that are not KIND_label
_PHRASES = {  # that do not end in "than the newest"
    OTHER_PLUGIN: "another plugin of this name made the newest",
    OLDER: "older than another of the same cell",
    WITHOUT_RESULT: "without a result, and another of the same cell has one",
}
_UNTOLD = ["", "{}"]  # JSON of what is not known


def agreeing(records: pd.DataFrame, block: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The records that may be averaged, and the others with new columns: ``kind`` and ``why``.

    ``block``: the columns that say what is compared at all. A block has one data set and one model, the row of an
    attack one attack, which with one seed has one victim, trained once, and the column of a defense one defense. Only
    done records have a code: the others hold no figures. Records whose code was not recorded count as of one code
    (``untold`` says so), and what older records do not say of their data and recipe as agreeing.
    """
    why = _of_another_recipe(records, block)
    left_out = [records[why != ""].assign(kind="recipe", why=why[why != ""])]
    records = records[why == ""]
    for kind in KINDS:
        within = {"attack": [*block, "attack_label"], "defense": [*block, "column"]}.get(kind, block)
        why = _differing(records, kind, within)
        left_out.append(records[why != ""].assign(kind=kind, why=why[why != ""]))
        records = records[why == ""]
    row = [*block, "attack_label", "seed"]
    for kind, differing, within in (
        ("dataset", _of_other_data, block),
        ("attack", _of_another_victim, row),
        ("attack", _of_another_training, row),
    ):
        why = differing(records, within)
        left_out.append(records[why != ""].assign(kind=kind, why=why[why != ""]))
        records = records[why == ""]
    return records, pd.concat(left_out)


def one_a_cell(records: pd.DataFrame, cell: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One record of each cell, and the others with the columns of ``agreeing``; ``cell``: the columns that name one.

    A done record stays before others, of these the last to finish: a trial that failed takes no result away.
    """
    done = records["status"] == "done"
    in_order = records.assign(done=done).sort_values(["done", "finished"], kind="stable")
    kept = ~in_order.duplicated(cell, keep="last").reindex(records.index)
    has_result = done.groupby([records[name] for name in cell]).transform("any")
    why = (done | ~has_result).map({True: OLDER, False: WITHOUT_RESULT})
    return records[kept], records[~kept].assign(kind="defense", why=why[~kept])


_texts = lru_cache(1000)(texts)  # most records of a frame have the same codes


def left_out_lines(left_out: pd.DataFrame) -> list[str]:
    """A phrase for each plugin and reason: how many records, of what, and why."""
    phrases = []
    for kind in ("recipe", *KINDS) if len(left_out) else ():
        of_kind = left_out[left_out["kind"] == kind]
        for (label, why), rows in of_kind.groupby([_LABELS.get(kind, f"{kind}_label"), "why"], sort=True):
            count = f"{len(rows)} record{'s' * (len(rows) > 1)}"
            phrases.append(f"{count} of {kind} {label}: {_PHRASES.get(str(why), f'{why} than the newest')}")
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


def _of_another_recipe(records: pd.DataFrame, within: list[str]) -> "pd.Series[str]":
    """``OTHER_RECIPE`` for each record whose victim was trained with other values than the newest that tells them."""
    why = pd.Series("", index=records.index, dtype=object)
    known = records[~records["recipe_params"].isin(_UNTOLD)]
    several = known[known.groupby(within, sort=False)["recipe_params"].transform("nunique") > 1]
    for _, rows in several.groupby(within, sort=False):
        why[rows.index[rows["recipe_params"] != _newest(rows)["recipe_params"]]] = OTHER_RECIPE
    return why


def untold(records: pd.DataFrame) -> str:
    """Sentences about what some records do not say, and are taken to agree in; "" where there is nothing to say."""
    return " ".join(filter(None, (_untold_code(records), _untold_recipe(records))))


def _untold_recipe(records: pd.DataFrame) -> str:
    """A sentence where some records do not say with which values of a recipe they were trained, and others do."""
    done = records[records["status"] == "done"]
    silent = done[done["recipe_params"].isin(_UNTOLD)]
    if silent.empty or len(silent) == len(done):
        return ""
    names = ", ".join(sorted(set(silent["recipe"])))
    return f"{len(silent)} records do not say the values of their recipe ({names}); they are taken for the same."


def _untold_code(records: pd.DataFrame) -> str:
    """A sentence where records that do not say by which code they were made are of several commits; else ""."""
    done = records[records["status"] == "done"]
    told = [bool(_texts(text)) for text in done["fingerprints"]]
    commits = sorted({printable(commit[:12]) for commit, known in zip(done["commit"], told, strict=True) if not known})
    if len(commits) < 2:
        return ""
    names = ", ".join(commit or "one that is not known" for commit in commits)
    count = told.count(False)
    return f"{count} records do not say by which code they were made; they are of several commits: {names}."


def _of_other_data(records: pd.DataFrame, within: list[str]) -> "pd.Series[str]":
    """``OTHER_DATA`` for each record whose images or classes are not those of the newest that says what they are.

    That is the number of test images, the number of classes and their names; and, among the rows of one attack, the
    number of training images.
    """
    why = pd.Series("", index=records.index, dtype=object)
    names = records["class_names"].where(~records["class_names"].isin(["", "[]"]))
    accuracies = records["class_acc_before"]
    classes = accuracies.str.count(",").add(1).where(~accuracies.isin(["", "[]"]))
    own = records.assign(names=names, classes=classes)
    for column, headings in (
        ("n_test", within),
        ("names", within),
        ("classes", within),
        ("n_train", [*within, "attack_label"]),
    ):
        known = own[own[column].notna() & (own[column] != 0) & (own["status"] == "done")]
        several = known[known.groupby(headings, sort=False)[column].transform("nunique") > 1]
        for _, rows in several.groupby(headings, sort=False):
            why[rows.index[rows[column] != _newest(rows)[column]]] = OTHER_DATA
    return why


def _of_another_training(records: pd.DataFrame, within: list[str]) -> "pd.Series[str]":
    """``OTHER_TRAINING`` for each record whose undefended network has other figures than the newest of its victim."""
    why = pd.Series("", index=records.index, dtype=object)
    done = records[records["status"] == "done"]
    for column in _BEFORE:
        of_row = done.groupby(within, sort=False)[column]
        apart = done[of_row.transform("max") - of_row.transform("min") > _ROUNDING]
        for _, rows in apart.groupby(within, sort=False):
            newest = _newest(rows[rows[column].notna()])[column]
            why[rows.index[(rows[column] - newest).abs() > _ROUNDING]] = OTHER_TRAINING
    return why


def _newest(rows: pd.DataFrame) -> "pd.Series[Any]":
    """The last to finish of the done records, or of all if none is done."""
    done = rows[rows["status"] == "done"]
    return (done if len(done) else rows).sort_values("finished", kind="stable").iloc[-1]
