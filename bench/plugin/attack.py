"""Attacks: the base class, and the training objective that an attack may replace."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, final

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.errors import RequestError
from bench.plugin import mapped
from bench.plugin.base import Plugin
from bench.plugin.values import AttackContext, ImageSpec, LabelledImages, Poisoned, a_kind


class Objective:
    """What a training step minimises: the cross-entropy. An attack that controls the training may return a subclass."""

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, share: float) -> Tensor:
        """The loss of a batch, a scalar, to be minimised over the parameters of ``model``, which is in training mode.

        images: (N, C, H, W) in [0, 1], augmented. labels: (N,). share: of the training that is done, in [0, 1). An
        attack may also train a network of its own in here, such as a generator.
        """
        return F.cross_entropy(model(images), labels)

    def learned(self) -> Mapping[str, Tensor]:
        """What the trigger needs and the attack learned during the training, by name; called once, at its end."""
        return {}

    def state(self) -> dict[str, Any]:
        """What must be saved of this objective so that an interrupted training can continue.

        By default the state of every network and optimizer among its attributes, with accumulated gradients.
        """
        return {name: _state(value) for name, value in vars(self).items() if isinstance(value, _STATEFUL)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put this objective into a ``state`` that ``state()`` returned."""
        for name, saved in state.items():
            value = getattr(self, name)
            value.load_state_dict(saved["state"])
            for parameter, gradient in saved["gradients"].items():
                value.get_parameter(parameter).grad = gradient


_STATEFUL = (nn.Module, torch.optim.Optimizer)


def _state(value: nn.Module | torch.optim.Optimizer) -> dict[str, Any]:
    named = value.named_parameters() if isinstance(value, nn.Module) else ()
    gradients = {name: parameter.grad for name, parameter in named if parameter.grad is not None}
    return {"state": value.state_dict(), "gradients": gradients}


