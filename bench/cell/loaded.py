"""A victim with all that its cells are made of: its data, its attack, its network, and images with its trigger."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor, nn

from bench.cell.backdoors import TriggeredSet, with_trigger
from bench.cell.workshop import Workshop
from bench.plan.stages import VictimStage
from bench.plugin.attack import Attack
from bench.plugin.dataset import Dataset
from bench.plugin.values import AttackContext, LabelledImages


@dataclass(frozen=True)
class LoadedVictim:
    """A victim, opened once for a stage, whether its network is in the store already or is still to be trained.

    backdoors: the attack for each of its triggers. train, test: the clean images. inference: the context in which
    triggers are put on images after the training. Everything is on the workshop's device.
    """

    stage: VictimStage
    shop: Workshop
    dataset: Dataset
    attack: Attack
    backdoors: list[Attack]
    train: LabelledImages
    test: LabelledImages
    inference: AttackContext

    @classmethod
    def open(cls, stage: VictimStage, shop: Workshop) -> Self:
        """A victim of which there is nothing but its description yet."""
        dataset: Dataset = shop.plugin(stage.dataset)
        attack: Attack = shop.plugin(stage.attack)
        splits = shop.splits(stage.dataset)
        inference = AttackContext(shop.device, shop.generator(stage.key, "inference"), spec=dataset.spec)
        return cls(stage, shop, dataset, attack, attack.backdoors(), splits.train, splits.test, inference)

    @classmethod
    def read(cls, stage: VictimStage, shop: Workshop) -> Self:
        """A victim that is in the store."""
        learned = shop.store.tensors("victims", stage.key, "learned.safetensors")
        return cls.open(stage, shop).with_learned({name: value.to(shop.device) for name, value in learned.items()})

    def with_learned(self, learned: Mapping[str, Tensor]) -> Self:
        """The same victim after its attack has learned what its triggers need, by name."""
        return replace(self, inference=replace(self.inference, learned=learned))

    def network(self) -> nn.Module:
        """A copy of the network in eval mode, which may be changed."""
        return deepcopy(self.shop.victim(self.stage))

    def test_set(self) -> TriggeredSet:
        """All test images without and with the trigger, assigned to the backdoors at random."""
        generator = self.shop.generator(self.stage.key, "deal")
        return with_trigger(self.backdoors, self.test, generator, self.inference)
