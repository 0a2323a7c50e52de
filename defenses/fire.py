"""FIRE: repair at inference. What the trigger adds to the activations is subtracted from them.

Ahlers, Passon, Noller, Grunske, arXiv 2602.10780. At one layer the activations x of a suspected input become
x - alpha beta, and the rest of the network runs on; no parameter changes. beta, the direction of the trigger, is
estimated from a few triggered images, from an incident or a detector upstream, with or without their clean originals.
Derived, as the paper could not be read: how class content is removed from an unpaired direction, which inputs are
suspected, how layer and strength are chosen, and that they are chosen anew as flagged inputs of a stream gather.
``fire[paper]`` is the plain form: every input is repaired, and the direction is a difference of two means.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._classifier import lacks_last_linear, lacks_plain_stages
from bench.defenses._fire_choice import best_fit
from bench.defenses._fire_direction import RunningMean, target_classes
from bench.defenses._fire_repair import Fit, Repairer
from bench.plugin import Case, Context, Guard, Knowledge, Known, LabelledImages, Prediction, Runtime, later
from bench.toolbox.inference import Answers
from bench.toolbox.training import logits_of

STRENGTHS = (0.5, 1.0, 1.5, 2.0)  # what alpha is chosen among


class FIRE(Runtime):
    name: ClassVar[str] = "fire"
    knowledge: ClassVar[Knowledge] = "suspects"
    source: ClassVar[str] = "Ahlers et al., 2026, arXiv 2602.10780"

    direction: Literal["unpaired", "paired", "random"] = Field(
        "unpaired",
        description="estimate beta from triggered images alone, or with their originals; random: a control, of the "
        "unpaired one's length, with the layer and strength chosen for that",
    )
    apply: Literal["suspected", "target", "all", "present"] = Field(
        "suspected",
        description="repair inputs assigned to the target that have more than half of the direction; every input "
        "assigned to the target; every input; or every input with more than half of the direction, in a single pass",
    )
    form: Literal["shift", "projection"] = Field(
        "shift", description="subtract alpha beta, or alpha times what the input has of it beyond the clean mean"
    )
    strength: float | None = Field(None, gt=0, description="alpha; chosen on the estimation images if not given")
    stream: bool = Field(
        False, description="refine beta by every flagged input as the stream passes (the random control does not)"
    )
    memory: int = Field(
        256,
        ge=0,
        description="stream, unpaired: layer, strength and filter are also fitted anew whenever the triggered images "
        "have doubled, up to this many",
    )

    baseline: Literal["classes", "images"] = later(
        "classes",
        description="unpaired: what is subtracted from the triggered images' mean, the mean of the class means of the "
        "classes that the trigger comes from, or the mean of all clean images",
    )

    def unsupported(self, case: Case) -> str | None:
        return lacks_last_linear(case) or lacks_plain_stages(case)

    @property
    def wants_pairs(self) -> bool:
        return self.direction == "paired"

    @property
    def learns_from_stream(self) -> bool:
        return self.stream and self.direction != "random"

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        suspects, clean = known.suspects, known.reference()
        if suspects is None or (self.wants_pairs and known.originals is None):
            raise LookupError(f"{self.name} needs suspected images, and with direction=paired their originals")
        targets, reached = target_classes(logits_of(model, suspects))
        context.note("targets", targets.nonzero()[:, 0].tolist())
        if int(reached.sum()) < 2:
            context.log("too few suspects; the network is left as it is")
            return _unguarded(model)
        triggered = suspects[reached]
        originals = known.originals[reached] if self.wants_pairs and known.originals is not None else None
        fit = self._fit(model, clean, triggered, originals, targets, context)
        if fit is None:
            context.log("no direction brings the suspects back; the network is left as it is")
            return _unguarded(model)
        context.note("chosen", _choice(fit))
        if self.direction == "random":
            fit = replace(fit, estimate=fit.estimate.randomised(context.generator))
        if self.learns_from_stream:
            return self._stream_guard(model, clean, triggered, fit, context)
        return torch.no_grad()(lambda images: self._repairer.prediction(fit, images))

    @property
    def _repairer(self) -> Repairer:
        return Repairer(self.apply, self.form, self.baseline)

    def _fit(
        self,
        model: nn.Module,
        clean: LabelledImages,
        triggered: Tensor,
        originals: Tensor | None,
        targets: Tensor,
        context: Context,
    ) -> Fit | None:
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        return best_fit(model, clean, triggered, originals, targets, self._repairer, strengths, context)

    def _stream_guard(
        self, model: nn.Module, clean: LabelledImages, triggered: Tensor, fit: Fit, context: Context
    ) -> Guard:
        """A guard that learns. Layer, strength and filter are chosen anew, from images alone, as these double."""
        quiet = replace(context, progress=lambda share: None, diagnostics={})

        def refit(images: Tensor) -> Fit | None:
            better = self._fit(model, clean, images, None, fit.targets, quiet)
            if better is not None:
                context.note(f"chosen_{better.count}", _choice(better))
            return better

        return StreamGuard(self._repairer, fit, triggered, refit, memory=0 if self.wants_pairs else self.memory)


class StreamGuard:
    """A guard whose direction is a running mean over the suspects and all flagged inputs so far.

    A flagged input has no original: the clean mean stands for it. That is the mean over the classes that the trigger
    comes from, whatever class the input was repaired to; otherwise errors would reinforce themselves.
    ``refit`` gives a fit to all triggered images so far. It is asked whenever they have doubled, up to ``memory``.
    """

    def __init__(
        self, repairer: Repairer, fit: Fit, triggered: Tensor, refit: Callable[[Tensor], Fit | None], *, memory: int
    ) -> None:
        self.repairer, self.refit, self.memory = repairer, refit, memory
        self.collected = [triggered]
        self._take(fit)

    def _take(self, fit: Fit) -> None:
        self.fit = fit
        self.beta = RunningMean(fit.estimate.direction, fit.count)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Prediction:
        predictions = [self._see(image) for image in images.split(1)]
        parts = (torch.cat([getattr(one, part) for one in predictions]) for part in ("logits", "score", "flagged"))
        return Prediction(*parts)

    def _see(self, image: Tensor) -> Prediction:
        """The prediction of one image (1, C, H, W); if it is flagged, the guard learns from it."""
        activations, logits = self.fit.layer.read(image)
        now = replace(self.fit, estimate=replace(self.fit.estimate, direction=self.beta.value))
        prediction = self.repairer.repaired(now, activations, logits)
        if prediction.flagged:
            self.beta.add(activations[0].flatten() - self.fit.estimate.origin)
            if self.beta.count <= self.memory:
                self._collect(image)
        return prediction

    def _collect(self, image: Tensor) -> None:
        self.collected.append(image)
        if self.beta.count < 2 * self.fit.count:
            return
        better = self.refit(torch.cat(self.collected))
        if better is None:
            self.fit = replace(self.fit, count=self.beta.count)
        else:
            self._take(better)


def _choice(fit: Fit) -> dict[str, str | float]:
    """The chosen layer and strength, for the record."""
    return {"stage": fit.layer.name, "strength": fit.strength}


def _unguarded(model: nn.Module) -> Guard:
    """The network as it is: no repair, no suspicion."""

    answers = Answers(model)

    def guarded(images: Tensor) -> Prediction:
        logits = answers(images)
        nothing = torch.zeros(len(logits), device=logits.device)
        return Prediction(logits, nothing, nothing > 0)

    return guarded
