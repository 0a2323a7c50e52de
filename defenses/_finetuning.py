"""What the defenses share that train the network on the reference images."""

from pydantic import Field
from torch import nn

from bench.defenses._augmentation import Augmenting
from bench.plugin import Context, LabelledImages, Objective, Repair, later
from bench.toolbox.training import Recipe, train

SMALLEST_BATCH = 20  # the statistics of fewer images make batch normalisation ruin the network


class FineTuning(Augmenting, Repair):
    """A defense that fine-tunes: SGD with momentum 0.9."""

    epochs: int = Field(20, ge=0, description="epochs of fine-tuning on the reference images; 100 in common use")
    learning_rate: float = Field(0.01, gt=0, description="of the fine-tuning, with a cosine schedule")
    batch_size: int | None = Field(
        None,
        ge=2,
        description="of the fine-tuning; a tenth of the reference images, at least 20 if not given, as in common use",
    )
    weight_decay: float = later(5e-4, ge=0, description="of the fine-tuning")

    def fine_tune(
        self,
        model: nn.Module,
        data: LabelledImages,
        context: Context,
        *,
        objective: Objective | None = None,
        epochs: int | None = None,
    ) -> None:
        """Train ``model`` in place on ``data`` and leave it in eval mode.

        ``epochs``: the field of that name if None. ``objective``: the cross-entropy if None.
        """
        epochs = self.epochs if epochs is None else epochs
        if epochs == 0:
            return
        recipe = Recipe(
            epochs=epochs,
            batch_size=self.batch_size or usual_batch(len(data)),
            learning_rate=self.learning_rate,
            schedule="cosine",
            weight_decay=self.weight_decay,
            augment=self.augment,
        )
        crop, flip = self.crop_and_flip(context)
        train(
            model,
            data,
            recipe,
            context.generator,
            crop=crop,
            flip=flip,
            objective=objective,
            progress=context.progress,
        )


def usual_batch(count: int) -> int:
    """The batch size for ``count`` reference images: a tenth of them, as 256 of 2,500 in common use, at least 20."""
    return max(SMALLEST_BATCH, count // 10)
