"""Neural Cleanse: reverse-engineer a trigger for every class; a class with an abnormally small one is unlearned.

Wang et al., "Neural Cleanse: Identifying and Mitigating Backdoor Attacks in Neural Networks", IEEE S&P 2019. For every
class the smallest mask (L1) and pattern that lead the reference images to it; a class is flagged if its mask lies more
than 2 deviations below the median, in units of 1.4826 median absolute deviations. The network is then fine-tuned on
the reference images with the reversed trigger on 20 % of them, under their right labels. Nothing flagged: nothing
changed.

The detection and the unlearning are the paper's, but for the logarithm: sizes cannot be negative, so that in units of
their deviations a small one can lie less than 2 below the median, however small it is (logarithm=false: as in the
paper). Here the triggers are sought for all classes in one batch, on images of the other classes, and the weight of the
mask's size moves at every step. The paper fine-tunes for one epoch on a tenth of the training set; with few images the
same number of steps takes many epochs.

Measured with 200 digits and a slim ResNet-18: the target's mask, and no other class's, is flagged on two BadNets
victims (index 3.4 and 3.2; ASR .09 and .02 after the unlearning), none on a benign network.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import FineTuning
from bench.defenses._inversion import TRIGGER_MODELS, invert
from bench.plugin import Context, Known, LabelledImages, as_bytes, stratified_order

CONSISTENCY = 1.4826  # makes the median absolute deviation of normal values their standard deviation


class NeuralCleanse(FineTuning):
    name: ClassVar[str] = "nc"
    source: ClassVar[str] = "Wang et al., IEEE S&P 2019"

    threshold: float = Field(2, gt=0, description="anomaly index above which a small mask is an outlier")
    logarithm: bool = Field(True, description="judge the masks' logarithms; the paper judges their sizes as they are")
    images: int = Field(20, ge=1, description="reference images for each class's trigger")
    steps: int = Field(60, ge=1, description="steps of the search")
    goal: float = Field(0.99, gt=0, le=1, description="share of the images that a trigger must lead to its class")
    refine_images: int = Field(100, ge=1, description="reference images for a flagged class's trigger")
    refine_steps: int = Field(60, ge=1, description="steps of the search for a flagged class's trigger")
    share: float = Field(0.2, gt=0, le=1, description="share of the reference images that are stamped")

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        flagged = self._flagged(model, data, context)
        if not flagged:
            return model
        self.fine_tune(model, self._stamped(model, data, flagged, context), context)
        return model

    def _flagged(self, model: nn.Module, data: LabelledImages, context: Context) -> list[int]:
        """The classes whose trigger is abnormally small; a class without reference images cannot be one."""
        with torch.no_grad():
            classes = model(data.floats[:1]).shape[1]
        targets = list(range(classes))
        drawn = [others(data, target, self.images, context.generator) for target in targets]
        count = min(map(len, drawn))
        triggers = invert(
            model,
            TRIGGER_MODELS["patch"],
            torch.stack([some[:count] for some in drawn]),
            torch.tensor(targets, device=context.device),
            context.generator,
            steps=self.steps,
            goal=self.goal,
        )
        sizes = triggers.norms.log() if self.logarithm else triggers.norms
        index = torch.where(sizes < sizes.quantile(0.5), 1, -1) * anomaly_index(sizes)
        # a search that failed leaves a mask that leads nowhere: it tells nothing, however small
        flagged = ((index > self.threshold) & (triggers.success >= self.goal)).nonzero()[:, 0].tolist()
        context.note("triggers", {"norms": triggers.norms.tolist(), "success": triggers.success.tolist()})
        context.note_class_statistic("anomaly index of small masks", index.tolist(), flagged)
        return flagged

    def _stamped(self, model: nn.Module, data: LabelledImages, flagged: list[int], context: Context) -> LabelledImages:
        """``data`` of which ``share`` carry a reversed trigger, the flagged classes' in turn; labels stay right."""
        images = data.images.clone()
        chosen = torch.randperm(len(data), generator=context.generator, device=context.device)
        chosen = chosen[: max(len(flagged), round(self.share * len(data)))]
        for number, target in enumerate(flagged):
            triggers = invert(
                model,
                TRIGGER_MODELS["patch"],
                others(data, target, self.refine_images, context.generator)[None],
                torch.tensor([target], device=context.device),
                context.generator,
                steps=self.refine_steps,
                goal=self.goal,
            )
            mine = chosen[number :: len(flagged)]
            images[mine] = as_bytes(triggers.apply(data.at(mine).floats[None])[0].detach())
        return LabelledImages(images, data.labels)


def anomaly_index(norms: Tensor) -> Tensor:
    """How far each of ``norms`` (C,) lies from their median, in consistent median absolute deviations."""
    away = (norms - norms.quantile(0.5)).abs()
    return away / (CONSISTENCY * away.quantile(0.5)).clamp_min(1e-12)


def others(data: LabelledImages, target: int, count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` images (N, C, H, W) in [0, 1] of other classes than ``target``, evenly drawn."""
    members = (data.labels != target).nonzero()[:, 0]
    return data.at(members[stratified_order(data.labels[members], generator)[:count]]).floats
