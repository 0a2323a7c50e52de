"""The † of a victim as soon as it can be told, while a run goes on: its cells may still be to come."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from bench.cell.measure import measure_victim
from bench.cell.validity import doubts
from bench.plan import identity
from bench.plan.stages import NaturalStage, Stage, VictimStage
from bench.records import Record
from bench.store.store import Store


def measured(stage: Stage, store: Store) -> dict[str, Any]:
    """What was measured of a stage that is in the store, by the name of a record's column; {} where it cannot be read.

    Of a victim what its verdict is derived from, of a cell ACC, ASR, RA and DER.
    """
    try:
        if isinstance(stage, VictimStage):
            return measure_victim(stage.key, store)
        if isinstance(stage, NaturalStage):
            return {"asr_benign": store.natural(stage.key).asr}
        record = store.record(stage.key)
        return {} if record is None else {name: getattr(record, name) for name in ("acc", "asr", "ra", "der")}
    except Exception:  # it is only told to a person; whoever needs it will say what is wrong
        return {}


class Verdicts:
    """Says once of every victim that a run makes whether its attack did not work. ``pairs``: with their benign victims.

    A victim is judged when its benign counterpart is known, and again when that has seen its triggers.
    """

    def __init__(self, pairs: Iterable[NaturalStage], to_make: Iterable[VictimStage], store: Store) -> None:
        self._pairs = {pair.victim.key: pair for pair in pairs}
        self._waiting_for = {victim.key for victim in to_make}
        self._store = store
        self._victims: dict[str, tuple[VictimStage, dict[str, Any]]] = {}  # made by this run, and not in doubt yet
        self._benign: dict[str, dict[str, Any]] = {}

    def learn(self, stage: Stage, columns: Mapping[str, Any]) -> list[str]:
        """A stage is over; ``columns`` is what was measured of it, nothing if it has failed. Lines to be told."""
        if isinstance(stage, NaturalStage):
            if stage.victim.key not in self._victims:
                return []
            victim, known = self._victims[stage.victim.key]
            self._victims[victim.key] = victim, {**known, **columns}
            return self._judged([victim.key])
        if not isinstance(stage, VictimStage):
            return []
        self._waiting_for.discard(stage.key)
        if columns:
            self._victims[stage.key] = stage, dict(columns)
            self._benign[stage.key] = dict(columns)
        ready = [key for key, pair in self._pairs.items() if pair.benign.key == stage.key]
        return self._judged([stage.key, *ready])

    def _judged(self, keys: list[str]) -> list[str]:
        lines = []
        for key in keys:
            if key not in self._victims:
                continue
            victim, known = self._victims[key]
            pair = self._pairs.get(key)
            if pair is not None and pair.benign.key in self._waiting_for:
                continue
            benign = self._columns_of(pair.benign) if pair is not None else {}
            if reasons := _reasons(victim, known, benign):
                del self._victims[key]
                lines.append(f"† {victim.title}: the attack did not work: {'; '.join(reasons)}")
        return lines

    def _columns_of(self, benign: VictimStage) -> dict[str, Any]:
        if benign.key not in self._benign:
            self._benign[benign.key] = measured(benign, self._store)
        return self._benign[benign.key]


def _reasons(victim: VictimStage, known: Mapping[str, Any], benign: Mapping[str, Any]) -> list[str]:
    def record(columns: Mapping[str, Any]) -> Record:
        parameters = identity.canonical(victim.attack.identity["parameters"])
        acc_benign = benign.get("acc_before", math.nan)
        return Record.model_construct(**{**columns, "attack_params": parameters, "acc_benign": acc_benign})

    return doubts(record(known), [record(benign)] if benign else [])
