"""Defend a victim that is in the store, predict and measure."""

import json
from typing import Any

from bench.cell import oracle, reference, repair, runtime
from bench.cell.diagnostics import compare_with_truth
from bench.cell.loaded import LoadedVictim
from bench.cell.measure import measure, predict
from bench.cell.meter import Meter
from bench.cell.reference import Handed
from bench.cell.workshop import Workshop
from bench.plan.stages import CellStage
from bench.plugin.defense import Defense, Guard
from bench.plugin.oracle import Oracle
from bench.plugin.repair import Repair
from bench.plugin.runtime import Runtime
from bench.plugin.values import Context
from bench.provenance import now
from bench.records import LogLines, Record

_KINDS: dict[type[Defense], Any] = {Repair: repair, Runtime: runtime, Oracle: oracle}  # and what runs each


def make_cell(stage: CellStage, shop: Workshop) -> LogLines:
    """Defend, predict, measure; the record is put into the store. Returns what the defense logged."""
    started, log, code = now(), LogLines(), _fingerprints(stage, shop)
    victim = LoadedVictim.read(stage.victim, shop)
    defense: Defense = shop.plugin(stage.defense)
    context = Context(shop.device, shop.generator(stage.key, "defense"), progress=shop.progress, log=log.append)
    known = reference.known(stage, victim)
    handed = Handed(victim.network(), known, context, lambda: reference.secret(stage, victim))
    with Meter(shop.device) as defending:
        guard = _guard(defense, handed)
    test = victim.test_set()
    stream = runtime.stream_order(defense, 2 * len(test), shop.generator(stage.key, "stream"))
    with Meter(shop.device) as inference:
        after = predict(guard, test.originals.floats, test.images, stream)
    compare_with_truth(context.diagnostics, shop.victim(stage.victim), test, after, stream)
    record = Record(
        **stage.columns,
        **measure(stage.victim.key, shop.store, after),
        status="done",
        defense_seconds=defending.seconds,
        inference_seconds=inference.seconds,
        ms_per_sample=1000 * inference.seconds / (2 * len(test)),
        peak_memory_mb=max(defending.peak_mb, inference.peak_mb),
        started=started,
        finished=now(),
        log=log.text,
        fingerprints=json.dumps(code, sort_keys=True),
        diagnostics=json.dumps(context.diagnostics, default=_plain),
        **shop.maker.columns(),
    )
    shop.store.write("cells", stage.key, {"predictions.safetensors": after, "record.json": record.to_json()})
    shop.store.forget("failures", stage.key)
    return log


def _guard(defense: Defense, handed: Handed) -> Guard:
    for kind, module in _KINDS.items():
        if isinstance(defense, kind):
            guard: Guard = module.guard(defense, handed)
            return guard
    raise TypeError(f"{defense.name}: expected one of {', '.join(kind.__name__ for kind in _KINDS)}")


def _fingerprints(stage: CellStage, shop: Workshop) -> dict[str, str]:
    """The code that made this cell, by kind of plugin: that of the victim as it was when the victim was made."""
    facts = shop.store.facts(stage.victim.key)
    own = shop.registry.fingerprint("defense", stage.defense.name)
    return {**facts.fingerprints, "defense": own}


def _plain(value: Any) -> Any:
    """Tensors and numpy values of a plugin's diagnostics as plain numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
