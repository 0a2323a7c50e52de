"""Defenses that search their process for what no defense may have, and note what they find.

The file that ``NOSY`` names says what to look for, by digests, so that the search itself brings nothing along.
"""

import gc
import hashlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from bench.plugin import Attack, Dataset, Prediction, Repair, Runtime

WANTED = json.loads(Path(os.environ["NOSY"]).read_text())
SIZE = int(np.prod(WANTED["shape"]))
KNOWN_BY = {digest: what for what, digests in WANTED["images"].items() for digest in digests}
NUMBERS = (torch.float32, torch.float64, torch.uint8, torch.int64, torch.int32)
SECRETS = ("AttackContext", "Secret", "Splits", "Workshop", "LoadedVictim", "TriggeredSet", "Store", "VictimStage")
SECRETS += ("CellStage", "Checkpoint", "Record")


def digest(values) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


MOST = 10**8  # values: more than all that is searched for
LEAVES = {str, int, float, bool, type(None)}  # they lead nowhere, and half of all references lead to them


def everything():
    """Every object that can be reached from the collector, the frames of all threads, and the modules."""
    roots = gc.get_objects()
    for frame in [*sys._current_frames().values(), *(info.frame for info in inspect.stack())]:
        while frame is not None:
            roots += [frame.f_locals, frame.f_globals]
            frame = frame.f_back
    roots += [vars(module) for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    seen = {}
    while roots:
        thing = roots.pop()
        if type(thing) not in LEAVES and id(thing) not in seen:
            seen[id(thing)] = thing
            roots += gc.get_referents(thing)
    return list(seen.values())


def search() -> dict[str, int]:
    """What is found in this process, and how many of it."""
    found = {}
    needles = {what: bytes(value ^ 255 for value in hidden) for what, hidden in WANTED["hidden"].items()}
    things = everything()
    kinds = {id(type(thing)): type(thing) for thing in things}
    telling = {number for number, kind in kinds.items() if may_tell(kind)}
    for thing in things:
        if id(type(thing)) in telling:
            for what in findings(thing, needles):
                found[what] = found.get(what, 0) + 1
    for link in Path("/proc/self/fd").iterdir():
        if int(link.name) > 2 and link.is_symlink() and Path(link.readlink()).is_file():
            found["open file"] = found.get("open file", 0) + 1
    if any(name.startswith(("bench.attacks.", "bench.datasets.")) for name in sys.modules):
        found["code of an attack or a data set"] = 1
    return found


def is_secret(kind) -> bool:
    return kind.__name__ in SECRETS and kind.__module__.startswith("bench.")


def may_tell(kind) -> bool:
    """Whether objects of a class are looked at at all: most of some hundred thousand are of a few other ones."""
    return is_secret(kind) or issubclass(
        kind, (Attack, Dataset, torch.Tensor, np.ndarray, bytes, bytearray, list, tuple)
    )


def findings(thing, needles) -> list[str]:
    kind = type(thing)  # and not isinstance: some objects say that they are of another class
    if is_secret(kind):
        return [kind.__name__]
    if issubclass(kind, Attack | Dataset):
        return ["attack" if issubclass(kind, Attack) else "data set"]
    if issubclass(kind, torch.Tensor):
        if thing.layout != torch.strided or thing.is_meta or thing.dtype not in NUMBERS or thing.numel() > MOST:
            return []
        return of_numbers(thing.detach().cpu().resolve_neg().numpy())
    if issubclass(kind, np.ndarray) and thing.dtype.kind in "fui" and thing.size <= MOST:
        return of_numbers(thing)
    if issubclass(kind, bytes | bytearray) and len(thing) > SIZE:  # the needles themselves are not longer
        return [what for what, needle in needles.items() if needle in thing]
    if issubclass(kind, list | tuple) and len(thing) > 8 and all(type(value) is int for value in thing):
        return labels(np.array(thing, dtype=object))
    return []


def of_numbers(values: np.ndarray) -> list[str]:
    if values.dtype.kind == "i" and values.ndim == 1:
        return labels(values)
    if values.size < SIZE or values.size % SIZE or values.dtype.kind not in "fu":
        return []
    if values.dtype.kind == "f":
        values = (np.nan_to_num(values).clip(0, 1) * 255).round()
    rows = values.astype(np.uint8).reshape(-1, SIZE)
    return sorted({KNOWN_BY[digest(row)] for row in rows if digest(row) in KNOWN_BY})


def labels(values: np.ndarray) -> list[str]:
    try:
        values = values.astype(np.int64)
    except OverflowError:
        return []
    found = [what for what, known in WANTED["labels"].items() if digest(values) == known]
    return found or ["a number for every test image"] * (len(values) in WANTED["sizes"])


AT_IMPORT = {} if os.environ["NOSY_PLANS"] == str(os.getpid()) else search()  # of a process that plans nobody asks


class Watch:
    """Notes what is found when, and of which kind the inputs are, in their order."""

    def __init__(self, context) -> None:
        self.context, self.order = context, []
        context.note("import", AT_IMPORT)
        context.note("building", search())

    def inputs(self, images) -> None:
        first = not self.order
        for image in (images * 255).round().to(torch.uint8):
            self.order.append(KNOWN_BY.get(digest(image.cpu().numpy()), "unknown"))
        if first:
            self.context.note("answering", search())
        self.context.note("order", list(self.order))


class Watched(nn.Module):
    def __init__(self, model, watch) -> None:
        super().__init__()
        self.model, self.watch = model, [watch]

    def forward(self, images):
        self.watch[0].inputs(images)
        return self.model(images)


class Nosy(Repair):
    """A repair that searches."""

    name: ClassVar[str] = "nosy"

    def repair(self, model, known, context):
        return Watched(model, Watch(context))


class NosyGuard(Runtime):
    """A guard that searches while it is built and while it answers."""

    name: ClassVar[str] = "nosyguard"

    def guard(self, model, known, context):
        watched = Watched(model, Watch(context))
        return lambda images: Prediction(watched(images))


class NosyLearner(NosyGuard):
    """A guard that declares that it learns, and searches at its first input."""

    name: ClassVar[str] = "nosylearner"

    @property
    def learns_from_stream(self):
        return True