class Attack(Plugin):
    """A backdoor attack; unless a subclass says otherwise, it poisons the training data and changes their labels."""

    kind: ClassVar[str] = "attack"
    clean_label: ClassVar[bool] = False  # do poisoned images keep their labels?
    controls: ClassVar[Literal["data", "training"]] = "data"  # what the attacker must control
    published_controls: ClassVar[Literal["data", "training"] | None] = None  # in the published form, where that differs
    plants_nothing: ClassVar[bool] = False  # is it the control row, whose network is benign?
    visible: ClassVar[bool] = True  # would a person see the trigger, according to the source?

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
        """This attack with ``classes`` filled in. Raises RequestError for targets that do not fit the data set, or that
        ``label_map`` does not allow.
        """
        for name, values in (("target_class", (self.target_class,)), ("targets", self.targets)):
            for value in values:
                if not 0 <= value < spec.classes:
                    raise RequestError(
                        f"{self.name}: {name}={value}: expected a class below {spec.classes} of this data set"
                    )
        targets = "+".join(map(str, self.targets)) or "()"
        if (self.label_map == "several") != bool(self.targets):
            raise RequestError(f"{self.name}: targets={targets}: expected with label_map=several, and only there")
        if self.targets and len(set(self.targets)) != max(2, len(self.targets)):
            raise RequestError(f"{self.name}: targets={targets}: expected two or more different classes")
        if self.classes not in (None, spec.classes):
            raise RequestError(f"{self.name}: classes={self.classes}: the data set has {spec.classes}")
        return self.model_copy(update={"classes": spec.classes})

    def backdoors(self) -> list[Self]:
        """One attack for each backdoor: this one, or with several targets one all-to-one attack for each target."""
        if self.label_map != "several":
            return [self]
        single = self.model_copy(update={"label_map": "all-to-one", "targets": ()})
        return [
            single.for_target(index).model_copy(update={"target_class": target})
            for index, target in enumerate(self.targets)
        ]

    def for_target(self, index: int) -> Self:
        """This attack with its trigger for ``targets[index]``.

        An attack whose ``learn`` draws its trigger at random need not override this: ``learn`` runs for each target.
        """
        return self

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """What the attack fixes before it poisons, by name: a picture, a warping field, an optimised trigger.

        train: the clean training images. The result is stored with the victim; later calls find it in
        ``context.learned``.
        """
        return {}

    @final
    def apply(self, images: Tensor, context: AttackContext) -> Tensor:
        """``trigger`` on a copy of ``images`` (N, C, H, W) in [0, 1], with its result checked.

        Raises ValueError if the result has another shape, or values that are NaN, infinite or outside of [0, 1].
        """
        triggered = self._triggered(images.clone(), context)
        if not bool(torch.isfinite(triggered).all()):
            raise ValueError(f"{self.name}: trigger gave values that are NaN or infinite; expected values in [0, 1]")
        lowest, highest = (float(triggered.min()), float(triggered.max())) if len(triggered) else (0.0, 0.0)
        if not -1e-4 <= lowest <= highest <= 1 + 1e-4:
            raise ValueError(f"{self.name}: trigger left [0, 1]: {lowest:.4g} to {highest:.4g}")
        return triggered

    def _triggered(self, images: Tensor, context: AttackContext) -> Tensor:
        """``trigger`` on ``images``. Raises TypeError or ValueError for anything but floats of the same shape."""
        shape, given = tuple(images.shape), self.trigger(images, context)
        if not isinstance(given, Tensor):
            raise TypeError(f"{self.name}: trigger gave {a_kind(given)}, expected the triggered images, {shape}")
        if given.shape != shape:
            raise ValueError(f"{self.name}: trigger gave {tuple(given.shape)}, expected {shape} as its images have")
        if not given.is_floating_point():
            kind = str(given.dtype).removeprefix("torch.")
            raise TypeError(f"{self.name}: trigger gave {kind} values, expected floats in [0, 1]")
        return given

    @abstractmethod
    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        """``images`` (N, C, H, W) in [0, 1] with the trigger, of the same shape and range.

        Pure: it changes neither ``images`` nor this plugin. Callers use ``apply``, which checks the result.
        """

    def target(self, labels: Tensor) -> Tensor:
        """The target (N,) of triggered images of true class ``labels`` (N,).

        Raises ValueError with several targets, where each of ``backdoors()`` has its target.
        """
        if self.label_map == "several":
            raise ValueError("with several targets, ask each of backdoors() for its target")
        if self.label_map == "all-to-all":
            if self.classes is None:
                raise ValueError("all-to-all needs the number of classes")
            return (labels + 1) % self.classes
        return torch.full_like(labels, self.target_class)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """``train`` with a share ``poisoning_rate`` of its images triggered and labelled as their target."""
        chosen = self.draw(train, context)
        triggered = self._triggered(train.at(chosen).floats, context)
        return stamp(train, chosen, triggered, self.target(train.labels[chosen]))

    def draw(self, train: LabelledImages, context: AttackContext) -> Tensor:
        """Indices (K,) of the images to poison, drawn at random: a share ``poisoning_rate`` of all of ``train``.

        A clean-label attack draws them from the target class, and takes all of that, and says so, if it has fewer.
        """
        count = round(self.poisoning_rate * len(train))
        if not self.clean_label:
            return torch.randperm(len(train), generator=context.generator, device=train.labels.device)[:count]
        members = (train.labels == self.target_class).nonzero()[:, 0]
        if len(members) < count:
            rate = len(members) / len(train)
            context.log(
                f"poisoning_rate={self.poisoning_rate:g} asks for {count} images of class {self.target_class}: "
                f"it has {len(members)}, all of them are poisoned, a rate of {rate:.4g}"
            )
        return members[torch.randperm(len(members), generator=context.generator, device=members.device)[:count]]

    def objective(self, model: nn.Module, train: LabelledImages, context: AttackContext) -> Objective:
        """What is minimised when ``model`` is trained on ``train``, the poisoned images.

        Called once, after ``poison`` and before the first step.
        """
        return Objective()


def stamp(
    train: LabelledImages,
    chosen: Tensor,
    triggered: Tensor,
    labels: Tensor,
    cover: Tensor | None = None,
    covered: Tensor | None = None,
) -> Poisoned:
    """A poisoned copy of ``train``.

    The images at the indices ``chosen`` (K,) become ``triggered`` (K, C, H, W) in [0, 1] with ``labels`` (K,). The
    images at the indices ``cover`` (L,), which must be others, become ``covered`` (L, C, H, W) and keep their labels.
    """
    images, new_labels = mapped.copied(train.images), train.labels.clone()
    images[chosen], new_labels[chosen] = as_bytes(triggered), labels
    poisoned = torch.zeros(len(train), dtype=torch.bool, device=images.device)
    poisoned[chosen] = True
    covers = torch.zeros_like(poisoned)
    if cover is not None and covered is not None:
        images[cover] = as_bytes(covered)
        covers[cover] = True
    return Poisoned(LabelledImages(images, new_labels), poisoned, covers)


def as_bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] rounded to uint8 in 0..255: like any picture, a triggered one has 8 bits a channel."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)
