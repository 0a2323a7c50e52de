"""What runs in a worker process of a Ray cluster. It is given keys and descriptions of stages, and no tensors."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench import __version__
from bench.cell.workshop import Workshop
from bench.engine.executor import Outcome, Site
from bench.engine.worker import open_workshop, work
from bench.plan.stages import Stage


@dataclass(frozen=True)
class Order:
    """What a worker is told once. ``plugins``: the text of each one-file plugin. ``probe``: a file in the store that
    only the driver's own store has. ``device``: auto, cpu or cuda; ``gpu``: whether Ray has given it one."""

    site: Site
    plugins: tuple[bytes, ...]
    probe: str
    device: str
    gpu: bool
    version: str = __version__


@dataclass(frozen=True)
class Opened:
    """How the opening of a worker went. ``device``: cpu, or cuda and the number of its GPU on the node. ``gpus``: those
    that Ray gave it, by number. ``problem``: in one line, why it is of no use."""

    device: str
    gpus: str
    problem: str | None = None


class Worker:
    """A workshop in a process of its own, on some node. ``share`` may be called while ``work`` runs."""

    def __init__(self) -> None:
        self._shop: Workshop | None = None
        self._threads = 1
        self._share = 0.0

    def open(self, order: Order) -> Opened:
        """Look whether this node has what stages need, and prepare for them."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        device = "cuda:0" if order.gpu and torch.cuda.is_available() else "cpu"  # it sees only its own
        found = Opened("cpu" if device == "cpu" else f"cuda:{gpus}", gpus, _problem(order, device))
        if found.problem is not None:
            return found
        with tempfile.TemporaryDirectory() as folder:  # plugins are loaded once, on opening
            pairs = zip(order.site.plugin_files, order.plugins, strict=True)
            files = [_here(file, text, Path(folder) / str(turn)) for turn, (file, text) in enumerate(pairs)]
            self._shop = open_workshop(replace(order.site, plugin_files=tuple(files)), device, self._progress)
        self._shop.store.sweep()  # what workers that died on this node left; the driver sweeps its own node
        self._threads = order.site.threads
        return replace(found, problem=next(iter(self._shop.registry.problems), None))

    def work(self, stage: Stage, slot: int) -> Outcome:
        if self._shop is None:
            raise RuntimeError("the worker was not opened")
        torch.set_num_threads(self._threads)  # it holds for a thread, and Ray need not call from the same
        return work(stage, self._shop, slot)

    def share(self) -> float:
        """How much of the stage is done, in [0, 1]."""
        return self._share

    def _progress(self, share: float) -> None:
        self._share = share


def _problem(order: Order, device: str) -> str | None:
    if order.version != __version__:
        return f"has defensebench {__version__}; the run was started with {order.version}"
    if order.device == "cuda" and device != "cuda:0":
        return f"--device cuda: torch {torch.__version__} sees no GPU here, though Ray counts one"
    if not (order.site.store / "store.json").is_file():
        return f"--store {order.site.store}: is not to be seen here; expected a directory that all nodes share"
    if not (order.site.store / "tmp" / order.probe).exists():
        return f"--store {order.site.store}: is another store here; expected a directory that all nodes share"
    return None


def _here(file: Path, text: bytes, folder: Path) -> Path:
    """The plugin file if this node has the same, else a copy."""
    try:
        if file.read_bytes() == text:
            return file
    except OSError:
        pass
    folder.mkdir()
    copy = folder / file.name
    copy.write_bytes(text)
    return copy
