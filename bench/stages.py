"""What one stage does, with no policy about where and when: make a victim; defend it and predict."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from bench import backdoors, identity, metrics, provenance
from bench.checkpoints import Checkpoint
from bench.images import stratified_order
from bench.meter import Meter
from bench.plan import CellStage, Ref, VictimStage
from bench.plugin import (
    Attack,
    AttackContext,
    Context,
    Dataset,
    Defense,
    Known,
    LabelledImages,
    Model,
    Oracle,
    Prediction,
    Repair,
    Runtime,
    Secret,
    Splits,
    as_bytes,
)
from bench.records import Record
from bench.registry import Registry
from bench.stealth import stealth
from bench.store import Store
from bench.training import RECIPES, train
from bench.truth import held_against, stream_curve
from bench.validity import judged

BATCH = 250
PICTURES = 6


@dataclass
class Workshop:
    """What a stage needs besides its own description. It keeps the data set and the victim that it has loaded last."""

    registry: Registry
    store: Store
    data: Path
    device: torch.device
    progress: Callable[[float], None] = lambda share: None
    _splits: dict[str, Splits] = field(default_factory=dict)
    _victim: dict[str, nn.Module] = field(default_factory=dict)

    def plugin(self, ref: Ref) -> Any:
        return self.registry.create(ref.kind, ref.name, ref.parameters)

    def splits(self, ref: Ref) -> Splits:
        key = identity.canonical(ref.identity)
        if key not in self._splits:
            loaded = cast(Dataset, self.plugin(ref)).splits(self.data)
            self._splits = {key: Splits(loaded.train.to(self.device), loaded.test.to(self.device))}
        return self._splits[key]

    def generator(self, key: str, purpose: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(identity.seed(key, purpose))


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
            RECIPES[stage.recipe],
            shop.generator(stage.key, "training"),
            crop=dataset.crop,
            flip=dataset.flip,
            objective=objective,
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
        "provenance": provenance.facts(shop.device),
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
        recipe = RECIPES[stage.recipe]
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
        context.note("stream_curve", stream_curve(after, test.labels, targets, stream))
    if shifts := context.diagnostics.get("latent_shifts"):
        context.note("shift_truth", held_against(shifts, load_victim(stage.victim, shop), test, triggered, targets))
    record = Record(
        **describe(stage),
        **measure(stage, shop.store, after),
        status="done",
        defense_seconds=meter.seconds,
        inference_seconds=inference.seconds,
        ms_per_sample=1000 * inference.seconds / (len(test) + len(triggered)),
        peak_memory_mb=max(meter.peak_mb, inference.peak_mb),
        packages=json.dumps(provenance.packages()),
        started=started,
        finished=_now(),
        diagnostics=json.dumps(context.diagnostics, default=_plain),
        **cast(dict[str, Any], provenance.facts(shop.device)),
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


@torch.no_grad()
def predict(
    guard: Callable[[Tensor], Prediction], clean: Tensor, triggered: Tensor, stream: Tensor | None = None
) -> dict[str, Tensor]:
    """What ``guard`` says of clean and triggered images (N, C, H, W): tensors by name, ready for the store.

    With ``stream``, a permutation of the clean and the triggered images (2N,), they pass one by one in its order.
    """
    images = torch.cat([clean, triggered])
    order = torch.arange(len(images), device=images.device) if stream is None else stream
    parts = [_checked(guard(images[index]), len(index)) for index in order.split(BATCH if stream is None else 1)]
    found: dict[str, Tensor] = {}
    for name in ("logits", "score", "flagged"):
        values = [getattr(part, name) for part in parts]
        if any(value is None for value in values):
            continue
        merged = torch.cat(values)
        inverse = torch.empty_like(merged)
        inverse[order] = merged
        found[f"clean_{name}"], found[f"triggered_{name}"] = inverse[: len(clean)], inverse[len(clean) :]
    return {name: value.float() if value.is_floating_point() else value for name, value in found.items()}


def _checked(prediction: Prediction, count: int) -> Prediction:
    if not isinstance(prediction, Prediction):
        raise TypeError(f"the guard gave a {type(prediction).__name__}, expected a Prediction")
    if prediction.logits.ndim != 2 or len(prediction.logits) != count:
        raise ValueError(f"the defended model gave logits {tuple(prediction.logits.shape)} for {count} images")
    if not bool(torch.isfinite(prediction.logits).all()):
        raise ValueError("the defended model gave logits that are not numbers")
    return prediction


# --- records -----------------------------------------------------------------------------------------


def describe(stage: CellStage) -> dict[str, Any]:
    """The columns of a record that say which cell it is."""
    victim = stage.victim
    return {
        "key": stage.key,
        "victim_key": victim.key,
        **{kind: ref.name for kind, ref in stage.refs.items()},
        **stage.labels,
        **{f"{kind}_params": identity.canonical(ref.parameters) for kind, ref in stage.refs.items()},
        "profile": victim.profile,
        "recipe": victim.recipe,
        "seed": victim.seed,
        "reference": stage.reference,
        "suspects": stage.suspects,
        "knowledge": stage.knowledge,
        "oracle": stage.oracle,
    }


def measure(stage: CellStage, store: Store, after: dict[str, Tensor]) -> dict[str, Any]:
    """Every metric of a cell, from stored predictions alone."""
    facts = store.read_json("victims", stage.victim.key, "stage.json")
    before = store.tensors("victims", stage.victim.key, "predictions.safetensors")
    labels, targets = before["labels"], before["targets"]
    after = {name: value.cpu() for name, value in after.items()}
    then = _figures(before, labels, targets)
    now = _figures(after, labels, targets)
    eligible = targets != labels
    found: dict[str, Any] = {**now, **{f"{name}_before": value for name, value in then.items()}}
    found["der"] = metrics.defense_effectiveness(then["acc"], then["asr"], now["acc"], now["asr"])
    if "clean_score" in after:
        found["auroc"] = metrics.auroc(after["clean_score"], after["triggered_score"][eligible])
    if "clean_flagged" in after:
        found["tpr"] = metrics.share(after["triggered_flagged"][eligible])
        found["fpr"] = metrics.share(after["clean_flagged"])
    counts = ("n_train", "n_poisoned", "n_cover", "n_test", "n_triggered", "train_seconds")
    return {
        **found,
        **{name: facts[name] for name in counts},
        **facts["stealth"],
        "targets": json.dumps(facts["targets"]),
        "ms_per_sample_before": facts["ms_per_sample"],
    }


def _figures(predictions: dict[str, Tensor], labels: Tensor, targets: Tensor) -> dict[str, float]:
    clean, triggered = (predictions[f"{part}_logits"].argmax(1) for part in ("clean", "triggered"))
    return {
        "acc": metrics.accuracy(clean, labels),
        "asr": metrics.attack_success(triggered, labels, targets),
        "ra": metrics.robust_accuracy(triggered, labels, targets),
        "acc_target": metrics.target_accuracy(clean, labels, targets[targets != labels].unique()),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:
    """Tensors and numpy values of a plugin's diagnostics as plain numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
