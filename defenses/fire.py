"""FIRE: repair at inference. What the trigger adds to the activations is subtracted from them.

Ahlers, Passon, Noller, Grunske, arXiv 2602.10780: at one stage of the network the activations x of a suspected input
become x - alpha beta, and the rest of the network runs on; no parameter changes. beta is the general direction of
the trigger, estimated from a few triggered images with or without their clean originals. The defender must have such
images in hand: from an incident, or from a detector upstream.

Derived here, because the paper could not be read: how the class content is taken out of an unpaired direction, which
inputs count as suspected, how stage and strength are chosen (by cross-validation on the estimation images), and that
on a stream they are chosen anew as flagged inputs gather. Measured on slim ResNet-18 and 28x28 digits, a WaNet victim
and four suspects: RA is 0.47 without a stream, 0.51 with the running mean alone, and rises from 0.74 to 0.98 over 900
triggered inputs with new choices. Where few suspects suffice (BadNets, Blend) the stream changes RA by 0.02 at most.
Pairs help where suspects are few (8 of WaNet: RA 0.97 with, 0.73 without). The random control leaves BadNets and WaNet
as they are; Blend it repairs in one of two draws, at the first stage. On clean inputs the network with its guard takes
1.04 times as long as without, on triggered ones 1.7 times (batches of 256, one thread); with apply=present, which needs
no second pass, at most 1.08 times on any.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._fire_direction import (
    Filter,
    RunningMean,
    class_means,
    folds,
    gain,
    led_to,
    loss,
    matched_filter,
    projected,
    shifted,
)
from bench.defenses._fire_places import Place, look_at, places
from bench.plugin import Context, Guard, Knowledge, Known, LabelledImages, Prediction, Runtime
from bench.toolbox.training import logits_of

FOLDS = 4  # of the cross-validation
STRENGTHS = (0.5, 1.0, 1.5, 2.0)  # what alpha is chosen among


@dataclass(frozen=True)
class Seen:
    """The estimation images at one place: activations (N, d) of the clean images, (M, d) of the triggered ones and,
    with pairs, of these ones' originals, whose classes are ``wanted`` (M,)."""

    clean: Tensor
    clean_logits: Tensor
    labels: Tensor
    triggered: Tensor
    triggered_logits: Tensor
    originals: Tensor | None
    wanted: Tensor | None


@dataclass(frozen=True)
class Estimate:
    """What is known of the trigger at one place: the direction (d,) to subtract, how to see whether an input has it,
    and the mean (d,) of clean images of the classes that the trigger comes from."""

    direction: Tensor
    presence: Filter
    origin: Tensor


@dataclass(frozen=True)
class Fit:
    """Where to intervene and how, and on how many triggered images that rests."""

    place: Place
    strength: float
    targets: Tensor
    estimate: Estimate
    count: int


