"""BNA: detect the backdoor by reverse-engineering its trigger, then align the activations that the trigger alters.

Li, Xiang, Miller, Kesidis, arXiv 2308.09850 (Neurocomputing 614, 2025). A class whose estimated trigger is
abnormally small is a target. On reference images that carry that trigger, each batch normalisation layer becomes
clip((z - mu) / sigma, lower, upper) gamma + beta with mu, sigma and the bounds learned, channel by channel, so that
its distribution is that of the same images without the trigger. No weight changes. Only inputs that the network
assigns to a target go through the aligned network, and those that it assigns elsewhere are flagged as triggered.

Derived here: a search over targets with all other classes pooled, which costs C triggers in place of the paper's
C (C - 1) pairs; the warp as a third trigger model, for WaNet; Rosner's test and a least ratio to the median in
place of a bound in MADs; alignment of all layers jointly, on clean images of the target too, with wider bins (0.3 and
tau 50 in place of 0.1 and 150) and larger steps (0.05 in place of 0.01) for a fifth of the paper's images. The paper's
form: search=pairs, rule=mad, joint=false, bin_width=0.1, tau=150, learning_rate=0.01.
Measured on slim ResNet-18 and 28x28 digits: without the ratio Rosner's test raises a false alarm on 8 of 10 clean
networks (a search for a warp that does not end in success leaves a norm that is not normal), as 7 MADs do; with the
ratio on none. The ratio and the alignment's settings were chosen on networks of this kind, so that others may differ.
The trigger that is estimated is the least one that works, less than the attacker's, and alignment on it leaves the
attacker's: what it changes is doubled (stretch; DER on three BadNets victims 0.92 0.91 0.98 with 1, 0.97 0.94 0.99 with
2, 0.99 0.93 0.99 with 3). One trigger model, that which shows the target best, is no worse there than all of them (0.98
0.89 0.99) and cheaper. Without the doubling, of two BadNets targets both are found, ASR falls to 0.32. With pairs,
pruning took a cell from 40 to 26 s of CPU time, with the same target on a BadNets victim and no alarm on a clean
network. With 100 reference images in place of 200 BadNets and WaNet were found; with 4 only WaNet, and half repaired. A
class without a reference image can be found as a target, but the alignment clips what it has not seen of it.
"""

import copy
from typing import Any, ClassVar, Literal

import scipy  # its parts are loaded when they are used
import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._bna_alignment import Alignment, Divergence
from bench.defenses._inversion import TRIGGER_MODELS, Triggers, invert
from bench.plugin import Case, Context, Guard, Knowledge, Known, LabelledImages, Prediction, Runtime, stratified_order
from bench.toolbox.networks import batch_norms


