"""Helpers of the attacks that search for a trigger on a clean surrogate of the victim."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages
from bench.toolbox.networks import channels_last
from bench.toolbox.training import autocast

Loss = Callable[[Tensor], Tensor]
Projection = Callable[[Tensor], Tensor]


class AddedPattern(Attack):
    """An attack that adds one pattern to every image, one that makes a clean surrogate predict the target class.

    A subclass says in ``search`` how the pattern is kept inconspicuous.
    """

    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one", "several"] = Field(
        "all-to-one", description="one pattern that leads to one class; or several targets, each with its own"
    )
    steps: int = Field(200, ge=1, description="steps of the search for the pattern")
    batch_size: int = Field(64, ge=1, description="images in each step of the search")
    surrogate_share: float = Field(
        0.3, gt=0, le=1, description="share of the victim's epochs that the clean surrogate is trained for"
    )

    @abstractmethod
    def search(self, loss: Loss, context: AttackContext) -> Tensor:
        """A pattern (C, H, W) of low ``loss``, to be added to images in [0, 1].

        loss: a pattern (C, H, W) to a scalar, on another random batch at every call.
        """

    def learn(self, train: LabelledImages, context: AttackContext) -> Mapping[str, Tensor]:
        """The pattern (C, H, W). Raises LookupError where the context offers no clean model."""
        model = context.clean_model(self.surrogate_share)
        others = (train.labels != self.target_class).nonzero()[:, 0]
        goal = torch.full((self.batch_size,), self.target_class, device=context.device)

        def loss(pattern: Tensor) -> Tensor:
            """Cross-entropy with the target class, of images of the other classes with ``pattern`` (C, H, W)."""
            drawn = torch.randint(len(others), (self.batch_size,), generator=context.generator, device=context.device)
            images = add(train.at(others[drawn]).floats, pattern)
            with autocast(context.device):
                logits = model(channels_last(images))
            return F.cross_entropy(logits.float(), goal)

        return {"pattern": self.search(loss, context)}

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return add(images, context.learned["pattern"])


def add(images: Tensor, pattern: Tensor) -> Tensor:
    """``images`` (N, C, H, W) with ``pattern`` (C, H, W) added, clipped to [0, 1]."""
    return (images + pattern).clamp(0, 1)


def descend(start: Tensor, loss: Loss, project: Projection, *, steps: int, rate: float) -> Tensor:
    """``start`` after ``steps`` steps of Adam on ``loss``, each followed by ``project`` onto the allowed values.

    ``start`` is projected first; ``rate`` is the learning rate. The result has the shape of ``start``.
    """
    point = project(start).requires_grad_()
    optimizer = torch.optim.Adam([point], lr=rate)
    for _ in range(steps):
        (point.grad,) = torch.autograd.grad(loss(point), point)
        optimizer.step()
        with torch.no_grad():
            point.copy_(project(point))
    return point.detach()


def largest(values: Tensor, count: int) -> Tensor:
    """A mask of the shape of ``values``: 1 at its ``count`` largest values (at most all), 0 elsewhere."""
    mask = torch.zeros_like(values)
    mask.view(-1)[values.flatten().topk(min(count, values.numel())).indices] = 1
    return mask
