"""What runs in a worker process of a Ray cluster. It receives descriptions of stages, never tensors."""

import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench import __version__
from bench.cell.workshop import Workshop
from bench.engine.executor import Outcome, WorkerSettings
from bench.engine.worker import open_workshop, work
from bench.plan.stages import Stage
from bench.store import drafts, marker


@dataclass(frozen=True)
class RayOrder:
    """What a worker is told once.

    ``plugins``: the content of each one-file plugin. ``probe``: the name of a draft that only the driver's own store
    has. ``device``: auto, cpu or cuda. ``gpu``: whether Ray has reserved a GPU for it. ``version``: the driver's.
    """

    settings: WorkerSettings
    plugins: tuple[bytes, ...]
    probe: str
    device: str
    gpu: bool
    version: str = __version__


@dataclass(frozen=True)
class Opened:
    """How the opening of a worker went.

    ``device``: cpu, or cuda and the number of its GPU on the node. ``gpus``: the numbers of those that Ray reserved for
    it. ``problem``: in one line, why it cannot be used; None if it can.
    """

    device: str
    gpus: str
    problem: str | None = None


class Worker:
    """A workshop in a process of its own, on some node. ``progress`` may be called while ``work`` runs."""

    def __init__(self) -> None:
        self._workshop: Workshop | None = None
        self._threads = 1
        self._progress = 0.0

    def open(self, order: RayOrder) -> Opened:
        """Check that this node has what stages need, and make the workshop. A problem is returned, not raised."""
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        device = "cuda:0" if order.gpu and torch.cuda.is_available() else "cpu"  # a worker sees only its own GPU
        opened = Opened("cpu" if device == "cpu" else f"cuda:{gpus}", gpus, _problem(order, device))
        if opened.problem is not None:
            return opened
        with tempfile.TemporaryDirectory() as folder:  # copies of plugins are read once, now
            pairs = zip(order.settings.plugin_files, order.plugins, strict=True)
            files = [_local_file(file, text, Path(folder) / str(turn)) for turn, (file, text) in enumerate(pairs)]
            self._workshop = open_workshop(
                replace(order.settings, plugin_files=tuple(files)), device, self._note_progress
            )
        self._workshop.store.sweep()  # drafts of workers that died on this node; the driver sweeps its own node
        self._threads = order.settings.options.threads
        return replace(opened, problem=next(iter(self._workshop.registry.problems), None))

    def work(self, stage: Stage, slot: int) -> Outcome:
        """How the stage ended; see ``bench.engine.worker.work``."""
        if self._workshop is None:
            raise RuntimeError("the worker was not opened")
        torch.set_num_threads(self._threads)  # it is set for one thread, and Ray may call from another
        return work(stage, self._workshop, slot)

    def progress(self) -> float:
        """How much of the stage is done, in [0, 1]."""
        return self._progress

    def _note_progress(self, done: float) -> None:
        self._progress = done


def _problem(order: RayOrder, device: str) -> str | None:
    """What keeps this node from computing stages, in one line; None if nothing does."""
    if order.version != __version__:
        return f"has defensebench {__version__}; the run was started with {order.version}"
    if order.device == "cuda" and device != "cuda:0":
        return f"--device cuda: torch {torch.__version__} sees no GPU here, though Ray counts one"
    if not (order.settings.store / marker.NAME).is_file():
        return f"--store {order.settings.store}: cannot be seen here; expected a directory that all nodes share"
    if not (order.settings.store / drafts.FOLDER / order.probe).exists():
        return f"--store {order.settings.store}: is another store here; expected a directory that all nodes share"
    return None


def _local_file(file: Path, text: bytes, folder: Path) -> Path:
    """The plugin file if this node has the same one, else a copy in ``folder``."""
    try:
        if file.read_bytes() == text:
            return file
    except OSError:
        pass
    folder.mkdir()
    copy = folder / file.name
    copy.write_bytes(text)
    return copy
