"""Make a cell: defend a victim from the store, predict, and measure."""

import json
from typing import Any

from bench.cell import oracle, reference, repair, runtime
from bench.cell.diagnostics import compare_with_truth
from bench.cell.loaded import LoadedVictim
from bench.cell.measure import measure, predict
from bench.cell.meter import Meter
from bench.cell.reference import DefenseInputs
from bench.cell.stream import stream_order
from bench.cell.workshop import Workshop
from bench.plan.stages import CellStage
from bench.plugin.defense import Defense, Guard
from bench.plugin.oracle import Oracle
from bench.plugin.repair import Repair
from bench.plugin.runtime import Runtime
from bench.plugin.values import Context
from bench.provenance import now
from bench.records import LogLines, Record, notes

_KINDS: dict[type[Defense], Any] = {Repair: repair, Runtime: runtime, Oracle: oracle}  # and the module that runs each


def make_cell(stage: CellStage, workshop: Workshop) -> LogLines:
    """Defend, predict and measure, and put the cell into the store. Returns what the defense logged."""
    started, log, fingerprints = now(), LogLines(), _fingerprints(stage, workshop)
    victim = LoadedVictim.read(stage.victim, workshop)
    defense: Defense = workshop.plugin(stage.defense)
    context = Context(
        workshop.device, workshop.generator(stage.key, "defense"), progress=workshop.progress, log=log.append
    )
    known = reference.known(stage, victim)
    inputs = DefenseInputs(victim.network(), known, context, lambda: reference.secret(stage, victim))
    with Meter(workshop.device) as defending:
        guard = _guard(defense, inputs)
    test = victim.test_set()
    stream = stream_order(defense, 2 * len(test), workshop.generator(stage.key, "stream"))
    classes = victim.dataset.spec.classes
    with Meter(workshop.device) as inference:
        predictions = predict(guard, test.originals.floats, test.images, stream, classes=classes)
    noted = notes.of_plugin(context.diagnostics, f"defense {defense.name!r}")
    compare_with_truth(noted, workshop.victim(stage.victim), test, predictions, stream)
    record = Record(
        **stage.columns,
        **measure(stage.victim.key, workshop.store, predictions),
        status="done",
        controls=victim.attack.controls,
        defense_seconds=defending.seconds,
        inference_seconds=inference.seconds,
        ms_per_sample=1000 * inference.seconds / (2 * len(test)),
        peak_memory_mb=max(defending.peak_mb, inference.peak_mb),
        started=started,
        finished=now(),
        log=log.text,
        fingerprints=json.dumps(fingerprints, sort_keys=True),
        diagnostics=notes.to_json(noted),
        **workshop.maker.columns(),
    )
    workshop.store.write("cells", stage.key, {"predictions.safetensors": predictions, "record.json": record.to_json()})
    workshop.store.forget("failures", stage.key)
    return log


def _guard(defense: Defense, inputs: DefenseInputs) -> Guard:
    for kind, module in _KINDS.items():
        if isinstance(defense, kind):
            guard: Guard = module.guard(defense, inputs)
            return guard
    raise TypeError(f"{defense.name}: expected one of {', '.join(kind.__name__ for kind in _KINDS)}")


def _fingerprints(stage: CellStage, workshop: Workshop) -> dict[str, str]:
    """Fingerprints of the code that made this cell, by kind of plugin: the victim's are those of when it was made."""
    facts = workshop.store.facts(stage.victim.key)
    return {**facts.fingerprints, "defense": workshop.registry.fingerprint("defense", stage.defense.name)}
