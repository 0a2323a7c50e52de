"""What a defense is given: the clean reference set and the suspects, from the training images, never from the test set.

``_order`` draws the reference set.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.cell import triggered_elsewhere
from bench.cell.backdoors import TriggeredSet, with_trigger
from bench.cell.clean_network import CleanNetworks
from bench.cell.loaded import LoadedVictim
from bench.plan.budget import source_classes, triggered_count
from bench.plan.stages import CellStage, ImportedVictim
from bench.plugin.images import stratified_order
from bench.plugin.values import Context, Known, Secret
from bench.toolbox.inference import Precision


@dataclass(frozen=True)
class DefenseInputs:
    """All that a defense of any kind is given.

    ``model`` is a copy of the victim's network, which the defense may change. Only an oracle calls ``secret``.
    precision: that the victim's predictions were computed in, and those of the defended network are.
    """

    model: nn.Module
    known: Known
    context: Context
    secret: Callable[[], Secret]
    precision: Precision = "float32"


def known(stage: CellStage, victim: LoadedVictim, log: Callable[[str], None] = lambda line: None) -> Known:
    """What this cell's defense is given, as its ``knowledge`` declares. ``log``: told if it is less than asked for.

    The suspects are training images that are not in the reference set and whose label the trigger changes: random ones,
    or random ones of ``classes`` random classes. A share ``purity`` of them carries the trigger, in no order; the
    others are clean, and each is its own original. Against no attack they are images of any class. Raises ValueError if
    fewer than two triggered images can be had.
    """
    order = _order(victim)
    clean = victim.train.at(order[: stage.reference]) if stage.reference else None
    if not stage.suspects:
        return Known(clean)
    generator = victim.workshop.generator(stage.victim.key, "suspects at random")
    drawn = _drawn(stage, victim, generator)
    _report_missing(stage, drawn, log)
    count = triggered_count(len(drawn), stage.purity)
    order = torch.randperm(len(drawn), generator=generator, device=generator.device)
    originals = drawn.originals.floats
    images = originals.clone()
    images[order[:count]] = drawn.triggered(order[:count])
    return Known(clean, images, originals if stage.pairs else None)


def secret(stage: CellStage, victim: LoadedVictim) -> Secret:
    """What this cell's oracle is given: at most as many triggered images as there are reference images, and a function
    that trains a clean network."""
    images = _beside_the_reference_set(stage, victim, stage.reference)
    chosen = images.eligible
    return Secret(
        images.originals.at(chosen),
        images.triggered(chosen),
        images.targets[chosen],
        lambda: CleanNetworks(victim)(1.0),
    )


def _drawn(stage: CellStage, victim: LoadedVictim, generator: torch.Generator) -> TriggeredSet:
    """Random training images that are not in the reference set, as many as there are to be suspects."""

    def shuffled(values: Tensor) -> Tensor:
        return values[torch.randperm(len(values), generator=generator, device=generator.device)]

    order = _order(victim)
    if isinstance(victim.stage, ImportedVictim):
        learned, reference = victim.inference.learned, order[: stage.reference]
        given = victim.stage.key, learned, victim.train, reference
        return triggered_elsewhere.drawn(*given, generator, stage.suspects, stage.classes)
    rest = order[stage.reference :]
    labels = victim.train.labels
    sources = source_classes(victim.attack, victim.dataset.spec.classes).to(labels.device)
    classes = sources[torch.isin(sources, labels[rest])]
    if stage.classes:
        classes = shuffled(classes)[: stage.classes]
    candidates = shuffled(rest[torch.isin(labels[rest], classes)])
    return with_trigger(victim.backdoors, victim.train, generator, victim.inference, candidates, stage.suspects)


def _report_missing(stage: CellStage, drawn: TriggeredSet, log: Callable[[str], None]) -> None:
    """Log if there are fewer suspects, or of fewer classes, than asked for. Raises ValueError for far too few."""
    count, classes = len(drawn), len(drawn.originals.labels.unique())
    if count < stage.suspects:
        log(f"{count} suspected images in place of {stage.suspects}: there are no more beside the reference set")
    if classes < stage.classes:
        log(f"suspected images of {classes} class{'es' * (classes != 1)} in place of {stage.classes}")
    if (triggered := triggered_count(count, stage.purity)) < min(2, stage.suspects):
        raise ValueError(f"suspects: {triggered} triggered images could be had: expected at least 2")


def _beside_the_reference_set(stage: CellStage, victim: LoadedVictim, most: int) -> TriggeredSet:
    """At most ``most`` training images that are not in the reference set, without and with the trigger."""
    rest = _order(victim)[stage.reference :]
    generator = victim.workshop.generator(stage.victim.key, "suspects")
    return with_trigger(victim.backdoors, victim.train, generator, victim.inference, rest, most)


def _order(victim: LoadedVictim) -> Tensor:
    """A random stratified order of all training images: indices (N,). The reference set is the beginning of it.

    The order depends on the data set and the seed alone, so a defender has the same images against every attack. The
    workshop keeps the last one that was drawn.
    """
    key, workshop = victim.stage.data_key, victim.workshop
    if key not in workshop.orders:
        workshop.orders.clear()
        workshop.orders[key] = stratified_order(victim.train.labels, workshop.generator(key, "reference"))
    return workshop.orders[key]
