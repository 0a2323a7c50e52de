"""Checkpoints of other people: a network, the ways in which its weights are saved, and files that are none."""

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.plugin.model import Model
from bench.plugin.values import ImageSpec


class Small(nn.Sequential):
    """A convolution, a normalisation and a linear layer. It normalises no image."""

    def __init__(self, channels: int = 3, classes: int = 4, seed: int = 0) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__()
            self.add_module("conv", nn.Conv2d(channels, 5, 3, stride=2))
            self.add_module("norm", nn.BatchNorm2d(5))
            self.add_module("relu", nn.ReLU())
            self.add_module("pool", nn.AdaptiveAvgPool2d(2))
            self.add_module("flat", nn.Flatten())
            self.add_module("fc", nn.Linear(20, classes))
        self.eval()


class SmallModel(Model):
    """The architecture of ``Small``."""

    name: ClassVar[str] = "small"

    def build(self, spec: ImageSpec) -> nn.Module:
        return Small(spec.channels, spec.classes, seed=1)


class Harmful:
    """What leaves the file ``made`` when it is unpickled."""

    made: ClassVar[str] = ""

    def __reduce__(self) -> Any:
        return os.mkdir, (self.made,)


def saved(folder: Path, content: Any, name: str = "net.pt", **options: Any) -> Path:
    path = folder / name
    torch.save(content, path, **options)
    return path


def wrapped(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no checkpoint, by what is wrong with them, each with a part of what must be said."""
    tensors = Small().state_dict()
    whole = saved(folder, tensors, "whole.pt").read_bytes()
    Harmful.made = str(folder / "harm")
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:  # torch.jit.save's layout
        for name in ("net/data.pkl", "net/code/__torch__.py", "net/constants.pkl", "net/version"):
            archive.writestr(name, b"")
    contents = {"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello\n", "script": memory.getvalue()}
    contents["pickle"] = pickle.dumps({"state_dict": Harmful()}, protocol=4)
    for name, content in contents.items():
        (folder / f"{name}.pt").write_bytes(content)
    return {
        "code": (saved(folder, {"state_dict": tensors, "x": Harmful()}, "code.pt"), "mkdir and not only weights"),
        "module": (saved(folder, Small(), "module.pt"), "checkpoint_files.Small and not only weights"),
        "script": (folder / "script.pt", "TorchScript archive"),
        "truncated": (folder / "truncated.pt", "damaged or no checkpoint"),
        "pickle": (folder / "pickle.pt", "is not read without running code"),
        "protocol": (saved(folder, tensors, "five.pt", pickle_protocol=5), "is not read without running code"),
        "empty": (folder / "empty.pt", "is empty"),
        "text": (folder / "text.pt", "damaged or no checkpoint"),
        "list": (saved(folder, [1, 2], "list.pt"), "holds a list"),
        "no weights": (saved(folder, {"epoch": 3}, "epoch.pt"), "holds no weights but epoch"),
        "directory": (folder, "is a directory"),
        "nothing there": (folder / "none.pt", "No such file"),
    }
