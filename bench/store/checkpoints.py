"""The state of a training, saved in the store at the end of epochs, so that an interrupted one can be resumed."""

import time
from collections.abc import Mapping
from typing import Any

import torch

from bench.errors import Damaged
from bench.store.store import Store

SECONDS = 60.0  # between two checkpoints: a short training writes none


class Checkpoint:
    """The saved state of the training of the victim ``key``.

    ``every``: seconds between two checkpoints. ``codes``: what stands for the code that trains, by kind of plugin; a
    state that other code has saved is none to continue from. ``seconds``: how long earlier processes had trained it,
    once ``load`` has found their state.
    """

    def __init__(
        self, store: Store, key: str, every: float = SECONDS, *, codes: Mapping[str, str] | None = None
    ) -> None:
        self.store, self.key, self.every, self.codes = store, key, every, dict(codes or {})
        self.seconds = 0.0
        self._began = self._saved = time.perf_counter()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state that was saved last, its tensors on ``device``; None where there is none.

        Removes one that is damaged, or that other code has saved; one that does not say by which code counts as usable.
        """
        try:
            state = self.store.state("checkpoints", self.key, "state.pt", device)
        except FileNotFoundError:
            return None
        except (Damaged, OSError):
            self.discard()
            return None
        if state.get("codes", self.codes) != self.codes:
            self.discard()
            return None
        self.seconds = state.get("seconds", 0.0)
        return state

    def due(self) -> bool:
        """Whether it is time to save the state again."""
        return time.perf_counter() - self._saved >= self.every

    def save(self, state: dict[str, Any]) -> None:
        """Replace what was saved by ``state``: tensors and plain values. Raises OSError where the disk is full."""
        self._saved = time.perf_counter()
        spent = self.seconds + self._saved - self._began
        self.store.write("checkpoints", self.key, {"state.pt": {**state, "seconds": spent, "codes": self.codes}})

    def misfit(self) -> Damaged:
        """What to raise where the state is not one of this training: it is removed, and the training starts anew."""
        return Damaged("checkpoints", self.key, "state.pt", "does not fit the training")

    def discard(self) -> None:
        """Remove what was saved: the training is finished."""
        self.store.forget("checkpoints", self.key)
