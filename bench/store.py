"""Results on disk: a directory of content-addressed stages, each written whole or not at all.

    store.json                      what this directory is
    victims/ab/abcd…/               model, what the attack learned, predictions, pictures, stage.json
    cells/ab/abcd…/                 predictions, record.json
    failures/ab/abcd…/              record.json, traceback.txt of the last try
    checkpoints/ab/abcd…/           state.pt of a victim whose training was interrupted

A stage is made ready in ``tmp/`` and appears under its key by one rename, so a reader never meets a half.
Copying two stores together merges them.
"""

import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import psutil

from bench.errors import RequestError
from bench.records import Record

FORMAT = {"format": "defensebench store", "version": 1}
Room = Literal["victims", "cells", "failures", "checkpoints"]
REPLACED: tuple[Room, ...] = ("failures", "checkpoints")  # where the newest counts


class Store:
    """A store directory; made if it is not there. Raises RequestError for a path that is something else."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root = root
        marker = root / "store.json"
        if marker.is_file():
            if _read_json(marker) != FORMAT:
                raise RequestError(f"--store {root}: {marker} is not the one of a store that this version reads")
        elif root.is_file() or (root.is_dir() and any(root.iterdir())):
            raise RequestError(f"--store {root}: expected a store or an empty place; this is something else")
        elif not create:
            raise RequestError(f"--store {root}: no store there yet; bench run makes one")
        else:
            try:
                root.mkdir(parents=True, exist_ok=True)
                (root / "tmp").mkdir(exist_ok=True)
                _write_atomically(marker, json.dumps(FORMAT))
            except OSError as error:
                raise RequestError(f"--store {root}: cannot be made: {error}") from error

    def folder(self, room: Room, key: str) -> Path:
        return self.root / room / key[:2] / key

    def has(self, room: Room, key: str) -> bool:
        return self.folder(room, key).is_dir()

    def record(self, key: str) -> Record | None:
        """The record of a finished cell, or None."""
        return self._record("cells", key)

    def failure(self, key: str) -> Record | None:
        """The record of a cell's last failure, or None."""
        return self._record("failures", key)

    def records(self) -> Iterator[Record]:
        """Every record: finished cells, then failures of cells that never finished."""
        for room in ("cells", "failures"):
            for path in sorted((self.root / room).glob("*/*/record.json")):
                if room == "cells" or not self.has("cells", path.parent.name):
                    yield Record.model_validate_json(path.read_bytes())

    def read_json(self, room: Room, key: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = _read_json(self.folder(room, key) / name)
        return found

    def tensors(self, room: Room, key: str, name: str) -> "dict[str, Any]":
        """A safetensors file of a stage as tensors on the CPU."""
        from safetensors.torch import load_file

        return load_file(self.folder(room, key) / name)

    def write(self, room: Room, key: str, files: Mapping[str, Any]) -> None:
        """Put a stage in place. ``files``: by name, tensors by name (.safetensors), a state (.pt), text, a JSON value
        (.json).

        A stage that is there already stays; failures and checkpoints are replaced by the newest.
        """
        target = self.folder(room, key)
        draft = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}@{platform.node()}"
        draft.mkdir(parents=True)
        try:
            for name, content in files.items():
                _write(draft / name, content)
            target.parent.mkdir(parents=True, exist_ok=True)
            if room in REPLACED:
                shutil.rmtree(target, ignore_errors=True)
            try:
                draft.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def forget(self, room: Room, key: str) -> None:
        """Remove a stage, if it is there: what is over, or damaged. It goes in one step, as it came."""
        grave = self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}@{platform.node()}"
        try:
            self.folder(room, key).rename(grave)
        except FileNotFoundError:
            return
        shutil.rmtree(grave, ignore_errors=True)

    def sweep(self) -> None:
        """Remove drafts that a dead process of this machine left behind."""
        for draft in (self.root / "tmp").glob(f"*@{platform.node()}"):
            owner = draft.name.partition("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(draft, ignore_errors=True)

    def count(self, room: Room) -> int:
        return sum(1 for _ in (self.root / room).glob("*/*"))

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())

    def _record(self, room: Room, key: str) -> Record | None:
        try:
            return Record.model_validate_json((self.folder(room, key) / "record.json").read_bytes())
        except FileNotFoundError:
            return None


def _write(path: Path, content: Any) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({name: tensor.detach().cpu().clone().contiguous() for name, tensor in content.items()}, path)
    elif path.suffix == ".pt":
        import torch

        torch.save(content, path)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        path.write_text(json.dumps(content, indent=1, sort_keys=True))


def _write_atomically(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    draft.write_text(text)
    draft.replace(path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RequestError(f"{path}: cannot be read: {error}") from error
