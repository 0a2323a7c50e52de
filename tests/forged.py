"""Forged stores: whole ones to begin with, and every way to change what lies in them, with hashes that are right."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from stores import SELECTED, put, show, train

from bench.plan.plan import Plan
from bench.store import files, hashes
from bench.store.store import Section, Store

Harm = Callable[[Path], object]  # what is done to the file of a stage
NOTES = {
    "class_statistic": {"name": "norm", "values": [1.0, None, 3.0], "flagged": [0]},
    "shift_truth": {"0": {"cosine": 0.5, "correlation": 0.4, "length": 1.1}},
    "stream_curve": {"triggered": [1, 2], "acc": [0.9, 0.8], "asr": [0.1, None], "ra": [0.7, None]},
}
DEEP = "[" * 100_000
STRANGE = (None, [], {}, "x", "", -1, 0.5, 1e308, 10**400, True, float("inf"), float("nan"), "\ud800", "../..", [[[]]])


def fill(store: Store, plan: Plan) -> None:
    """A finished cell and a failure by turns; all victims, and as many checkpoints of other ones.

    Every victim is shown to the network of the first one, as if that were benign.
    """
    for victim in plan.victims:
        train(store, victim)
        show(store, victim.key, plan.victims[0].key, fingerprints=victim.codes)
    for number, cell in enumerate(plan.cells):
        put(store, cell, "failed" if number % 2 else "done", diagnostics=json.dumps(NOTES))
    for number in range(len(plan.victims)):
        store.write("checkpoints", f"{number:032x}", {"state.pt": {"epochs": 1, "model": {"weight": torch.ones(2)}}})


def reseal(store: Store, section: Section, key: str) -> None:
    """Make the list of hashes of a stage that of the files that lie there now."""
    folder = store.folder(section, key)
    present = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != hashes.NAME}
    (folder / hashes.NAME).write_bytes(hashes.seal(f"{section}/{key}", present))


def raw_harms() -> dict[str, Harm]:
    """Ways to change a file that its hash tells of, or that leave no file to read."""

    def replaced(make: Callable[[Path], object]) -> Harm:
        return lambda path: (path.unlink(), make(path))

    return {
        "removed": Path.unlink,
        "empty": lambda path: path.write_bytes(b""),
        "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
        "a bit flipped": _flip,
        "a link to /dev/zero": replaced(lambda path: path.symlink_to("/dev/zero")),
        "a link to nothing": replaced(lambda path: path.symlink_to("/nowhere")),
        "a pipe": replaced(os.mkfifo),
        "a directory": replaced(Path.mkdir),
        "of a terabyte": lambda path: os.truncate(path, 2**40),
    }


def contents(name: str, whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Other contents of the file ``name``, which holds ``whole``; each with what is wrong with it."""
    general = {"empty": b"", "truncated": whole[: len(whole) // 2], "no text": b"\xff\xfe\x00", "deep": DEEP.encode()}
    yield from general.items()
    if name.endswith(".json"):
        yield from json_contents(json.loads(whole))
    elif name.endswith(".safetensors"):
        yield from _tensor_contents(whole)
    elif name.endswith(".pt"):
        states = {"a list": [1], "no names": {1: 2}, "no seconds": {"seconds": "x"}, "endless": {"seconds": 1e308}}
        yield from ((what, files.encode(name, state)) for what, state in states.items())


def json_contents(whole: dict) -> Iterator[tuple[str, bytes]]:
    """Every field of a JSON object removed or of another type, a field more, and values that are no object."""
    for what, text in {"a list": "[]", "a number": "3", "null": "null", "no JSON": "{", "NaN": "NaN"}.items():
        yield what, text.encode()
    yield "an unknown field", json.dumps({**whole, "unknown": 1}).encode()
    for field in whole:
        yield f"without {field}", json.dumps({name: value for name, value in whole.items() if name != field}).encode()
        for value in STRANGE:
            yield f"{field} = {str(value)[:20]!a}", json.dumps({**whole, field: value}).encode()
        if isinstance(whole[field], str):
            for value in (DEEP, '{"a": "\\ud800"}', f"[{'9' * 5000}]", "[]", "{}", '{"shift_truth": [1]}'):
                yield f"{field} = {value[:20]!a}", json.dumps({**whole, field: value}).encode()
        elif isinstance(whole[field], dict):
            inner = json_contents(whole[field]) if whole[field] else ()
            for what, content in inner:
                if what.startswith("without") or " = " in what:
                    yield f"{field}: {what}", json.dumps({**whole, field: json.loads(content)}).encode()


def _tensor_contents(whole: bytes) -> Iterator[tuple[str, bytes]]:
    yield "no safetensors", b"not at all"
    yield "a huge header", (2**62).to_bytes(8, "little") + whole[8:]
    shape = json.dumps({"clean": {"dtype": "U8", "shape": [2**31, 2**31], "data_offsets": [0, 4]}}).encode()
    yield "a huge shape", len(shape).to_bytes(8, "little") + shape + b"1234"
    tensors = files.tensors(whole)
    yield "of other images", _encoded({name: torch.cat([one, one]) for name, one in tensors.items()})
    for name, one in tensors.items():
        rest = {other: value for other, value in tensors.items() if other != name}
        yield f"without {name}", _encoded(rest)
        seven = torch.zeros(1, 7, 8, 8, dtype=one.dtype)
        changed = {"of 7 channels": seven, "of no axis": one.flatten()[:1].sum(), "of one axis": one.flatten()}
        changed |= {"twice as long": torch.cat([one, one]), "empty": one[:0], "complex": one.to(torch.complex64)}
        changed |= {"NaN": one.float() * float("nan"), "bool": one.bool(), "large": one.double() + 1e300}
        yield from ((f"{name} {what}", _encoded({**rest, name: value})) for what, value in changed.items())


def _encoded(tensors: dict[str, torch.Tensor]) -> bytes:
    return files.encode("x.safetensors", tensors)


def manifests(section: str, key: str, whole: bytes) -> Iterator[tuple[str, bytes]]:
    """Lists of hashes that have a right hash themselves, and are wrong."""
    listed = json.loads(whole)["content"]
    names, one = listed["files"], f"{section}/{key}"
    wrong = {
        "a list": [],
        "null": None,
        "without files": {"stage": one},
        "files are a list": {"stage": one, "files": list(names)},
        "hashes are numbers": {"stage": one, "files": dict.fromkeys(names, 1)},
        "of another": {"stage": f"{section}/{'0' * 32}", "files": names},
        "stage is a list": {"stage": [[]], "files": names},
        "a path": {"stage": one, "files": {**names, "../../../../bait": "0" * 64}},
        "an absolute path": {"stage": one, "files": {**names, "/etc/passwd": "0" * 64}},
        "itself": {"stage": one, "files": {**names, hashes.NAME: "0" * 64}},
        "a name with a break": {"stage": one, "files": {**names, "a\nb\x1b[31m": "0" * 64}},
        "a lone surrogate": {"stage": "\ud800", "files": {"\ud800": "0" * 64}},
    }
    for what, value in wrong.items():
        yield what, hashes._seal(json.dumps(value, sort_keys=True).encode())
    yield "deep", hashes._seal(DEEP.encode())


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    bit = random.Random(len(content)).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def options(seeds: str) -> list[str]:
    """The options of a command for the plan of these stores."""
    return [part for name, value in {**SELECTED, "seeds": seeds}.items() for part in (f"--{name}", value)]
