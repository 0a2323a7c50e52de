"""A repaired network as a file: the checkpoint's own names and types, and where it comes from in the metadata."""

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from bench import __version__, provenance
from bench.checkpoint.opened import open_network
from bench.checkpoint.read import Checkpoint
from bench.errors import RequestError
from bench.plan.registry import Registry
from bench.suspect.brought import Brought
from bench.suspect.repair import Repaired

METADATA = "defensebench"  # its name in the file's metadata


def write(path: Path, repaired: Repaired, brought: Brought, registry: Registry, seed: int) -> None:
    """Write the repaired network to a new safetensors file.

    Raises RequestError, and writes nothing, if the checkpoint's layout cannot hold what the defense did: another
    architecture, or a change beside the weights. Also if the file is there by now.
    """
    from safetensors.torch import save

    tensors = _tensors(repaired, brought)
    metadata = {"format": "pt", METADATA: json.dumps(_provenance(repaired, brought, registry, seed))}
    content = save({name: value.contiguous().clone() for name, value in tensors.items()}, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            try:
                file.write(content)
            except OSError:
                path.unlink()  # such as on a full disk
                raise
    except FileExistsError:
        raise RequestError(f"--out {path}: is there already, and is not replaced; expected another name") from None


def _tensors(repaired: Repaired, brought: Brought) -> dict[str, Tensor]:
    """The tensors as the checkpoint has them, after a look whether they are all that the defense changed."""
    opened, spec = brought.opened, brought.opened.spec
    try:
        tensors = opened.written(repaired.network)
    except RequestError as error:
        raise RequestError(f"{repaired.defense}: the repaired network {error}; it cannot be written") from error
    given = None if opened.layout.normalises else opened.preprocessing
    again = open_network(
        Checkpoint(opened.checkpoint.path, tensors), brought.model, spec.height, spec.width, given, classes=spec.classes
    )
    images = brought.subject.images.images[:64].cpu().float() / 255
    with torch.no_grad():
        meant, read = repaired.network.cpu()(images), again.network(images)
    halves = any(value.dtype in (torch.float16, torch.bfloat16) for value in tensors.values())
    if not torch.allclose(meant, read, atol=1e-3 + 0.05 * halves, rtol=1e-3 + 0.05 * halves):
        raise RequestError(
            f"{repaired.defense}: changes more than the weights that the checkpoint holds; it cannot be written"
        )
    return tensors


def _provenance(repaired: Repaired, brought: Brought, registry: Registry, seed: int) -> dict[str, object]:
    name = repaired.defense.partition("[")[0]
    commit, dirty = provenance.commit()
    return {
        "repaired": brought.facts,
        "sha256": hashlib.sha256(brought.opened.checkpoint.path.read_bytes()).hexdigest(),
        "defense": repaired.defense,
        "parameters": repaired.parameters,
        "defense_version": registry.version("defense", name),
        "fingerprint": registry.fingerprint("defense", name),
        "targets": repaired.flagged,
        "changed": repaired.changed,
        "images": repaired.given,
        "held_out": repaired.held_out,
        "accuracy_before": repaired.accuracy_before,
        "accuracy_after": repaired.accuracy_after,
        "log": repaired.log,
        "seed": seed,
        "version": __version__,
        "commit": commit,
        "dirty": dirty,
        "packages": provenance.packages(),
        "command": provenance.current_command(),
        "made": provenance.now(),
    }
