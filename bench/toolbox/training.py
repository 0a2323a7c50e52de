"""The training loop for victims and clean networks, its recipes, and inference in batches."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from bench.plugin.attack import Objective
from bench.plugin.images import augment, batches, images_at_once, steps_per_epoch
from bench.plugin.parameters import later
from bench.plugin.values import LabelledImages
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import cpu_bf16, expect_finite, has_bf16


class Resumable(Protocol):
    """A store for the state of a training, so that it can continue after an interruption."""

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last state that was saved, with its tensors on ``device``; None if there is none."""

    def due(self) -> bool:
        """Whether it is time to save again."""

    def save(self, state: dict[str, Any]) -> None:
        """Save ``state``, tensors and plain values, in place of the last one."""

    def misfit(self) -> Exception:
        """What to raise where the state that ``load`` gave is not one of this training."""


class Recipe(BaseModel):
    """The hyper-parameters of a training.

    optimizer: "sgd", with Nesterov's momentum under the one-cycle schedule, or "adamw", for transformers. start_size
    and grown: the network first sees small images, which cost less, and whole ones for the rest of the training
    (progressive resizing; Tan and Le, arXiv 2104.00298). Attacks stamp their triggers before images are made smaller.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0, description="the highest rate of the schedule")
    schedule: Literal["one-cycle", "cosine"]
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    augment: bool = True
    optimizer: Literal["sgd", "adamw"] = later("sgd")
    start_size: float = later(1.0, gt=0, le=1, description="side of the first images that the network sees, in sides")
    grown: float = later(0.6, gt=0, le=1, description="share of the training after which it sees whole images")
    crop: int | None = later(None, ge=0, description="pixels of random cropping; None: as the data set declares")

    @property
    def identity(self) -> dict[str, Any]:
        """What a victim's key contains of it."""
        return self.model_dump()

    def size(self, done: float) -> float:
        """The side of the images, in sides of whole ones, when the share ``done`` of the training is done.

        It grows in four equal steps, so that the network sees few different sizes.
        """
        return min(1.0, self.start_size + (1 - self.start_size) * math.floor(4 * done / self.grown) / 4)