class BNA(Runtime):
    name: ClassVar[str] = "bna"
    source: ClassVar[str] = "Li et al., Neurocomputing 614, 2025, arXiv 2308.09850"
    knowledge: ClassVar[Knowledge] = "clean"

    trigger_models: tuple[Literal["patch", "additive", "warp"], ...] = Field(
        ("patch", "additive", "warp"), min_length=1, description="what triggers are searched for"
    )
    search: Literal["targets", "pairs"] = Field(
        "targets", description="a trigger for each class from all others, or for each ordered pair of classes"
    )
    prune: float = Field(
        0.5, ge=0, lt=1, description="pairs: share of the searches that is given up after each quarter of the steps"
    )
    rule: Literal["esd", "mad"] = Field(
        "esd", description="what is abnormally small: by Rosner's test on log norms, or 1/norm in MADs (the paper's)"
    )
    significance: float = Field(0.05, gt=0, lt=1, description="esd: of Rosner's test, for each trigger model")
    ratio: float = Field(3, ge=1, description="esd: a target's norm is also this many times below the median")
    threshold: float = Field(7, gt=0, description="mad: a target's 1/norm exceeds the median by this many MADs")
    images: int = Field(16, ge=1, description="reference images for each trigger in the search")
    steps: int = Field(60, ge=1, description="steps of the search")
    goal: float = Field(0.95, gt=0, le=1, description="share of the images that a trigger must lead to its target")
    refine_images: int = Field(100, ge=1, description="reference images for a detected target's trigger")
    refine_steps: int = Field(100, ge=1, description="steps for a detected target's trigger")
    stretch: float = Field(
        2.0, gt=0, description="what the trigger changes is multiplied by this in alignment: the least one is estimated"
    )
    align_with: Literal["best", "all"] = Field(
        "best", description="align on the trigger of the model that shows the target best, or of all that show it"
    )
    divergence: Divergence = Field("tv", description="total variation, Jensen-Shannon or Kullback-Leibler")
    joint: bool = Field(True, description="a layer's divergence moves the layers before it too; else only its own")
    bin_width: float = Field(0.3, gt=0, description="of the histograms, in standard deviations of the channel")
    tau: float = Field(50, gt=0, description="sharpness of the histograms' bins")
    bound: float = Field(3, gt=0, description="where the clipping bounds start, in standard deviations")
    learning_rate: float = Field(0.05, gt=0, description="of the alignment")
    align_steps: int = Field(100, ge=1, description="steps of the alignment")
    batch: int = Field(64, ge=1, description="images a step of the alignment")
    samples: int = Field(2048, ge=1, description="activations of a channel that a step draws")

    def unsupported(self, case: Case) -> str | None:
        if batch_norms(case.network):
            return None
        return (
            "the network has no batch normalisation: only there does a channel have a stored mean and spread over "
            "images, which alignment moves and clips; layer normalisation takes both from each input anew, and so "
            "rescales what a trigger adds together with the rest of that input"
        )

    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        model = copy.deepcopy(model).requires_grad_(False)
        reference = known.reference()
        found = self._detect(model, reference, context)
        aligned = {}
        for number, (target, (kinds, sources)) in enumerate(found.items()):
            context.progress(0.5 + 0.5 * number / len(found))
            aligned[target] = self._aligned(model, reference, target, kinds, sources, context)
        return lambda images: respond(model, aligned, images)

    def _detect(
        self, model: nn.Module, reference: LabelledImages, context: Context
    ) -> dict[int, tuple[list[str], list[int]]]:
        """Detected targets with the trigger models that showed each and its source classes."""
        with torch.no_grad():
            classes = model(reference.floats[:1]).shape[1]
        tasks = self._tasks(reference.labels.unique().tolist(), classes)
        if not tasks:
            context.log("bna: no reference images to put a trigger on; the network is left as it is")
            return {}
        images = [of_classes(reference, sources, self.images, context.generator) for sources, _ in tasks]
        count = max(map(len, images))  # where there are fewer, some come twice
        stacked = torch.stack([some[torch.arange(count, device=context.device) % len(some)] for some in images])
        aims = torch.tensor([target for _, target in tasks], device=context.device)
        statistic = torch.full((classes,), -torch.inf)
        shown: dict[int, dict[str, float]] = {}  # by target, the score of each trigger model that shows it
        sources_of: dict[int, set[int]] = {}
        notes: dict[str, Any] = {}
        for number, kind in enumerate(self.trigger_models):
            triggers = invert(
                model,
                TRIGGER_MODELS[kind],
                stacked,
                aims,
                context.generator,
                steps=self.steps,
                goal=self.goal,
                prune=self.prune if self.search == "pairs" else 0,
                least=classes,  # as many as an all-to-all trigger has
            )
            score, outlying = self._judge(triggers.norms.double().cpu())
            outlying &= ((triggers.success >= self.goal) & triggers.finished).cpu()
            notes[kind] = {
                "norm": triggers.norms.tolist(),
                "success": triggers.success.tolist(),
                "given_up": int((~triggers.finished).sum()),
            }
            for (sources, target), value, caught in zip(tasks, score.tolist(), outlying.tolist(), strict=True):
                statistic[target] = max(statistic[target].item(), value)
                if caught:
                    scores = shown.setdefault(target, {})
                    scores[kind] = max(scores.get(kind, value), value)
                    sources_of.setdefault(target, set()).update(sources)
            context.progress(0.5 * (number + 1) / len(self.trigger_models))
        context.note("triggers", notes | {"sources": [sources for sources, _ in tasks], "targets": aims.tolist()})
        name = "deviation of -log(trigger norm)" if self.rule == "esd" else "anomaly index of 1 / trigger norm"
        context.note_class_statistic(name, statistic.tolist(), shown)
        return {
            target: (
                [max(scores, key=scores.__getitem__)] if self.align_with == "best" else sorted(scores),
                sorted(sources_of[target]),
            )
            for target, scores in sorted(shown.items())
        }

    def _tasks(self, present: list[int], classes: int) -> list[tuple[list[int], int]]:
        """The source classes and the target of each trigger that is sought. A class without a reference image can be
        a target, but there is nothing to put a trigger on that leads from it."""
        others = {target: [label for label in present if label != target] for target in range(classes)}
        if self.search == "targets":
            return [(sources, target) for target, sources in others.items() if sources]
        return [([source], target) for target, sources in others.items() for source in sources]

    def _judge(self, norms: Tensor) -> tuple[Tensor, Tensor]:
        """How abnormally small each of ``norms`` (T,) is, and which are too small; of two, neither can be."""
        if len(norms) < 3:
            return torch.zeros_like(norms), torch.zeros_like(norms, dtype=torch.bool)
        if self.rule == "mad":
            score = anomaly_index(1 / norms)
            return score, score > self.threshold
        score, outlying = small_outliers(norms.log(), self.significance)
        return score, outlying & (norms * self.ratio <= norms.median())

    def _aligned(
        self,
        model: nn.Module,
        reference: LabelledImages,
        target: int,
        kinds: list[str],
        sources: list[int],
        context: Context,
    ) -> nn.Module:
        """The network aligned on what it will be asked about: images of ``sources`` with each trigger that showed the
        target, estimated anew from all the images drawn, and clean images of ``target``. A class that such a trigger
        also leads to the target, though alone it was not conspicuous, is aligned too."""
        clean = of_classes(reference, sources, self.refine_images, context.generator)
        members = of_classes(reference, [target], self.refine_images, context.generator)
        before, after = [], []
        notes: dict[str, Any] = {"sources": sources}
        for kind in kinds:
            triggers = invert(
                model,
                TRIGGER_MODELS[kind],
                clean[None],
                torch.tensor([target], device=context.device),
                context.generator,
                steps=self.refine_steps,
                goal=self.goal,
            )
            others = self._followers(model, reference, target, sources, triggers, context)
            shown = torch.cat((clean, of_classes(reference, others, self.refine_images, context.generator)))
            before += [shown, members]
            lit = triggers.apply(shown[None])[0]
            after += [(shown + self.stretch * (lit - shown)).clamp(0, 1), members]
            notes[kind] = {"norm": triggers.norms.item(), "success": triggers.success.item(), "further": others}
        alignment = Alignment(
            divergence=self.divergence,
            joint=self.joint,
            bin_width=self.bin_width,
            tau=self.tau,
            bound=self.bound,
            learning_rate=self.learning_rate,
            steps=self.align_steps,
            batch=self.batch,
            samples=self.samples,
        )
        aligned = alignment.align(model, torch.cat(before), torch.cat(after), context.generator)
        notes["divergence"] = [aligned.divergences[0], aligned.divergences[-1]]
        context.note(f"target_{target}", notes)
        return aligned.network

    @torch.no_grad()
    def _followers(
        self,
        model: nn.Module,
        reference: LabelledImages,
        target: int,
        sources: list[int],
        triggers: Triggers,
        context: Context,
    ) -> list[int]:
        """The classes beside ``sources`` that the trigger leads to the target as it is."""
        found = []
        for label in reference.labels.unique().tolist():
            if label != target and label not in sources:
                images = of_classes(reference, [label], self.refine_images, context.generator)
                led = model(triggers.apply(images[None])[0]).argmax(1) == target
                if float(led.float().mean()) > 0.5:
                    found.append(label)
        return found


