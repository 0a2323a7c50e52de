"""A checkpoint file of anybody's, read as tensors by name. No code in it is run.

Known are safetensors, and what ``torch.save`` writes of a state dict, alone or under one of the usual names with
whatever plain values lie beside it. Whole modules and TorchScript archives are code, and refused.
"""

import argparse
import collections
import io
import pathlib
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from bench.errors import RequestError, one_line, shortened
from bench.records.texts import printable
from bench.store import files

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # what a state dict is saved under
_EXPECTED = "expected a state dict: torch.save(model.state_dict(), FILE), or safetensors"
_DEEPEST = 4  # dictionaries within each other around a state dict
_GLOBAL = re.compile(r"GLOBAL (\S+)|(?:but got|function) (.+)")  # what torch says of a class or function it refuses
# plain containers that trainings save beside the weights: making one runs no code of the file's
_PLAIN: list[Any] = [
    np.ndarray,
    np.dtype,
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray._reconstruct, "numpy._core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    *{type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"},  # not objects: they may be anything
    argparse.Namespace,
    collections.defaultdict,
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
    (pathlib.PurePosixPath, "pathlib._local.PosixPath"),
]


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, as the file has them, and what lies beside them.

    place: the names under which the state dict lies, such as ("state_dict",); () where it is the whole file.
    beside: the rest of the file's outermost dictionary. metadata: the texts in a safetensors file's header.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    place: tuple[str, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


def read(path: Path) -> Checkpoint:
    """The checkpoint in a file, on the CPU. Raises RequestError, in one line, for anything else."""
    named = f"checkpoint {shortened(str(path))}"
    content = _content(path, named)
    try:
        if _is_safetensors(content):
            return Checkpoint(path, files.tensors(content), metadata=_metadata(path))
        _refuse_scripts(content)
        loaded = _unpickled(content)
        place, tensors = _state_dict(loaded)
    except RequestError as error:
        raise RequestError(f"{named}: {error}") from error.__cause__
    except Exception as error:  # whatever a damaged file makes of safetensors, zipfile and torch
        raise RequestError(f"{named}: cannot be read, it is damaged or no checkpoint ({_reason(error)})") from error
    beside = {str(name): value for name, value in loaded.items() if place and name != place[0]}
    return Checkpoint(path, tensors, place, beside)


def _content(path: Path, named: str) -> bytes:
    if path.is_dir():
        raise RequestError(f"{named}: is a directory, expected a file")
    try:
        content = files.read(str(path.resolve()))
    except files.NotPlain as error:
        raise RequestError(f"{named}: {error}") from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{named}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not content:
        raise RequestError(f"{named}: is empty, {_EXPECTED}")
    return content


def _is_safetensors(content: bytes) -> bool:
    """A header's length in eight bytes, and then the header, which is JSON."""
    return content[8:9] == b"{"


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as opened:
        return dict(opened.metadata() or {})


def _refuse_scripts(content: bytes) -> None:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise RequestError(f"is a TorchScript archive, which is code and not only weights; {_EXPECTED}")


def _unpickled(content: bytes) -> Mapping[Any, Any]:
    """What torch.save wrote, if it is a dictionary of plain values and tensors."""
    try:
        with torch.serialization.safe_globals(_PLAIN), warnings.catch_warnings(action="ignore"):
            loaded: object = files.state(content, torch.device("cpu"))
    except Exception as error:
        if needed := _GLOBAL.search(str(error)):
            name = printable(needed[1] or needed[2], 100).rstrip(".,")
            raise RequestError(
                f"holds {name} and not only weights: reading it would run code, which is not done; {_EXPECTED}"
            ) from error
        if "Unsupported operand" in str(error):  # in torch's words: torch.save writes protocol 2
            raise RequestError(
                f"is a pickle of a kind that is not read without running code, which is not done; {_EXPECTED}"
            ) from error
        raise
    if isinstance(loaded, Mapping):
        return loaded
    raise RequestError(f"holds a {type(loaded).__name__}, {_EXPECTED}")


def _state_dict(loaded: Mapping[Any, Any], place: tuple[str, ...] = ()) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Where the state dict lies in what was loaded, and its tensors."""
    tensors = {name: value for name, value in loaded.items() if isinstance(name, str) and isinstance(value, Tensor)}
    inner = [name for name in WRAPPERS if isinstance(loaded.get(name), Mapping) and loaded[name]]
    if tensors and not inner:
        return place, {name: value.detach() for name, value in tensors.items()}
    if inner and len(place) < _DEEPEST:
        return _state_dict(loaded[inner[0]], (*place, inner[0]))
    found = ", ".join(printable(str(name), 40) for name in list(loaded)[:5]) or "nothing"
    raise RequestError(f"holds no weights but {found}; {_EXPECTED}, alone or under {', '.join(WRAPPERS)}")


def _reason(error: Exception) -> str:
    return printable(one_line(error).partition(". ")[0], 160)
