"""Ask a guard about every test image, clean and triggered, and ask again whether it answers each for itself."""

import torch
from torch import Tensor

from bench.cell.answers import checked
from bench.cell.backdoors import TriggeredSet
from bench.errors import Died, Elsewhere, is_out_of_memory, one_line
from bench.plugin.defense import Guard
from bench.plugin.images import images_at_once
from bench.plugin.values import Prediction

BATCH = 250  # images of at most 64x64 pixels that are asked about at once
COMPARED = 7  # calls, spread over all, in which the bare network is timed beside the guard
COMPARED_ALONE = 40  # the same of calls about a single image, which vary more and cost less
AGAIN = 30  # inputs that are asked about a second time, alone
MAY_DIFFER = 2  # of these: what lies on an edge may fall to the other side by rounding alone
ROUNDING = 0.01  # of the largest absolute value: by so much an answer may depend on the size of its batch
_PARTS = ("logits", "score", "flagged")


@torch.no_grad()
def predict(
    guard: Guard,
    test: TriggeredSet,
    stream: Tensor | None = None,
    *,
    classes: int,
    compared: Guard | None = None,
) -> dict[str, Tensor]:
    """The predictions of ``guard`` on the N test images without and with the trigger, by name, as the store takes them.

    clean_logits, triggered_logits (N, classes); where the guard gives them, also clean_score and triggered_score (N,),
    clean_flagged and triggered_flagged (N,) bool. ``stream`` is an order (2N,) of the clean and then the triggered
    images: with it they pass one by one in this order. Without it they pass in batches in which clean and triggered
    images are mixed, in an order that is always the same. ``compared``, if it is given, answers some of the calls in
    place of ``guard``, and times the bare network beside it. Raises TypeError or ValueError as ``checked`` does.
    """
    order = _mixed(test) if stream is None else stream
    size = batch_size(*test.pixels.shape[2:]) if stream is None else 1
    calls = order.split(size)
    timed = _spread(len(calls), COMPARED if stream is None else COMPARED_ALONE) if compared else set()
    parts = []
    for number, index in enumerate(calls):
        asked = compared if compared and number in timed else guard
        parts.append(checked(asked(test.inputs(index)), len(index), classes))
    return _by_name(parts, order, len(test))


@torch.no_grad()
def ask_again(guard: Guard, test: TriggeredSet, predictions: dict[str, Tensor], *, classes: int) -> None:
    """Ask ``guard`` about some inputs again, each alone, and compare with its ``predictions`` that ``predict`` gave.

    Raises ValueError if it answers differently, in more than rounding: it then judges an input by the others of its
    batch, or by what it saw before, which no guard may do that does not declare ``learns_from_stream``.
    """
    chosen = _mixed(test)[-AGAIN:]  # the end: where a guard that changes while it answers has changed the most
    alone = [_alone(guard, test.inputs(index), classes) for index in chosen.split(1)]
    for name in _PARTS:
        if f"clean_{name}" not in predictions:
            continue
        said = torch.cat([predictions[f"clean_{name}"], predictions[f"triggered_{name}"]])
        again = torch.cat([_given(name, part) for part in alone]).to(said.device)
        differ = int(_differ(said[chosen], again, said).sum())
        if differ > min(MAY_DIFFER, len(chosen) // 4):
            raise ValueError(
                f"{name}: {differ} of {len(chosen)} inputs got another answer when asked about again, alone; expected "
                "the same at any batch size, or learns_from_stream"
            )


def batch_size(height: int, width: int) -> int:
    """How many images of this size are asked about at once: the activations of more large ones would take gigabytes."""
    return images_at_once(BATCH, height, width)


def _by_name(parts: list[Prediction], order: Tensor, count: int) -> dict[str, Tensor]:
    """The answers to all inputs, which came in this ``order`` (2 * ``count``,), by name and in the order of images."""
    predictions: dict[str, Tensor] = {}
    for name in _PARTS:
        values = [value for part in parts if (value := getattr(part, name)) is not None]
        if len(values) not in (0, len(parts)):
            raise ValueError(f"{name}: given for {len(values)} of {len(parts)} batches, expected for all or for none")
        if not values:
            continue
        merged = torch.cat(values).to(order.device)
        in_given_order = torch.empty_like(merged)
        in_given_order[order] = merged
        predictions[f"clean_{name}"] = in_given_order[:count]
        predictions[f"triggered_{name}"] = in_given_order[count:]
    return predictions


def _mixed(test: TriggeredSet) -> Tensor:
    """A fixed order (2N,) of the test inputs, in which clean and triggered ones are mixed."""
    order = torch.randperm(2 * len(test), generator=torch.Generator().manual_seed(0))
    return order.to(test.targets.device)


def _spread(calls: int, most: int) -> set[int]:
    """The numbers of ``most`` of so many calls, or fewer, spread over all but the first, which is the slowest."""
    if calls == 1:
        return {0}
    chosen = min(most, calls - 1)
    return {1 + number * (calls - 1) // chosen for number in range(chosen)}


def _alone(guard: Guard, image: Tensor, classes: int) -> Prediction:
    """The answer for one image (1, C, H, W). What a guard raises then is given its cause."""
    try:
        return checked(guard(image), 1, classes)
    except Exception as error:
        if isinstance(error, Died) or is_out_of_memory(error):
            raise
        line = f"{one_line(error)}; when asked about one image alone: expected an answer at any batch size"
        raise (Elsewhere(line, error.trace) if isinstance(error, Elsewhere) else ValueError(line)) from error


def _given(name: str, part: Prediction) -> Tensor:
    value: Tensor | None = getattr(part, name)
    if value is None:
        raise ValueError(f"{name}: given for a batch, and not for one image alone; expected for all or for none")
    return value


def _differ(first: Tensor, second: Tensor, everything: Tensor) -> Tensor:
    """Which of K answers differ (K,) bool, by more than rounding for numbers. ``everything``: all answers (2N, …)."""
    if first.dtype == torch.bool:
        return first != second
    change = (first - second).abs().view(len(first), -1).amax(1)
    return change > ROUNDING * everything.abs().max()
