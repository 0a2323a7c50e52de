"""Results on disk: a directory of content-addressed stages, each written whole or not at all.

    store.json                      what this directory is
    victims/ab/abcd…/               model, what the attack learned, predictions, pictures, stage.json
    cells/ab/abcd…/                 predictions, record.json
    failures/ab/abcd…/              record.json, traceback.txt of the last try
    checkpoints/ab/abcd…/           state.pt of a victim whose training was interrupted

Every stage has a ``hashes.json`` beside its files (``bench.manifest``), and no file is used before its hash has been
compared. A stage is made ready in ``tmp/`` and appears under its key by one rename, so a reader never meets a half.
Copying two stores together merges them; ``bench merge`` does it with care.
"""

import json
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from bench.errors import Damaged, RequestError
from bench.records import Record
from bench.store import files
from bench.store import hashes as manifest
from bench.store.locks import lives

if TYPE_CHECKING:
    import numpy as np
    import torch

Found = TypeVar("Found")
FORMAT = {"format": "defensebench store", "version": 2}
Room = Literal["victims", "cells", "failures", "checkpoints"]
ROOMS: tuple[Room, ...] = get_args(Room)
REPLACED: tuple[Room, ...] = ("failures", "checkpoints")  # where the newest counts


class Store:
    """A store directory; made if it is not there. Raises RequestError for a path that is something else."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root, self._root = root, str(root)
        marker = root / "store.json"
        if marker.is_file():
            _recognise(root, marker)
        elif root.is_file() or (root.is_dir() and any(path.name != "tmp" for path in root.iterdir())):
            raise RequestError(f"--store {root}: expected a store or an empty place; this is something else")
        elif not create:
            raise RequestError(f"--store {root}: no store there yet; bench run makes one")
        else:
            try:
                draft = self._draft()
                draft.parent.mkdir(parents=True, exist_ok=True)
                try:
                    files.put(draft, json.dumps(FORMAT).encode(), durable=True)
                    draft.replace(marker)
                finally:
                    files.remove(draft)
            except OSError as error:
                raise RequestError(f"--store {root}: cannot be made: {error}") from error

    def folder(self, room: Room, key: str) -> Path:
        """Where a stage lies."""
        return Path(self._folder(room, key))

    def has(self, room: Room, key: str) -> bool:
        """Whether a stage is there; only reading it tells whether it can be used."""
        return os.path.isdir(self._folder(room, key))  # noqa: PTH112 - half the time

    def keys(self, room: Room) -> list[str]:
        """The keys of all stages in a room, sorted."""
        found: list[str] = []
        for part in _names(self.root / room):
            found += _names(self.root / room / part)
        return sorted(found)

    # --- reading: every method raises Damaged for a file that is not what was written ------------------

    def read(self, room: Room, key: str, name: str) -> bytes:
        """A file of a stage. Raises FileNotFoundError where there is none."""
        return self._steady(room, key, lambda hashes: self._content(room, key, name, hashes))

    def contents(self, room: Room, key: str) -> dict[str, bytes]:
        """All files of a stage by name, each compared with its hash. Raises FileNotFoundError where there is none."""
        return self._steady(
            room, key, lambda hashes: {name: self._content(room, key, name, hashes) for name in sorted(hashes)}
        )

    def hashes(self, room: Room, key: str) -> dict[str, str]:
        """The hashes of a stage's files by name, from its list alone: the files themselves are not read."""
        return self._steady(room, key, lambda hashes: hashes)

    def record(self, key: str) -> Record | None:
        """The record of a finished cell, or None."""
        return self._record("cells", key)

    def failure(self, key: str) -> Record | None:
        """The record of a cell's last failure, or None."""
        return self._record("failures", key)

    def records(self, damaged: Callable[[Damaged], object] | None = None) -> Iterator[Record]:
        """Every record: finished cells, then failures of cells that never finished.

        Damaged ones are left out and handed to ``damaged``; without it, the first one is raised.
        """
        finished = self.keys("cells")
        done = set(finished)
        rooms: tuple[tuple[Room, list[str]], ...] = (("cells", finished), ("failures", self.keys("failures")))
        for room, keys in rooms:
            for key in keys:
                if room == "failures" and key in done:
                    continue
                try:
                    record = self._record(room, key)
                except Damaged as error:
                    if damaged is None:
                        raise
                    damaged(error)
                else:
                    if record is not None:
                        yield record

    def read_json(self, room: Room, key: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(room, key, name))
        return found

    def tensors(self, room: Room, key: str, name: str) -> "dict[str, torch.Tensor]":
        """A safetensors file of a stage as tensors on the CPU."""
        return files.tensors(self.read(room, key, name))

    def state(self, room: Room, key: str, name: str, device: "torch.device") -> dict[str, Any]:
        """A training's state with its tensors on ``device``. Raises UnpicklingError for one that would run code."""
        return files.state(self.read(room, key, name), device)

    def arrays(self, room: Room, key: str, name: str) -> "dict[str, np.ndarray[Any, Any]]":
        """The same as numpy arrays: a report has no need of torch."""
        return files.arrays(self.read(room, key, name))

    # --- writing ---------------------------------------------------------------------------------------

    def write(
        self, room: Room, key: str, content: Mapping[str, Any], *, durable: bool = True, replace: bool = False
    ) -> None:
        """Put a stage in place. ``content``: what each file holds, by name, as ``bench.files.encoded`` takes it.

        A stage that is there already stays, without ``replace``; failures and checkpoints are replaced by the newest.
        ``durable``: it
        outlives a power cut from now on; False is for what costs nothing to make again. Raises OSError, with the path
        that could not be written, where the disk is full; nothing is left of it then.
        """
        target = self.folder(room, key)
        made = {name: files.encoded(name, value) for name, value in content.items()}
        made[manifest.NAME] = manifest.sealed(f"{room}/{key}", made)
        draft = self._draft()
        draft.mkdir(parents=True)
        try:
            for name, value in made.items():
                try:
                    files.put(draft / name, value, durable=durable)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(target / name)) from error
            fresh = not target.parent.is_dir()
            target.parent.mkdir(parents=True, exist_ok=True)
            if durable:
                files.settle(draft)
            if replace or room in REPLACED:
                self.forget(room, key)
            try:
                draft.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
            if durable:
                for folder in (target.parent, *((target.parent.parent, self.root) if fresh else ())):
                    files.settle(folder)
        finally:
            files.remove(draft)

    def forget(self, room: Room, key: str) -> None:
        """Remove a stage, if it is there: what is over, or damaged. It goes in one step, as it came."""
        target, grave = self.folder(room, key), self._draft()
        try:
            grave.parent.mkdir(exist_ok=True)  # a copy of a store may lack it
            target.rename(grave)
        except FileNotFoundError:
            return
        except OSError:  # such as a disk too full even for this
            files.remove(target)
        files.remove(grave)

    def leftovers(self) -> list[Path]:
        """Drafts that a dead process of this machine left behind."""
        owners = {draft: draft.name.partition("-")[0] for draft in (self.root / "tmp").glob(f"*-*@{platform.node()}")}
        return [draft for draft, pid in owners.items() if pid.isdigit() and not lives(int(pid))]

    def sweep(self) -> None:
        """Remove the drafts that dead processes of this machine left behind."""
        for draft in self.leftovers():
            files.remove(draft)

    def count(self, room: Room) -> int:
        return len(self.keys(room))

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of every room, and of what else lies in the store, by name."""
        return {path.name: files.size(path) for path in sorted(self.root.iterdir())}

    # --- below -----------------------------------------------------------------------------------------

    def _draft(self) -> Path:
        return self.root / "tmp" / f"{os.getpid()}-{uuid.uuid4().hex}@{platform.node()}"

    def _folder(self, room: Room, key: str) -> str:  # as text: making a Path takes longer than reading a record
        return f"{self._root}/{room}/{key[:2]}/{key}"

    def _record(self, room: Room, key: str) -> Record | None:
        try:
            return Record.model_validate_json(self.read(room, key, "record.json"))
        except FileNotFoundError:
            return None

    def _steady(self, room: Room, key: str, look: Callable[[dict[str, str]], Found]) -> Found:
        try:
            return look(self._hashes(room, key))
        except Damaged:  # or another process put a newer one in its place between two reads
            return look(self._hashes(room, key))

    def _hashes(self, room: Room, key: str) -> dict[str, str]:
        folder = self._folder(room, key)
        present = {name for name in os.listdir(folder) if not name.startswith(".")}  # noqa: PTH208 - quicker
        try:
            hashes = manifest.opened(files.get(f"{folder}/{manifest.NAME}"), f"{room}/{key}")
        except FileNotFoundError:
            raise Damaged(room, key, manifest.NAME, "is missing") from None
        except ValueError as error:
            raise Damaged(room, key, manifest.NAME, str(error)) from None
        if odd := present ^ {*hashes, manifest.NAME}:
            name = min(odd)
            raise Damaged(room, key, name, "is missing" if name in hashes else "does not belong there")
        return hashes

    def _content(self, room: Room, key: str, name: str, hashes: dict[str, str]) -> bytes:
        if name not in hashes:
            raise FileNotFoundError(f"{self.folder(room, key) / name}: no such file in this stage")
        try:
            content = files.get(f"{self._folder(room, key)}/{name}")
        except FileNotFoundError:
            raise Damaged(room, key, name, "is missing") from None
        if manifest.digest(content) != hashes[name]:
            raise Damaged(room, key, name)
        return content


def _recognise(root: Path, marker: Path) -> None:
    try:
        found = json.loads(marker.read_bytes())
    except (OSError, ValueError) as error:
        raise RequestError(f"--store {root}: {marker} cannot be read: {error}") from error
    if found == FORMAT:
        return
    version = found.get("version") if isinstance(found, dict) and found.get("format") == FORMAT["format"] else None
    if version == 1:
        raise RequestError(
            f"--store {root}: made by an older version, whose results have no hashes to check; "
            "expected a new place, or an empty one"
        )
    raise RequestError(f"--store {root}: {marker} is not the one of a store that this version reads")


def _names(folder: Path) -> list[str]:
    """What lies in a directory, without what a desktop leaves there; nothing where there is none."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - quicker
    except (FileNotFoundError, NotADirectoryError):
        return []
