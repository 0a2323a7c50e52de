"""A loaded victim: its data, its attack, its network, and test images with its trigger.

Where a request evaluates on the validation part, its images stand in place of the test images everywhere.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Self

from torch import Tensor, nn

from bench.cell import triggered_elsewhere
from bench.cell.backdoors import TriggeredSet, with_trigger
from bench.cell.workshop import Workshop
from bench.imported.attack import ImportedAttack
from bench.plan.stages import ImportedVictim, VictimStage
from bench.plugin.attack import Attack
from bench.plugin.dataset import Dataset
from bench.plugin.values import AttackContext, LabelledImages


@dataclass(frozen=True)
class LoadedVictim:
    """A victim as the stages see it. It is loaded once for a stage, before or after its network is trained.

    backdoors: one attack for each trigger. train, test: the clean images, on the workshop's device. inference: the
    context in which triggers are applied after the training.
    """

    stage: VictimStage
    workshop: Workshop
    dataset: Dataset
    attack: Attack
    backdoors: list[Attack]
    train: LabelledImages
    test: LabelledImages
    inference: AttackContext

    @classmethod
    def open(cls, stage: VictimStage, workshop: Workshop) -> Self:
        """A victim that is still to be trained."""
        dataset: Dataset = workshop.plugin(stage.dataset)
        attack: Attack
        if isinstance(stage, ImportedVictim):
            attack = ImportedAttack(**stage.attack.parameters)
        else:
            attack = workshop.plugin(stage.attack)
        splits = workshop.splits(stage.dataset, stage.evaluate)
        inference = AttackContext(workshop.device, workshop.generator(stage.key, "inference"), spec=dataset.spec)
        return cls(stage, workshop, dataset, attack, attack.backdoors(), splits.train, splits.test, inference)

    @classmethod
    def read(cls, stage: VictimStage, workshop: Workshop) -> Self:
        """A victim from the store. Raises Damaged if its file is not what was written."""
        learned = workshop.store.tensors("victims", stage.key, "learned.safetensors")
        return cls.open(stage, workshop).with_learned(
            {name: value.to(workshop.device) for name, value in learned.items()}
        )

    def with_learned(self, learned: Mapping[str, Tensor]) -> Self:
        """This victim with what its attack has ``learned`` for its triggers, by name."""
        return replace(self, inference=replace(self.inference, learned=learned))

    def network(self) -> nn.Module:
        """A copy of the stored network, in eval mode, which may be changed."""
        return deepcopy(self.workshop.victim(self.stage))

    def test_set(self) -> TriggeredSet:
        """All test images without and with the trigger, assigned to the backdoors at random."""
        if isinstance(self.stage, ImportedVictim):
            return triggered_elsewhere.test_set(self.stage.key, self.inference.learned, self.test)
        generator = self.workshop.generator(self.stage.key, "deal")
        return with_trigger(self.backdoors, self.test, generator, self.inference)
