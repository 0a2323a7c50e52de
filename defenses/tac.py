"""TAC reconstruction: find the smallest shift of the latent representation that leads every image to one class.

Iwahana et al., 2025, arXiv 2511.08944. For every class a quadratic program gives the shortest shift with which all
reference images are given that class; that of a target is abnormally short. The network is then fine-tuned with the
shift added to its latents, which unlearns the trigger. Departures: Grubbs' test on logarithms; norms are joined with
adversarial distances behind an early stage, relative to control networks; several targets, and all-to-all.
The paper's plain rule is ``tac[paper]``; with flag=always the class of the smallest norm is repaired in any case.
"""

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from bench.defenses._classifier import lacks_plain_stages
from bench.defenses._outliers import Outlier, most_extreme, small_outliers, too_few_classes
from bench.defenses._quadratic_program import Array, Solver, smallest_shifts
from bench.defenses._shift_tuning import Backdoor, ShiftTuning, note_shifts, unsupported
from bench.defenses._tac_evidence import (
    FEWEST_FOR_ALL_TO_ALL,
    Distances,
    all_to_all_targets,
    control_network,
    pair_residuals,
    stage_distances,
)
from bench.plugin import Case, Context, ImageSpec, Known, LabelledImages, Repair, RequestError, later
from bench.toolbox.networks import Latent
from bench.toolbox.training import logits_of


