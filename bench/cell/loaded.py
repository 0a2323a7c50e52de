"""A victim with all that its cells are made of: its data, its attack, its network, and images with its trigger."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self

import torch
from torch import Tensor, nn

from bench.cell import backdoors
from bench.cell.backdoors import TriggeredSet
from bench.cell.workshop import Workshop
from bench.plan.recipes import recipe
from bench.plan.stages import VictimStage
from bench.plugin.attack import Attack
from bench.plugin.dataset import Dataset
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages
from bench.toolbox.training import train


@dataclass(frozen=True)
class LoadedVictim:
    """A victim, opened once for a stage. ``learned``: what its attack learned, by name, on the workshop's device."""

    stage: VictimStage
    shop: Workshop
    learned: Mapping[str, Tensor]
    _clean_networks: dict[int, nn.Module] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, stage: VictimStage, shop: Workshop) -> Self:
        """A victim that is in the store."""
        learned = shop.store.tensors("victims", stage.key, "learned.safetensors")
        return cls(stage, shop, {name: value.to(shop.device) for name, value in learned.items()})

    @cached_property
    def dataset(self) -> Dataset:
        dataset: Dataset = self.shop.plugin(self.stage.dataset)
        return dataset

    @cached_property
    def attack(self) -> Attack:
        attack: Attack = self.shop.plugin(self.stage.attack)
        return attack

    @property
    def spec(self) -> ImageSpec:
        return self.dataset.spec

    @property
    def train(self) -> LabelledImages:
        """The clean training images."""
        return self.shop.splits(self.stage.dataset).train

    @property
    def test(self) -> LabelledImages:
        """The clean test images."""
        return self.shop.splits(self.stage.dataset).test

    def network(self) -> nn.Module:
        """A copy of the network in eval mode, which may be changed."""
        return deepcopy(self.shop.victim(self.stage))

    def test_set(self) -> TriggeredSet:
        """All test images without and with the trigger, assigned to the backdoors at random."""
        assignment = backdoors.assign(self.attack, len(self.test), self.shop.generator(self.stage.key, "deal"))
        return backdoors.with_trigger(self.attack, self.test, assignment, self._context())

    def training_images_with_trigger(self, first: int, count: int) -> TriggeredSet:
        """At most ``count`` training images behind the ``first`` ones of the reference order whose label the trigger
        changes.

        The control row changes no label: there they are any images, and false alarms if somebody suspects them.
        """
        rest = self.shop.reference_order(self.stage)[first:]
        labels = self.train.labels[rest]
        assignment = backdoors.assign(self.attack, len(rest), self.shop.generator(self.stage.key, "suspects"))
        eligible = backdoors.targets(self.attack, labels, assignment) != labels
        if bool(eligible.any()):
            chosen = eligible.nonzero()[:count, 0]
        else:
            chosen = torch.arange(min(count, len(rest)), device=labels.device)
        return backdoors.with_trigger(self.attack, self.train.at(rest[chosen]), assignment[chosen], self._context())

    def clean_network(self, share: float) -> nn.Module:
        """A fresh network, trained on the clean training images by the victim's recipe, cut to ``share`` of its epochs.

        It is in eval mode and not to be changed: who asks for the same share again is given the same network.
        """
        usual = recipe(self.stage.recipe)
        epochs = max(1, round(share * usual.epochs))
        if epochs not in self._clean_networks:
            model = self.shop.build(self.stage, "surrogate")
            train(
                model,
                self.train,
                usual.model_copy(update={"epochs": epochs}),
                self.shop.generator(self.stage.key, "surrogate training"),
                crop=self.dataset.crop,
                flip=self.dataset.flip,
            )
            self._clean_networks[epochs] = model.requires_grad_(False)
        return self._clean_networks[epochs]

    def _context(self) -> AttackContext:
        """The context in which triggers are put on images at inference: the same for all images."""
        generator = self.shop.generator(self.stage.key, "inference")
        return AttackContext(self.shop.device, generator, spec=self.spec, learned=self.learned)
