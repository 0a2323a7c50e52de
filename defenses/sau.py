"""SAU: unlearn the adversarial examples that the network shares with the backdoored network that it was.

Wei, Zhang, Zha, Wu, "Shared Adversarial Unlearning: Backdoor Mitigation by Unlearning Shared Adversarial Examples",
NeurIPS 2023, arXiv 2307.10562. Triggered images are among the adversarial examples that lead the backdoored network and
the repaired one to the same wrong class. Projected gradient steps find such examples for both networks; the repaired
one is then trained not to give them the class that the backdoored one does.

Measured with 200 digits and a slim ResNet-18: within .2 a white patch on black is out of reach, and whether BadNets
goes is luck (5 rounds at a rate of 1e-3: ASR .00 on one victim, .99 on another); within .4, 8 rounds leave .16 there.
A rate of 5e-4 leaves .65 of the first, 3e-4 .94.
"""

import copy
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import usual_batch
from bench.plugin import Context, Known, Repair, batches
from bench.toolbox.networks import channels_last
from bench.toolbox.training import autocast


class SAU(Repair):
    name: ClassVar[str] = "sau"
    source: ClassVar[str] = "Wei et al., NeurIPS 2023, arXiv 2307.10562"

    rounds: int = Field(100, ge=0, description="passes over the reference images")
    learning_rate: float = Field(1e-4, gt=0, description="with Adam")
    batch_size: int | None = Field(
        None, ge=2, description="images of a step; a tenth of the reference images, at least 20 if not given"
    )
    epsilon: float = Field(0.2, gt=0, description="largest change of a pixel; pixels are in [0, 1]")
    step: float = Field(0.2, gt=0, description="change of a pixel in a projected gradient step")
    steps: int = Field(5, ge=1, description="projected gradient steps that find an example")
    adversarial_weight: float = Field(0.01, ge=0, description="lambda 3: both networks' loss, when finding an example")
    shared_weight: float = Field(1.0, ge=0, description="lambda 4: agreement of the networks, when finding an example")
    statistics: bool = Field(False, description="let batch normalisation follow the clean and the adversarial images")
    unlearning_weight: float = Field(1.0, ge=0, description="lambda 2: of the shared examples' loss")

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        size = self.batch_size or usual_batch(len(data))
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        before = copy.deepcopy(model).requires_grad_(False)
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        shared = []
        for done in range(self.rounds):
            misled = torch.zeros((), device=context.device)
            for index in batches(len(data), size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                examples = self._examples(model.eval(), before, images, labels, context)
                with torch.no_grad(), autocast(context.device):
                    led = before(examples).argmax(1)
                model.train(self.statistics)
                with autocast(context.device):
                    logits = model(channels_last(torch.cat((images, examples)))).float()
                clean, attacked = logits.split(len(images))
                loss = F.cross_entropy(clean, labels) + self.unlearning_weight * shared_loss(attacked, led, labels)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                misled += ((led != labels) & (attacked.argmax(1) == led)).sum()
            shared.append(float(misled) / len(data))
            context.progress((done + 1) / self.rounds)
        context.note("shared_examples", shared)
        return model.eval()

    def _examples(
        self, model: nn.Module, before: nn.Module, images: Tensor, labels: Tensor, context: Context
    ) -> Tensor:
        """Images within ``epsilon`` of ``images``, in [0, 1], that lead both networks away from ``labels`` alike."""
        draw = torch.rand(images.shape, generator=context.generator, device=context.device)
        examples = (images + self.epsilon * (2 * draw - 1)).clamp(0, 1)
        low, high = (images - self.epsilon).clamp(min=0), (images + self.epsilon).clamp(max=1)
        for _ in range(self.steps):
            examples = channels_last(examples).requires_grad_()
            with autocast(context.device):
                now, then = model(examples).float(), before(examples).float()
            loss = F.cross_entropy(now, labels, reduction="sum") + F.cross_entropy(then, labels, reduction="sum")
            worth = self.adversarial_weight * loss / 2 - self.shared_weight * divergence(now, then).sum()
            (gradient,) = torch.autograd.grad(worth, examples)
            examples = (examples.detach() + self.step * gradient.sign()).clamp(low, high)
        return examples


def shared_loss(logits: Tensor, led: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of -log(1 - p) where the backdoored network errs, 0 elsewhere.

    p: what softmax of ``logits`` (N, C) gives ``led`` (N,), the classes that the backdoored network gives.
    """
    others = logits.scatter(1, led[:, None], -torch.inf)
    surprise = logits.logsumexp(1) - others.logsumexp(1)
    return torch.where(led != labels, surprise, 0).mean()


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """The Jensen-Shannon divergence (N,), in nats, of the softmax of two sets of logits (N, C)."""
    one, other = first.log_softmax(1), second.log_softmax(1)
    middle = torch.logaddexp(one, other) - torch.log(torch.tensor(2.0, device=one.device))
    return sum(((side.exp() * (side - middle)).sum(1) for side in (one, other)), torch.zeros_like(one[:, 0])) / 2
