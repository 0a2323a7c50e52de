"""Which classes TAC takes for targets: norms of latent shifts, priors, adversarial distances, control networks; tests.

Iwahana et al., 2025, arXiv 2511.08944, for the norms. ``decide`` says whether the evidence is joined at once, or asked
for in stages, the dearest last. An all-to-all backdoor is looked for first, by other means.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from bench.defenses._class_prior import lowered_priors
from bench.defenses._outliers import Outlier, most_extreme, small_outliers
from bench.defenses._permuting_change import FEWEST
from bench.defenses._shift_tuning import Backdoor, ShiftTuning, images_per_epoch, note_trained
from bench.defenses._tac_evidence import Array, Distances, control_network, permuted, stage_distances
from bench.plugin import Context, LabelledImages, RequestError, later

NORMS, PRIORS, DISTANCES, CONTROLS = "norms", "priors", "distances", "controls"


@dataclass(frozen=True)
class Verdict:
    """What a test says of a statistic (C,): the classes ``flagged``, and at what p value."""

    statistic: Array
    flagged: list[int]
    outlier: Outlier

    @property
    def smallest(self) -> int:
        """The class of the smallest statistic."""
        return int(np.argmin(np.where(np.isnan(self.statistic), np.inf, self.statistic)))


class Identifying(ShiftTuning):
    """A defense that identifies the poisoned classes, by the rule that its parameters describe."""

    evidence: Literal["both", "latent", "stage"] = Field(
        "both", description="latent: norms of the shifts, as in the paper; stage: mean adversarial distances; both"
    )
    targets: int = Field(3, ge=1, description="most poisoned classes to look for")
    pairs: bool = Field(
        True,
        description="look for an all-to-all backdoor first, by one change of the activations that permutes the "
        "classes; it gets a shift for every class (needs evidence=stage or both)",
    )
    decide: Literal["together", "staged"] = Field(
        "staged",
        description="staged: by the norms alone if they flag a class; else by the priors; else with distances; with "
        "controls only if these leave it open",
    )
    priors: bool = later(
        True,
        description="decide=staged: ask whether clean images are given a class too seldom, as a clean-label attack "
        "teaches",
    )
    silent: float = later(
        0.5, gt=0, le=1, description="decide=staged: p value with the distances above which no controls are asked"
    )
    test: Literal["grubbs", "extreme"] = Field("grubbs", description="outlier test of the smallest class")
    logarithm: bool = Field(True, description="test logarithms; without, only one kind of evidence can be tested")
    flag: Literal["test", "always"] = later(
        "test",
        description="repair what the test flags; or always the class of the smallest statistic, as on networks "
        "that are known to be attacked",
    )
    significance: float = Field(0.1, gt=0, lt=1, description="highest p value at which a class is flagged")
    further: float = Field(0.01, gt=0, lt=1, description="the same for each class beyond the first")
    stage: int = Field(1, ge=0, description="the stage, by number, behind which adversarial distances are measured")
    distance_images: int = Field(50, ge=1, description="reference images for the adversarial distances")
    controls: int = Field(
        1, ge=0, description="networks trained on the reference images alone, whose distances are what is natural"
    )
    control_weight: float = Field(
        0.5, ge=0, le=1, description="share of the controls' log distances that is subtracted"
    )
    control_epochs: int = Field(10, ge=1, description="of training each control network")

    def check_evidence(self) -> None:
        """Raises RequestError for parameters that contradict each other."""
        if self.evidence == "both" and not self.logarithm:
            raise RequestError("tac: logarithm=false: expected evidence=latent or evidence=stage with it")
        if self.evidence == "stage" and self.decide == "staged":
            raise RequestError("tac: decide=staged: expected evidence=both or evidence=latent with it")

    def identify(
        self, model: nn.Module, norms: Array, first: Array, logits: Array, data: LabelledImages, context: Context
    ) -> list[Backdoor]:
        """The backdoors whose classes' statistics are small outliers; everything computed goes into the record.

        norms (C,): of every class's shift, infinite where there is none. first (C,): the same as the first of several
        stages judges them. logits (N, C): of the N images of ``data``.
        """
        context.note("norms", jsonable(norms))
        if self.evidence != "stage":
            context.note("infeasible", [label for label, norm in enumerate(norms) if np.isinf(norm)])
        targets = self._permuted(model, len(norms), data, context) if self._looks_for_all_to_all(len(norms)) else None
        if self.decide == "staged":
            verdict = self._staged(model, norms, first, logits, data, context, decided=targets is not None)
        else:
            verdict = self._together(model, norms, data, context)
        flagged = verdict.flagged
        if self.flag == "always" and not flagged:
            flagged = [verdict.smallest]
        if targets is not None:
            flagged = sorted(targets)
            context.note("led_to", list(targets))
        self._note(verdict.outlier, flagged, context)
        if targets is not None:
            return [Backdoor(targets)]
        return [Backdoor.all_to_one(label, len(norms)) for label in flagged]

    def can_flag(self, classes: int) -> bool:
        """Whether the test can flag a class, or an all-to-all backdoor be found, among this many classes at all."""
        if self._looks_for_all_to_all(classes):
            return True
        shares = self._shares() if self.decide == "staged" else {NORMS: 1.0}
        return any(self._small_outliers(most_extreme(classes, self.targets), share)[0] for share in shares.values())

    # --- all-to-all --------------------------------------------------------------------------------------

    def _looks_for_all_to_all(self, classes: int) -> bool:
        return self.pairs and self.evidence != "latent" and classes >= FEWEST

    def _permuted(
        self, model: nn.Module, classes: int, data: LabelledImages, context: Context
    ) -> tuple[int, ...] | None:
        """For every class the class that a backdoor sends its images to, (C,); None without an all-to-all one."""
        shares, targets = permuted(model, classes, data, context)
        context.note("permuted", shares)
        return targets

    # --- all evidence at once ----------------------------------------------------------------------------

    def _together(self, model: nn.Module, norms: Array, data: LabelledImages, context: Context) -> Verdict:
        rows = [] if self.evidence == "stage" else [norms]
        if self.evidence != "latent":
            distances = self._stage_distances(model, len(norms), data, context)
            if self.controls:
                distances = self._relative(distances, model, data, context)
            rows.append(distances)
        with np.errstate(divide="ignore"):
            statistic = np.log(rows).mean(0) if self.logarithm else rows[0]
        return Verdict(statistic, *self._small_outliers(statistic))

    # --- in stages ---------------------------------------------------------------------------------------

    def _staged(
        self,
        model: nn.Module,
        norms: Array,
        first: Array,
        logits: Array,
        data: LabelledImages,
        context: Context,
        *,
        decided: bool = False,
    ) -> Verdict:
        """The verdict of the first stage that decides; of the norms if all is ``decided`` already.

        Norms that flag no class do not say that there is none: the trigger of a clean-label attack need not be a short
        way to its target, and many triggers show more clearly where they enter the network. So the priors, which cost
        nothing, and the distances, which train nothing, are always asked then. The distances end the search if they
        flag a class or are ``silent``: what lies between, the controls decide.
        """
        verdict = self._judge(NORMS, first, context)
        if decided or verdict.flagged or self.evidence == "latent":
            return verdict
        if self.priors and (verdict := self._judge_priors(logits, data, context)).flagged:
            return verdict
        distances = self._stage_distances(model, len(norms), data, context)
        verdict = self._judge(DISTANCES, _joined(norms, distances), context)
        if verdict.flagged or verdict.outlier.p_value > self.silent or not self.controls:
            return verdict
        distances = self._relative(distances, model, data, context)
        return self._judge(CONTROLS, _joined(norms, distances), context)

    def _shares(self) -> dict[str, float]:
        """The share of the significance that each stage may spend: half of what is left, the last one all of it.

        They sum to 1, so a benign network is flagged at most as often as ``significance`` says, however the stages'
        statistics depend on each other.
        """
        asked = {NORMS: True, PRIORS: self.priors, DISTANCES: True, CONTROLS: self.controls > 0}
        stages = [NORMS] if self.evidence == "latent" else [stage for stage in asked if asked[stage]]
        shares = [0.5**number for number in range(1, len(stages))]
        return dict(zip(stages, [*shares, 1 - sum(shares)], strict=True))

    def _judge(self, by: str, statistic: Array, context: Context) -> Verdict:
        """The outlier test of one stage."""
        share = self._shares()[by]
        return self._noted(by, share, Verdict(statistic, *self._small_outliers(statistic, share)), context)

    def _judge_priors(self, logits: Array, data: LabelledImages, context: Context) -> Verdict:
        """Which classes are given too seldom, by the levels of this stage: at most ``targets``."""
        share = self._shares()[PRIORS]
        priors = lowered_priors(logits, data.labels.cpu().numpy())
        context.note("priors_lowered", jsonable(priors.lowered))
        z, p_values = priors.z, priors.p_values
        order = np.argsort(p_values, kind="stable")[: self.targets].tolist()
        levels = [self.significance] + [self.further] * (len(order) - 1)
        flagged = [label for label, level in zip(order, levels, strict=True) if p_values[label] <= share * level]
        return self._noted(PRIORS, share, Verdict(z, flagged, Outlier(order[0], z, float(p_values[order[0]]))), context)

    def _noted(self, by: str, share: float, verdict: Verdict, context: Context) -> Verdict:
        """The verdict of one stage, noted with its level."""
        stage = {
            "by": by,
            "level": share * self.significance,
            "smallest": verdict.smallest,
            "p_value": verdict.outlier.p_value,
            "z": jsonable(verdict.outlier.z),
        }
        context.note("stages", [*context.diagnostics.get("stages", []), stage])
        return verdict

    # --- the evidence ------------------------------------------------------------------------------------

    def _stage_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """Every class's adversarial distance (C,)."""
        of_classes = self._distances(model, classes, self._sample(data, context), context).of_classes()
        context.note("stage_distances", jsonable(of_classes))
        return of_classes

    def _sample(self, data: LabelledImages, context: Context) -> LabelledImages:
        """``distance_images`` random images."""
        order = torch.randperm(len(data), generator=context.generator, device=context.device)
        return data.at(order[: self.distance_images])

    def _relative(self, distances: Array, model: nn.Module, data: LabelledImages, context: Context) -> Array:
        """The distances (C,), relative to the control networks'."""
        natural = self._natural_distances(model, len(distances), data, context)
        context.note("natural_distances", jsonable(natural))
        relative: Array = distances / natural**self.control_weight
        return relative

    def _distances(self, model: nn.Module, classes: int, some: LabelledImages, context: Context) -> Distances:
        return stage_distances(model, self.stage, classes, some, context)

    def _natural_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """The stage distances (C,) in networks of the same architecture that never saw a poisoned image."""
        logs = []
        for _ in range(self.controls):
            control = control_network(
                model, self.control_epochs, self.batch_size, data, context, crop=self.crop, flip=bool(self.flip)
            )
            note_trained(context, "controls", self.control_epochs * images_per_epoch(len(data), self.batch_size))
            some = self._sample(data, context)
            logs.append(np.log(self._distances(control, classes, some, context).of_classes()))
        means: Array = np.exp(np.mean(logs, 0))
        return means

    # --- the test ----------------------------------------------------------------------------------------

    def _small_outliers(self, statistic: Array, share: float = 1.0) -> tuple[list[int], Outlier]:
        """The test at ``share`` of its levels."""
        further = share * self.further
        return small_outliers(statistic, share * self.significance, self.targets, self.test, further=further)

    def _note(self, outlier: Outlier, flagged: list[int], context: Context) -> None:
        context.note("z", jsonable(outlier.z))
        context.note("p_value", outlier.p_value)
        context.note("flagged", flagged)
        kinds = {"both": "norm and distance", "latent": "norm", "stage": "distance"}[self.evidence]
        name = f"z of log {kinds}" if self.logarithm else f"z of {kinds}"
        if self.decide == "staged":
            name = "z in the stage that decides"  # one name for all victims of a figure
        context.note_class_statistic(name, outlier.z.tolist(), flagged)


def jsonable(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _joined(norms: Array, distances: Array) -> Array:
    """The mean of the logarithms (C,) of both."""
    with np.errstate(divide="ignore"):
        joined: Array = np.log([norms, distances]).mean(0)
    return joined
