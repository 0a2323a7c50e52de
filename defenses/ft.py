"""Plain fine-tuning on the clean reference images: the baseline that every repair is compared with.

Liu, Dolan-Gavitt, Garg, "Fine-Pruning: Defending Against Backdooring Attacks on Deep Neural Networks", RAID 2018,
arXiv 1805.12185, section 4. The settings are those in common use: SGD at 0.01 with a cosine schedule, momentum 0.9,
weight decay 5e-4. What the network does with a trigger is forgotten as far as clean images happen to overwrite it.
"""

from typing import ClassVar

from torch import nn

from bench.defenses._finetuning import FineTuning
from bench.plugin import Context, Known


class FT(FineTuning):
    """Fine-tuning with the cross-entropy."""

    name: ClassVar[str] = "ft"
    source: ClassVar[str] = "baseline; Liu et al., RAID 2018, arXiv 1805.12185, section 4"

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        self.fine_tune(model, known.reference(), context)
        return model
