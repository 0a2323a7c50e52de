"""Make a cell: defend a victim from the store, predict, and measure."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.cell import reference
from bench.cell.apart.defender import Assignment, DefenderApart
from bench.cell.defender import Defender, DefenderHere, Report
from bench.cell.diagnostics import compare_with_truth
from bench.cell.loaded import LoadedVictim
from bench.cell.measure import measure
from bench.cell.predict import ask_again, predict
from bench.cell.reference import DefenseInputs
from bench.cell.workshop import Workshop
from bench.plan import identity
from bench.plan.stages import CellStage, ImportedVictim, applied_by
from bench.plugin.values import Context
from bench.provenance import now
from bench.records import LogLines, Record, notes
from bench.store.schema import NETWORK
from bench.toolbox.inference import Precision

_SLOW_TO_LOAD = ("torchvision", "timm")


def make_cell(stage: CellStage, workshop: Workshop) -> LogLines:
    """Defend, predict and measure, and put the cell into the store. Returns what the defense logged."""
    started, log = now(), LogLines()
    facts = workshop.store.facts(stage.victim.key)  # fingerprints of when the victim was made
    victim = LoadedVictim.read(stage.victim, workshop)
    with _defender(stage, victim, facts.precision, log) as defender:
        answered = _victims_own if defender.changes_nothing else _asked
        predictions, report = answered(stage, victim, defender)
        kept = _network(defender, workshop)
    asked = 2 * len(victim.test)
    record = Record(
        **stage.columns,
        **measure(stage.victim.key, workshop.store, predictions, report.diagnostics, defender.detects_only),
        status="done",
        controls="" if isinstance(stage.victim, ImportedVictim) else victim.attack.controls,
        defense_seconds=report.defending,
        inference_seconds=report.answering,
        ms_per_sample=facts.ms_per_sample if defender.changes_nothing else 1000 * report.answering / asked,
        ms_added=report.ms_added,
        ms_added_spread=report.ms_added_spread,
        peak_memory_mb=report.peak_mb,
        started=started,
        finished=now(),
        log=log.text,
        fingerprints=json.dumps({**facts.fingerprints, "defense": defender.fingerprint}, sort_keys=True),
        diagnostics=notes.to_json(report.diagnostics),
        **workshop.maker.columns(),
    )
    files = {"predictions.safetensors": predictions, "record.json": record.to_json(), **kept}
    workshop.store.write("cells", stage.key, files)
    workshop.store.forget("failures", stage.key)
    return log


def _network(defender: Defender, workshop: Workshop) -> dict[str, dict[str, Tensor]]:
    """The repaired network as a file of the cell, if it is to be kept and is another than the victim's."""
    if not workshop.keep_networks or defender.changes_nothing:
        return {}
    tensors = defender.repaired()
    return {NETWORK: tensors} if tensors else {}


def _asked(stage: CellStage, victim: LoadedVictim, defender: Defender) -> tuple[dict[str, Tensor], Report]:
    """What the defense predicts, by name, and what it has cost and noted."""
    test, classes, stream = victim.test_set(), victim.dataset.spec.classes, None
    if defender.learns_from_stream:
        stream = _stream(stage, victim, 2 * len(test))
    predictions = predict(defender, test, stream, classes=classes, compared=defender.compared)
    report = defender.report()
    if stream is None:
        ask_again(defender, test, predictions, classes=classes)
    compare_with_truth(report.diagnostics, victim.workshop.victim(stage.victim), test, predictions, stream)
    return predictions, report


def _victims_own(stage: CellStage, victim: LoadedVictim, defender: Defender) -> tuple[dict[str, Tensor], Report]:
    """The victim's predictions as they are stored, for a defense that changes nothing: nothing is computed again."""
    stored = victim.workshop.store.tensors("victims", stage.victim.key, "predictions.safetensors")
    return {name: value for name, value in stored.items() if name not in ("labels", "targets")}, defender.report()


@contextmanager
def _defender(stage: CellStage, victim: LoadedVictim, precision: Precision, log: LogLines) -> Iterator[Defender]:
    """The cell's defense, ready to answer: here, or in a process of its own if its code is foreign."""
    workshop = victim.workshop
    context = Context(
        workshop.device, workshop.generator(stage.key, "defense"), progress=workshop.progress, log=log.append
    )
    known = reference.known(stage, victim, context.log)
    if workshop.defense_process is None or not stage.defense.foreign or stage.oracle:
        inputs = DefenseInputs(victim.network(), known, context, lambda: reference.secret(stage, victim), precision)
        fingerprint = workshop.registry.fingerprint("defense", stage.defense.name)
        yield DefenderHere(workshop.plugin(stage.defense), inputs, fingerprint)
        return
    model, spec = stage.victim.model, victim.dataset.spec
    weights, device = workshop.victim(stage.victim).state_dict(), str(workshop.device)
    seed = identity.seed(stage.key, "defense")
    assignment = Assignment(
        workshop.registry.files,
        model,
        spec,
        weights,
        stage.defense,
        known,
        seed,
        device,
        precision,
        applied_by(stage.victim),
    )
    modules = [] if model.foreign else [workshop.registry.entry("model", model.name).module]
    modules += [name for name in _SLOW_TO_LOAD if name in sys.modules]  # this process has built the network with them
    with workshop.defense_process(modules) as process:
        yield DefenderApart(process, assignment, context)


def _stream(stage: CellStage, victim: LoadedVictim, count: int) -> Tensor:
    """The order (``count``,) in which the inputs pass a guard that learns from them, one by one."""
    generator = victim.workshop.generator(stage.key, "stream")
    return torch.randperm(count, generator=generator, device=generator.device)
