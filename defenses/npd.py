"""NPD: a small trained layer in the fixed network, the neural polarizer, that filters the trigger out.

Zhu, Wei, Zha, Wu, "Neural Polarizer", NeurIPS 2023, arXiv 2306.16697. A linear map of the channels with batch
normalisation behind a stage is trained on reference images and on copies perturbed by a targeted attack. The loss is
CE(clean) + a [-log(1 - p_target(perturbed))] + b CE(perturbed) + c [-log(1 - p_runner-up(perturbed))]. Departures:
Adam; random targets; one universal perturbation a class that follows the polarizer; c = 0; the place, which in the
authors' code is before the last block. That code: optimizer=sgd, statistics=kept, warm_up=5, perturbation=image,
attack=sign, attack_steps=2, aim=second, weight_runner_up=0.4, epochs=50, batch_size=128.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import skip_init

from bench.defenses._classifier import lacks_plain_stages
from bench.defenses._losses import surprise_without
from bench.plugin import Case, Context, Known, LabelledImages, Repair, batches, later
from bench.toolbox.networks import Cut, channels_last, stages
from bench.toolbox.precision import expect_finite
from bench.toolbox.training import autocast, logits_of

STEP = 0.3  # of the attack, in radii
SIGN_STEP = 0.1  # of the attack by signs, of every pixel
WARM_UP_RATE = 1e-4  # of the warm-up, with plain SGD


class Polarizer(nn.Module):
    """A linear map of the channels with batch normalisation. The channels lie in dimension ``axis``, 1 or -1."""

    def __init__(self, channels: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.mix = skip_init(nn.Linear, channels, channels, bias=False)  # no global generator is drawn from
        self.norm = nn.BatchNorm1d(channels)
        nn.init.eye_(self.mix.weight)

    def forward(self, values: Tensor) -> Tensor:
        last = values.movedim(self.axis, -1)
        mixed = self.mix(last)
        out: Tensor = self.norm(mixed.flatten(0, -2)).view_as(mixed)
        return out.movedim(-1, self.axis)

    @contextmanager
    def renewing_statistics(self) -> Iterator[None]:
        """While open, the normalisation takes its statistics anew: the mean over the batches that pass through."""
        self.norm.reset_running_stats()
        momentum, self.norm.momentum = self.norm.momentum, None
        self.train()
        try:
            yield
        finally:
            self.norm.momentum = momentum
            self.eval()

    @torch.no_grad()
    def fit(self, values: Tensor) -> None:
        """Take the statistics of ``values`` (N, ...), and become the identity on them."""
        rows = values.movedim(self.axis, -1).flatten(0, -2)
        variance, mean = torch.var_mean(rows, 0)
        self.norm.running_mean, self.norm.running_var = mean, variance
        self.norm.weight.copy_((variance + self.norm.eps).sqrt())
        self.norm.bias.copy_(mean)


class Polarized(nn.Module):
    """``stage`` followed by ``polarizer``, in the place of the stage."""

    def __init__(self, stage: nn.Module, polarizer: Polarizer) -> None:
        super().__init__()
        self.stage, self.polarizer = stage, polarizer

    def forward(self, values: Tensor) -> Tensor:
        out: Tensor = self.polarizer(self.stage(values))
        return out


class NPD(Repair):
    name: ClassVar[str] = "npd"
    source: ClassVar[str] = "Zhu et al., NeurIPS 2023, arXiv 2306.16697"

    stage: int = Field(-2, description="the stage, by number, behind which the polarizer is inserted; -1: the last")
    perturbation: Literal["universal", "image"] = Field(
        "universal", description="one perturbation for each class, kept from step to step; or one for each image, anew"
    )
    radius: float = Field(3.0, gt=0, description="L2 norm of a perturbation, for images in [0, 1]")
    attack_steps: int = Field(1, ge=1, description="steps of the attack for each step of the polarizer")
    weight_target: float = Field(0.4, ge=0, description="weight of -log(1 - probability of the target)")
    weight_restore: float = Field(0.4, ge=0, description="weight of the perturbed images' cross-entropy")
    epochs: int = Field(15, ge=1, description="of training the polarizer")
    batch_size: int = Field(50, ge=2, description="reference images a step")
    learning_rate: float = Field(0.01, gt=0, description="of the polarizer")
    optimizer: Literal["adam", "sgd"] = later(
        "adam", description="of the polarizer; sgd: with momentum 0.9 and weight decay 5e-4"
    )
    statistics: Literal["batch", "kept"] = later(
        "batch",
        description="the polarizer normalises clean images by those of their batch, and takes them anew at the "
        "end; or by those that it had when training began",
    )
    warm_up: int = later(0, ge=0, description="epochs on clean images alone before, at a low rate")
    attack: Literal["gradient", "sign"] = later(
        "gradient", description="step of the attack: along the gradient, or 0.1 in every pixel by its sign"
    )
    aim: Literal["random", "second"] = later(
        "random", description="the attack's target: drawn at random, or the most probable class but the image's own"
    )
    weight_runner_up: float = later(
        0.0, ge=0, description="weight of -log(1 - probability of the likeliest other class)"
    )

    def unsupported(self, case: Case) -> str | None:
        if not stages(case.network):
            return "the network has no stage to put a polarizer behind"
        return lacks_plain_stages(case)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        polarizer, network = inserted(model, self.stage, data.floats)
        parameters = list(polarizer.parameters())
        optimizer = self._optimizer(parameters)

        def predict(images: Tensor) -> Tensor:
            with autocast(context.device):
                logits: Tensor = network(channels_last(images))
            return logits.float()

        classes = len(logits_of(predict, data.example)[0])
        universal = torch.zeros(classes, *data.images.shape[1:], device=context.device)
        self._warm_up(polarizer, predict, data, context)
        for epoch in range(self.epochs):
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                targets = self._targets(predict, images, labels, classes, context)
                changes, universal = self._perturbations(predict, images, targets, universal)
                perturbed = predict((images + changes).clamp(0, 1))
                polarizer.train(self.statistics == "batch")  # the statistics are those of clean images
                clean = predict(images)
                polarizer.eval()
                loss = (
                    F.cross_entropy(clean, labels)
                    + self.weight_target * avoided(perturbed, targets)
                    + self.weight_restore * F.cross_entropy(perturbed, labels)
                )
                if self.weight_runner_up:
                    loss = loss + self.weight_runner_up * avoided(perturbed, runners_up(perturbed, labels))
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter.grad = gradient
                optimizer.step()
            expect_finite(polarizer, whose="the polarizer's ", when=f" after epoch {epoch + 1} of {self.epochs}")
            context.progress((epoch + 1) / self.epochs)
        if self.statistics == "batch":
            with polarizer.renewing_statistics():  # running means lag behind steps as large as these
                logits_of(predict, data.floats, 256)  # of the statistics: the same at any size of the images
        return network

    def _optimizer(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=self.learning_rate)
        return torch.optim.SGD(parameters, lr=self.learning_rate, momentum=0.9, weight_decay=5e-4)

    def _warm_up(
        self, polarizer: Polarizer, predict: Callable[[Tensor], Tensor], data: LabelledImages, context: Context
    ) -> None:
        """Train the polarizer on clean images alone; its running statistics follow theirs."""
        optimizer = torch.optim.SGD(polarizer.parameters(), lr=WARM_UP_RATE)
        polarizer.train()
        for _ in range(self.warm_up):
            for index in batches(len(data), self.batch_size, context.generator, context.device):
                loss = F.cross_entropy(predict(data.at(index).floats), data.labels[index])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
        polarizer.zero_grad(set_to_none=True)
        polarizer.eval()

    def _targets(
        self, predict: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, classes: int, context: Context
    ) -> Tensor:
        """The class (N,) that each image's attack aims at, never its own."""
        if self.aim == "second":
            with torch.no_grad():
                return runners_up(predict(images), labels)
        offsets = torch.randint(1, classes, labels.shape, generator=context.generator, device=context.device)
        return (labels + offsets) % classes

    def _perturbations(
        self, predict: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, universal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The perturbations of images (N, C, H, W) towards ``targets`` (N,), and the universal ones, one a class."""
        if self.perturbation == "universal":
            universal = attacked(
                predict, images, universal, targets, targets, self.radius, self.attack_steps, self.attack
            )
            return universal[targets], universal
        rows, zero = torch.arange(len(images), device=images.device), torch.zeros_like(images)
        changes = attacked(predict, images, zero, rows, targets, self.radius, self.attack_steps, self.attack)
        return changes, universal


def inserted(model: nn.Module, number: int, images: Tensor) -> tuple[Polarizer, nn.Module]:
    """A polarizer, which is the identity on ``images`` so far, and ``model`` with it behind its stage ``number``.

    Maps (N, K, H, W) have their channels in dimension 1. All other activations have them in the last dimension. So do
    the maps of transformers that keep the image's shape: their stages have linear layers and no convolution.
    """
    modules = list(stages(model).values())
    stage = modules[max(-len(modules), min(number, len(modules) - 1))]
    with torch.no_grad():
        values = Cut(model, stage, images[:1]).before(images)
    linear, convolved = (any(isinstance(module, kind) for module in stage.modules()) for kind in (nn.Linear, nn.Conv2d))
    axis = 1 if values.ndim == 4 and (convolved or not linear) else -1
    polarizer = Polarizer(values.shape[axis], axis).to(values.device)
    polarizer.fit(values)
    name = next(name for name, module in model.named_modules() if module is stage)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, Polarized(stage, polarizer))
    return polarizer.eval(), model


def attacked(
    predict: Callable[[Tensor], Tensor],
    images: Tensor,
    changes: Tensor,
    rows: Tensor,
    targets: Tensor,
    radius: float,
    steps: int,
    kind: Literal["gradient", "sign"] = "gradient",
) -> Tensor:
    """The perturbations ``changes`` (M, C, H, W) after ``steps`` steps of an attack towards ``targets`` (N,).

    ``rows`` (N,): which of them each image (N, C, H, W) gets. The L2 norm of each stays within ``radius``.
    """

    def norms(values: Tensor) -> Tensor:
        lengths: Tensor = values.flatten(1).norm(dim=1).clamp_min(1e-12)
        return lengths[:, None, None, None]

    for _ in range(steps):
        changes = changes.detach().requires_grad_()
        logits = predict((images + changes[rows]).clamp(0, 1))
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, targets, reduction="sum"), changes)
        with torch.no_grad():
            step = STEP * radius * gradient / norms(gradient) if kind == "gradient" else SIGN_STEP * gradient.sign()
            changes = changes - step
            changes = changes * (radius / norms(changes)).clamp_max(1)
    return changes.detach()


def runners_up(logits: Tensor, labels: Tensor) -> Tensor:
    """The most probable class (N,) of logits (N, C) but ``labels`` (N,)."""
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(1)


def avoided(logits: Tensor, targets: Tensor) -> Tensor:
    """-log(1 - p_target), the mean over logits (N, C) with ``targets`` (N,)."""
    return surprise_without(logits, targets).mean()
