"""How many workers the nodes of a cluster have room for. This file does without Ray."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from bench.engine.devices import workers_on_a_gpu
from bench.errors import RequestError


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its name, and how many processors and GPUs Ray may use there."""

    id: str
    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Reservation:
    """What Ray reserves for one worker: processors and a share of a GPU on a node."""

    node: Node
    cpus: int
    gpu: float


def check_installed() -> None:
    """Raises RequestError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise RequestError("--executor ray: Ray is not installed: pip install 'defensebench[ray]'")


def reservations(nodes: Sequence[Node], device: str, threads: int, gpu_share: float = 1.0) -> list[Reservation]:
    """One for each worker that the nodes have room for: those with a GPU first, then one node after the other in turn.

    ``device``: cuda takes only GPUs, cpu only processors; auto takes the GPUs of a node, and the processors of a node
    without GPUs. A worker takes ``gpu_share`` of a GPU (and no processor: GPUs are scarcer) or ``threads`` processors.
    Raises RequestError if there is no room for any worker.
    """
    ranked: list[tuple[bool, int, Reservation]] = []
    for node in nodes:
        if device != "cpu" and node.gpus >= 1:
            count = int(node.gpus) * workers_on_a_gpu(gpu_share)
            ranked += [(False, turn, Reservation(node, 0, gpu_share)) for turn in range(count)]
        elif device != "cuda":
            ranked += [(True, turn, Reservation(node, threads, 0.0)) for turn in range(int(node.cpus // threads))]
    if not ranked:
        what = "GPU" if device == "cuda" else f"worker of {threads} threads"
        raise RequestError(f"--device {device}: Ray has no room for a {what} on {described(nodes)}")
    return [reservation for _, _, reservation in sorted(ranked, key=lambda one: one[:2])]


def described(nodes: Sequence[Node]) -> str:
    """The nodes in a few words."""
    return ", ".join(f"{node.name} ({node.cpus:g} CPU, {node.gpus:g} GPU)" for node in nodes) or "no node"
