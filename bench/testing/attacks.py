"""What every attack does: a pure trigger in [0, 1], targets in range, a poisoned set that says what was poisoned."""

from typing import Any, cast, get_args

import torch
from torch import Tensor

from bench.errors import one_line
from bench.plugin.attack import as_bytes
from bench.plugin.values import AttackContext, Poisoned
from bench.testing.attack_trials import Trial, ran, trial
from bench.testing.properties import Family, Unmet
from bench.testing.samples import BASE, GREY, HUNDRED, MISSING, TWO, Sample
from bench.testing.situations import add_situations, declined
from bench.testing.subject import Subject

FAMILY = Family("attack")
SLACK = 1e-5  # by so much a trigger may leave [0, 1], and differ between batch sizes


@FAMILY.property("runs", f"it learns, poisons and triggers on {BASE.what}")
def runs(subject: Subject) -> str:
    return _works(trial(subject))


@FAMILY.property("trigger", "images of the same shape, float32, finite, in [0, 1]")
def trigger(subject: Subject) -> str:
    made = ran(subject)
    given: Any = made.triggered
    return _expect_images(given, made.inputs())


@FAMILY.property("pure", "a trigger that changes nothing and draws nothing: twice the same, its inputs as they were")
def pure(subject: Subject) -> str:
    made = ran(subject)
    images, context = made.inputs(), cast(AttackContext, made.context)
    learned = {name: value.clone() for name, value in context.learned.items()}
    state = context.generator.get_state()
    first = made.attack.trigger(images, context)
    if not torch.equal(images, made.inputs()):
        raise Unmet("that it changed the images that it was given")
    if not torch.equal(context.generator.get_state(), state):
        raise Unmet("that it drew from the context's generator")
    if changed := [name for name, value in learned.items() if not torch.equal(context.learned[name], value)]:
        raise Unmet(f"that it changed {changed[0]}, which it had learned")
    if not torch.equal(first, made.attack.trigger(images, context)):
        raise Unmet("another trigger the second time")
    return ""


@FAMILY.property("batch-sizes", "the same trigger at batch sizes 1, 7 and all, and in any order")
def batch_sizes(subject: Subject) -> str:
    made = ran(subject)
    images, context = made.inputs(), cast(AttackContext, made.context)
    whole = made.attack.apply(images, context)
    mixed = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    in_order = torch.arange(len(images))
    for what, order, size in (("7", in_order, 7), ("1", in_order, 1), ("all, in another order", mixed, len(images))):
        asked = torch.cat([made.attack.apply(images[index], context) for index in order.split(size)])
        different = int(((asked - whole[order]).abs().flatten(1).amax(1) > SLACK).sum())
        if different:
            raise Unmet(f"another trigger on {different} of {len(images)} images in batches of {what}")
    return f"{len(images)} images"


@FAMILY.property("target", "targets (N,) int64 below the number of classes, for every label map that it takes")
def target(subject: Subject) -> str:
    made = ran(subject)
    annotation = type(made.attack).model_fields["label_map"].annotation
    maps = [name for name in get_args(annotation) if name != "several"]
    for label_map in maps:
        attack = made.attack.model_copy(update={"label_map": label_map})
        labels = torch.arange(40) % made.sample.classes
        given: Any = attack.target(labels)
        if not isinstance(given, Tensor) or given.shape != labels.shape or given.dtype != torch.int64:
            what = f"{given.dtype} {tuple(given.shape)}" if isinstance(given, Tensor) else f"a {type(given).__name__}"
            raise Unmet(f"{what} for label_map={label_map}")
        if not 0 <= int(given.min()) <= int(given.max()) < made.sample.classes:
            raise Unmet(f"targets {int(given.min())} to {int(given.max())} of {made.sample.classes} classes")
        if bool((given == labels).all()) and not attack.plants_nothing:
            raise Unmet(f"that label_map={label_map} leads no image to another class")
    return ", ".join(maps)


