"""A suspicious network repaired by a defense, and its accuracy on images that the defense was not given."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.errors import RequestError, one_line
from bench.plan.registry import Registry
from bench.plugin.images import stratified_order
from bench.plugin.repair import Repair
from bench.plugin.values import Known, LabelledImages
from bench.records import notes
from bench.records.note_types import ClassStatistic
from bench.suspect import methods
from bench.suspect.methods import Method, context_for
from bench.suspect.scan import open_plugins
from bench.suspect.subject import Subject, accuracy, subject
from bench.toolbox.precision import expect_finite

HELD_OUT = 0.25  # share of the images that accuracy is measured on


@dataclass(frozen=True)
class Repaired:
    """A repaired network, from images in [0, 1] to logits, in eval mode.

    given, held_out: images that the defense had, and that accuracy, in [0, 1], was measured on. flagged: the classes
    that the defense took for targets; None if it names none. changed: whether a weight is another one. notes, log: what
    the defense noted and said. parameters: of the defense, with those that follow from the images.
    """

    network: nn.Module = field(repr=False)
    defense: str
    parameters: dict[str, Any]
    given: int
    held_out: int
    accuracy_before: float
    accuracy_after: float
    flagged: list[int] | None
    changed: bool
    seconds: float
    log: list[str]
    notes: dict[str, Any] = field(repr=False)


def repair(
    network: nn.Module,
    defense: str,
    images: Any,
    labels: Any,
    *,
    held_out: float = HELD_OUT,
    plugin: Sequence[str | Path] = (),
    seed: int = 0,
    device: str = "auto",
) -> Repaired:
    """A repaired copy of a network that takes images in [0, 1]; the network itself stays as it is.

    defense: the selection of one repair, such as "tac" or "ft[epochs=10]". images: clean ones (N, C, H, W), uint8 or
    floating point in [0, 1]; labels: (N,). held_out: the share of them that the defense is not given. plugin: files
    with further defenses.

    Raises RequestError for what does not fit, and for a defense that does not work on such a network, in one line.
    """
    registry = open_plugins(plugin)
    on = subject(network, images, labels, device=device)
    method = methods.repair_named(registry, defense, methods.profile_for(len(on.images)))
    return repair_subject(on, method, registry, held_out, seed)


def repair_subject(
    on: Subject,
    method: Method,
    registry: Registry,
    held_out: float = HELD_OUT,
    seed: int = 0,
    note: Callable[[str], None] = lambda line: None,
) -> Repaired:
    """``repair`` of a subject by a method that is chosen already."""
    if not on.labelled:
        raise RequestError("a repair needs labels: expected a folder of images for each class")
    given, test = _split(on.images, held_out)
    defense = methods.fitted(method, on, registry)
    assert isinstance(defense, Repair)
    log: list[str] = []

    def say(line: str) -> None:
        log.append(line)
        note(line)

    start = time.perf_counter()
    with context_for(on, seed, say) as context, registry.asking("defense", defense.name, "repair"):
        repaired = defense.repair(on.copy(), Known(given if defense.knowledge != "none" else None), context)
        if not isinstance(repaired, nn.Module):
            raise RequestError(
                f"defense {defense.name!r}: repair gave a {type(repaired).__name__}, expected an nn.Module"
            )
        expect_finite(repaired.eval())
    seconds = time.perf_counter() - start
    noted = _noted(context.diagnostics, defense.name)
    flagged = ClassStatistic.model_validate(noted["class_statistic"]).flagged if "class_statistic" in noted else None
    return Repaired(
        repaired,
        method.label,
        defense.model_dump(mode="json"),
        len(given),
        len(test),
        accuracy(on.network, test),
        accuracy(repaired, test),
        flagged,
        _changed(on.network, repaired),
        seconds,
        log,
        noted,
    )


def _split(images: LabelledImages, held_out: float) -> tuple[LabelledImages, LabelledImages]:
    """The images for the defense and those for measuring, with about the same shares of the classes."""
    if not 0 < held_out < 1:
        raise RequestError(f"--held-out {held_out:g}: expected a share between 0 and 1")
    order = stratified_order(images.labels.cpu(), torch.Generator().manual_seed(0)).to(images.labels.device)
    cut = len(order) - max(1, round(held_out * len(order)))
    if cut < 2:
        raise RequestError(
            f"--held-out {held_out:g}: leaves {cut} of {len(order)} images to the defense, expected 2 or more"
        )
    return images.at(order[:cut]), images.at(order[cut:])


def _noted(diagnostics: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        return notes.of_plugin(diagnostics, f"defense {name!r}")
    except (TypeError, ValueError) as error:
        raise RequestError(one_line(error)) from error


def _changed(before: nn.Module, after: nn.Module) -> bool:
    old, new = before.state_dict(), after.state_dict()
    return old.keys() != new.keys() or any(not torch.equal(old[name], new[name]) for name in old)
