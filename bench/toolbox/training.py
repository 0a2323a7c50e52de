"""The training loop for victims and clean networks, its recipes, and inference in batches."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from bench.plugin.attack import Objective
from bench.plugin.images import augment, batches, images_at_once, steps_per_epoch
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

    optimizer: "sgd", with Nesterov's momentum under the one-cycle schedule, or "adamw", for transformers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=2)
    learning_rate: float = Field(gt=0, description="the highest rate of the schedule")
    schedule: Literal["one-cycle", "cosine"]
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    augment: bool = True
    optimizer: Literal["sgd", "adamw"] = "sgd"

    @property
    def identity(self) -> dict[str, Any]:
        """What a victim's key contains of it: ``optimizer`` was added later, and is left out while it is "sgd"."""
        return self.model_dump(exclude={"optimizer"} if self.optimizer == "sgd" else None)


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
    or a gradient stopped being finite.
    """
    device = data.images.device
    model.train().to(memory_format=torch.channels_last)
    steps = max(1, recipe.epochs * steps_per_epoch(len(data), recipe.batch_size))
    run = _Run(model, recipe, objective or Objective(), generator, steps)
    fast: nn.Module = torch.compile(model) if compiled and type(run.objective) is Objective else model  # type: ignore[assignment]
    if checkpoint:
        run.resume(checkpoint, device)
    while run.epochs < recipe.epochs:
        for index in batches(len(data), recipe.batch_size, generator, device):
            images, labels = data.at(index).floats, data.labels[index]
            if recipe.augment:
                images = augment(images, generator, crop=crop, flip=flip)
            with autocast(device):
                network = fast if len(index) == recipe.batch_size else model  # compiling anew for one batch costs more
                loss = run.objective.loss(network, channels_last(images), labels, run.steps / steps)
            run.step(loss)
            progress(run.steps / steps)
        run.epochs += 1
        run.expect_finite(f"after epoch {run.epochs} of {recipe.epochs}")
        if checkpoint and checkpoint.due() and run.epochs < recipe.epochs:
            checkpoint.save(run.state())
    model.eval()


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
