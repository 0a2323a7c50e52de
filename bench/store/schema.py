"""What each file of a stage must hold. A stage may come from anybody, so that its hashes are right says nothing.

Every function raises ValueError for a value that does not fit; the message goes on after the name of the file.
"""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.records.columns import LARGEST
from bench.store import paths

if TYPE_CHECKING:
    from bench.records import Record

NETWORK = "network.safetensors"  # of a cell: the tensors of its repaired network, where they were to be kept
FILES: dict[str, frozenset[str]] = {
    "victims": frozenset(f"{name}.safetensors" for name in ("model", "learned", "predictions", "pictures"))
    | {"stage.json"},
    "cells": frozenset({"record.json", "predictions.safetensors", NETWORK}),
    "natural": frozenset({"natural.json", "predictions.safetensors"}),
    "failures": frozenset({"record.json", "traceback.txt"}),
    "checkpoints": frozenset({"state.pt"}),
}  # all that a stage may have
OPTIONAL = frozenset({"traceback.txt", NETWORK})
_NEEDED = {
    "victims": {"clean_logits", "triggered_logits", "labels", "targets"},
    "cells": {"clean_logits", "triggered_logits"},
    "natural": {"triggered_logits"},
}  # tensors of the predictions
STATUSES = {"cells": ("done", "not-applicable"), "failures": ("failed", "timeout")}


def check_files(section: str, names: set[str], status: str | None = None) -> None:
    """``names``: of all files of a stage. ``status``: of a cell's record."""
    allowed = FILES[section]
    needed = allowed - OPTIONAL
    if section == "cells" and status != "done":
        needed -= {"predictions.safetensors"}
    if foreign := names - allowed:
        raise ValueError(f"has a file {min(foreign)}, which does not belong there")
    if missing := needed - names:
        raise ValueError(f"has no {min(missing)}")


def check_record(record: "Record", section: str, key: str) -> None:
    """That a record is one of the stage ``section``/``key``; the types of its columns bound what else it can hold."""
    if record.key != key:
        raise ValueError(f"is that of {record.key[:40]!a}")
    if not paths.is_key(record.victim_key):
        raise ValueError(f"has the victim {record.victim_key[:40]!a}, expected 32 hexadecimal digits")
    if record.status not in STATUSES[section]:
        raise ValueError(f"is {record.status}, expected {' or '.join(STATUSES[section])}")


def check_tensors(section: str, name: str, found: Mapping[str, Any]) -> None:
    """``found``: a file's tensors or arrays by name. Only predictions and pictures have a shape that is known here."""
    if name == "pictures.safetensors":
        _check_pictures(found)
    elif name == "predictions.safetensors":
        _check_predictions(section, found)
    elif name == NETWORK and not found:
        raise ValueError("holds no tensors")


def _check_pictures(found: Mapping[str, Any]) -> None:
    if set(found) != {"clean", "triggered"}:
        raise ValueError(f"holds {_names(found)}, expected clean and triggered")
    shapes = {tuple(one.shape) for one in found.values()}
    shape = shapes.pop()
    if shapes or len(shape) != 4 or shape[1] not in (1, 3, 4) or not all(0 < side <= 4096 for side in shape[2:]):
        raise ValueError(f"holds pictures {shape}, expected two of the same (N, C, H, W) with 1, 3 or 4 channels")
    if {_dtype(one) for one in found.values()} != {"uint8"}:
        raise ValueError("holds pictures that are no bytes")


def _check_predictions(section: str, found: Mapping[str, Any]) -> None:
    needed = _NEEDED.get(section, _NEEDED["cells"])
    extra = {f"{part}_{name}" for part in ("clean", "triggered") for name in ("score", "flagged")}
    if section == "natural":
        extra = set()
    if missing := needed - set(found):
        raise ValueError(f"lacks {min(missing)}")
    if foreign := set(found) - needed - extra:
        raise ValueError(f"holds {_names(foreign)}, which does not belong there")
    if odd := [one for one in extra & set(found) if _other(one) not in found]:
        raise ValueError(f"holds {min(odd)} without {_other(min(odd))}")
    first = min(name for name in needed if name.endswith("logits"))
    shape = tuple(found[first].shape)
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"holds {first} {shape}, expected (N, C)")
    for name, one in found.items():
        _check_prediction(name, one, shape)


def _check_prediction(name: str, one: Any, shape: tuple[int, ...]) -> None:
    """One tensor of predictions for N images of C classes; ``shape``: (N, C)."""
    what = name.rpartition("_")[2]
    expected = shape if what == "logits" else shape[:1]
    if tuple(one.shape) != expected:
        raise ValueError(f"holds {name} {tuple(one.shape)}, expected {expected}")
    dtypes = {"flagged": ("bool",), "labels": ("int64",), "targets": ("int64",)}
    if _dtype(one) not in dtypes.get(what, ("float16", "bfloat16", "float32", "float64")):
        raise ValueError(f"holds {name} of {_dtype(one)}")
    low, high = float(one.min()), float(one.max())
    if what in ("labels", "targets") and not 0 <= low <= high < shape[1]:
        raise ValueError(f"holds {name} from {low:g} to {high:g}, expected 0 to {shape[1] - 1}")
    if what in ("logits", "score") and not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"holds {name} that are not numbers")


def check_state(state: object) -> None:
    """The state of a training; whether it fits a network only its training can tell."""
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise ValueError("is no state of a training")
    seconds = state.get("seconds", 0.0)
    if not isinstance(seconds, int | float) or not 0 <= seconds <= LARGEST:
        raise ValueError("does not say for how many seconds it was trained")


def parse_json(content: bytes) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def _other(name: str) -> str:
    part, _, what = name.partition("_")
    return f"{'triggered' if part == 'clean' else 'clean'}_{what}"


def _dtype(one: Any) -> str:
    return str(one.dtype).removeprefix("torch.")


def _names(found: Any) -> str:
    return ascii(", ".join(sorted(found)))[1:80].rstrip("'") or "nothing"
