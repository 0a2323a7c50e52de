"""A training that was interrupted goes on where it was: its state, kept in the store at the end of epochs."""

import pickle
import time
from typing import Any

import torch

from bench.errors import Damaged
from bench.store.store import Store

SECONDS = 60.0  # between two checkpoints: a quick training writes none


class Checkpoint:
    """The state of one victim's training. ``seconds``: what was spent on it before this process took it up."""

    def __init__(self, store: Store, key: str, every: float = SECONDS) -> None:
        self.store, self.key, self.every = store, key, every
        self.seconds = 0.0
        self._began = self._saved = time.perf_counter()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The last state that was saved, with its tensors on ``device``; None where there is none, or a damaged one."""
        try:
            state = self.store.state("checkpoints", self.key, "state.pt", device)
        except FileNotFoundError:
            return None
        except (Damaged, OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
            self.discard()
            return None
        self.seconds = state["seconds"]
        return state

    def due(self) -> bool:
        return time.perf_counter() - self._saved >= self.every

    def save(self, state: dict[str, Any]) -> None:
        self._saved = time.perf_counter()
        spent = self.seconds + self._saved - self._began
        self.store.write("checkpoints", self.key, {"state.pt": {**state, "seconds": spent}})

    def discard(self) -> None:
        """Forget the state, once the training is done."""
        self.store.forget("checkpoints", self.key)
