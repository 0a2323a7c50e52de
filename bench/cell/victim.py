"""Make a victim: poison, train, and predict without a defense."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from bench.cell import backdoors
from bench.cell.backdoors import TriggeredSet
from bench.cell.clean_network import CleanNetworks
from bench.cell.loaded import LoadedVictim
from bench.cell.made_of import made_of, training_digest
from bench.cell.meter import Meter
from bench.cell.metered import MeteredGuard
from bench.cell.network import network_guard
from bench.cell.predict import predict
from bench.cell.stealth import IMAGES, stealth
from bench.cell.workshop import Workshop
from bench.plan.recipes import recipe
from bench.plan.stages import VictimStage
from bench.plugin import mapped
from bench.plugin.values import AttackContext, Poisoned
from bench.provenance import now
from bench.records import LogLines
from bench.store.checkpoints import Checkpoint
from bench.toolbox.inference import precision_on
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import train

PICTURES = 6  # pairs of test images kept for the report's gallery


def make_victim(stage: VictimStage, workshop: Workshop) -> LogLines:
    """Poison, train and predict, and put the victim into the store. Returns what the attack logged."""
    started, log = now(), LogLines()
    victim, checkpoint = LoadedVictim.open(stage, workshop), Checkpoint(workshop.store, stage.key, codes=stage.codes)
    with Meter(workshop.device) as training:
        model, poisoned, learned = _trained(victim, checkpoint, log)
    expect_finite(learned, whose="what the attack learned: ")
    test = victim.with_learned(learned).test_set()
    precision = precision_on(workshop.device)
    inference = MeteredGuard(network_guard(model, precision), workshop.device)
    predictions = predict(inference, test, classes=victim.dataset.spec.classes)
    facts = {
        "train_seconds": checkpoint.seconds + training.seconds,
        "inference_seconds": inference.seconds,
        "peak_memory_mb": training.peak_mb,
        "precision": precision,
        "ms_per_sample": 1000 * inference.seconds / (2 * len(test)),
        "n_train": len(victim.train),
        "n_poisoned": int(poisoned.poisoned.sum()),
        "n_cover": int(poisoned.cover.sum()),
        **_test_facts(test),
        "class_names": list(victim.dataset.class_names),
        "made_of": made_of(stage, victim.dataset.spec),
        "training_sha256": training_digest(poisoned),
        "log": log.text,
        "fingerprints": {ref.kind: workshop.registry.fingerprint(ref.kind, ref.name) for ref in stage.refs.values()},
        "started": started,
        "finished": now(),
        "provenance": workshop.maker.facts(),
    }
    workshop.store.write(
        "victims",
        stage.key,
        {
            "model.safetensors": model.state_dict(),
            "learned.safetensors": learned,
            "predictions.safetensors": {**predictions, "labels": test.originals.labels, "targets": test.targets},
            "pictures.safetensors": _pictures(test),
            "stage.json": facts,
        },
    )
    checkpoint.discard()
    return log


def poison(victim: LoadedVictim, log: LogLines) -> tuple[AttackContext, Poisoned]:
    """The attack's context with what it has learned before it poisons, and the poisoned training set.

    They follow from the victim's key, so that it is poisoned in the same way again on the same kind of device.
    """
    stage, workshop = victim.stage, victim.workshop
    context = AttackContext(
        workshop.device,
        workshop.generator(stage.key, "attack"),
        log=log.append,
        spec=victim.dataset.spec,
        surrogate=CleanNetworks(victim),
    )
    context = replace(context, learned=backdoors.learn(victim.attack, victim.train, context))
    return context, backdoors.poison(victim.attack, victim.train, context)


def _trained(
    victim: LoadedVictim, checkpoint: Checkpoint, log: LogLines
) -> tuple[nn.Module, Poisoned, Mapping[str, Tensor]]:
    """The trained network, its poisoned training set, and what the attack learned before and during the training."""
    stage, workshop, attack = victim.stage, victim.workshop, victim.attack
    context, poisoned = poison(victim, log)
    model = workshop.build(stage)
    objective = attack.objective(model, poisoned.data, context)
    train(
        model,
        poisoned.data,
        recipe(stage.recipe),
        workshop.generator(stage.key, "training"),
        crop=victim.dataset.crop,
        flip=victim.dataset.flip,
        objective=objective,
        compiled=workshop.maker.compiled,
        checkpoint=checkpoint,
        progress=workshop.progress,
    )
    return model, poisoned, {**context.learned, **objective.learned()}


def _test_facts(test: TriggeredSet) -> dict[str, Any]:
    """Facts about the test images that the records of all cells of this victim repeat."""
    eligible = test.eligible
    return {
        "n_test": len(test),
        "n_triggered": int(eligible.sum()),
        "targets": test.targets[eligible].unique().tolist(),
        "stealth": stealth(test.pairs(eligible.nonzero()[:IMAGES, 0], IMAGES)),
    }


def _pictures(test: TriggeredSet) -> dict[str, Tensor]:
    """Eligible test images without and with the trigger, uint8 (``PICTURES``, C, H, W) or fewer."""
    shown = test.eligible.nonzero()[:PICTURES, 0]
    return {"clean": test.originals.at(shown).images, "triggered": mapped.rows(test.pixels, shown)}