@FAMILY.property("poison", "that exactly the images and labels it marks are changed, and the clean set is kept")
def poison(subject: Subject) -> str:
    made = ran(subject)
    assert made.clean is not None
    assert made.poisoned is not None
    clean, result = made.clean, made.poisoned
    if not made.kept:
        raise Unmet("that the clean training set was changed in place", "a poisoned copy of it")
    marked, cover = _masks(result, len(clean))
    unmarked = (result.data.images != clean.images).flatten(1).any(1) & ~(marked | cover)
    if bool(unmarked.any()):
        raise Unmet(f"{int(unmarked.sum())} images that were changed and are not marked")
    relabelled = (result.data.labels != clean.labels) & ~marked
    if bool(relabelled.any()):
        raise Unmet(f"{int(relabelled.sum())} labels that were changed of images that are not marked as poisoned")
    wanted = clean.labels if made.attack.clean_label else made.attack.target(clean.labels)
    wrong = marked & (result.data.labels != wanted)
    if bool(wrong.any()):
        rule = "their own label, as clean_label says" if made.attack.clean_label else "the label that target gives"
        raise Unmet(f"another label on {int(wrong.sum())} poisoned images", rule)
    return f"{int(marked.sum())} poisoned and {int(cover.sum())} cover images of {len(clean)}"


def _masks(result: Poisoned, count: int) -> tuple[Tensor, Tensor]:
    for name in ("poisoned", "cover"):
        mask = getattr(result, name)
        if mask.shape != (count,) or mask.dtype != torch.bool:
            raise Unmet(f"{name} {mask.dtype} {tuple(mask.shape)}", f"a mask bool ({count},)")
    both = int((result.poisoned & result.cover).sum())
    if both:
        raise Unmet(f"{both} images that are poisoned and cover images", "one or the other")
    return result.poisoned, result.cover


@FAMILY.property("repeats", "the same poisoned set and trigger when it is run twice with one seed")
def repeats(subject: Subject) -> str:
    return _same(ran(subject), trial(subject, again=True), "the second time")


@FAMILY.property("after-others", "the same poisoned set and trigger after other runs in the same process")
def after_others(subject: Subject) -> str:
    first = ran(subject)
    trial(subject, GREY)
    return _same(first, trial(subject, again=True), "after other runs")


def _works_on(sample: Sample, subject: Subject) -> str:
    ran(subject)
    return _works(trial(subject, sample))


add_situations(
    FAMILY, {"grey": GREY, "two-classes": TWO, "hundred-classes": HUNDRED, "missing-class": MISSING}, _works_on
)


def _works(made: Trial) -> str:
    if reason := declined(made, "a trigger"):
        return reason
    if made.sample != BASE:
        _expect_images(made.triggered, made.inputs())
    return "a trigger"


def _expect_images(given: Any, images: Tensor) -> str:
    if not isinstance(given, Tensor):
        raise Unmet(f"a {type(given).__name__}", "a tensor")
    if given.shape != images.shape or given.dtype != torch.float32:
        raise Unmet(f"{given.dtype} {tuple(given.shape)}", f"torch.float32 {tuple(images.shape)}")
    if given.requires_grad:
        raise Unmet("a trigger that requires gradients")
    if not bool(given.isfinite().all()):
        raise Unmet(f"{int((~given.isfinite()).sum())} values that are not finite")
    low, high = float(given.min()), float(given.max())
    if not -SLACK <= low <= high <= 1 + SLACK:
        raise Unmet(f"values from {low:.4g} to {high:.4g}", "values in [0, 1]")
    return f"{tuple(given.shape)} from {low:.3g} to {high:.3g}"


def _same(first: Trial, second: Trial, when: str) -> str:
    if second.seen.error is not None:
        raise Unmet(f"that {when} it raises {one_line(second.seen.error)}")
    assert first.poisoned is not None
    assert first.triggered is not None
    if second.poisoned is None or second.triggered is None:
        raise Unmet(f"that {when} it declines")
    if not torch.equal(first.poisoned.data.images, second.poisoned.data.images):
        raise Unmet(f"other poisoned images {when}")
    if not torch.equal(first.poisoned.data.labels, second.poisoned.data.labels):
        raise Unmet(f"other poisoned labels {when}")
    if not torch.equal(as_bytes(first.triggered.clone()), as_bytes(second.triggered.clone())):
        raise Unmet(f"another trigger {when}")
    return ""
