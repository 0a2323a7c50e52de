"""FIRE: repair at inference. What the trigger adds to the activations is subtracted from them.

Ahlers, Passon, Noller, Grunske, arXiv 2602.10780: at one stage of the network the activations x of a suspected input
become x - alpha beta, and the rest of the network runs on; no parameter changes. beta is the general direction of
the trigger, estimated from a few triggered images with or without their clean originals. The defender must have such
images in hand: from an incident, or from a detector upstream.

Derived here, because the paper could not be read: how the class content is taken out of an unpaired direction, which
inputs count as suspected, and how stage and strength are chosen (by cross-validation on the estimation images).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.networks import Cut, last_linear, stages
from bench.plugin import Context, Guard, Knowledge, Known, Prediction, Runtime
from bench.training import logits_of
from defenses._direction import (
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

FOLDS = 4  # of the cross-validation
STRENGTHS = (0.5, 1.0, 1.5, 2.0)  # what alpha is chosen among


@dataclass(frozen=True)
class Place:
    """Where a network can be intervened in: ``model(x)`` equals ``after(look(x)[0])``."""

    name: str
    look: Callable[[Tensor], tuple[Tensor, Tensor]]  # images to flat activations (N, d) and logits, in one pass
    after: Callable[[Tensor], Tensor]  # flat activations to logits


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


class FIRE(Runtime):
    name: ClassVar[str] = "fire"
    knowledge: ClassVar[Knowledge] = "suspects"
    source: ClassVar[str] = "Ahlers et al., 2026, arXiv 2602.10780"

    direction: Literal["unpaired", "paired", "random"] = Field(
        "unpaired",
        description="estimate beta from triggered images alone, or with their originals; "
        "random: a control, of the unpaired one's length",
    )
    apply: Literal["suspected", "target", "all"] = Field(
        "suspected",
        description="repair inputs taken for the target that have more than half of the direction; every input taken "
        "for the target; every input",
    )
    form: Literal["shift", "projection"] = Field(
        "shift", description="subtract alpha beta, or alpha times what the input has of it beyond the clean mean"
    )
    strength: float | None = Field(None, gt=0, description="alpha; chosen on the estimation images if not given")
    stream: bool = Field(False, description="refine beta by every flagged input as the stream passes")

    @property
    def wants_pairs(self) -> bool:
        return self.direction == "paired"

    @property
    def learns_from_stream(self) -> bool:
        return self.stream

    @torch.no_grad()
    def guard(self, model: nn.Module, known: Known, context: Context) -> Guard:
        suspects, clean = known.suspects, known.reference()
        if suspects is None or (self.wants_pairs and known.originals is None):
            raise LookupError(f"{self.name} needs suspected images, and with direction=paired their originals")
        targets, hit = led_to(logits_of(model, suspects))
        one_target = int(targets.sum()) == 1
        context.note("targets", targets.nonzero()[:, 0].tolist())
        if int(hit.sum()) < 2:
            context.log("fire: too few suspects; the network is left as it is")
            return lambda images: _unjudged(model(images))
        triggered = suspects[hit]
        originals = known.originals[hit] if self.wants_pairs and known.originals is not None else None
        wanted = None if originals is None else logits_of(model, originals).argmax(1)

        # several targets need evidence that there is a trigger at all: most suspects must be helped
        best, chosen = (0.0 if one_target else 0.5), None
        worth: dict[str, float] = {}
        options = places(model, suspects)
        for done, place in enumerate(options):
            on_clean, on_triggered = _look(place, clean.floats), _look(place, triggered)
            on_originals = None if originals is None else _look(place, originals)[0]
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
            context.log("fire: no direction brings the suspects back; the network is left as it is")
            return lambda images: _unjudged(model(images))
        place, strength, seen = chosen
        context.note("chosen", {"stage": place.name, "strength": strength})
        estimate = self._estimate(seen, targets, context.generator)
        if self.stream:
            return self._learning(place, targets, estimate, strength, count=len(triggered))

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            return self._repaired(place, targets, estimate, strength, *place.look(images))

        return guarded

    def _learning(self, place: Place, targets: Tensor, estimate: Estimate, strength: float, count: int) -> Guard:
        """A guard whose direction is a running mean, which starts from ``count`` images. A flagged input has no
        original: the clean mean stands for it, whatever class it was repaired to, or else errors would feed on
        themselves."""
        beta = RunningMean(estimate.direction, count)

        @torch.no_grad()
        def guarded(images: Tensor) -> Prediction:
            said: list[Prediction] = []
            for image in images.split(1):
                activations, logits = place.look(image)
                now = replace(estimate, direction=beta.value)
                said.append(self._repaired(place, targets, now, strength, activations, logits))
                if said[-1].flagged:
                    beta.add(activations[0] - estimate.origin)
            parts = (torch.cat([getattr(one, part) for one in said]) for part in ("logits", "score", "flagged"))
            return Prediction(*parts)

        return guarded

    def _estimate(self, seen: Seen, targets: Tensor, generator: torch.Generator) -> Estimate:
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
        if self.direction == "random":
            noise = torch.randn(direction.shape, generator=generator, device=direction.device)
            direction = noise * (direction.norm() / noise.norm())
        return Estimate(direction, presence, origin)

    def _repaired(
        self, place: Place, targets: Tensor, estimate: Estimate, strength: float, activations: Tensor, logits: Tensor
    ) -> Prediction:
        """What is said of inputs with these activations (N, d) and logits (N, C), once they are repaired."""
        before = logits.argmax(1)
        as_target = targets[before]
        score = torch.where(as_target, estimate.presence(activations), 0)
        repair = torch.ones_like(as_target) if self.apply == "all" else as_target
        if self.apply == "suspected":
            repair = as_target & (score > 0.5)
        if repair.any():
            changed = activations[repair]
            if self.form == "shift":
                changed = shifted(changed, estimate.direction, strength)
            else:
                changed = projected(changed, estimate.direction, strength, estimate.origin)
            logits = logits.clone()
            logits[repair] = place.after(changed)
        return Prediction(logits, score, as_target & (logits.argmax(1) != before))

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
            estimate = self._estimate(rest, targets, generator)
            for strength, (of_clean, of_triggered) in after.items():
                for part, x, logits in ((clean, seen.clean, of_clean), (triggered, seen.triggered, of_triggered)):
                    logits[part] = self._repaired(place, targets, estimate, strength, x[part], logits[part]).logits
        return {
            strength: gain(seen.triggered_logits, of_triggered, seen.wanted)
            - loss(seen.clean_logits, of_clean, seen.labels, targets)
            for strength, (of_clean, of_triggered) in after.items()
        }


def places(model: nn.Module, images: Tensor) -> list[Place]:
    """Every stage of the network, by what it puts out, and the latent before the last linear layer."""

    def behind(name: str, module: nn.Module) -> Place:
        cut = Cut(model, module, images)
        shape = cut.before(images[:1]).shape[1:]
        return Place(name, _watched(model, module, output=True), lambda flat: cut.after(flat.unflatten(1, shape)))

    linear = last_linear(model, images)
    latent = Place("latent", _watched(model, linear, output=False), linear)
    return [*(behind(name, module) for name, module in stages(model).items()), latent]


def _watched(model: nn.Module, module: nn.Module, *, output: bool) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """The network, run so that it also gives what ``module`` puts out, or takes in, flattened to (N, d)."""

    def look(images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        hook = module.register_forward_hook(lambda _, given, made: seen.append(made if output else given[0]))
        try:
            logits: Tensor = model(images)
        finally:
            hook.remove()
        return seen[-1].flatten(1), logits

    return look


def _look(place: Place, images: Tensor) -> tuple[Tensor, Tensor]:
    """``place.look`` batch by batch."""
    activations, logits = zip(*(place.look(batch) for batch in images.split(256)), strict=True)
    return torch.cat(activations), torch.cat(logits)


def _unjudged(logits: Tensor) -> Prediction:
    """No repair, no suspicion."""
    nothing = torch.zeros(len(logits), device=logits.device)
    return Prediction(logits, nothing, nothing > 0)
