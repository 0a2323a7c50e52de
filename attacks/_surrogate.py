"""What the attacks share that search for a trigger on a clean surrogate of the victim."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages
from bench.toolbox.training import autocast

Loss = Callable[[Tensor], Tensor]
Projection = Callable[[Tensor], Tensor]


class AddedPattern(Attack):
    """An attack that adds one pattern to every image: the one that leads a clean surrogate to the target class.

    A subclass says in ``search`` how the pattern is kept out of sight.
    """

    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one", "several"] = Field(
        "all-to-one", description="the pattern leads to one class; with several targets each has its own"
    )
    steps: int = Field(200, ge=1, description="steps of the search for the pattern")
    batch_size: int = Field(64, ge=1, description="images that a step of the search sees")
    surrogate_share: float = Field(
        0.3, gt=0, le=1, description="share of the victim's epochs that the clean surrogate is trained for"
    )

    @abstractmethod
    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        """A pattern (C, H, W) of low ``loss``, which is that of a fresh random batch at every call."""

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        model = context.clean_model(self.surrogate_share)
        others = (train.labels != self.target_class).nonzero()[:, 0]
        goal = torch.full((self.batch_size,), self.target_class, device=context.device)

        def loss(pattern: Tensor) -> Tensor:
            """Cross-entropy of the target for images of the other classes with ``pattern`` (C, H, W)."""
            drawn = torch.randint(len(others), (self.batch_size,), generator=context.generator, device=context.device)
            images = add(train.at(others[drawn]).floats, pattern)
            with autocast(context.device):
                logits = model(images.contiguous(memory_format=torch.channels_last))
            return F.cross_entropy(logits.float(), goal)

        return {"pattern": self.search(loss, context)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return add(images, context.learned["pattern"])


def add(images: Tensor, pattern: Tensor) -> Tensor:
    """``images`` (N, C, H, W) with ``pattern`` (C, H, W) added, in [0, 1]."""
    return (images + pattern).clamp(0, 1)


def descend(start: Tensor, loss: Loss, project: Projection, *, steps: int, rate: float) -> Tensor:
    """``start`` after ``steps`` of Adam on ``loss``, every one followed by ``project`` onto what is allowed."""
    point = project(start).requires_grad_()
    optimizer = torch.optim.Adam([point], lr=rate)
    for _ in range(steps):
        (point.grad,) = torch.autograd.grad(loss(point), point)
        optimizer.step()
        with torch.no_grad():
            point.copy_(project(point))
    return point.detach()


def largest(values: Tensor, count: int) -> Tensor:
    """A mask of the shape of ``values``: one at its ``count`` largest, zero elsewhere."""
    mask = torch.zeros_like(values)
    mask.view(-1)[values.flatten().topk(min(count, values.numel())).indices] = 1
    return mask
