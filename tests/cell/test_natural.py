"""ASR on a benign network: what a trigger does without a backdoor."""

import math
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from stores import bench as command
from torch.nn.functional import one_hot

import bench
from bench.cell import natural as natural_module
from bench.engine.display import Silent
from bench.records import Record
from bench.store.store import Store
from bench.store.verify import verify

COVER = """
from typing import ClassVar
import torch
from bench.plugin import Attack

class Cover(Attack):
    "The whole picture is replaced by one of the target."
    name: ClassVar[str] = "cover"

    def trigger(self, images, context):
        covered = torch.full_like(images, 0.2)
        covered[:, 0, 0, 0] = 1
        return covered
"""
Frame = dict[str, Record]


class Notes(Silent):
    """Remembers the stages that ended, with their status."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, str]] = []

    def ended(self, outcome) -> None:
        self.ends.append((outcome.stage.section, outcome.status))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A store with the control row, ``corner`` and ``cover``, and the plugins beside it."""
    folder = tmp_path_factory.mktemp("natural")
    (folder / "cover.py").write_text(COVER)
    run(folder, "none,corner,cover")
    return folder


def run(folder: Path, attacks: str, **options) -> tuple[Frame, Notes]:
    """The records by attack, and what ended."""
    files, notes = [tiny.plugins(folder), folder / "cover.py"], Notes()
    asked = {**tiny.GRID, "attacks": attacks, "defenses": "none", "plugin": files, "store": folder / "store", **options}
    results = bench.run(**asked, executor="inline", listener=notes)
    assert results.ok
    return {f"{one.attack_label}/{one.seed}": one for one in results.records}, notes


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "copy"))


def test_it_is_the_share_of_triggered_images_that_the_benign_network_takes_for_their_target(folder):
    """Computed anew from the stored network, whose only layer is linear."""
    records, _ = run(folder, "none,corner,cover")
    store, corner = Store(folder / "store"), records["corner/0"]
    weights = store.tensors("victims", records["none/0"].victim_key, "model.safetensors")
    stored = store.tensors("victims", corner.victim_key, "predictions.safetensors")
    labels, targets = stored["labels"], stored["targets"]
    images = torch.randint(0, 120, (80, 1, 6, 6), generator=torch.Generator().manual_seed(5), dtype=torch.uint8)
    images[torch.arange(80), 0, torch.arange(80) % 4] += 90
    images[..., -1, 0] = 255
    logits = images[60:].flatten(1).float() / 255 @ weights["1.weight"].T + weights["1.bias"]
    chosen = one_hot(logits.argmax(1), 4)[torch.arange(20), targets][targets != labels]
    assert corner.asr_benign == pytest.approx(chosen.float().mean().item())
    assert math.isnan(records["none/0"].asr_benign)


def test_a_trigger_that_works_on_any_network_has_not_planted_anything(folder):
    records, _ = run(folder, "none,corner,cover")
    cover, corner = records["cover/0"], records["corner/0"]
    assert cover.asr_benign == 1
    assert cover.valid is False
    assert "the trigger alone does it: ASR on a benign network is 100.0%" in str(cover.doubt)
    assert corner.asr_benign < 0.2
    assert "alone" not in str(corner.doubt)


def test_a_patch_does_to_a_benign_network_about_what_no_trigger_does(grid):
    results, store = grid
    badnets = next(record for record in results.records if record.attack == "badnets")
    assert badnets.asr_before > 0.8
    assert abs(badnets.asr_benign - badnets.base_rate) < 0.1
    assert "alone" not in str(badnets.doubt)
    assert not verify(store).damaged


def test_nothing_is_trained_for_it_and_nothing_is_made_twice(folder, tmp_path):
    copy = copied(folder, tmp_path)
    store = Store(copy / "store")
    for key in store.keys("natural"):  # as a run leaves it that was killed before, or an older version
        store.forget("natural", key)
    (copy / "log").unlink(missing_ok=True)
    _, notes = run(copy, "none,corner,cover")
    assert notes.ends == [("natural", "done")] * 2
    assert not tiny.log(copy)
    assert run(copy, "none,corner,cover")[1].ends == []


def test_without_the_control_row_it_is_not_known_until_a_run_has_both(tmp_path):
    (tmp_path / "cover.py").write_text(COVER)
    for attacks in ("cover", "none"):
        records, notes = run(tmp_path, attacks)
        assert "natural" not in dict(notes.ends)
        assert math.isnan(next(iter(records.values())).asr_benign)
    assert run(tmp_path, "none,cover")[1].ends == [("natural", "done")]
    assert run(tmp_path, "cover")[0]["cover/0"].asr_benign == 1


def test_every_seed_has_the_benign_network_of_its_own(folder, tmp_path):
    copy = copied(folder, tmp_path)
    records, notes = run(copy, "none,corner,cover", seeds="0,1")
    assert notes.ends.count(("natural", "done")) == 2
    store = Store(copy / "store")
    pairs = {(facts.victim, facts.benign) for _, facts in store.all_natural()}
    keys = {name: record.victim_key for name, record in records.items()}
    assert pairs == {(keys[f"{name}/{seed}"], keys[f"none/{seed}"]) for name in ("corner", "cover") for seed in (0, 1)}


def test_a_failure_leaves_it_unknown_and_fails_no_cell(folder, tmp_path, monkeypatch):
    copy = copied(folder, tmp_path)

    def broken(*_):
        raise ValueError("wrong")

    monkeypatch.setattr(natural_module, "_answers", broken)
    records, notes = run(copy, "none,corner", seeds="1")
    assert notes.ends.count(("natural", "failed")) == 1
    assert math.isnan(records["corner/1"].asr_benign)
    assert records["corner/1"].status == "done"


def test_a_plugin_that_is_refreshed_takes_it_along(folder, tmp_path):
    copy = copied(folder, tmp_path)
    _, notes = run(copy, "none,corner", refresh="corner")
    assert notes.ends.count(("natural", "done")) == 1
    _, notes = run(copy, "corner", refresh="corner")
    assert Store(copy / "store").count("natural") == 1  # that of cover
    _, notes = run(copy, "none,corner,cover", refresh="attack:none")
    assert notes.ends.count(("natural", "done")) == 2


def test_plan_counts_it_and_the_report_shows_it_beside_asr(folder, tmp_path, capsys):
    files = [word for name in ("tiny_plugins", "cover") for word in ("--plugin", folder / f"{name}.py")]
    grid = [word for name, value in tiny.GRID.items() for word in (f"--{name}", value)]
    chosen = ["--attacks", "none,corner,cover,corner[n=1]", "--defenses", "none", "--store", folder / "store"]
    out = command(capsys, "plan", *files, *grid, *chosen)[1]
    assert "1 of 4 victims to train; 1 of 3 triggers to show to a benign network" in out
    assert command(capsys, "report", "--store", folder / "store", "--out", tmp_path / "report")[0] == 0
    text = (tmp_path / "report" / "table.md").read_text()
    table = [
        [cell.strip() for cell in line.split("|")] for line in text.partition("before any defense")[2].splitlines()
    ]
    [head] = [line for line in table if {"ASR", "ASR benign"} <= set(line)]
    [cover] = [line for line in table if "cover †" in line and len(line) == len(head)]
    assert head[head.index("ASR benign") - 2 :][:2] == ["ASR", "base rate"]
    assert cover[head.index("ASR benign")] == "100.0"
