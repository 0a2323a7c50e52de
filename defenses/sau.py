"""SAU: unlearn the adversarial examples that the network shares with the backdoored network that it was.

Wei, Zhang, Zha, Wu, "Shared Adversarial Unlearning: Backdoor Mitigation by Unlearning Shared Adversarial Examples",
NeurIPS 2023, arXiv 2307.10562. Triggered images are among the adversarial examples that both the backdoored network and
the repaired one assign to the same wrong class. Projected gradient steps find such examples; the repaired network is
then trained not to give them the class that the backdoored one gives. The authors' code searches differently:
start=highest, masked=true, clip=false.
"""

import copy
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import usual_batch
from bench.defenses._losses import jensen_shannon_of_logits, surprise_without
from bench.plugin import Context, Known, Repair, batches, later
from bench.toolbox.networks import channels_last
from bench.toolbox.precision import expect_finite
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
    start: Literal["random", "highest"] = later(
        "random", description="of the search: a random change, or epsilon added to every pixel"
    )
    masked: bool = later(
        False,
        description="search with each term only while it has work to do: the errors until they are made, the agreement "
        "until it is reached; leave out images that the backdoored network errs on anyway",
    )
    clip: bool = later(True, description="keep the pixels of the examples in [0, 1]")

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        size = self.batch_size or usual_batch(len(data))
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        before = copy.deepcopy(model).requires_grad_(False)
        optimizer = torch.optim.Adam(weights, lr=self.learning_rate)
        shared = []
        for epoch in range(self.rounds):
            count = torch.zeros((), device=context.device)
            for index in batches(len(data), size, context.generator, context.device):
                images, labels = data.at(index).floats, data.labels[index]
                examples = self._examples(model.eval(), before, images, labels, context)
                with torch.no_grad(), autocast(context.device):
                    old_classes = before(examples).argmax(1)
                    if self.masked:  # an error without any change is none that the trigger could share
                        errs = before(channels_last(images)).argmax(1) != labels
                        old_classes = torch.where(errs, labels, old_classes)
                model.train(self.statistics)
                with autocast(context.device):
                    logits = model(channels_last(torch.cat((images, examples)))).float()
                clean, attacked = logits.split(len(images))
                unlearning = shared_loss(attacked, old_classes, labels)
                loss = F.cross_entropy(clean, labels) + self.unlearning_weight * unlearning
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                count += ((old_classes != labels) & (attacked.argmax(1) == old_classes)).sum()
            expect_finite(model, when=f" after round {epoch + 1} of {self.rounds}")
            shared.append(float(count) / len(data))
            context.progress((epoch + 1) / self.rounds)
        context.note("shared_examples", shared)
        return model.eval()

    def _examples(
        self, model: nn.Module, before: nn.Module, images: Tensor, labels: Tensor, context: Context
    ) -> Tensor:
        """Images in [0, 1], within ``epsilon`` of ``images``, to which both networks give the same wrong class."""
        low, high = images - self.epsilon, images + self.epsilon
        if self.clip:
            low, high = low.clamp(min=0), high.clamp(max=1)
        if self.start == "random":
            draw = torch.rand(images.shape, generator=context.generator, device=context.device)
            examples = images + self.epsilon * (2 * draw - 1)
            examples = examples.clamp(0, 1) if self.clip else examples
        else:
            examples = high
        for _ in range(self.steps):
            examples = channels_last(examples).requires_grad_()
            with autocast(context.device):
                new, old = model(examples).float(), before(examples).float()
            (gradient,) = torch.autograd.grad(self._searched(new, old, labels), examples)
            if self.masked and not bool(gradient.any()):
                return examples.detach()  # both networks give every image the same wrong class
            examples = (examples.detach() + self.step * gradient.sign()).clamp(low, high)
        return examples

    def _searched(self, new: Tensor, old: Tensor, labels: Tensor) -> Tensor:
        """What the search maximises, a scalar: both networks' loss, less how much their logits (N, C) disagree."""
        if not self.masked:
            loss = F.cross_entropy(new, labels, reduction="sum") + F.cross_entropy(old, labels, reduction="sum")
            disagreement = jensen_shannon_of_logits(new, old).sum()
            return self.adversarial_weight * loss / 2 - self.shared_weight * disagreement
        new_classes, old_classes = new.argmax(1), old.argmax(1)
        losses = [
            (F.cross_entropy(logits, labels, reduction="none") * (logits.argmax(1) == labels)).sum()
            for logits in (new, old)
        ]
        reached = (new_classes == old_classes) & (new_classes != labels)
        disagreement = (jensen_shannon_of_logits(new, old) * ~reached).sum()
        return self.adversarial_weight * (losses[0] + losses[1]) / 2 - self.shared_weight * disagreement


def shared_loss(logits: Tensor, old_classes: Tensor, labels: Tensor) -> Tensor:
    """Mean over images of -log(1 - p) where the backdoored network errs, 0 elsewhere.

    p: the probability that logits (N, C) give ``old_classes`` (N,), the backdoored network's answers. labels (N,).
    """
    return torch.where(old_classes != labels, surprise_without(logits, old_classes), 0).mean()
