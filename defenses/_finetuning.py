"""What the defenses share that train the network on the reference images."""

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.plugin import Context, LabelledImages, Objective, Repair
from bench.toolbox.training import Recipe, train

SMALLEST_BATCH = 20  # fewer images give batch normalisation statistics that wreck the network


class FineTuning(Repair):
    """A defense that fine-tunes: SGD with momentum 0.9 and weight decay 5e-4, without augmentation."""

    epochs: int = Field(20, ge=0, description="epochs of fine-tuning on the reference images; 100 in common use")
    learning_rate: float = Field(0.01, gt=0, description="of the fine-tuning, with a cosine schedule")
    batch_size: int | None = Field(
        None,
        ge=2,
        description="of the fine-tuning; a tenth of the reference images, at least 20 if not given, as in common use",
    )

    def fine_tune(
        self,
        model: nn.Module,
        data: LabelledImages,
        context: Context,
        *,
        objective: Objective | None = None,
        epochs: int | None = None,
    ) -> None:
        """Train ``model`` in place for ``epochs`` (the field if None); ``objective`` as in ``bench.training.train``."""
        epochs = self.epochs if epochs is None else epochs
        if epochs == 0:
            return
        recipe = Recipe(
            epochs=epochs,
            batch_size=self.batch_size or usual_batch(len(data)),
            learning_rate=self.learning_rate,
            schedule="cosine",
            augment=False,
        )
        train(model, data, recipe, context.generator, objective=objective, progress=context.progress)


def usual_batch(count: int) -> int:
    """A tenth of ``count`` images: 256 of 2,500 in common use."""
    return max(SMALLEST_BATCH, count // 10)


def channels_last(images: Tensor) -> Tensor:
    """Images (N, C, H, W) in the layout in which convolutions are fastest."""
    return images.contiguous(memory_format=torch.channels_last)
