"""A foreign defense that searches its process finds no test image, label, target or trigger: it has its inputs alone.

The plugin is ``plugins/nosy.py``. Its search finds all of it where nothing is promised: in the process of the harness.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import bench
from bench.cell import reference
from bench.cell.loaded import LoadedVictim
from bench.cell.workshop import Workshop
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.records import Record
from bench.store.store import Store

NOSY, UNFITTING = (tiny.PLUGIN_FOLDER / name for name in ("nosy.py", "unfit.py"))
UNFIT = ["intraining", "centres", "learnsunasked"]
SEARCHING = ["nosyguard", "nosy", "nosylearner"]
BUILT_IN = {"datasets": "digits[train_size=100]", "models": "resnet18[width=4]", "attacks": "badnets", "reference": 20}
BUILT_IN |= {"recipes": "quick[epochs=3]"}
FOREIGN = {**tiny.GRID, "attacks": "corner"}
INPUTS = {f"{kind} image{form}" for kind in ("test", "triggered test") for form in ("", ", as bytes")}
HELD = {"attack", "data set", "Workshop", "LoadedVictim", "TriggeredSet", "Splits", "test labels", "targets"}
HELD |= {"training labels", "training image", "test image", "triggered test image"}
WHILE_ANSWERING = {"TriggeredSet", "targets", "triggered test image"}  # even the harness has none of them before


def digest(values: torch.Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(values.cpu().numpy()).tobytes()).hexdigest()


def wanted(folder: Path, asked: dict[str, object], files: list[Path]) -> dict[str, object]:
    """What there is to be found once the victim of a request is made, by digests."""
    registry = Registry(files)
    shop = Workshop(registry, Store(folder / "store"), None, torch.device("cpu"))
    [stage] = make_plan(Request(**asked, defenses="ft"), registry, None).cells
    victim = LoadedVictim.read(stage.victim, shop)
    test, known = victim.test_set(), reference.known(stage, victim).clean
    given = {digest(image) for image in known.images}
    clean, triggered = test.originals.images, test.pixels
    images = {"training image": victim.train.images, "test image": clean, "triggered test image": triggered}
    labels = {"test labels": test.originals.labels, "targets": test.targets, "training labels": victim.train.labels}
    return {
        "shape": list(clean.shape[1:]),
        "images": {what: sorted({digest(image) for image in many} - given) for what, many in images.items()},
        "labels": {what: digest(values) for what, values in labels.items()},
        "sizes": [len(test), 2 * len(test)] if len(test) > 100 else [],
        "hidden": {f"{what}, as bytes": hidden(many, given) for what, many in images.items()},
    }


def hidden(images: torch.Tensor, given: set[str]) -> list[int]:
    """The pixels of an image that the defense is not given, inverted: what says what to find does not hold it."""
    image = next(image for image in images if digest(image) not in given)
    return [255 - pixel for pixel in image.flatten().tolist()]


def search(
    folder: Path, asked: dict[str, object], files: list[Path], executor: str, defenses: list[str]
) -> dict[str, Record]:
    """The records of defenses that have searched their processes, by their names."""
    assert bench.run(**asked, defenses="none", plugin=files, store=folder / "store", executor="inline").ok
    (folder / "nosy.json").write_text(json.dumps(wanted(folder, asked, files), default=int))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("NOSY", str(folder / "nosy.json"))
        environment.setenv("NOSY_PLANS", str(os.getpid()))
        options = {"plugin": [*files, shutil.copy(NOSY, folder)], "executor": executor, "workers": 1}
        results = bench.run(**asked, defenses=defenses, store=folder / "store", **options)
    return {record.defense: record for record in results.records if record.defense != "none"}


def write_inline(folder: Path) -> None:
    """Search in this process, beside the harness; the store in the folder has the records."""
    search(folder, FOREIGN, [tiny.plugins(folder)], "inline", SEARCHING[:1])


@pytest.fixture(scope="module")
def built_in(tmp_path_factory) -> dict[str, Record]:
    return search(tmp_path_factory.mktemp("built-in"), BUILT_IN, [UNFITTING], "local", [*SEARCHING, *UNFIT])


@pytest.fixture(scope="module")
def foreign(tmp_path_factory) -> dict[str, Record]:
    folder = tmp_path_factory.mktemp("foreign")
    return search(folder, FOREIGN, [tiny.plugins(folder)], "local", SEARCHING[:1])


@pytest.fixture(scope="module")
def inline(tmp_path_factory) -> dict[str, Record]:
    """Those of a search in a process of the harness, which is a fresh one: this one has the tests' own objects, too."""
    folder = tmp_path_factory.mktemp("inline")
    path = ":".join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    code = f"import runpy; runpy.run_path({__file__!r})['write_inline'](__import__('pathlib').Path({str(folder)!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": path})
    return {record.defense: record for record in Store(folder / "store").records()}


