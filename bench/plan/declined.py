"""Which plugins decline a combination, and why. Each is asked once for all combinations that are the same to it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

from bench.errors import RequestError, shortened
from bench.plan.blame import blaming, named
from bench.plugin.base import Case, Plugin


class Declined:
    """The answers of a plan's plugins to ``unsupported``.

    Most look at the images and the network alone. Their answer holds for every attack and defense, and is kept: to ask
    takes several passes through a network.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int], str | None] = {}  # by plugin, data set and model

    def reason(self, part: Plugin, case: Case, apart: Callable[[], AbstractContextManager[None]]) -> str | None:
        """Why a plugin declines a case, or None. ``apart``: a context for code of the plugins in it.

        The plugins must live as long as this does. Raises RequestError if the question fails.
        """
        if type(part).unsupported is Plugin.unsupported:
            return None
        key = id(part), id(case.dataset), id(case.model)
        if key in self._kept:
            return self._kept[key]
        watched = _Watched(case.dataset, case.model, case.attack, case.defense)
        reason = _asked(part, watched, apart)
        if not object.__getattribute__(watched, "looked_further"):
            self._kept[key] = reason
        return reason


class _Watched(Case):
    """A case that knows whether more of it was read than its data set and its model, and what follows from these."""

    looked_further = False

    def __getattribute__(self, name: str) -> Any:
        if name not in ("dataset", "model", "network", "example"):
            object.__setattr__(self, "looked_further", True)
        return super().__getattribute__(name)


def _asked(part: Plugin, case: Case, apart: Callable[[], AbstractContextManager[None]]) -> str | None:
    """The answer of a plugin, on one line.

    Where the model's own network cannot be built or run, nobody can say: the case is tried, and fails under its name.
    """
    try:
        with blaming(named(part), "unsupported"), apart():
            reason = part.unsupported(case)
    except RequestError:
        with apart():
            can_run = _can_run(case)
        if can_run:
            raise
        return None
    if reason is not None and not isinstance(reason, str):
        raise RequestError(f"{named(part)}: unsupported gave {shortened(repr(reason))}: expected a reason, or None")
    return reason and shortened(" ".join(reason.split()), 1000)


def _can_run(case: Case) -> bool:
    try:
        with torch.no_grad():
            logits = case.network(case.example)
        return isinstance(logits, torch.Tensor) and logits.shape == (1, case.dataset.spec.classes)
    except Exception:  # whatever the model raises
        return False
