"""The classes of a data set have their names in the plan, in what is stored of a victim, and in records."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.cli.main import main
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.store.facts import VictimFacts
from bench.store.store import Store

MODEL = Path(__file__).parents[1] / "plugins" / "coarse.py"
NAMES = ["a cat", "dog", "owl"]


def pictures(folder: Path) -> Path:
    """Three classes with twenty, ten and ten pictures of noise."""
    chance = np.random.default_rng(0)
    for name, count in zip(NAMES, (20, 10, 10), strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(chance.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / name / f"{number}.png")
    return folder


def asked(folder: Path, **changed: object) -> dict[str, object]:
    chosen = {"datasets": f"image_folder[path={folder},size=16]", "models": "coarse", "attacks": "badnets"}
    return {**chosen, "defenses": "none", "recipes": "quick[epochs=1]", "reference": 5, "plugin": [MODEL]} | changed


def keys(folder: Path, data: Path) -> tuple[str, str]:
    [cell] = make_plan(Request(**asked(folder)), Registry([MODEL]), data).cells
    return cell.key, cell.victim.data_key


def test_a_victim_and_its_records_know_the_names(tmp_path):
    results = bench.run(
        **asked(pictures(tmp_path / "pics")), data=tmp_path, store=tmp_path / "store", executor="inline"
    )
    [record] = results.records
    assert json.loads(record.class_names) == NAMES
    store = Store(tmp_path / "store")
    [facts] = store.root.rglob("stage.json")
    assert store.facts(record.victim_key).class_names == json.loads(facts.read_text())["class_names"] == NAMES


def test_a_plan_says_which_classes_there_are_and_how_many_images_they_have(tmp_path, capsys):
    words = asked(pictures(tmp_path / "pics"), plugin=MODEL)
    with pytest.raises(SystemExit) as ended:
        main(["plan", *(f"--{name}={value}" for name, value in words.items()), f"--data={tmp_path}"])
    assert not ended.value.code
    expected = "]: 32 training and 8 test images in 3 classes: a cat 16+4, dog 8+2, owl 8+2"
    assert expected in capsys.readouterr().out


def test_copies_of_a_folder_are_one_data_set_and_other_pictures_another(tmp_path):
    first, second = pictures(tmp_path / "pics"), pictures(tmp_path / "elsewhere")
    known = keys(first, tmp_path)
    assert keys(second, tmp_path) == known
    results = [
        bench.run(**asked(folder), data=tmp_path, store=tmp_path / "store", executor="inline")
        for folder in (first, second)
    ]
    one, other = (result.records[0] for result in results)
    assert other.finished == one.finished  # it was not computed again
    assert json.loads(one.dataset_params).keys() & {"path", "contents"} == {"contents"}
    (second / "owl" / "3.png").write_bytes((second / "dog" / "3.png").read_bytes())
    assert keys(second, tmp_path)[0] != known[0]


def test_what_is_stored_of_a_victim_without_names_stays_readable():
    kept = dict.fromkeys(("n_train", "n_poisoned", "n_cover", "n_test", "n_triggered"), 1)
    kept |= {"train_seconds": 1.0, "ms_per_sample": 1.0, "targets": [0]}
    kept["stealth"] = dict.fromkeys(("psnr", "ssim", "l0", "l2", "linf"), 0.5)
    assert VictimFacts.model_validate_json(json.dumps(kept)).class_names == []
    hostile = VictimFacts.model_validate_json(json.dumps(kept | {"class_names": ["a\u202eb", "\x1b[31m" * 10**5]}))
    assert hostile.class_names[0] == "a\\u202eb"
    assert all(name.isprintable() and len(name) <= 2000 for name in hostile.class_names)
    for odd in ("cat", [1], {"0": "cat"}, None):
        with pytest.raises(ValueError, match="class_names"):
            VictimFacts.model_validate_json(json.dumps(kept | {"class_names": odd}))
