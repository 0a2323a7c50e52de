"""Which classes of a network look like a backdoor's target: every method is asked, and a verdict combines them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from bench.cell.defender import DefenderHere
from bench.cell.reference import DefenseInputs
from bench.errors import RequestError, one_line
from bench.plan.registry import Registry
from bench.plugin.values import Known, Secret
from bench.records.note_types import ClassStatistic, TriggerPicture, TriggerPictures
from bench.suspect import methods
from bench.suspect.methods import Declined, Method, context_for
from bench.suspect.rates import nearest, worth
from bench.suspect.subject import Subject, accuracy, subject
from bench.suspect.verdict import RULE, Verdict, combined
from bench.toolbox.inference import precision_on

FEW = 20  # images a class: fewer than the networks that the rates were measured on were judged by
EVERY = 30.0  # seconds between two lines that say how far a method is
LOW = 0.7  # accuracy below which a wrong preprocessing is likelier than a poor network


@dataclass(frozen=True)
class Finding:
    """What one method says of a network.

    status: "done", "declined" or "failed", and ``reason`` why. statistic: what ``values``, one a class, are; None where
    there is none. flagged: the classes that the method takes for targets. p_value: of its test, if it noted one.
    parameters: what it was asked with; none where it declined.
    """

    method: str
    status: Literal["done", "declined", "failed"]
    reason: str = ""
    statistic: str = ""
    values: list[float | None] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    p_value: float | None = None
    pictures: list[TriggerPicture] = field(default_factory=list, repr=False)
    log: list[str] = field(default_factory=list)
    seconds: float = 0.0
    parameters: dict[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Scan:
    """What all methods say, and the verdict that combines them.

    accuracy: of the network on the images, in [0, 1]; None without labels. warnings: what makes the verdict worth less.
    shape: channels, height and width of the images; one channel where all of a pixel's are the same.
    """

    findings: list[Finding]
    classes: list[str]
    images: int
    accuracy: float | None
    warnings: list[str]
    verdict: Verdict
    shape: tuple[int, int, int] = (3, 32, 32)

    @property
    def worth(self) -> list[str]:
        """Lines that say how often such a verdict is right."""
        return worth(self.shape, self.images, {finding.method: finding.parameters for finding in self.findings})

    def __repr__(self) -> str:
        return f"<Scan: {self.verdict.told(self.classes)}>"

    @property
    def suspicious(self) -> bool:
        """Whether a class looks like a backdoor's target."""
        return self.verdict.suspicious

    @property
    def done(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.status == "done"]

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values, as ``bench scan --json`` prints it; pictures are PNG in base64."""
        findings = []
        for finding in self.findings:
            pictures = [picture.model_dump() for picture in finding.pictures]
            plain = {name: value for name, value in vars(finding).items() if name != "pictures"}
            findings.append({**plain, "pictures": pictures})
        return {
            "suspicious": self.suspicious,
            "targets": self.verdict.classes,
            "rule": RULE,
            "verdict": asdict(self.verdict),
            "classes": self.classes,
            "images": self.images,
            "accuracy": self.accuracy,
            "warnings": self.warnings,
            "methods": findings,
            "rates": [one.model_dump() for one in nearest(self.shape, self.images)],
        }


def scan(
    network: nn.Module,
    images: Any,
    labels: Any = None,
    *,
    defenses: str | Sequence[str] = "all",
    plugin: Sequence[str | Path] = (),
    seed: int = 0,
    device: str = "auto",
    note: Callable[[str], None] = lambda line: None,
) -> Scan:
    """Look for a backdoor in a network that takes images in [0, 1].

    images: clean ones (N, C, H, W), uint8 or floating point in [0, 1], tensors or arrays. labels: (N,), or None: then
    the network's own answers stand in for them. defenses: a selection of those that name target classes, by default all
    of them. plugin: files with further ones. note: called with a line as the work goes on. The network stays as it is.

    Raises RequestError for what does not fit, in one line.
    """
    registry = open_plugins(plugin)
    selection = defenses if isinstance(defenses, str) else ",".join(defenses)
    on = subject(network, images, labels, device=device)
    chosen = methods.detectors(registry, selection, methods.profile_for(len(on.images), methods.MANY))
    return scan_subject(on, chosen, registry, seed, note)


def scan_subject(
    on: Subject, chosen: Sequence[Method], registry: Registry, seed: int, note: Callable[[str], None]
) -> Scan:
    """``scan`` of a subject by methods that are chosen already."""
    findings = []
    for method in chosen:
        note(f"{method.label}: begins")
        finding = _asked(method, on, registry, seed, _heartbeat(method.label, note))
        note(f"{method.label}: {finding.reason or f'{finding.seconds:.1f} s'}")
        findings.append(finding)
    verdict = combined({finding.method: finding.flagged for finding in findings if finding.status == "done"})
    correct = accuracy(on.network, on.images) if on.labelled else None
    names = [on.name(label) for label in range(on.spec.classes)]
    return Scan(findings, names, len(on.images), correct, _warnings(on, correct), verdict, _shape(on))


def _heartbeat(label: str, note: Callable[[str], None]) -> Callable[[float], None]:
    """A function that is told the share of a method's work that is done, and says it now and then."""
    began = said = time.perf_counter()

    def progress(share: float) -> None:
        nonlocal said
        now = time.perf_counter()
        if now - said >= EVERY:
            said = now
            note(f"{label}: {share:.0%} after {now - began:.0f} s")

    return progress


