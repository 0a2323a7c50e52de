"""The † of the tables: whether an attack worked, because stopping an attack that failed is no merit of a defense.

The verdict is derived whenever records are read. It is never stored.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from bench.errors import Damaged
from bench.records import Record
from bench.store.store import Store

MIN_ASR = 0.8  # of the undefended victim; for an all-to-all attack as a share of the victim's ACC
MAX_ACC_LOSS = 0.05  # of the undefended victim, below the benign one with the same data, model, recipe and seed


def judged_records(store: Store, damaged: Callable[[Damaged], object] | None = None) -> list[Record]:
    """All records of a store with their verdicts. ``damaged``: as for ``Store.records``."""
    return judged(store.records(damaged))


def judged_within(store: Store, records: Iterable[Record]) -> list[Record]:
    """Some of a store's records with their verdicts. Control rows that they lack are read from the store.

    So a request's table, ``bench report`` and ``bench show`` never disagree. Damaged records in the store are ignored.
    """
    given = list(records)
    settings = {(_setting(record), record.seed) for record in given}
    if settings <= {(_setting(record), record.seed) for record in given if _is_benign(record)}:
        return judged(given)
    keys = {record.key for record in given}
    others = [record for record in store.records(lambda error: None) if record.key not in keys]
    return judged(given, [record for record in others if _is_benign(record)])


def judged(records: Iterable[Record], others: Iterable[Record] = ()) -> list[Record]:
    """The records with ``valid``, ``doubt`` and ``acc_benign`` derived anew.

    The benign ACC is taken from the control row of the same seed, among ``records`` and ``others``. If there is none,
    it is the mean over the other seeds of the control row. Without any control row only the ASR is judged. ``others``
    are not returned.
    """
    given = list(records)
    benign: dict[tuple[str, ...], dict[int, float]] = {}
    for record in (*given, *others):
        if _is_benign(record):
            benign.setdefault(_setting(record), {})[record.seed] = record.acc_before
    verdicts: dict[str, dict[str, Any]] = {}  # by the key of the victim
    with_verdict = []
    for record in given:
        if record.status != "done":
            with_verdict.append(record)
            continue
        if record.victim_key not in verdicts:
            verdicts[record.victim_key] = _verdict(record, benign.get(_setting(record), {}))
        with_verdict.append(record.model_copy(update=verdicts[record.victim_key]))
    return with_verdict


def _is_benign(record: Record) -> bool:
    """Whether this is a finished cell of the control row: its victim was not attacked."""
    return record.status == "done" and not record.n_triggered


def _verdict(record: Record, benign: dict[int, float]) -> dict[str, Any]:
    mean = sum(benign.values()) / len(benign) if benign else math.nan
    acc_benign = benign.get(record.seed, mean)
    reasons = doubts(record, acc_benign)
    return {"acc_benign": acc_benign, "valid": not reasons, "doubt": "; ".join(reasons) if reasons else None}


def doubts(record: Record, acc_benign: float = math.nan) -> list[str]:
    """The reasons why the victim of a finished cell does not count as attacked; none for the control row."""
    if not record.n_triggered:
        return []
    reasons = []
    relative = json.loads(record.attack_params).get("label_map") == "all-to-all"
    bound = MIN_ASR * (record.acc_before if relative else 1)
    if not record.asr_before >= bound:
        reasons.append(f"ASR {record.asr_before:.1%} is below {bound:.1%}")
    if acc_benign - record.acc_before > MAX_ACC_LOSS:
        reasons.append(f"ACC {record.acc_before:.1%} is more than {MAX_ACC_LOSS:.0%} below the benign {acc_benign:.1%}")
    return reasons


def _setting(record: Record) -> tuple[str, ...]:
    """What a victim and its benign counterpart have in common, but for the seed."""
    data = record.dataset, record.dataset_params, record.evaluated_on
    return *data, record.model, record.model_params, record.recipe