class TAC(ShiftTuning, Repair):
    name: ClassVar[str] = "tac"
    version: ClassVar[int] = 2
    source: ClassVar[str] = "Iwahana et al., 2025, arXiv 2511.08944"

    poisoned_class: int | None = Field(None, ge=0, description="the class to repair; None: identify it")
    evidence: Literal["both", "latent", "stage"] = Field(
        "both", description="latent: norms of the shifts, as in the paper; stage: mean adversarial distances; both"
    )
    targets: int = Field(3, ge=1, description="most poisoned classes to look for")
    pairs: bool = Field(
        True, description="look for all-to-all too, a shift for every class (needs evidence=stage or both)"
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
    quantile: float = Field(
        0.98, gt=0, le=1, description="quantile over images of what a shift must overcome; 1, the paper's: all images"
    )
    margin: float = Field(0.0, ge=0, description="epsilon: lead of the class's logit over the others")
    solver: Solver = later(
        "nnls",
        description="of the quadratic programs: exact least squares in compressed form, or cvxpy, slower, as a check",
    )
    stage: int = Field(1, ge=0, description="the stage, by number, behind which adversarial distances are measured")
    distance_images: int = Field(200, ge=1, description="reference images for the adversarial distances")
    controls: int = Field(
        2, ge=0, description="networks trained on the reference images alone, whose distances are what is natural"
    )
    control_weight: float = Field(
        0.5, ge=0, le=1, description="share of the controls' log distances that is subtracted"
    )
    control_epochs: int = Field(40, ge=1, description="of training each control network")
    beta_rule: Literal["fixed", "raise"] = Field(
        "fixed", description="raise: from a quarter of beta up to four times, until no flagged class is an outlier"
    )
    accuracy_loss: float = Field(
        0.05, ge=0, le=1, description="beta_rule=raise: loss of accuracy on held-out reference images to accept"
    )
    recompute: bool = Field(
        False, description="solve for the shift's direction anew before every epoch; its length stays"
    )

    def resolve(self, spec: ImageSpec) -> Self:
        if self.poisoned_class is not None and self.poisoned_class >= spec.classes:
            raise RequestError(
                f"tac: poisoned_class={self.poisoned_class}: expected less than {spec.classes}, the data set's classes"
            )
        if self.evidence == "both" and not self.logarithm:
            raise RequestError("tac: logarithm=false: expected evidence=latent or evidence=stage with it")
        return super().resolve(spec)

    def unsupported(self, case: Case) -> str | None:
        if (reason := unsupported(case) or lacks_plain_stages(case)) is not None:
            return reason
        if self.poisoned_class is not None or self.flag == "always":
            return None
        return too_few_classes("the outlier test", case.dataset.spec.classes, self._can_flag)

    def repair(self, model: nn.Module, known: Known, context: Context) -> nn.Module:
        data = known.reference()
        latent = Latent(model, data.example)
        if self.poisoned_class is not None:
            backdoors = [Backdoor.all_to_one(self.poisoned_class, len(latent.linear.weight))]
        else:
            backdoors = self._identify(latent, data, context)
        if not backdoors:
            return model
        shifts = self._shifts(latent, data, backdoors, context)
        context.note("shift_norm", float(torch.linalg.vector_norm(shifts, dim=2)[0].max()))
        note_shifts(backdoors, shifts, context)
        beta = self.beta
        if self.beta_rule == "raise":
            beta = self._chosen_beta(model, backdoors, shifts, data, context)
        recompute = self._recomputed(latent, data, backdoors, context)
        self.unlearn(latent, backdoors, shifts, data, beta, context, recompute=recompute)
        return model

    # --- the shifts --------------------------------------------------------------------------------------

    def _smallest_shifts(self, latent: Latent, data: LabelledImages) -> list[Array | None]:
        """Every class's smallest shift (d,); None where no shift gives all images the class."""
        with torch.no_grad():
            features = torch.cat([latent.features(images) for images in data.floats.split(256)])
        weight, bias = latent.linear.weight, latent.linear.bias
        bias = torch.zeros(len(weight)) if bias is None else bias
        arrays = (values.detach().double().cpu().numpy() for values in (features, weight, bias))
        return smallest_shifts(*arrays, quantile=self.quantile, margin=self.margin, solver=self.solver)

    def _shifts(self, latent: Latent, data: LabelledImages, backdoors: list[Backdoor], context: Context) -> Tensor:
        """What is added to the latents of each class's images, (B, C, d); zero where no shift gives the target."""
        of_all = self._smallest_shifts(latent, data)
        of_label: dict[int, list[Array | None]] = {}  # from the images of one class, for an all-to-all backdoor
        if not all(backdoor.has_one_target for backdoor in backdoors):
            labels = set(data.labels.tolist())
            of_label = {label: self._smallest_shifts(latent, data.at(data.labels == label)) for label in labels}
        rows = torch.zeros(len(backdoors), len(backdoors[0].targets), latent.linear.in_features)
        for number, backdoor in enumerate(backdoors):
            for label, target in enumerate(backdoor.targets):
                shifts = of_all if backdoor.has_one_target else of_label.get(label)
                shift = None if shifts is None else shifts[target]
                if shift is not None:
                    rows[number, label] = torch.as_tensor(shift)
                elif label == 0 or not backdoor.has_one_target:
                    context.log(f"no shift gives all images the class {target}; it is left as it is")
        return rows.to(context.device)

    # --- which class? ------------------------------------------------------------------------------------

    def _identify(self, latent: Latent, data: LabelledImages, context: Context) -> list[Backdoor]:
        """The backdoors whose classes' statistics are small outliers; everything computed goes into the record."""
        norms = _norms(self._smallest_shifts(latent, data))
        context.note("norms", _jsonable(norms))
        rows: list[Array] = []
        targets: tuple[int, ...] | None = None
        if self.evidence != "stage":
            rows.append(norms)
            context.note("infeasible", [label for label, norm in enumerate(norms) if np.isinf(norm)])
        if self.evidence != "latent":
            distances, targets = self._stage_evidence(latent.model, len(norms), data, context)
            rows.append(distances)
        with np.errstate(divide="ignore"):
            statistic = np.log(rows).mean(0) if self.logarithm else rows[0]
        flagged, outlier = self._small_outliers(statistic)
        if self.flag == "always" and not flagged:
            flagged = [int(np.argmin(np.where(np.isnan(statistic), np.inf, statistic)))]
        if targets is not None:
            flagged = sorted(set(targets))
            context.note("led_to", list(targets))
        self._note(outlier, flagged, context)
        if targets is not None:
            return [Backdoor(targets)]
        return [Backdoor.all_to_one(label, len(norms)) for label in flagged]

    def _stage_evidence(
        self, model: nn.Module, classes: int, data: LabelledImages, context: Context
    ) -> tuple[Array, tuple[int, ...] | None]:
        """Every class's distance (C,), relative to the control networks', and the targets of an all-to-all backdoor."""
        targets = None
        distances = self._distances(model, classes, data, context)
        of_classes = distances.of_classes()
        context.note("stage_distances", _jsonable(of_classes))
        if self.pairs:
            residuals = pair_residuals(distances.of_pairs())
            targets = all_to_all_targets(residuals)
            context.note("pair_residuals", [_jsonable(row) for row in residuals])
        if self.controls:
            natural = self._natural_distances(model, classes, data, context)
            context.note("natural_distances", _jsonable(natural))
            of_classes = of_classes / natural**self.control_weight
        return of_classes, targets

    def _distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Distances:
        return stage_distances(model, self.stage, self.distance_images, classes, data, context)

    def _natural_distances(self, model: nn.Module, classes: int, data: LabelledImages, context: Context) -> Array:
        """The stage distances (C,) in networks of the same architecture that never saw a poisoned image."""
        logs = []
        for _ in range(self.controls):
            control = control_network(
                model, self.control_epochs, self.batch_size, data, context, crop=self.crop, flip=bool(self.flip)
            )
            logs.append(np.log(self._distances(control, classes, data, context).of_classes()))
        means: Array = np.exp(np.mean(logs, 0))
        return means

    def _can_flag(self, classes: int) -> bool:
        """Whether the test can flag a class, or an all-to-all backdoor be found, among this many classes at all."""
        if self.pairs and self.evidence != "latent" and classes >= FEWEST_FOR_ALL_TO_ALL:
            return True
        return bool(self._small_outliers(most_extreme(classes, self.targets))[0])

    def _small_outliers(self, statistic: Array) -> tuple[list[int], Outlier]:
        return small_outliers(statistic, self.significance, self.targets, self.test, further=self.further)

    def _note(self, outlier: Outlier, flagged: list[int], context: Context) -> None:
        context.note("z", _jsonable(outlier.z))
        context.note("p_value", outlier.p_value)
        context.note("flagged", flagged)
        kinds = {"both": "norm and distance", "latent": "norm", "stage": "distance"}[self.evidence]
        name = f"z of log {kinds}" if self.logarithm else f"z of {kinds}"
        context.note_class_statistic(name, outlier.z.tolist(), flagged)

    # --- unlearning --------------------------------------------------------------------------------------

    def _recomputed(
        self, latent: Latent, data: LabelledImages, backdoors: list[Backdoor], context: Context
    ) -> Callable[[], Tensor] | None:
        """What computes the shifts anew while the network is tuned, if that is asked for."""
        return (lambda: self._shifts(latent, data, backdoors, context)) if self.recompute else None

    def _chosen_beta(
        self, model: nn.Module, backdoors: list[Backdoor], shifts: Tensor, data: LabelledImages, context: Context
    ) -> float:
        """The smallest of five rising betas with which the norm of no flagged class is an outlier any more.

        A fifth of the reference images is held out of the trials, to see that accuracy stays within ``accuracy_loss``.
        Where it does not, the last beta within that bound. Nothing but reference images decides.
        """
        held_out = torch.arange(len(data), device=context.device) % 5 == 0
        test, train = data.at(held_out), data.at(~held_out)
        before = _correct(model, test)
        targets = {target for backdoor in backdoors for target in backdoor.targets}
        trials: list[dict[str, Any]] = []
        chosen = self.beta / 4
        for beta in (self.beta * 2.0**power for power in range(-2, 3)):
            candidate = copy.deepcopy(model)
            latent = Latent(candidate, data.example)
            recompute = self._recomputed(latent, train, backdoors, context)
            self.unlearn(latent, backdoors, shifts, train, beta, context, recompute=recompute)
            correct = _correct(candidate, test)
            with np.errstate(divide="ignore"):
                outliers, _ = self._small_outliers(np.log(_norms(self._smallest_shifts(latent, data))))
            remaining = sorted(set(outliers) & targets)
            trials.append({"beta": beta, "accuracy_loss": (before - correct) / len(test), "outliers": remaining})
            if correct < before - self.accuracy_loss * len(test):
                break  # a larger weight costs more still
            chosen = beta
            if not remaining:
                break
        context.note("betas", trials)
        return chosen


def _norms(shifts: list[Array | None]) -> Array:
    """The lengths (C,) of shifts; infinite where there is none."""
    return np.array([np.inf if shift is None else np.linalg.norm(shift) for shift in shifts])


def _correct(model: nn.Module, data: LabelledImages) -> int:
    """How many images the network classifies correctly."""
    return int((logits_of(model, data.floats).argmax(1) == data.labels).sum())


def _jsonable(values: Array) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
