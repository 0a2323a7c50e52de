"""I-BAU: unlearn the worst universal perturbation, by a gradient that knows how it moves with the network.

Zeng, Chen, Park, Mao, Jin, Jia, "Adversarial Unlearning of Backdoors via Implicit Hypergradient", ICLR 2022,
arXiv 2110.03735. The network is trained to withstand the worst perturbation: min over theta of max over delta of the
loss of x + delta. The outer gradient goes through delta(theta) by the implicit function theorem, the inverse Hessian by
fixed-point iterations. As in common use the network stays in eval mode, Adam takes one step a batch, and delta starts
anew in every round. The paper's outer loss moves all images (share=1), the authors' code one in a hundred; it has no
bound on the perturbation (radius=none) and takes the inner loss of every step from the first batch (inner=first).
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.defenses._augmentation import Augmenting
from bench.defenses._finetuning import usual_batch
from bench.plugin import Context, Known, LabelledImages, Repair, batches, later
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import expect_finite

Loss = Callable[[Tensor], Tensor]  # perturbation (1, C, H, W) to a scalar


class IBAU(Augmenting, Repair):
    """Unlearning of universal perturbations by the implicit hypergradient."""

    name: ClassVar[str] = "i_bau"
    source: ClassVar[str] = "Zeng et al., ICLR 2022, arXiv 2110.03735"

    rounds: int = Field(5, ge=0, description="rounds of finding a perturbation and unlearning it")
    learning_rate: float = Field(1e-4, gt=0, description="of the network, with Adam")
    batch_size: int | None = Field(
        None, ge=2, description="images of a step; a tenth of the reference images, at least 20 if not given"
    )
    radius: float | None = Field(
        10.0, gt=0, description="largest L2 norm of the perturbation; pixels are in [0, 1]; none: without a bound"
    )
    inner_rate: float = Field(10.0, gt=0, description="learning rate of the perturbation, with plain gradient steps")
    inner_steps: int = Field(25, ge=1, description="steps that find the perturbation, one batch each")
    penalty: float = Field(1e-3, ge=0, description="weight of the perturbation's squared norm in the inner loss")
    share: float = Field(1.0, gt=0, le=1, description="share of a batch that carries the perturbation when unlearning")
    iterations: int = Field(5, ge=1, description="fixed-point iterations of the hypergradient")
    fixed_point_rate: float = Field(0.1, gt=0, description="step of the map whose fixed point the perturbation is")
    inner: Literal["batch", "first"] = later(
        "batch", description="images of the inner loss in a step: those of its batch, or of the round's first batch"
    )

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        size = self.batch_size or usual_batch(len(data))
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        norms = []
        self.crop_and_flip(context)  # says so if there is nothing to augment with
        for done in range(self.rounds):
            shift = self._perturbation(model, data, size, context)
            norms.append(float(shift.norm()))
            first: Loss | None = None
            for index in batches(len(data), size, context.generator, context.device):
                inner, outer = self._losses(model, self.varied(data.at(index).floats, context), data.labels[index])
                if self.inner == "first":
                    first = inner = first or inner
                gradients = hypergradient(
                    inner, outer, shift, weights, rate=self.fixed_point_rate, iterations=self.iterations
                )
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
                optimizer.step()
            expect_finite(model, when=f" after round {done + 1} of {self.rounds}")
            context.progress((done + 1) / self.rounds)
        context.note("perturbation_norms", norms)
        return model

    def _perturbation(self, model: nn.Module, data: LabelledImages, size: int, context: Context) -> Tensor:
        """One perturbation (1, C, H, W) that raises the loss of all images, by projected gradient steps from zero."""
        shift = torch.zeros(1, *data.images.shape[1:], device=context.device)
        for _ in range(self.inner_steps):
            draw = torch.randperm(len(data), generator=context.generator, device=context.device)
            images = channels_last(self.varied(data.at(draw[:size]).floats, context))
            with torch.no_grad():
                predicted = model(images).argmax(1)
            shift.requires_grad_()
            loss = F.cross_entropy(model(images + shift), predicted) - self.penalty * shift.square().sum()
            (gradient,) = torch.autograd.grad(loss, shift)
            shift = shift.detach() + self.inner_rate * gradient
            shift = shift if self.radius is None else within(shift, self.radius)
        return shift

    def _losses(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Loss, Loss]:
        """The losses of a batch (N, C, H, W) that the perturbation (inner) and the network (outer) minimise.

        In the outer one the first images carry the perturbation; the batch is in random order already.
        """
        images = channels_last(images)
        carries = torch.arange(len(images), device=images.device) < max(1, round(self.share * len(images)))
        mask = carries[:, None, None, None]

        def inner(shift: Tensor) -> Tensor:
            return self.penalty * shift.square().sum() - F.cross_entropy(model(images + shift), labels)

        def outer(shift: Tensor) -> Tensor:
            return F.cross_entropy(model(images + mask * shift), labels)

        return inner, outer


def within(shift: Tensor, radius: float) -> Tensor:
    """``shift`` (1, C, H, W), scaled down to the L2 norm ``radius`` if it is longer."""
    length: Tensor = shift.norm().clamp_min(1e-12)
    return shift * (radius / length).clamp(max=1)


def hypergradient(
    inner: Loss, outer: Loss, point: Tensor, weights: Sequence[Tensor], *, rate: float, iterations: int
) -> list[Tensor]:
    """The gradient of outer(point(weights), weights), where ``point`` minimises ``inner`` and moves with the weights.

    A minimum is a fixed point of p -> p - rate inner'(p). With g = d outer / d point the gradient is
    d outer / d weights - rate v d inner' / d weights, where v solves v = g + v - rate H v and H is the Hessian of
    ``inner``. Iterating that equation from v = 0 sums the Neumann series of rate H to ``iterations`` terms.
    """
    point = point.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
        (slope,) = torch.autograd.grad(inner(point), point, create_graph=True)
    pull, *direct = torch.autograd.grad(outer(point), [point, *weights], materialize_grads=True)
    solution = pull
    for _ in range(iterations - 1):
        (curved,) = torch.autograd.grad(slope, point, solution, retain_graph=True)
        solution = pull + solution - rate * curved
    indirect = torch.autograd.grad(slope, weights, solution, materialize_grads=True)
    return [straight - rate * bent for straight, bent in zip(direct, indirect, strict=True)]
