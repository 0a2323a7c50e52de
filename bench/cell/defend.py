"""Defend a victim that is in the store, and predict."""

import json
from typing import Any, cast

import torch
from torch import Tensor

from bench import provenance
from bench.cell import backdoors
from bench.cell.diagnostics import shift_agreement, stream_curve
from bench.cell.measure import _now, describe, measure, predict
from bench.cell.meter import Meter
from bench.cell.validity import judged
from bench.cell.victim import _surrogates, attack_context, load_victim
from bench.cell.workshop import Workshop
from bench.plan.stages import CellStage
from bench.plugin.attack import Attack
from bench.plugin.defense import Defense, Oracle, Repair, Runtime
from bench.plugin.images import stratified_order
from bench.plugin.values import Context, Known, LabelledImages, Prediction, Secret
from bench.records import Record

# --- cells -------------------------------------------------------------------------------------------


def make_cell(stage: CellStage, shop: Workshop) -> None:
    """Defend a victim that is in the store, predict, measure; the record is put into the store."""
    started = _now()
    defense = cast(Defense, shop.plugin(stage.defense))
    test = shop.splits(stage.victim.dataset).test
    learned = shop.store.tensors("victims", stage.victim.key, "learned.safetensors")
    learned = {name: value.to(shop.device) for name, value in learned.items()}
    attack = cast(Attack, shop.plugin(stage.victim.attack))
    known = knowledge(stage, shop, attack, learned)
    model = load_victim(stage.victim, shop)
    context = Context(shop.device, shop.generator(stage.key, "defense"), progress=shop.progress)
    with Meter(shop.device) as meter:
        if isinstance(defense, Repair):
            repaired = defense.repair(model, known, context).eval()

            def guard(images: Tensor) -> Prediction:
                return Prediction(repaired(images))
        elif isinstance(defense, Oracle):
            revealed = defense.reveal(model, known, _secret(stage, shop, attack, learned), context).eval()
            guard = lambda images: Prediction(revealed(images))  # noqa: E731
        elif isinstance(defense, Runtime):
            guard = defense.guard(model, known, context)  # type: ignore[assignment]
        else:
            raise TypeError(f"{defense.name}: expected a Repair, a Runtime or an Oracle")
    which = backdoors.deal(attack, len(test), shop.generator(stage.victim.key, "deal"))
    triggered = backdoors.triggered(attack, test, which, attack_context(stage.victim, shop, learned))
    stream = None
    if isinstance(defense, Runtime) and defense.learns_from_stream:
        stream = torch.randperm(2 * len(test), generator=shop.generator(stage.key, "stream"), device=shop.device)
    with Meter(shop.device) as inference:
        after = predict(guard, test.floats, triggered, stream)
    targets = backdoors.targets(attack, test.labels, which)
    if stream is not None:
        context.diagnostics["stream_curve"] = stream_curve(after, test.labels, targets, stream)
    if shifts := context.diagnostics.get("latent_shifts"):
        context.diagnostics["shift_truth"] = shift_agreement(
            shifts, load_victim(stage.victim, shop), test, triggered, targets
        )
    record = Record(
        **describe(stage),
        **measure(stage, shop.store, after),
        status="done",
        defense_seconds=meter.seconds,
        inference_seconds=inference.seconds,
        ms_per_sample=1000 * inference.seconds / (len(test) + len(triggered)),
        peak_memory_mb=max(meter.peak_mb, inference.peak_mb),
        started=started,
        finished=_now(),
        diagnostics=json.dumps(context.diagnostics, default=_plain),
        **provenance.columns(*shop.worker),
    )
    [record] = judged([record])
    shop.store.write(
        "cells", stage.key, {"predictions.safetensors": after, "record.json": record.model_dump_json(indent=1)}
    )
    shop.store.forget("failures", stage.key)


def knowledge(stage: CellStage, shop: Workshop, attack: Attack, learned: dict[str, Tensor]) -> Known:
    """What the defender of this cell is given: drawn from the clean training images, never from the test set.

    Suspected images are further images of the split, of classes that the trigger leads elsewhere, with the trigger.
    """
    clean = _reference_split(stage, shop)[0] if stage.reference else None
    if not stage.suspects:
        return Known(clean)
    originals, suspects, _ = _with_trigger(stage, shop, attack, learned, stage.suspects)
    return Known(clean, suspects, originals.floats if stage.pairs else None)


def _reference_split(stage: CellStage, shop: Workshop) -> tuple[LabelledImages, LabelledImages]:
    """The clean reference images, and the rest of the training set in the order of the split."""
    train_set = shop.splits(stage.victim.dataset).train
    order = stratified_order(train_set.labels, shop.generator(stage.victim.data_key, "reference"))
    return train_set.at(order[: stage.reference]), train_set.at(order[stage.reference :])


def _with_trigger(
    stage: CellStage, shop: Workshop, attack: Attack, learned: dict[str, Tensor], count: int
) -> tuple[LabelledImages, Tensor, Tensor]:
    """At most ``count`` images beside the reference set that the trigger leads elsewhere: clean, triggered, targets.

    The control row leads none anywhere: there they are any images, and false alarms if somebody suspects them.
    """
    _, rest = _reference_split(stage, shop)
    which = backdoors.deal(attack, len(rest), shop.generator(stage.victim.key, "suspects"))
    targets = backdoors.targets(attack, rest.labels, which)
    if bool((targets != rest.labels).any()):
        chosen = (targets != rest.labels).nonzero()[:count, 0]
    else:
        chosen = torch.arange(min(count, len(rest)), device=rest.labels.device)
    originals = rest.at(chosen)
    triggered = backdoors.triggered(attack, originals, which[chosen], attack_context(stage.victim, shop, learned))
    return originals, triggered, targets[chosen]


def _secret(stage: CellStage, shop: Workshop, attack: Attack, learned: dict[str, Tensor]) -> Secret:
    """What an oracle is told: as many triggered images as there are reference images, and a way to a clean network."""
    originals, triggered, targets = _with_trigger(stage, shop, attack, learned, stage.reference)
    led = targets != originals.labels
    return Secret(originals.at(led), triggered[led], targets[led], lambda: _surrogates(stage.victim, shop)(1.0))


def _plain(value: Any) -> Any:
    """Tensors and numpy values of a plugin's diagnostics as plain numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
