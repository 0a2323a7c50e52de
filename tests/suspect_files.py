"""A suspicious checkpoint with pictures, for tests of the commands that take one."""

from pathlib import Path

import numpy as np
import torch
from checkpoint_files import Small, saved
from PIL import Image

PLUGINS = Path(__file__).parent / "plugins" / "suspect_plugins.py"
DETECTORS = "by_bias,by_bias_too"


def checkpoint(folder: Path, biased: dict[int, float] | None = None, classes: int = 3) -> Path:
    """A network whose last layer has these biases; without any, no class stands out."""
    net = Small(3, classes)
    with torch.no_grad():
        net.fc.weight.mul_(20)  # so that its answers to random pictures are of several classes
        for label, bias in (biased or {}).items():
            net.fc.bias[label] = bias
    return saved(folder, {"state_dict": net.state_dict(), "epoch": 1}, "suspect.pth")


def pictures(folder: Path, classes: int = 3, each: int = 8, side: int = 8, mode: str = "RGB") -> Path:
    """A folder with a folder of random pictures for each class."""
    draws = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(each):
            pixels = draws.integers(0, 256, (side, side, len(mode)), dtype=np.uint8)
            Image.fromarray(pixels, mode).save(folder / f"class{label}" / f"{number}.png")
    return folder


def options(images: Path, model: str = "small") -> list[str]:
    return ["--model", model, "--plugin", str(PLUGINS), "--images", str(images), "--mean", "none"]
