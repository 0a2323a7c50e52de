"""BNA: detect the backdoor by reverse-engineering its trigger, then align the activations that the trigger alters.

Li, Xiang, Miller, Kesidis, arXiv 2308.09850 (Neurocomputing 614, 2025). Batch normalisation learns a mean, a spread and
clipping bounds with which images with a target's estimated trigger are distributed as without it. Only inputs assigned
to a target go through the aligned network; those that it assigns elsewhere are flagged. Departures: one trigger a
target, for all sources; a warp model; Rosner's test and a ratio; joint alignment, wider bins, larger steps, a doubled
trigger. The paper's form is ``bna[paper]``.
"""

import copy
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._bna_activations import altered_channels
from bench.defenses._bna_alignment import Adjusted, Alignment, Divergence
from bench.defenses._bna_outliers import by_deviation, by_rosner
from bench.defenses._bna_response import respond
from bench.defenses._inversion import TRIGGER_MODELS, Triggers, invert, note_pictures
from bench.defenses._outliers import too_few_classes
from bench.plugin import Case, Context, Guard, Known, LabelledImages, Runtime, later, stratified_order
from bench.toolbox.inference import Answers
from bench.toolbox.networks import batch_norms

Task = tuple[list[int], int]  # a search: the source classes, and the target, of one trigger


@dataclass
class Detection:
    """What makes a class a target: the highest score of each trigger model that shows it, and the source classes."""

    scores: dict[str, float] = field(default_factory=dict)
    sources: set[int] = field(default_factory=set)

    def add(self, kind: str, score: float, sources: list[int]) -> None:
        self.scores[kind] = max(self.scores.get(kind, score), score)
        self.sources.update(sources)

    @property
    def best(self) -> str:
        """The trigger model with the highest score."""
        return max(self.scores, key=self.scores.__getitem__)