class FIRE(Runtime):
    name: ClassVar[str] = "fire"
    knowledge: ClassVar[Knowledge] = "suspects"
    source: ClassVar[str] = "Ahlers et al., 2026, arXiv 2602.10780"

    direction: Literal["unpaired", "paired", "random"] = Field(
        "unpaired",
        description="estimate beta from triggered images alone, or with their originals; "
        "random: a control, of the unpaired one's length, in the place and with the strength chosen for that",
    )
    apply: Literal["suspected", "target", "all", "present"] = Field(
        "suspected",
        description="repair inputs taken for the target that have more than half of the direction; every input taken "
        "for the target; every input; or every input that has more than half of the direction, in a single pass",
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
        description="stream, unpaired: stage, strength and filter are fitted anew, too, whenever there are "
        "twice as many triggered images as at the last time, up to this many",
    )

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
        targets, hit = led_to(logits_of(model, suspects))
        context.note("targets", targets.nonzero()[:, 0].tolist())
        if int(hit.sum()) < 2:
            context.log("fire: too few suspects; the network is left as it is")
            return lambda images: _unjudged(model(images))
        triggered = suspects[hit]
        originals = known.originals[hit] if self.wants_pairs and known.originals is not None else None
        fit = self._fit(model, clean, triggered, originals, targets, context)
        if fit is None:
            context.log("fire: no direction brings the suspects back; the network is left as it is")
            return lambda images: _unjudged(model(images))
        context.note("chosen", {"stage": fit.place.name, "strength": fit.strength})
        if self.direction == "random":
            fit = replace(fit, estimate=randomised(fit.estimate, context.generator))
        if self.learns_from_stream:
            return self._learning(model, clean, triggered, fit, context)

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            if self.apply == "present":
                return self._in_passing(fit, images)
            return self._repaired(fit, *fit.place.look(images))

        return guarded

    def _fit(
        self,
        model: nn.Module,
        clean: LabelledImages,
        triggered: Tensor,
        originals: Tensor | None,
        targets: Tensor,
        context: Context,
    ) -> Fit | None:
        """The stage and strength that are worth most on the estimation images, if any is worth something."""
        wanted = None if originals is None else logits_of(model, originals).argmax(1)
        # several targets need evidence that there is a trigger at all: most suspects must be helped
        best, chosen = (0.0 if int(targets.sum()) == 1 else 0.5), None
        worth: dict[str, float] = {}
        options = places(model, triggered)
        for done, place in enumerate(options):
            on_clean, on_triggered = look_at(place, clean.floats), look_at(place, triggered)
            on_originals = None if originals is None else look_at(place, originals)[0]
            seen = Seen(*on_clean, clean.labels, *on_triggered, on_originals, wanted)
            by_strength = self._worth(place, seen, targets, context.generator)
            strength = max(by_strength, key=by_strength.__getitem__)
            # beta as it is, unless another strength is worth one suspect more
            if 1.0 in by_strength and by_strength[1.0] >= by_strength[strength] - 1 / len(triggered):
                strength = 1.0
            worth |= {f"{place.name}, {alpha:g}": value for alpha, value in by_strength.items()}
            if by_strength[strength] > best:
                best, chosen = by_strength[strength], (place, strength, seen)
            context.progress((done + 1) / len(options))
        context.note("worth", worth)
        if chosen is None:
            return None
        place, strength, seen = chosen
        return Fit(place, strength, targets, self._estimate(seen, targets), len(triggered))

    def _learning(
        self, model: nn.Module, clean: LabelledImages, triggered: Tensor, fit: Fit, context: Context
    ) -> Guard:
        """A guard whose direction is a running mean over the suspects and all flagged inputs so far, and which chooses
        stage, strength and filter again as they double. A flagged input has no original: the clean mean stands for it,
        whatever class it was repaired to, or else errors would feed on themselves."""
        limit = 0 if self.wants_pairs else self.memory
        quiet = replace(context, progress=lambda share: None, diagnostics={})
        collected = [triggered]
        beta = RunningMean(fit.estimate.direction, fit.count)

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            nonlocal fit, beta
            said: list[Prediction] = []
            for image in images.split(1):
                activations, logits = fit.place.look(image)
                now = replace(fit, estimate=replace(fit.estimate, direction=beta.value))
                said.append(self._repaired(now, activations, logits))
                if not said[-1].flagged:
                    continue
                beta.add(activations[0].flatten() - fit.estimate.origin)
                if beta.count <= limit:
                    collected.append(image)
                if beta.count <= limit and beta.count >= 2 * fit.count:
                    better = self._fit(model, clean, torch.cat(collected), None, fit.targets, quiet)
                    fit = replace(fit, count=beta.count) if better is None else better
                    if better is not None:
                        beta = RunningMean(better.estimate.direction, better.count)
                        context.note(
                            f"chosen_{better.count}", {"stage": better.place.name, "strength": better.strength}
                        )
            parts = (torch.cat([getattr(one, part) for one in said]) for part in ("logits", "score", "flagged"))
            return Prediction(*parts)

        return guarded

    def _estimate(self, seen: Seen, targets: Tensor) -> Estimate:
        means = class_means(seen.clean, seen.labels, len(targets))
        origin = means[targets if targets.all() else ~targets].mean(0)
        if seen.originals is not None:
            direction = (seen.triggered - seen.originals).mean(0)
        else:
            direction = seen.triggered.mean(0) - origin
        of_target = targets[seen.labels]
        presence = matched_filter(
            direction,
            seen.clean[of_target] if of_target.any() else seen.clean,
            seen.triggered,
            torch.cat((seen.clean - means[seen.labels], seen.triggered - seen.triggered.mean(0))),
        )
        return Estimate(direction, presence, origin)

    def _repaired(self, fit: Fit, activations: Tensor, logits: Tensor) -> Prediction:
        """What is said of inputs with these activations (N, ...) and logits (N, C), once they are repaired. Only those
        that may need it are looked at."""
        before = logits.argmax(1)
        as_target = fit.targets[before]
        index = (as_target if self.apply in ("suspected", "target") else torch.ones_like(as_target)).nonzero()[:, 0]
        score, logits = logits.new_zeros(len(logits)), logits.clone()
        flat = activations[index].flatten(1)
        score[index] = fit.estimate.presence(flat)
        if self.apply in ("suspected", "present"):
            present = score[index] > 0.5
            index, flat = index[present], flat[present]
        if len(index):
            logits[index] = fit.place.after(self._moved(fit, flat))
        if self.apply == "present":
            return Prediction(logits, score, self._present(fit, score, logits))
        return Prediction(logits, score * as_target, as_target & (logits.argmax(1) != before))

    def _in_passing(self, fit: Fit, images: Tensor) -> Prediction:
        """What is said of images, of which those that have the direction are repaired before the network goes on. So
        there is one pass, but whether an input would have been taken for the target is never seen."""
        seen: list[Tensor] = []

        def edit(activations: Tensor) -> Tensor:
            flat = activations.flatten(1)
            seen.append(fit.estimate.presence(flat))
            present = seen[0] > 0.5
            if not present.any():
                return activations
            changed = activations.clone()
            changed[present] = self._moved(fit, flat[present]).view_as(activations[present])
            return changed

        logits = fit.place.through(images, edit)
        return Prediction(logits, seen[0], self._present(fit, seen[0], logits))

    def _present(self, fit: Fit, score: Tensor, logits: Tensor) -> Tensor:
        """Which inputs (N,) are flagged for the direction alone: unless the repair leads to the one target yet."""
        return (score > 0.5) & (fit.targets.all() | ~fit.targets[logits.argmax(1)])

    def _moved(self, fit: Fit, flat: Tensor) -> Tensor:
        if self.form == "shift":
            return shifted(flat, fit.estimate.direction, fit.strength)
        return projected(flat, fit.estimate.direction, fit.strength, fit.estimate.origin)

    def _worth(self, place: Place, seen: Seen, targets: Tensor, generator: torch.Generator) -> dict[float, float]:
        """Of each strength: how much it helps triggered images less how much it hurts clean ones, both held out.

        Help is what the probability of the wanted class gains; without pairs, that of the likeliest class but the one
        that the trigger led to. Hurt is what the probability of the label loses, over all clean images or over those
        of the targets, whichever is more.
        """
        clean_fold = folds(seen.labels, FOLDS, generator)
        triggered_fold = folds(seen.triggered_logits.argmax(1), FOLDS, generator)
        strengths = STRENGTHS if self.strength is None else (self.strength,)
        after = {strength: (seen.clean_logits.clone(), seen.triggered_logits.clone()) for strength in strengths}
        for fold in range(FOLDS):
            clean, triggered = clean_fold == fold, triggered_fold == fold
            rest = replace(
                seen,
                clean=seen.clean[~clean],
                labels=seen.labels[~clean],
                triggered=seen.triggered[~triggered],
                originals=None if seen.originals is None else seen.originals[~triggered],
            )
            estimate = self._estimate(rest, targets)
            fits = {strength: Fit(place, strength, targets, estimate, len(rest.triggered)) for strength in strengths}
            for strength, (of_clean, of_triggered) in after.items():
                for part, x, logits in ((clean, seen.clean, of_clean), (triggered, seen.triggered, of_triggered)):
                    logits[part] = self._repaired(fits[strength], x[part], logits[part]).logits
        return {
            strength: gain(seen.triggered_logits, of_triggered, seen.wanted)
            - loss(seen.clean_logits, of_clean, seen.labels, targets)
            for strength, (of_clean, of_triggered) in after.items()
        }


def randomised(estimate: Estimate, generator: torch.Generator) -> Estimate:
    """The estimate with a random direction of the same length."""
    direction = estimate.direction
    noise = torch.randn(direction.shape, generator=generator, device=direction.device)
    return replace(estimate, direction=noise * (direction.norm() / noise.norm()))


def _unjudged(logits: Tensor) -> Prediction:
    """No repair, no suspicion."""
    nothing = torch.zeros(len(logits), device=logits.device)
    return Prediction(logits, nothing, nothing > 0)
