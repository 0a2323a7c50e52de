"""Make a victim: poison, train, and predict without a defense."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from bench import provenance
from bench.cell import backdoors
from bench.cell.measure import _now, predict
from bench.cell.meter import Meter
from bench.cell.stealth import stealth
from bench.cell.workshop import Workshop
from bench.plan import identity
from bench.plan.recipes import recipe as recipe_of
from bench.plan.stages import VictimStage
from bench.plugin.attack import Attack, as_bytes
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import AttackContext, Prediction
from bench.store.checkpoints import Checkpoint
from bench.toolbox.training import train

PICTURES = 6


# --- victims -----------------------------------------------------------------------------------------


def make_victim(stage: VictimStage, shop: Workshop) -> None:
    """Poison, train and predict; everything is put into the store."""
    started = _now()
    splits = shop.splits(stage.dataset)
    attack, dataset = cast(Attack, shop.plugin(stage.attack)), cast(Dataset, shop.plugin(stage.dataset))
    spec = dataset.spec
    with Meter(shop.device) as meter:
        context = AttackContext(
            shop.device, shop.generator(stage.key, "attack"), spec=spec, surrogate=_surrogates(stage, shop)
        )
        context = replace(context, learned=backdoors.learn(attack, splits.train, context))
        poisoned = backdoors.poison(attack, splits.train, context)
        model = build(stage, shop)
        objective = attack.objective(model, poisoned.data, context)
        checkpoint = Checkpoint(shop.store, stage.key)
        train(
            model,
            poisoned.data,
            recipe_of(stage.recipe),
            shop.generator(stage.key, "training"),
            crop=dataset.crop,
            flip=dataset.flip,
            objective=objective,
            compiled=shop.compiled,
            checkpoint=checkpoint,
            progress=shop.progress,
        )
        learned = {**context.learned, **objective.learned()}
    test = splits.test
    which = backdoors.deal(attack, len(test), shop.generator(stage.key, "deal"))
    targets = backdoors.targets(attack, test.labels, which)
    triggered = backdoors.triggered(attack, test, which, attack_context(stage, shop, learned))
    with Meter(shop.device) as inference:
        before = predict(lambda images: Prediction(model(images)), test.floats, triggered)
    eligible = targets != test.labels
    shown = eligible.nonzero()[:PICTURES, 0]
    facts = {
        "train_seconds": checkpoint.seconds + meter.seconds,
        "inference_seconds": inference.seconds,
        "peak_memory_mb": meter.peak_mb,
        "ms_per_sample": 1000 * inference.seconds / (len(test) + len(triggered)),
        "n_train": len(splits.train),
        "n_poisoned": int(poisoned.poisoned.sum()),
        "n_cover": int(poisoned.cover.sum()),
        "n_test": len(test),
        "n_triggered": int(eligible.sum()),
        "targets": targets[eligible].unique().tolist(),
        "stealth": stealth(test.at(eligible).floats, triggered[eligible]),
        "started": started,
        "finished": _now(),
        "provenance": provenance.facts(*shop.worker),
    }
    shop.store.write(
        "victims",
        stage.key,
        {
            "model.safetensors": model.state_dict(),
            "learned.safetensors": learned,
            "predictions.safetensors": {**before, "labels": test.labels, "targets": targets},
            "pictures.safetensors": {"clean": test.images[shown], "triggered": as_bytes(triggered[shown])},
            "stage.json": facts,
        },
    )
    checkpoint.discard()


def build(stage: VictimStage, shop: Workshop, purpose: str = "initialisation") -> nn.Module:
    """The stage's network, freshly initialised from a seed of its own for each purpose, on the workshop's device."""
    model, dataset = cast(Model, shop.plugin(stage.model)), cast(Dataset, shop.plugin(stage.dataset))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(identity.seed(stage.key, purpose))
        return model.build(dataset.spec).to(shop.device)


def load_victim(stage: VictimStage, shop: Workshop) -> nn.Module:
    """A victim from the store, in eval mode; a copy, that may be changed."""
    if stage.key not in shop._victim:
        model = build(stage, shop)
        model.load_state_dict(shop.store.tensors("victims", stage.key, "model.safetensors"))
        shop._victim = {stage.key: model.eval().to(memory_format=torch.channels_last)}
    return deepcopy(shop._victim[stage.key])


def attack_context(stage: VictimStage, shop: Workshop, learned: dict[str, Tensor]) -> AttackContext:
    """The context in which triggers are put on images at inference: the same for the test set and the suspects."""
    spec = cast(Dataset, shop.plugin(stage.dataset)).spec
    return AttackContext(shop.device, shop.generator(stage.key, "inference"), spec=spec, learned=learned)


def _surrogates(stage: VictimStage, shop: Workshop) -> Callable[[float], nn.Module]:
    """What gives an attack its clean model: trained when asked for, once for each number of epochs."""
    dataset = cast(Dataset, shop.plugin(stage.dataset))
    made: dict[int, nn.Module] = {}

    def surrogate(share: float) -> nn.Module:
        recipe = recipe_of(stage.recipe)
        epochs = max(1, round(share * recipe.epochs))
        if epochs not in made:
            model = build(stage, shop, "surrogate")
            train(
                model,
                shop.splits(stage.dataset).train,
                recipe.model_copy(update={"epochs": epochs}),
                shop.generator(stage.key, "surrogate training"),
                crop=dataset.crop,
                flip=dataset.flip,
            )
            made[epochs] = model.requires_grad_(False)
        return made[epochs]

    return surrogate