class BNA(Runtime):
    name: ClassVar[str] = "bna"
    source: ClassVar[str] = "Li et al., Neurocomputing 614, 2025, arXiv 2308.09850"
    identifies: ClassVar[bool] = True

    trigger_models: tuple[Literal["patch", "additive", "warp"], ...] = Field(
        ("patch", "additive", "warp"), min_length=1, description="kinds of triggers to search for"
    )
    search: Literal["targets", "pairs"] = Field(
        "targets", description="a trigger for each class from all others, or for each ordered pair of classes"
    )
    prune: float = Field(
        0.5, ge=0, lt=1, description="pairs: share of the searches that is given up after each quarter of the steps"
    )
    rule: Literal["esd", "mad"] = Field(
        "esd", description="test of abnormally small norms: Rosner's on log norms, or 1/norm in MADs (the paper's)"
    )
    significance: float = Field(0.05, gt=0, lt=1, description="esd: of Rosner's test, for each trigger model")
    ratio: float = Field(3, ge=1, description="esd: a target's norm is also this many times below the median")
    threshold: float = Field(7, gt=0, description="mad: a target's 1/norm exceeds the median by this many MADs")
    images: int = Field(16, ge=1, description="reference images for each trigger in the search")
    steps: int = Field(60, ge=1, description="steps of the search")
    goal: float = Field(0.95, gt=0, le=1, description="share of the images that a trigger must lead to its target")
    refine_images: int = Field(100, ge=1, description="reference images for a detected target's trigger")
    refine_steps: int = Field(100, ge=1, description="steps for a detected target's trigger")
    stretch: float = Field(2.0, gt=0, description="alignment: factor of what the estimated, smallest trigger changes")
    align_with: Literal["best", "all"] = Field(
        "best", description="align on the trigger of the model that detects the target most clearly, or of all that do"
    )
    divergence: Divergence = Field("tv", description="total variation, Jensen-Shannon or Kullback-Leibler")
    joint: bool = Field(True, description="a layer's divergence moves the layers before it too; else only its own")
    bin_width: float = Field(0.3, gt=0, description="of the histograms, in standard deviations of the channel")
    tau: float = Field(50, gt=0, description="sharpness of the histograms' bins")
    bound: float = Field(3, gt=0, description="where the clipping bounds start, in standard deviations")
    learning_rate: float = Field(0.05, gt=0, description="of the alignment")
    align_steps: int = Field(
        100, ge=0, description="steps of the alignment; with 0, activations are only clipped to their clean range"
    )
    batch: int = Field(64, ge=1, description="images a step of the alignment")
    samples: int = Field(2048, ge=1, description="activations of a channel that a step draws")
    judged: Literal["all", "successful"] = later(
        "all", description="searches that enter the statistic: all, or those that reached the goal"
    )
    warp_ratio: float | None = later(
        None,
        ge=1,
        description="ratio for warps, whose smallest norms scatter more; as ratio if not given",
    )
    warp_stretch: float | None = later(
        None,
        gt=0,
        description="stretch for warps, whose doubled change is no warp; as stretch if not given",
    )
    members: Literal["clean", "stamped", "none"] = later(
        "clean",
        description="the target's own images in the alignment: without the trigger on both sides; with it, to "
        "be aligned with themselves without, as in the authors' code; or left out",
    )

    adjusts: Adjusted = later(
        "both",
        description="by alignment: clipping bounds and moments; an ablation: bounds, or moments without clipping",
    )

    def unsupported(self, case: Case) -> str | None:
        if batch_norms(case.network):
            return too_few_classes("the outlier test", case.dataset.spec.classes, self._can_flag)
        return (
            "the network has no batch normalisation: only there does a channel have a stored mean and spread over "
            "images, which alignment moves and clips; layer normalisation takes both from each input anew, and so "
            "rescales what a trigger adds together with the rest of that input"
        )

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        model = copy.deepcopy(model).requires_grad_(False)
        reference = known.reference()
        detections = self._detect(model, reference, context.part(0, 0.5))
        aligning = context.part(0.5, 1)
        aligned: dict[int, Answers] = {}
        shown: dict[int, list[dict[str, Any]]] = {}
        for number, (target, detection) in enumerate(detections.items()):
            part = aligning.part(number, number + 1, of=len(detections))
            network, shown[target] = self._aligned(model, reference, target, detection, part)
            aligned[target] = Answers(network)
        if shown:
            context.note_activations(shown)
        answers = Answers(model)
        return lambda images: respond(answers, aligned, images)

    # --- detection ---------------------------------------------------------------------------------------

    def _detect(self, model: nn.Module, reference: LabelledImages, context: Context) -> dict[int, Detection]:
        """The detected targets."""
        with torch.no_grad():
            classes = model(reference.example).shape[1]
        tasks = self._tasks(reference.labels.unique().tolist(), classes)
        if not tasks:
            context.log("no reference images to put a trigger on; the network is left as it is")
            return {}
        images = self._task_images(tasks, reference, context)
        targets = torch.tensor([target for _, target in tasks], device=context.device)
        statistic = torch.full((classes,), -torch.inf)
        detections: dict[int, Detection] = {}
        notes: dict[str, Any] = {}
        for number, kind in enumerate(self.trigger_models):
            prune = self.prune if self.search == "pairs" else 0
            # an all-to-all trigger has as many searches that succeed as there are classes
            part = context.part(number, number + 1, of=len(self.trigger_models))
            triggers = self._invert(model, kind, images, targets, self.steps, part, prune=prune, least=classes)
            scores, outlying = self._judge_counted(triggers, kind)
            note_pictures(kind, triggers, images, targets, scores, outlying, context)
            notes[kind] = {
                "norm": triggers.norms.tolist(),
                "success": triggers.success.tolist(),
                "given_up": int((~triggers.finished).sum()),
            }
            for task, score, is_outlier in zip(tasks, scores.tolist(), outlying.tolist(), strict=True):
                sources, target = task
                statistic[target] = max(statistic[target].item(), score)
                if is_outlier:
                    detections.setdefault(target, Detection()).add(kind, score, sources)
        context.note("triggers", notes | {"sources": [sources for sources, _ in tasks], "targets": targets.tolist()})
        name = "deviation of -log(trigger norm)" if self.rule == "esd" else "anomaly index of 1 / trigger norm"
        context.note_class_statistic(name, statistic.tolist(), detections)
        return dict(sorted(detections.items()))

    def _tasks(self, present: list[int], classes: int) -> list[Task]:
        """The searches. A class without a reference image can be a target, but no source: it has no image to stamp."""
        others = {target: [label for label in present if label != target] for target in range(classes)}
        if self.search == "targets":
            return [(sources, target) for target, sources in others.items() if sources]
        return [([source], target) for target, sources in others.items() for source in sources]

    def _task_images(self, tasks: list[Task], reference: LabelledImages, context: Context) -> Tensor:
        """Images (T, N, C, H, W) of each task's sources. Where there are fewer than N, some come twice."""
        images = [of_classes(reference, sources, self.images, context.generator) for sources, _ in tasks]
        count = max(map(len, images))
        return torch.stack([some[torch.arange(count, device=context.device) % len(some)] for some in images])

    def _judge_counted(self, triggers: Triggers, kind: str = "patch") -> tuple[Tensor, Tensor]:
        """The scores (T,) of ``_judge``, -inf for searches that do not count, and which targets it detects (T,)."""
        norms, reached = triggers.norms.double().cpu(), (triggers.success >= self.goal).cpu()
        counted = torch.ones_like(reached) if self.judged == "all" else reached
        scores, outlying = torch.full_like(norms, -torch.inf), torch.zeros_like(reached)
        scores[counted], outlying[counted] = self._judge(norms[counted], kind)
        return scores, outlying & reached & triggers.finished.cpu()

    def _can_flag(self, classes: int) -> bool:
        """Whether a search among this many classes can find a target at all."""
        searches = len(self._tasks(list(range(classes)), classes))
        norms = torch.ones(searches, dtype=torch.float64)
        norms[:1] = 1e-6
        return bool(self._judge(norms)[1].any())

    def _judge(self, norms: Tensor, kind: str = "patch") -> tuple[Tensor, Tensor]:
        """How abnormally small each of ``norms`` (T,) is, and which are too small (T,); of two, neither can be.

        ``kind`` is the trigger model whose norms these are.
        """
        if len(norms) < 3:
            return torch.zeros_like(norms), torch.zeros_like(norms, dtype=torch.bool)
        if self.rule == "mad":
            return by_deviation(norms, self.threshold)
        ratio = self.warp_ratio if kind == "warp" and self.warp_ratio else self.ratio
        return by_rosner(norms, self.significance, ratio)

    # --- alignment ---------------------------------------------------------------------------------------

    def _aligned(
        self, model: nn.Module, reference: LabelledImages, target: int, detection: Detection, context: Context
    ) -> tuple[nn.Module, list[dict[str, Any]]]:
        """The network aligned on what it will be asked about, and the channels that the trigger alters, for the record.

        These are images of the source classes with each trigger by which the target was detected, estimated anew from
        more images, and clean images of ``target``. A further class that such a trigger sends to the target is aligned
        too, though alone it was not conspicuous.
        """
        sources = sorted(detection.sources)
        clean = of_classes(reference, sources, self.refine_images, context.generator)
        members = of_classes(reference, [target], self.refine_images, context.generator)
        members = members[:0] if self.members == "none" else members
        targets = torch.tensor([target], device=context.device)
        before, after = [], []
        notes: dict[str, Any] = {"sources": sources}
        kinds = [detection.best] if self.align_with == "best" else sorted(detection.scores)
        for number, kind in enumerate(kinds):
            part = context.part(number, number + 1, of=len(kinds))
            triggers = self._invert(model, kind, clean[None], targets, self.refine_steps, part)
            further = self._further_sources(model, reference, target, sources, triggers, context)
            images = torch.cat((clean, of_classes(reference, further, self.refine_images, context.generator)))
            triggered = triggers.apply(images[None])[0]
            before += [images, members]
            after += [self._stretched(images, triggered, kind), members]
            if self.members == "stamped" and len(members):
                after[-1] = self._stretched(members, triggers.apply(members[None])[0], kind)
            notes[kind] = {"norm": triggers.norms.item(), "success": triggers.success.item(), "further": further}
        aligned = self._alignment.align(model, torch.cat(before), torch.cat(after), context.generator)
        if aligned.divergences:
            notes["divergence"] = [aligned.divergences[0], aligned.divergences[-1]]
        context.note(f"target_{target}", notes)
        return aligned.network, altered_channels(model, aligned.network, before[0], after[0])

    def _stretched(self, images: Tensor, triggered: Tensor, kind: str) -> Tensor:
        """``images`` (N, C, H, W) plus ``stretch`` times what a trigger of this ``kind`` changes in them."""
        stretch = self.warp_stretch if kind == "warp" and self.warp_stretch else self.stretch
        return (images + stretch * (triggered - images)).clamp(0, 1)

    @torch.no_grad()
    def _further_sources(
        self,
        model: nn.Module,
        reference: LabelledImages,
        target: int,
        sources: list[int],
        triggers: Triggers,
        context: Context,
    ) -> list[int]:
        """The classes beside ``sources`` more than half of whose images the trigger sends to the target."""
        further = []
        for label in reference.labels.unique().tolist():
            if label != target and label not in sources:
                images = of_classes(reference, [label], self.refine_images, context.generator)
                reached = model(triggers.apply(images[None])[0]).argmax(1) == target
                if float(reached.float().mean()) > 0.5:
                    further.append(label)
        return further

    @property
    def _alignment(self) -> Alignment:
        same = {each.name: getattr(self, each.name) for each in fields(Alignment) if each.name != "steps"}
        return Alignment(steps=self.align_steps, **same)

    def _invert(
        self,
        model: nn.Module,
        kind: str,
        images: Tensor,
        targets: Tensor,
        steps: int,
        context: Context,
        **pruning: Any,
    ) -> Triggers:
        return invert(model, TRIGGER_MODELS[kind], images, targets, context, steps=steps, goal=self.goal, **pruning)


def of_classes(reference: LabelledImages, sources: list[int], count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` images (N, C, H, W) in [0, 1] of the classes ``sources``, evenly drawn."""
    members = torch.isin(reference.labels, torch.tensor(sources, device=reference.labels.device)).nonzero()[:, 0]
    order = stratified_order(reference.labels[members], generator)[:count]
    return reference.at(members[order]).floats
