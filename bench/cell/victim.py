"""Make a victim: poison, train, and predict without a defense."""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor, nn

from bench.cell import backdoors
from bench.cell.clean_network import CleanNetworks
from bench.cell.loaded import LoadedVictim
from bench.cell.made_of import made_of, training_digest
from bench.cell.meter import Meter
from bench.cell.put_victim import put_victim
from bench.cell.workshop import Workshop
from bench.plan.recipes import recipe
from bench.plan.stages import VictimStage
from bench.plugin.values import AttackContext, Poisoned
from bench.provenance import now
from bench.records import LogLines
from bench.store.checkpoints import Checkpoint
from bench.toolbox.inference import precision_on
from bench.toolbox.training import train


def make_victim(stage: VictimStage, workshop: Workshop) -> LogLines:
    """Poison, train and predict, and put the victim into the store. Returns what the attack logged."""
    started, log = now(), LogLines()
    victim, checkpoint = LoadedVictim.open(stage, workshop), Checkpoint(workshop.store, stage.key, codes=stage.codes)
    with Meter(workshop.device) as training:
        model, poisoned, learned = _trained(victim, checkpoint, log)
    known = {
        "train_seconds": checkpoint.seconds + training.seconds,
        "peak_memory_mb": training.peak_mb,
        "precision": precision_on(workshop.device),
        "n_poisoned": int(poisoned.poisoned.sum()),
        "n_cover": int(poisoned.cover.sum()),
        "made_of": made_of(stage, victim.dataset.spec),
        "training_sha256": training_digest(poisoned),
        "log": log.text,
        "started": started,
    }
    put_victim(victim, model, learned, known)
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
