"""What a stage needs besides its own description, and what of it is kept from one stage to the next."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from bench import provenance
from bench.plan import identity
from bench.plan.registry import Registry
from bench.plan.stages import Ref
from bench.plugin.dataset import Dataset
from bench.plugin.values import Splits
from bench.store.store import Store


@dataclass
class Workshop:
    """What a stage needs besides its own description. It keeps the data set and the victim that it has loaded last."""

    registry: Registry
    store: Store
    data: Path
    device: torch.device
    progress: Callable[[float], None] = lambda share: None
    command: str = ""
    compiled: bool = False
    _splits: dict[str, Splits] = field(default_factory=dict)
    _victim: dict[str, nn.Module] = field(default_factory=dict)

    def plugin(self, ref: Ref) -> Any:
        return self.registry.create(ref.kind, ref.name, ref.parameters)

    def splits(self, ref: Ref) -> Splits:
        key = identity.canonical(ref.identity)
        if key not in self._splits:
            loaded = cast(Dataset, self.plugin(ref)).splits(self.data)
            self._splits = {key: Splits(loaded.train.to(self.device), loaded.test.to(self.device))}
        return self._splits[key]

    @property
    def worker(self) -> tuple[str, str, int, bool, bool]:
        """What a record says of who made it, in the order of ``provenance.facts``."""
        exact = torch.are_deterministic_algorithms_enabled()
        return self.command, provenance.device_name(self.device), torch.get_num_threads(), exact, self.compiled

    def generator(self, key: str, purpose: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(identity.seed(key, purpose))
