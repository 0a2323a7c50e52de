"""Neural Cleanse: reverse-engineer a trigger for every class; a class with an abnormally small one is unlearned.

Wang et al., "Neural Cleanse: Identifying and Mitigating Backdoor Attacks in Neural Networks", IEEE S&P 2019. A class is
flagged if the smallest mask (L1) that leads reference images to it lies more than 2 consistent median absolute
deviations below the median. The network is then fine-tuned on reference images, 20 % of them with the trigger, under
their right labels. Departures: the deviations are those of the masks' logarithms (the paper's: logarithm=false); the
triggers of all classes are sought in one batch; the weight of the mask's size moves at every step.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._finetuning import FineTuning
from bench.defenses._inversion import TRIGGER_MODELS, Triggers, invert, note_pictures
from bench.defenses._outliers import anomaly_index, most_extreme, too_few_classes
from bench.plugin import Case, Context, Known, LabelledImages, as_bytes, later, stratified_order


class NeuralCleanse(FineTuning):
    name: ClassVar[str] = "nc"
    source: ClassVar[str] = "Wang et al., IEEE S&P 2019"
    identifies: ClassVar[bool] = True

    threshold: float = Field(2, gt=0, description="anomaly index above which a small mask is an outlier")
    logarithm: bool = Field(True, description="judge the masks' logarithms; the paper judges their sizes as they are")
    images: int = Field(20, ge=1, description="reference images for each class's trigger")
    steps: int = Field(60, ge=1, description="steps of the search")
    goal: float = Field(0.99, gt=0, le=1, description="share of the images that a trigger must lead to its class")
    refine_images: int = Field(100, ge=1, description="reference images for a flagged class's trigger")
    refine_steps: int = Field(60, ge=1, description="steps of the search for a flagged class's trigger")
    share: float = Field(0.2, gt=0, le=1, description="share of the reference images that are stamped")
    judged: Literal["all", "successful"] = later(
        "all", description="searches that enter the statistic: all, or those that reached the goal"
    )

    def unsupported(self, case: Case) -> str | None:
        def flags(classes: int) -> bool:
            return bool((self._index(torch.from_numpy(most_extreme(classes))) > self.threshold).any())

        return super().unsupported(case) or too_few_classes("the anomaly index", case.dataset.spec.classes, flags)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        flagged = self._flagged(model, data, context.part(0, SEARCHED))
        if not flagged:
            return model
        stamped = self._stamped(model, data, flagged, context.part(SEARCHED, REFINED))
        self.fine_tune(model, stamped, context.part(REFINED, 1))
        return model

    def _flagged(self, model: nn.Module, data: LabelledImages, context: Context) -> list[int]:
        """The classes whose trigger is abnormally small."""
        with torch.no_grad():
            classes = model(data.example).shape[1]
        drawn = [images_of_others(data, target, self.images, context.generator) for target in range(classes)]
        count = min(map(len, drawn))
        images = torch.stack([some[:count] for some in drawn])
        triggers = self._invert(model, images, list(range(classes)), self.steps, context)
        sizes = triggers.norms.log() if self.logarithm else triggers.norms
        counted = triggers.success >= (0 if self.judged == "all" else self.goal)
        index = torch.full_like(sizes, torch.nan)
        if counted.any():
            index[counted] = self._index(sizes[counted])
        # a search that failed leaves a mask that leads nowhere: it says nothing, however small
        outlying = (index > self.threshold) & (triggers.success >= self.goal)
        flagged = outlying.nonzero()[:, 0].tolist()
        context.note("triggers", {"norms": triggers.norms.tolist(), "success": triggers.success.tolist()})
        context.note_class_statistic("anomaly index of small masks", index.tolist(), flagged)
        note_pictures("patch", triggers, images, torch.arange(classes), index, outlying, context)
        return flagged

    def _index(self, sizes: Tensor) -> Tensor:
        """The anomaly index (T,) of ``sizes`` (T,), positive for small ones."""
        return torch.where(sizes < sizes.quantile(0.5), 1, -1) * anomaly_index(sizes)

    def _stamped(self, model: nn.Module, data: LabelledImages, flagged: list[int], context: Context) -> LabelledImages:
        """``data`` of which ``share`` carry a reversed trigger, the flagged classes' in turn; labels stay right."""
        images = data.images.clone()
        chosen = torch.randperm(len(data), generator=context.generator, device=context.device)
        chosen = chosen[: max(len(flagged), round(self.share * len(data)))]
        for number, target in enumerate(flagged):
            others = images_of_others(data, target, self.refine_images, context.generator)
            part = context.part(number, number + 1, of=len(flagged))
            triggers = self._invert(model, others[None], [target], self.refine_steps, part)
            stamped = chosen[number :: len(flagged)]
            images[stamped] = as_bytes(triggers.apply(data.at(stamped).floats[None])[0].detach())
        return LabelledImages(images, data.labels)

    def _invert(self, model: nn.Module, images: Tensor, targets: list[int], steps: int, context: Context) -> Triggers:
        """The smallest patch with which images (T, N, C, H, W) are classified as each of T ``targets``."""
        return invert(
            model,
            TRIGGER_MODELS["patch"],
            images,
            torch.tensor(targets, device=context.device),
            context,
            steps=steps,
            goal=self.goal,
        )


SEARCHED, REFINED = 0.8, 0.9  # the progress when the triggers of all classes are found, and those of flagged ones


def images_of_others(data: LabelledImages, target: int, count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` images (N, C, H, W) in [0, 1] of other classes than ``target``, evenly drawn."""
    members = (data.labels != target).nonzero()[:, 0]
    return data.at(members[stratified_order(data.labels[members], generator)[:count]]).floats