def train(
    model: nn.Module,
    data: LabelledImages,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    crop: int = 0,
    flip: bool = False,
    objective: Objective | None = None,
    compiled: bool = False,
    checkpoint: Resumable | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Train ``model`` in place on ``data``, which must be on its device, and leave it in eval mode.

    objective: what every step minimises; the cross-entropy by default. crop, flip: as for ``augment``. compiled:
    compile the network first, unless the objective is an attack's. checkpoint: where the state is saved at the end of
    epochs, and restored from; on a CPU an interruption does not change the result. progress: called with the share of
    the training that is done, in [0, 1]. Raises ValueError at the end of an epoch in which the loss, a weight, a buffer
    or a gradient stopped being finite, and at the start if the network takes no images of the recipe's ``start_size``.
    """
    device = data.images.device
    _expect_sizes(model, data, recipe)
    model.train().to(memory_format=torch.channels_last)
    steps = max(1, recipe.epochs * steps_per_epoch(len(data), recipe.batch_size))
    crop = crop if recipe.crop is None else recipe.crop
    run = _Run(model, recipe, objective or Objective(), generator, steps)
    fast: nn.Module = torch.compile(model) if compiled and type(run.objective) is Objective else model  # type: ignore[assignment]
    if checkpoint:
        run.resume(checkpoint, device)
    while run.epochs < recipe.epochs:
        for index in batches(len(data), recipe.batch_size, generator, device):
            images, labels = data.at(index).floats, data.labels[index]
            if recipe.augment:
                images = augment(images, generator, crop=crop, flip=flip)
            with autocast(device), _seeing(model, recipe.size(run.steps / steps)):
                network = fast if len(index) == recipe.batch_size else model  # compiling anew for one batch costs more
                loss = run.objective.loss(network, channels_last(images), labels, run.steps / steps)
            run.step(loss)
            progress(run.steps / steps)
        run.epochs += 1
        run.expect_finite(f"after epoch {run.epochs} of {recipe.epochs}")
        if checkpoint and checkpoint.due() and run.epochs < recipe.epochs:
            checkpoint.save(run.state())
    model.eval()


@contextmanager
def _seeing(model: nn.Module, size: float) -> Iterator[None]:
    """Inside, the network is given its images at ``size`` times their side, whoever asks it."""
    if size == 1:
        yield
        return

    def shrink(_: nn.Module, given: tuple[Tensor]) -> Tensor:
        small = [max(1, round(side * size)) for side in given[0].shape[-2:]]
        return channels_last(F.interpolate(given[0], size=small, mode="bilinear", antialias=True))

    hook = model.register_forward_pre_hook(shrink)
    try:
        yield
    finally:
        hook.remove()


def _expect_sizes(model: nn.Module, data: LabelledImages, recipe: Recipe) -> None:
    """Raises ValueError for a network that takes no smaller images, if the recipe has them."""
    if recipe.start_size == 1:
        return
    try:
        with torch.no_grad(), _seeing(model.eval(), recipe.size(0)):
            model(data.example)
    except Exception as error:  # whatever its layers say
        raise ValueError(
            f"start_size={recipe.start_size}: this network takes no images of another size: expected 1"
        ) from error


class _Run:
    """The state of a running training: ``epochs`` and ``steps`` count what is done."""

    def __init__(
        self, model: nn.Module, recipe: Recipe, objective: Objective, generator: torch.Generator, steps: int
    ) -> None:
        self.objective, self.generator = objective, generator
        self.epochs = self.steps = 0
        self._losses = next(model.parameters()).new_zeros((), dtype=torch.float32)  # their sum since the last check
        self._optimizer = _optimizer(model, recipe)
        self._scheduler = _schedule(self._optimizer, recipe, steps)
        self._parts: dict[str, Any] = {"model": model, "optimizer": self._optimizer, "scheduler": self._scheduler}

    def step(self, loss: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._scheduler.step()
        self._losses += loss.detach()
        self.steps += 1

    def expect_finite(self, when: str) -> None:
        """Raises ValueError, with the tensor's name, unless the network, its gradients and all losses are finite."""
        expect_finite(self._parts["model"], when=f" {when}")
        expect_finite({"the sum of the losses": self._losses}, when=f" {when}")
        self._losses.zero_()

    def resume(self, checkpoint: Resumable, device: torch.device) -> None:
        """Continue from what the checkpoint has, if anything. Raises its ``misfit`` for another network's state."""
        if saved := checkpoint.load(device):
            try:
                self.restore(saved)
            except Exception as error:  # whoever wrote it
                raise checkpoint.misfit() from error

    def state(self) -> dict[str, Any]:
        """All that ``restore`` needs to continue from here."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        counts = {"epochs": self.epochs, "steps": self.steps, "generator": self.generator.get_state()}
        return parts | counts | {"objective": self.objective.state()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.objective.restore(state["objective"])
        self.generator.set_state(state["generator"].cpu())
        self.epochs, self.steps = int(state["epochs"]), int(state["steps"])


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bf16 where the hardware computes in it and computes it right, else nothing."""
    fast = has_bf16(device)
    return cpu_bf16() if fast and device.type == "cpu" else torch.autocast(device.type, torch.bfloat16, enabled=fast)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        # as usual for transformers, only matrices are decayed: no biases, norms or tokens
        matrices = [value for value in model.parameters() if value.squeeze().ndim > 1]
        others = [value for value in model.parameters() if value.squeeze().ndim <= 1]
        groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))
    nesterov = recipe.schedule == "one-cycle" and recipe.momentum > 0
    return torch.optim.SGD(
        model.parameters(), recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=nesterov
    )


def _schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=recipe.learning_rate, total_steps=steps, cycle_momentum=False
        )
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)


@torch.no_grad()
def logits_of(predict: Callable[[Tensor], Tensor], images: Tensor, batch_size: int | None = None) -> Tensor:
    """``predict`` on images (N, C, H, W) in [0, 1], batch by batch, without gradients: logits (N, classes).

    ``batch_size`` is 256 by default, and fewer of images with more than 64x64 pixels.
    """
    size = batch_size or images_at_once(256, *images.shape[-2:])
    return torch.cat([predict(batch) for batch in images.split(size)])