def _asked(method: Method, on: Subject, registry: Registry, seed: int, progress: Callable[[float], None]) -> Finding:
    log: list[str] = []
    start = time.perf_counter()
    try:
        defense = methods.fitted(method, on, registry)
        fingerprint = registry.fingerprint("defense", defense.name)
        with (
            context_for(on, seed, log.append, progress) as context,
            registry.asking("defense", defense.name, "the scan"),
        ):
            known = Known(on.images if defense.knowledge != "none" else None)
            inputs = DefenseInputs(on.copy(), known, context, _no_secret, precision_on(on.device))
            noted = DefenderHere(defense, inputs, fingerprint).report().diagnostics
    except Declined as error:
        return Finding(method.label, "declined", str(error))
    except Exception as error:  # one method's fault does not end the scan
        return Finding(method.label, "failed", one_line(error), log=log)
    seconds = time.perf_counter() - start
    if "class_statistic" not in noted:
        return Finding(method.label, "failed", "it said of no class how suspicious it is", log=log, seconds=seconds)
    statistic = ClassStatistic.model_validate(noted["class_statistic"])
    pictures = TriggerPictures.model_validate(noted.get("trigger_pictures", [])).root
    p_value = noted.get("p_value")
    return Finding(
        method.label,
        "done",
        statistic=statistic.name,
        values=[None if math.isnan(value) else value for value in statistic.values],
        flagged=statistic.flagged,
        p_value=float(p_value) if isinstance(p_value, float | int) and 0 <= p_value <= 1 else None,
        pictures=pictures,
        log=log,
        seconds=seconds,
        parameters=defense.model_dump(mode="json"),
    )


def _shape(on: Subject) -> tuple[int, int, int]:
    channels, height, width = on.spec.shape
    images = on.images.images
    return (1 if bool((images == images[:, :1]).all()) else channels), height, width


def _warnings(on: Subject, correct: float | None) -> list[str]:
    counts = on.images.labels.bincount(minlength=on.spec.classes)
    present, least = int((counts > 0).sum()), int(counts[counts > 0].min())
    warnings = []
    if correct is not None and correct < LOW:
        warnings.append(
            f"the network is right about {correct:.1%} of the images only: are its mean, std, size, order of channels "
            "and stem the ones that it was trained with?"
        )
    if present < on.spec.classes:
        warnings.append(f"there are images of {present} of the {on.spec.classes} classes")
    if least < FEW:
        warnings.append(
            f"there are {least} images of a class: fewer than {FEW}, and fewer than in the methods' papers, which have "
            "5% of the training images (250 a class of CIFAR-10)"
        )
    return warnings


def _no_secret() -> Secret:
    raise LookupError("nobody knows the trigger of a network that somebody else has trained")


def open_plugins(files: Sequence[str | Path]) -> Registry:
    """The registry with these one-file plugins. Raises RequestError if one cannot be entered."""
    registry = Registry([Path(file).resolve() for file in files])
    if registry.problems:
        raise RequestError(registry.problems[0])
    return registry
