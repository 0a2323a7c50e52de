"""Whether an attack worked at all: a defense must not be praised for stopping what was never there.

The verdict is derived whenever records are read; a store holds none.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from bench.errors import Damaged
from bench.records import Record
from bench.store.store import Store

MIN_ASR = 0.8  # of the undefended victim; of an all-to-all attack, as a share of its ACC
MAX_ACC_LOSS = 0.05  # of the undefended victim, against the benign one of the same data, model, recipe and seed


def judged_records(store: Store, damaged: Callable[[Damaged], object] | None = None) -> list[Record]:
    """Every record of a store, judged together. ``damaged`` as for ``Store.records``."""
    return judged(store.records(damaged))


def judged_within(store: Store, records: Iterable[Record]) -> list[Record]:
    """Some records of a store, judged by the control rows among them or, where they have none, in the store.

    So a request's table, ``bench report`` and ``bench show`` never disagree. Damaged records of others do not count.
    """
    known = list(records)
    settings = {(_setting(record), record.seed) for record in known}
    if settings <= {(_setting(record), record.seed) for record in known if _is_benign(record)}:
        return judged(known)
    keys = {record.key for record in known}
    others = [record for record in store.records(lambda error: None) if record.key not in keys]
    return judged(known, [record for record in others if _is_benign(record)])


def judged(records: Iterable[Record], others: Iterable[Record] = ()) -> list[Record]:
    """The records with ``valid``, ``doubt`` and ``acc_benign`` filled in, whatever they held before.

    The benign ACC is that of the control row, among ``records`` or ``others``: of the same seed, else the mean over
    its seeds. Without a control row only ASR is judged.
    """
    known = list(records)
    benign: dict[tuple[str, ...], dict[int, float]] = {}
    for record in (*known, *others):
        if _is_benign(record):
            benign.setdefault(_setting(record), {})[record.seed] = record.acc_before
    verdicts: dict[str, dict[str, Any]] = {}  # of a victim: the same for all its cells
    out = []
    for record in known:
        if record.status != "done":
            out.append(record)
            continue
        if record.victim_key not in verdicts:
            verdicts[record.victim_key] = _verdict(record, benign.get(_setting(record), {}))
        out.append(record.model_copy(update=verdicts[record.victim_key]))
    return out


def _is_benign(record: Record) -> bool:
    """Whether this is a finished cell of the control row, whose victim was not attacked."""
    return record.status == "done" and not record.n_triggered


def _verdict(record: Record, benign: dict[int, float]) -> dict[str, Any]:
    mean = sum(benign.values()) / len(benign) if benign else math.nan
    acc_benign = benign.get(record.seed, mean)
    found = doubts(record, acc_benign)
    return {"acc_benign": acc_benign, "valid": not found, "doubt": "; ".join(found) if found else None}


def doubts(record: Record, acc_benign: float = math.nan) -> list[str]:
    """Why the victim of a finished cell does not count as attacked, a phrase a reason; none for the control row."""
    if not record.n_triggered:
        return []
    found = []
    relative = json.loads(record.attack_params).get("label_map") == "all-to-all"
    bound = MIN_ASR * (record.acc_before if relative else 1)
    if not record.asr_before >= bound:
        found.append(f"ASR {record.asr_before:.1%} is below {bound:.1%}")
    if acc_benign - record.acc_before > MAX_ACC_LOSS:
        found.append(f"ACC {record.acc_before:.1%} is more than {MAX_ACC_LOSS:.0%} below the benign {acc_benign:.1%}")
    return found


def _setting(record: Record) -> tuple[str, ...]:
    return record.dataset, record.dataset_params, record.model, record.model_params, record.recipe
