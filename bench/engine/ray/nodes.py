"""The room that the nodes of a cluster have for workers. It does without Ray."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from bench.engine.devices import check_numbers, workers_on_a_gpu
from bench.errors import RequestError


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: its name, and how many processors and GPUs Ray may use there."""

    id: str
    name: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class Place:
    """Room for one worker: on which node, and the processors and the share of a GPU that Ray reserves for it."""

    node: Node
    cpus: int
    gpu: float


def check(device: str, workers: int | None, threads: int, gpu_share: float) -> None:
    """Raises RequestError for what no cluster can give, or if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise RequestError("--executor ray: Ray is not installed: pip install 'defensebench[ray]'")
    if device not in ("auto", "cpu", "cuda"):
        raise RequestError(f"--device {device}: expected auto, cpu or cuda; Ray deals the GPUs of its nodes itself")
    check_numbers(workers, threads, gpu_share)


def places(nodes: Sequence[Node], device: str, threads: int, gpu_share: float = 1.0) -> list[Place]:
    """Where workers can be, those with a GPU first, then by turns on every node.

    ``device``: cuda takes GPUs only, cpu processors only; auto takes the GPUs of a node, and the processors of a node
    that has no GPU. A worker takes ``gpu_share`` of a GPU (and no processor: the GPU is what is scarce) or ``threads``
    processors. Raises RequestError if there is no room at all.
    """
    found: list[tuple[bool, int, Place]] = []
    for node in nodes:
        if device != "cpu" and node.gpus >= 1:
            found += [
                (False, turn, Place(node, 0, gpu_share)) for turn in range(int(node.gpus) * workers_on_a_gpu(gpu_share))
            ]
        elif device != "cuda":
            found += [(True, turn, Place(node, threads, 0.0)) for turn in range(int(node.cpus // threads))]
    if not found:
        what = "GPU" if device == "cuda" else f"worker of {threads} threads"
        raise RequestError(f"--device {device}: Ray has no room for a {what} on {described(nodes)}")
    return [place for _, _, place in sorted(found, key=lambda one: one[:2])]


def described(nodes: Sequence[Node]) -> str:
    """The nodes in a few words."""
    return ", ".join(f"{node.name} ({node.cpus:g} CPU, {node.gpus:g} GPU)" for node in nodes) or "no node"
