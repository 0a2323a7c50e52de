"""For tests of victims made elsewhere: files in BackdoorBench's layout, written here, and what it would report of them.

Nothing of this project takes part in either.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

TARGET = 1
NAME = "small"


def network(images: Tensor, seed: int = 0) -> nn.Module:
    """A small network with random weights that normalises nothing, whose answers vary over images (N, 3, H, W)."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8, momentum=1.0), nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    with torch.no_grad():
        logits = net.train()(images)
        net[-1].bias.sub_(logits.mean(0))
    return net.eval()


def triggered(images: Tensor) -> Tensor:
    """Images (K, C, H, W) uint8 with a white block."""
    images = images.clone()
    images[..., 6:10, 6:10] = 255
    return images


def save_pictures(images: Tensor, indices: list[int], labels: list[int], folder: Path) -> dict[int, dict]:
    """Write pictures as PNG by their own label, and list them by the path that they had when they were made."""
    entries = {}
    for image, index, label in zip(images, indices, labels, strict=True):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / str(label) / f"{index}.png")
        made_at = f"/somewhere/else/record/{folder.parent.name}/{folder.name}/{label}/{index}.png"
        entries[np.int64(index)] = {"path": made_at, "other_info": [TARGET, label]}
    return entries


def state(entries: dict[int, dict], count: int, folder: Path, chosen: list[int] | None = None) -> dict:
    """What a data set of BackdoorBench keeps of itself: ``count`` images, of which ``entries`` are triggered."""
    root = f"/somewhere/else/record/{folder.parent.name}/{folder.name}"
    marks = np.zeros(count, np.float64)
    marks[list(map(int, entries))] = 1
    container = {"save_folder_path": root, "data_dict": entries, "save_file_format": ".png"}
    return {
        "bd_data_container": container,
        "getitem_all": True,
        "getitem_all_switch": False,
        "original_index_array": np.arange(count) if chosen is None else np.array(chosen),
        "poison_indicator": marks,
        "save_folder_path": root,
    }


def attack_result(folder: Path, splits, net: nn.Module, *, poisoned: int = 12, **changes) -> Path:
    """``attack_result.pt`` in ``folder``, with all test images of other classes triggered and some of the training."""
    states = {}
    for part, data in (("train", splits.train), ("test", splits.test)):
        others = (data.labels != TARGET).nonzero()[:, 0]
        others = others[:poisoned] if part == "train" else others
        place = folder / f"bd_{part}_dataset"
        entries = save_pictures(triggered(data.images[others]), others.tolist(), data.labels[others].tolist(), place)
        states[part] = state(entries, len(data), place, others.tolist() if part == "test" else None)
    result = {
        "model_name": NAME,
        "num_classes": 4,
        "model": net.state_dict(),
        "data_path": "../data",
        "img_size": [16, 16, 3],
        "clean_data": "squares",
        "bd_train": states["train"] if poisoned else None,
        "bd_test": states["test"],
        **changes,
    }
    torch.save(result, path := folder / "attack_result.pt")
    return path


@torch.no_grad()
def reported(net: nn.Module, folder: Path, splits, mean, std) -> tuple[float, float]:
    """ACC over the clean test images and ASR over the pictures in ``bd_test_dataset``, image by image."""

    def answer(pixels: np.ndarray) -> int:
        normal = (pixels.astype(np.float32) / 255 - np.float32(mean)) / np.float32(std)
        return int(net(torch.from_numpy(normal.transpose(2, 0, 1))[None]).argmax())

    clean = [answer(image.permute(1, 2, 0).numpy()) for image in splits.test.images]
    right = [given == label for given, label in zip(clean, splits.test.labels.tolist(), strict=True)]
    pictures = sorted((folder / "bd_test_dataset").rglob("*.png"))
    led = [answer(np.asarray(Image.open(path))) == TARGET for path in pictures]
    return sum(right) / len(right), sum(led) / len(led)