# --- pure functions


@torch.no_grad()
def respond(model: nn.Module, aligned: dict[int, nn.Module], images: Tensor) -> Prediction:
    """The network's logits; where it assigns an input to a target, the logits of that target's aligned network.

    Flagged are inputs that the aligned network does not assign to the target; score: 1 - its probability of it.
    """
    logits = model(images)
    first = logits.argmax(1)
    score = torch.zeros(len(images), device=images.device)
    flagged = torch.zeros(len(images), dtype=torch.bool, device=images.device)
    logits = logits.clone()
    for target, network in aligned.items():
        asked = (first == target).nonzero()[:, 0]
        if len(asked):
            answer = network(images[asked])
            logits[asked] = answer
            score[asked] = 1 - answer.softmax(1)[:, target]
            flagged[asked] = answer.argmax(1) != target
    return Prediction(logits, score, flagged)


def anomaly_index(statistics: Tensor) -> Tensor:
    """How many median absolute deviations each of ``statistics`` (T,) lies above their median."""
    deviation = statistics - statistics.median()
    return deviation / deviation.abs().median().clamp_min(1e-12)


def small_outliers(values: Tensor, significance: float) -> tuple[Tensor, Tensor]:
    """Which of ``values`` (T,), taken as normal but for some, are too small; and how far below the others each lies.

    Rosner's generalised ESD test, one-sided, for up to half of the values: unlike one test against mean and standard
    deviation, it is not blinded by a second outlier, and unlike the MAD it has a known rate of false alarms for few
    values. The distances are in standard deviations of a further value, given those that are not outliers.
    """
    left = list(range(len(values)))
    removed: list[int] = []
    found = 0
    for _ in range((len(values) - 1) // 2):
        some = values[left]
        lowest = left[int(some.argmin())]
        count = len(left)
        quantile = float(scipy.stats.t.ppf(1 - significance / count, count - 2))
        bound = (count - 1) * quantile / ((count - 2 + quantile**2) * count) ** 0.5
        left.remove(lowest)
        removed.append(lowest)
        if some.mean() - some.min() > bound * some.std():
            found = len(removed)
    outlying = torch.zeros(len(values), dtype=torch.bool)
    outlying[removed[:found]] = True
    distance = torch.zeros_like(values)
    for place in range(len(values)):
        others = values[[k for k in range(len(values)) if k != place and not outlying[k]]]
        spread = others.std() * (1 + 1 / len(others)) ** 0.5
        distance[place] = (others.mean() - values[place]) / spread.clamp_min(1e-12)
    return distance, outlying


def of_classes(reference: LabelledImages, sources: list[int], count: int, generator: torch.Generator) -> Tensor:
    """Up to ``count`` images (N, C, H, W) in [0, 1] of the classes ``sources``, evenly drawn."""
    members = torch.isin(reference.labels, torch.tensor(sources, device=reference.labels.device)).nonzero()[:, 0]
    order = stratified_order(reference.labels[members], generator)[:count]
    return reference.at(members[order]).floats
