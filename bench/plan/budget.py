"""What a defender is given, in numbers: the clean reference images, and what is known of the suspected ones."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.errors import RequestError, shortened
from bench.plan.profiles import Profile
from bench.plan.request import Request
from bench.plugin.attack import Attack


@dataclass(frozen=True)
class Budget:
    """Numbers of images that a defense is given if it asks for them.

    purity: the share of the suspects that carry the trigger, in (0, 1]. classes: how many source classes they come
    from; 0 stands for images of random classes.
    """

    reference: int
    suspects: int
    purity: float
    classes: int


def budget_of(request: Request, profile: Profile, available: int, given: list[str]) -> Budget:
    """The budget of a request on a data set with ``available`` training images. ``given``: what its defenses declare.

    Raises RequestError for what cannot be had; of suspects only if a defense asks for them.
    """
    budget = Budget(
        reference_count(request.reference or profile.reference, available),
        profile.suspects if request.suspects is None else request.suspects,
        profile.suspects_purity if request.suspects_purity is None else request.suspects_purity,
        profile.suspects_classes if request.suspects_classes is None else request.suspects_classes,
    )
    if "suspects" not in given:
        return budget
    if budget.reference + budget.suspects > available:
        most = available - budget.reference
        raise RequestError(f"--suspects {budget.suspects}: expected at most {most} beside the reference set")
    triggered = triggered_count(budget.suspects, budget.purity)
    if budget.purity < 1 and triggered < 2:
        raise RequestError(
            f"--suspects-purity {budget.purity:g}: expected at least 2 triggered images among the suspects; "
            f"of {budget.suspects} it leaves {triggered}"
        )
    return budget


def reference_count(text: str, available: int) -> int:
    """The number of clean reference images that "200" or "5%" means, out of ``available`` training images.

    Raises RequestError for a malformed text, or a number that is not in 1 to ``available``.
    """
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)\s*%", text.strip())
    count = -1
    if match and len(text) <= 20:  # of more digits it is too large in any case
        count = int(match[1]) if match[1] else round(float(match[2]) / 100 * available)
    if not 0 < count <= available:
        raise RequestError(
            f"--reference {shortened(text)}: expected a number of images from 1 to {available}, or a share such as 5%"
        )
    return count


def triggered_count(suspects: int, purity: float) -> int:
    """How many of so many suspects carry the trigger."""
    return round(purity * suspects)


def source_classes(attack: Attack, classes: int) -> Tensor:
    """The classes (K,) of 0 to ``classes`` - 1 that a trigger leads elsewhere: suspects are images of these.

    All of them for an attack that leads none elsewhere, as in the control row. Raises whatever the attack raises.
    """
    labels = torch.arange(classes)
    led = torch.stack([backdoor.target(labels) != labels for backdoor in attack.backdoors()]).any(0)
    return labels[led] if bool(led.any()) else labels