BESIDE = [("built_in", name) for name in SEARCHING]
BESIDE += [pytest.param(("foreign", SEARCHING[0]), marks=pytest.mark.slow)]


@pytest.fixture(params=BESIDE, ids="-".join)
def searched(request) -> Record:
    """Beside a built-in data set, model and attack, and beside foreign ones."""
    records, name = request.param
    record: Record = request.getfixturevalue(records)[name]
    return record


def found(record: Record, when: str) -> set[str]:
    assert record.status == "done", record.reason
    return set(json.loads(record.diagnostics)[when])


@pytest.mark.parametrize("when", ["import", "building"])
def test_nothing_is_found_before_a_defense_answers(searched, when):
    assert found(searched, when) == set()


def test_nothing_but_inputs_is_found_while_a_defense_answers(searched):
    there = found(searched, "answering")
    assert there <= INPUTS
    assert there & {"test image", "triggered test image"}


def test_the_search_finds_what_is_there(inline):
    assert found(inline[SEARCHING[0]], "building") >= HELD - WHILE_ANSWERING
    assert found(inline[SEARCHING[0]], "answering") >= HELD


def guesses(count: int) -> dict[str, torch.Tensor]:
    """Ways to tell triggered inputs by their position alone."""
    place = torch.arange(count)
    ways = {f"every {n}": place % n == 0 for n in range(2, 9)}
    ways |= {f"in turns of {n}": place // n % 2 == 0 for n in (10, 125, 250)}
    return ways | {"the first half": place < count / 2, "the first half of a batch": place % 250 < 125}


def test_triggered_inputs_are_not_told_from_clean_ones_by_their_position(searched):
    order = json.loads(searched.diagnostics)["order"]
    count = 2 * searched.n_test
    shown = (len(order) - count) % 30  # an image on which the last layer of a repaired network is looked for
    assert shown <= 1
    order = order[shown:]
    triggered = torch.tensor([kind == "triggered test image" for kind in order[:count]])
    assert set(order) == {"test image", "triggered test image"}
    assert int(triggered.sum()) == count // 2
    for way, guess in guesses(count).items():
        agreement = float((guess == triggered).float().mean())
        assert abs(agreement - 0.5) < 2 / count**0.5, way
    assert len(order) - count in (0, 30)  # asked again, of both kinds
    assert len(set(order[count:])) != 1


AGAIN = r"\d+ of 30 inputs got another answer when asked about again, alone; expected the same at any batch size, or "
REASONS = {
    "intraining": r"ValueError: Expected more than 1 value per channel when training, got input size torch.Size"
    r"\(\[1, 32, 1, 1\]\); when asked about one image alone: expected an answer at any batch size$",
    "centres": f"ValueError: logits: {AGAIN}learns_from_stream$",
    "learnsunasked": f"ValueError: flagged: {AGAIN}learns_from_stream$",
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_guard_that_lets_inputs_judge_each_other_fails_with_the_reason(built_in, name):
    assert built_in[name].status == "failed"
    assert re.match(REASONS[name], built_in[name].reason)
