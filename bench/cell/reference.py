"""What a defense is handed: reference images and suspects, drawn from the training images, never from the test set."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from bench.cell.backdoors import TriggeredSet, with_trigger
from bench.cell.clean_network import CleanNetworks
from bench.cell.loaded import LoadedVictim
from bench.plan.stages import CellStage
from bench.plugin.images import stratified_order
from bench.plugin.values import Context, Known, Secret


@dataclass(frozen=True)
class Handed:
    """All that a defense of any kind is handed. ``model`` is a copy of its own; only an oracle asks for ``secret``."""

    model: nn.Module
    known: Known
    context: Context
    secret: Callable[[], Secret]


def known(stage: CellStage, victim: LoadedVictim) -> Known:
    """What the defender of this cell is given.

    Suspected images are further images of the training split, of classes that the trigger changes, with the trigger.
    """
    order = _order(victim)
    clean = victim.train.at(order[: stage.reference]) if stage.reference else None
    if not stage.suspects:
        return Known(clean)
    suspects = _beside_the_reference_set(stage, victim, stage.suspects)
    return Known(clean, suspects.images, suspects.originals.floats if stage.pairs else None)


def secret(stage: CellStage, victim: LoadedVictim) -> Secret:
    """What an oracle is told: as many triggered images as there are reference images, and a way to a clean network."""
    images = _beside_the_reference_set(stage, victim, stage.reference)
    chosen = images.eligible
    return Secret(
        images.originals.at(chosen), images.images[chosen], images.targets[chosen], lambda: CleanNetworks(victim)(1.0)
    )


def _beside_the_reference_set(stage: CellStage, victim: LoadedVictim, most: int) -> TriggeredSet:
    """At most ``most`` training images behind those of the reference set, without and with the trigger."""
    rest = _order(victim)[stage.reference :]
    generator = victim.shop.generator(stage.victim.key, "suspects")
    return with_trigger(victim.backdoors, victim.train, generator, victim.inference, rest, most)


def _order(victim: LoadedVictim) -> Tensor:
    """Indices (N,) of all training images: the reference set is at the beginning, the rest follows.

    They depend on data set and seed alone, so that a defender is given the same images against every attack. They are
    drawn once for both and kept in the workshop.
    """
    key, shop = victim.stage.data_key, victim.shop
    if key not in shop.orders:
        shop.orders.clear()
        shop.orders[key] = stratified_order(victim.train.labels, shop.generator(key, "reference"))
    return shop.orders[key]
