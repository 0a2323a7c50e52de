"""What a worker needs to make stages, with a cache of what it used for the last one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.cell.apart.forks import Forks
from bench.cell.apart.messages import Conversation
from bench.cell.network import expect_logits, expect_network
from bench.cell.validation import validation_splits
from bench.errors import Damaged
from bench.imported.network import built
from bench.plan import identity
from bench.plan.registry import Registry
from bench.plan.stages import Ref, VictimStage, applied_by
from bench.plugin.dataset import Dataset
from bench.plugin.model import Model
from bench.plugin.values import Splits
from bench.provenance import Maker
from bench.store.store import Store


@dataclass
class Workshop:
    """What a worker needs to make stages. It keeps the data set, the order and the victim that it used last.

    data: the folder of the data sets. progress: called with the share of the stage that is done, in [0, 1]. forks: what
    starts processes for foreign code; None if that runs in this process. defense_process: starts the process of a
    foreign defense, from the names of modules of this project that it needs. keep_networks: whether the networks that
    repairs return are kept in the store.
    """

    registry: Registry
    store: Store
    data: Path
    device: torch.device
    progress: Callable[[float], None] = lambda share: None
    maker: Maker = field(default_factory=Maker)
    forks: Forks | None = None
    defense_process: Callable[[Sequence[str]], AbstractContextManager[Conversation]] | None = None
    keep_networks: bool = False
    _splits: dict[str, Splits] = field(default_factory=dict)  # the last one, by data set and what is evaluated
    orders: dict[str, Tensor] = field(default_factory=dict)  # the last one, see ``bench.cell.reference``
    _victim: dict[str, nn.Module] = field(default_factory=dict)  # the last one, by its key

    def plugin(self, ref: Ref) -> Any:
        """The plugin that ``ref`` stands for. Raises RequestError if it cannot be loaded, or was edited meanwhile."""
        return self.registry.made(ref)

    def splits(self, ref: Ref, evaluate: str = "test") -> Splits:
        """The data set's images to train with and to evaluate on, on the workshop's device.

        evaluate: "test", or "validation" for a part of the training images in place of the test images.
        """
        key = identity.canonical([ref.identity, evaluate])
        if key not in self._splits:
            dataset: Dataset = self.plugin(ref)
            self._splits = {}  # before the next one is loaded: not both in memory
            if evaluate == "validation":
                self._splits = {key: validation_splits(dataset, self.data, self.device)}
            else:
                loaded = dataset.splits(self.data)
                self._splits = {key: Splits(loaded.train.to(self.device), loaded.test.to(self.device))}
        return self._splits[key]

    def build(self, stage: VictimStage, purpose: str = "initialisation") -> nn.Module:
        """An untrained network for the stage, on this device. Each ``purpose`` has its own seed of initialisation."""
        model: Model = self.plugin(stage.model)
        dataset: Dataset = self.plugin(stage.dataset)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(identity.seed(stage.key, purpose))
            network = built(model, dataset.spec, applied_by(stage))
            expect_network(network, "build")
            if stage.model.foreign:
                expect_logits(network, dataset.spec)
        return network.to(self.device)

    def victim(self, stage: VictimStage) -> nn.Module:
        """A victim's network from the store, in eval mode. It is shared and must not be changed.

        Raises Damaged if its file is not what was written.
        """
        if stage.key not in self._victim:
            model = self.build(stage)
            weights = self.store.tensors("victims", stage.key, "model.safetensors")
            try:
                model.load_state_dict(weights)
            except RuntimeError as error:
                raise Damaged("victims", stage.key, "model.safetensors", "does not fit the network") from error
            self._victim = {stage.key: model.eval().to(memory_format=torch.channels_last)}
        return self._victim[stage.key]

    def generator(self, key: str, purpose: str) -> torch.Generator:
        """A generator on this device. Its seed follows from ``key`` and ``purpose``."""
        return torch.Generator(self.device).manual_seed(identity.seed(key, purpose))
