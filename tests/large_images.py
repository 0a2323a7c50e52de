"""What a process takes that works on many large test images: run as ``python large_images.py stage|parts FOLDER``.

It prints its peak resident memory in MiB; with ``parts`` in bytes, what a further test image added to it.
"""

import re
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

import bench
from bench.cell import meter, put_victim
from bench.cell.diagnostics import shift_agreement
from bench.cell.loaded import LoadedVictim
from bench.cell.predict import batch_size
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.store.store import Store

SIDE, TRAINING = 224, 40
FEW, MANY = 250, 550  # test images whose peaks are compared: a copy of all of them would not be kept in memory
MODEL = Path(__file__).parent / "plugins" / "coarse.py"


def folder_of(root: Path, test: int) -> Path:
    """An image folder of two classes with so many test images: small pictures, which are scaled up."""
    chance = np.random.default_rng(0)
    for split, count in (("train", TRAINING), ("test", test)):
        for number in range(count):
            place = root / split / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(chance.integers(0, 256, (8, 8, 3), np.uint8)).save(place / f"{number}.png")
    return root


def request(pictures: Path) -> dict[str, object]:
    """A victim and its control column on these pictures."""
    chosen = {"datasets": f"image_folder[path={pictures},size={SIDE}]", "models": "coarse", "attacks": "badnets"}
    return {**chosen, "defenses": "none", "recipes": "quick[epochs=1]", "plugin": [MODEL], "reference": 10}


def of_a_stage(folder: Path, test: int) -> float:
    """The peak in MiB of the process that decodes the pictures, and then makes a victim and a cell."""
    pictures = folder_of(folder / "pictures", test)
    with mock.patch.object(meter, "_reset_peak", return_value=False):  # the peak of the whole process is wanted
        results = bench.run(**request(pictures), data=folder, store=folder / "store", executor="inline")
    assert results.ok
    assert set(results.frame.n_test) == {test}
    return peak()


def of_its_parts(folder: Path, test: int) -> float:
    """The peak in MiB of all that is done with test images but for asking the defended network."""
    pictures = folder / f"pictures-{test}"
    if not pictures.exists():
        folder_of(pictures, test)
    registry = Registry([MODEL])
    stage = make_plan(Request(**request(pictures)), registry, folder).cells[0].victim
    shop = Workshop(registry, Store(folder / "store"), folder, torch.device("cpu"))
    shop.splits(stage.dataset)
    assert meter._reset_peak()
    opened = LoadedVictim.open(stage, shop)
    images = opened.test_set()
    batch = batch_size(SIDE, SIDE)
    for index in torch.randperm(2 * test).split(batch):
        assert len(images.inputs(index)) <= batch
    with mock.patch.object(put_victim, "IMAGES", 4):  # SSIM takes long
        assert put_victim._test_facts(images)["n_test"] == test
    assert len(put_victim._pictures(images)["clean"]) == put_victim.PICTURES
    shift_agreement({"0": [1.0] * 4}, shop.build(stage).eval(), images)
    return peak()


def peak() -> float:
    return float(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**10


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "stage":
        print(of_a_stage(where, int(sys.argv[3])))  # noqa: T201
    else:
        for count in (FEW, MANY):  # decoded before it is measured; and what is loaded on the way, stays
            of_its_parts(where, count)
        few, many = of_its_parts(where, FEW), of_its_parts(where, MANY)
        print((many - few) * 2**20 / (MANY - FEW))  # noqa: T201
