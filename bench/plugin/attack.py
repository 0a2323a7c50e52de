"""The plugin kind of the attacks, and what an attack that controls training puts into the training step."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.errors import RequestError
from bench.plugin.base import Plugin
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages, Poisoned


class Objective:
    """What a training step minimises: cross-entropy. An attacker who controls training puts another in its place."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """A scalar to minimise over the parameters of ``model``, which is in training mode.

        images: a batch (N, C, H, W) in [0, 1], augmented; labels (N,); share: how much of the training is done, in
        [0, 1). Other networks of the attack (a generator) may take a step of their own in here.
        """
        return F.cross_entropy(model(images), labels)

    def learned(self) -> Mapping[str, Tensor]:
        """What the trigger needs and only training has found; asked for once, at the end."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a training needs of this objective to go on after an interruption: of every network and optimizer
        among its attributes the state, and the gradients that wait for a step."""
        return {name: _state(value) for name, value in vars(self).items() if isinstance(value, _STATEFUL)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be as ``state`` says."""
        for name, kept in state.items():
            value = getattr(self, name)
            value.load_state_dict(kept["state"])
            for parameter, gradient in kept["gradients"].items():
                value.get_parameter(parameter).grad = gradient


_STATEFUL = (nn.Module, torch.optim.Optimizer)


def _state(value: nn.Module | torch.optim.Optimizer) -> dict[str, Any]:
    named = value.named_parameters() if isinstance(value, nn.Module) else ()
    gradients = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
    return {"state": value.state_dict(), "gradients": gradients}


class Attack(Plugin):
    """A backdoor attack. By poisoning, dirty-label, unless a subclass says otherwise."""

    kind: ClassVar[str] = "attack"
    clean_label: ClassVar[bool] = False  # do poisoned images keep their labels?
    controls: ClassVar[Literal["data", "training"]] = "data"  # what the attacker must have in hand
    visible: ClassVar[bool] = True  # would a person see the trigger, as the source has it?

    label_map: Literal["all-to-one", "all-to-all", "several"] = Field(
        "all-to-one",
        description="every class to target_class; class y to (y+1) mod classes; or several targets, each with its own "
        "trigger",
    )
    target_class: int = Field(0, ge=0, description="the class that the trigger leads to (all-to-one)")
    targets: tuple[int, ...] = Field((), description="the classes that the triggers lead to (several), such as 0+3")
    poisoning_rate: float = Field(0.1, gt=0, lt=1, description="poisoned images, as a share of the whole training set")
    classes: int | None = Field(None, ge=2, description="number of classes; filled in from the data set")

    def resolve(self, spec: ImageSpec) -> Self:
        for name, values in (("target_class", (self.target_class,)), ("targets", self.targets)):
            for value in values:
                if not 0 <= value < spec.classes:
                    raise RequestError(
                        f"{self.name}: {name}={value}: expected a class below {spec.classes} of this data set"
                    )
        told = "+".join(map(str, self.targets)) or "()"
        if (self.label_map == "several") != bool(self.targets):
            raise RequestError(f"{self.name}: targets={told}: expected with label_map=several, and only there")
        if self.targets and len(set(self.targets)) != max(2, len(self.targets)):
            raise RequestError(f"{self.name}: targets={told}: expected two or more different classes")
        if self.classes not in (None, spec.classes):
            raise RequestError(f"{self.name}: classes={self.classes}: the data set has {spec.classes}")
        return self.model_copy(update={"classes": spec.classes})

    def backdoors(self) -> list[Self]:
        """The attack for every trigger: itself, or with several targets one all-to-one attack for each."""
        if self.label_map != "several":
            return [self]
        single = self.model_copy(update={"label_map": "all-to-one", "targets": ()})
        return [
            single.for_target(index).model_copy(update={"target_class": target})
            for index, target in enumerate(self.targets)
        ]

    def for_target(self, index: int) -> Self:
        """This attack with the trigger for target number ``index`` of ``targets``, counted from 0.

        An attack whose ``learn`` draws its trigger at random need not override this: ``learn`` runs for each target.
        """
        return self

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """What the attack fixes before it poisons: a picture, a warping field, an optimised trigger.

        It is stored with the victim and handed back as ``context.learned``.
        """
        return {}

    @final
    def apply(self, images: Tensor, context: AttackContext) -> Tensor:
        """``trigger`` on a copy of ``images`` (N, C, H, W) in [0, 1], with its answer checked.

        Raises ValueError for another shape, for what is not a number, and for values outside of [0, 1].
        """
        found = self.trigger(images.clone(), context)
        if found.shape != images.shape or not bool(torch.isfinite(found).all()):
            raise ValueError(
                f"{self.name}: trigger gave {tuple(found.shape)} for {tuple(images.shape)}, or not a number"
            )
        if len(found) and not -1e-4 <= float(found.min()) <= float(found.max()) <= 1 + 1e-4:
            raise ValueError(f"{self.name}: trigger left [0, 1]: {float(found.min()):.4g} to {float(found.max()):.4g}")
        return found

    @abstractmethod
    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W) in [0, 1] with the trigger: same shape and range; pure, batched."""

    def target(self, labels: Tensor) -> Tensor:
        """The label (N,) that a triggered image of true class ``labels`` (N,) is to be given."""
        if self.label_map == "several":
            raise ValueError("with several targets each of backdoors() has its own target")
        if self.label_map == "all-to-all":
            if self.classes is None:
                raise ValueError("all-to-all needs the number of classes")
            return (labels + 1) % self.classes
        return torch.full_like(labels, self.target_class)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """``train`` with the share ``poisoning_rate`` of its images triggered and labelled as the target."""
        chosen = self.draw(train, context)
        return stamp(train, chosen, self.trigger(train.at(chosen).floats, context), self.target(train.labels[chosen]))

    def draw(self, train: LabelledImages, context: AttackContext) -> Tensor:
        """Which images to poison: the share ``poisoning_rate`` of all (K,), drawn at random.

        For a clean-label attack they are of the target class, and at most all that it has.
        """
        count = round(self.poisoning_rate * len(train))
        if not self.clean_label:
            return torch.randperm(len(train), generator=context.generator, device=train.labels.device)[:count]
        members = (train.labels == self.target_class).nonzero()[:, 0]
        return members[torch.randperm(len(members), generator=context.generator, device=members.device)[:count]]

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        """What is minimised when ``model`` is trained; called once, before the first step, after ``poison``."""
        return Objective()


def stamp(
    train: LabelledImages,
    chosen: Tensor,
    triggered: Tensor,
    labels: Tensor,
    cover: Tensor | None = None,
    covered: Tensor | None = None,
) -> Poisoned:
    """``train`` with the images at ``chosen`` (K,) replaced by ``triggered`` (K, C, H, W) and ``labels`` (K,).

    The images at ``cover`` (L,), others than those, are replaced by ``covered`` (L, C, H, W) and keep their labels.
    """
    images, new_labels = train.images.clone(), train.labels.clone()
    images[chosen], new_labels[chosen] = as_bytes(triggered), labels
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=images.device)
    poisoned[chosen] = True
    covers = torch.zeros_like(poisoned)
    if cover is not None and covered is not None:
        images[cover] = as_bytes(covered)
        covers[cover] = True
    return Poisoned(LabelledImages(images, new_labels), poisoned, covers)


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8 0..255: a triggered image is a picture like any other, 8 bits a channel."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)
