"""Results on disk: a directory of content-addressed stages, each written whole or not at all.

    store.json                      what this directory is
    victims/ab/abcd…/               model, what the attack learned, predictions, pictures, stage.json
    cells/ab/abcd…/                 predictions, record.json, the repaired network if it was to be kept
    natural/ab/abcd…/               a benign network's predictions of a victim's triggered images, natural.json
    failures/ab/abcd…/              record.json, traceback.txt of the last try
    checkpoints/ab/abcd…/           state.pt of a victim whose training was interrupted
    claims/abcd….lock, .progress    who computes a stage, and how far it is
    logs/abcd….txt                  what a stage printed

Every stage has a ``hashes.json`` beside its files (``bench.store.hashes``), and no file is used before its hash has
been compared and its content checked (``bench.store.schema``). A stage is prepared in ``tmp/`` and appears under its
key by one rename, so a reader never sees a partial stage. Copying one store into another merges them; ``bench merge``
also checks what it takes. Nothing in a store is a link (``bench.store.paths``).
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from bench.errors import Damaged, RequestError
from bench.records import Record
from bench.store import checked, drafts, files, intact, locks, logs, marker, paths
from bench.store import hashes as manifest
from bench.store.facts import NaturalFacts, VictimFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

T = TypeVar("T")
Section = Literal["victims", "cells", "natural", "failures", "checkpoints"]
SECTIONS: tuple[Section, ...] = get_args(Section)
REPLACED: tuple[Section, ...] = ("failures", "checkpoints")  # where the newest stage counts


class Store:
    """The store in the directory ``root``, which is made if it is not there.

    Raises RequestError for a path that is something else, for a store of another version, for one that cannot be made
    and, unless ``create``, for one that is not there.
    """

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root, self._root = root, str(root)
        is_store = self.is_there(root)
        if not is_store and not create:
            raise RequestError(f"--store {root}: no store there yet; bench run makes one")
        if root.is_dir():
            paths.check(root, (*SECTIONS, logs.FOLDER), drafts.FOLDER, locks.FOLDER)
        if is_store:
            marker.check(root)
        else:
            marker.make(root)

    @staticmethod
    def is_there(root: Path) -> bool:
        """Whether a store is at ``root``, and not an empty place. Raises RequestError for what is neither."""
        if os.path.lexists(root / marker.NAME):
            return True
        if root.is_file() or (root.is_dir() and any(_others(root))):
            raise RequestError(f"--store {root}: expected a store or an empty place; this is something else")
        return False

    def folder(self, section: Section, key: str) -> Path:
        """The directory of a stage."""
        return Path(self._folder(section, key))

    def has(self, section: Section, key: str) -> bool:
        """Whether a stage is there; only reading it tells whether it is intact."""
        return os.path.lexists(self._folder(section, key))

    def keys(self, section: Section) -> list[str]:
        """The keys of all stages in a section, sorted."""
        keys: list[str] = []
        for prefix in filter(paths.is_prefix, files.names(self.root / section)):
            names = files.names(self.root / section / prefix)
            keys += [name for name in names if name[:2] == prefix and paths.is_key(name)]
        return sorted(keys)

    # --- reading; each method raises Damaged for a file that is not what was written or does not fit its schema,
    # --- and FileNotFoundError for a stage that is not there

    def read(self, section: Section, key: str, name: str) -> bytes:
        """The bytes of a stage's file."""
        folder = self._folder(section, key)
        return self._retried(section, key, lambda hashes: intact.content(folder, section, key, name, hashes))

    def contents(self, section: Section, key: str) -> dict[str, bytes]:
        """All files of a stage by name, each compared with its hash. What they hold is not looked at."""
        folder = self._folder(section, key)
        return self._retried(
            section,
            key,
            lambda hashes: {name: intact.content(folder, section, key, name, hashes) for name in sorted(hashes)},
        )

    def hashes(self, section: Section, key: str) -> dict[str, str]:
        """The SHA-256 of each of a stage's files, from its list of hashes: the files themselves are not read."""
        return self._retried(section, key, lambda hashes: hashes)

    def record(self, key: str) -> Record | None:
        """The record of a finished cell, or None."""
        return self._record("cells", key)

    def failure(self, key: str) -> Record | None:
        """The record of a cell's last failure, or None."""
        return self._record("failures", key)

    def records(self, damaged: Callable[[Damaged], object] | None = None) -> Iterator[Record]:
        """Every record: of finished cells, then of failures of cells that have not finished since.

        A damaged record is left out and its error handed to ``damaged``; without ``damaged``, it is raised.
        """
        finished = self.keys("cells")
        done = set(finished)
        sections: tuple[tuple[Section, list[str]], ...] = (("cells", finished), ("failures", self.keys("failures")))
        for section, keys in sections:
            for key in keys:
                if section == "failures" and key in done:
                    continue
                try:
                    record = self._record(section, key)
                except Damaged as error:
                    if damaged is None:
                        raise
                    damaged(error)
                else:
                    if record is not None:
                        yield record

    def facts(self, key: str) -> VictimFacts:
        """What is known of a victim."""
        return checked.facts(key, self.read("victims", key, "stage.json"))

    def natural(self, key: str) -> NaturalFacts:
        """What is known of a benign network's answers to a victim's triggered images."""
        return checked.natural(key, self.read("natural", key, "natural.json"))

    def all_natural(self) -> Iterator[tuple[str, NaturalFacts]]:
        """The keys and the facts of all such answers, without those that are damaged."""
        for key in self.keys("natural"):
            with contextlib.suppress(Damaged, FileNotFoundError):
                yield key, self.natural(key)

    def natural_of(self, victims: Collection[str]) -> list[str]:
        """The keys of all such answers that depend on any of these victims."""
        return [key for key, facts in self.all_natural() if facts.victim in victims or facts.benign in victims]

    def read_json(self, section: Section, key: str, name: str) -> dict[str, Any]:
        """A JSON file of a stage that holds an object, as it is."""
        return checked.json_object(section, key, name, self.read(section, key, name))

    def text(self, section: Section, key: str, name: str) -> str:
        """A text of a stage."""
        return checked.text(section, key, name, self.read(section, key, name))

    def tensors(self, section: Section, key: str, name: str) -> "dict[str, torch.Tensor]":
        """A safetensors file of a stage as tensors on the CPU."""
        return checked.tensors(section, key, name, self.read(section, key, name))

    def state(self, section: Section, key: str, name: str, device: "torch.device") -> dict[str, Any]:
        """A training's state, its tensors on ``device``. A file that would run code is damaged."""
        return checked.state(section, key, name, self.read(section, key, name), device)

    def arrays(self, section: Section, key: str, name: str) -> "dict[str, np.ndarray[Any, Any]]":
        """A safetensors file of a stage as numpy arrays, without torch: a report does not need it."""
        return checked.arrays(section, key, name, self.read(section, key, name))

    # --- writing ---------------------------------------------------------------------------------------

    def write(
        self, section: Section, key: str, content: Mapping[str, Any], *, durable: bool = True, replace: bool = False
    ) -> None:
        """Store a stage. ``content``: what each file holds, by name, as ``bench.store.files.encode`` takes it.

        A victim or cell that is there already stays, without ``replace``; a failure or checkpoint is replaced.
        ``durable``: the stage survives a power cut from now on; False is for what costs nothing to make again. Raises
        OSError, with the path that could not be written, such as where the disk is full; then nothing of the stage is
        left. Raises ValueError for a key or a name that a store cannot have.
        """
        target = self.folder(section, key)
        if wrong := [name for name in content if not paths.is_plain(name)]:
            raise ValueError(f"{section}/{key}: {wrong[0]!r} is not the plain name of a file")
        encoded = {name: files.encode(name, value) for name, value in content.items()}
        encoded[manifest.NAME] = manifest.seal(f"{section}/{key}", encoded)
        draft = drafts.new(self.root)
        draft.parent.mkdir(exist_ok=True)  # a copy of a store may lack it
        paths.within(self.root, draft).mkdir()
        try:
            for name, value in encoded.items():
                try:
                    files.write(draft / name, value, durable=durable)
                except OSError as error:
                    raise OSError(error.errno, error.strerror, str(target / name)) from error
            is_first = not target.parent.is_dir()
            if is_first:
                paths.within(self.root, target.parent).unlink(missing_ok=True)  # no file of a store has this name
            target.parent.mkdir(parents=True, exist_ok=True)
            paths.within(self.root, target)
            if durable:
                files.sync(draft)
            if replace or section in REPLACED:
                self.forget(section, key)
            try:
                draft.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
            if durable:
                for folder in (target.parent, *((target.parent.parent, self.root) if is_first else ())):
                    files.sync(folder)
        finally:
            files.remove(draft)

    def forget(self, section: Section, key: str) -> None:
        """Remove a stage if it is there. It disappears by one rename, as it appeared."""
        target, removed = self.folder(section, key), drafts.new(self.root)
        try:
            removed.parent.mkdir(exist_ok=True)
            paths.within(self.root, target).rename(paths.within(self.root, removed))
        except FileNotFoundError:
            return
        except OSError:  # such as a disk too full even for this
            files.remove(target)
        files.remove(removed)

    def sweep(self) -> None:
        """Remove what processes of this machine that died were about to write."""
        drafts.sweep(self.root)

    def count(self, section: Section) -> int:
        """How many stages a section has."""
        return len(self.keys(section))

    def sizes(self) -> dict[str, int]:
        """Bytes on disk of every section and of everything else in the store, by name."""
        return {path.name: files.size(path) for path in sorted(self.root.iterdir())}

    # --- helpers ---------------------------------------------------------------------------------------

    def _folder(self, section: Section, key: str) -> str:  # as text: making a Path takes longer than reading a record
        if not paths.is_key(key):
            raise ValueError(f"{section}/{key}: expected a key of 32 hexadecimal digits")
        return f"{self._root}/{section}/{key[:2]}/{key}"

    def _record(self, section: Section, key: str) -> Record | None:
        try:
            return checked.record(section, key, self.read(section, key, "record.json"))
        except FileNotFoundError:
            return None

    def _retried(self, section: Section, key: str, look: Callable[[dict[str, str]], T]) -> T:
        try:
            return look(self._hashes(section, key))
        except Damaged:  # or replaced by another process between two reads
            return look(self._hashes(section, key))

    def _hashes(self, section: Section, key: str) -> dict[str, str]:
        return intact.hashes(self._folder(section, key), section, key)


def _others(root: Path) -> Iterator[str]:
    """What lies in a directory besides the drafts that a store begins with."""
    return (name for name in os.listdir(root) if name != drafts.FOLDER)  # noqa: PTH208
