"""bench scan and bench repair: what they print and write, how they end, and what they refuse in one line."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_files import Small, saved, unusable
from PIL import Image
from safetensors import safe_open
from suspect_files import DETECTORS, checkpoint, options, pictures

from bench.checkpoint.read import read
from bench.cli.main import main

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys) -> Call:
    """A function that runs a command: its exit status, and what it printed on both outputs."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("biased", "status", "said"),
    [
        ({}, 0, "nothing found: no class is named by any of 2 methods"),
        ({2: 9.0}, 3, "SUSPICIOUS: class 2 (class2) by by_bias, by_bias_too (of 2 methods)"),
        ({2: 6.0}, 0, "nothing found by the rule, but look at this: class 2 (class2) by by_bias (of 2 methods)"),
    ],
)
def test_a_scan_says_what_it_found_and_ends_accordingly(biased, status, said, call, tmp_path):
    suspect, images = checkpoint(tmp_path, biased), pictures(tmp_path / "images")
    ended, out, _ = call("scan", suspect, *options(images), "--defenses", DETECTORS)
    assert ended == status
    assert said in out
    assert "rule: a class is taken for a backdoor's target if more than half" in out
    assert "there are 8 images of a class: fewer than 20" in out
    assert re.search(r"not yet measured", out)


def test_a_scan_writes_a_page_and_json(call, tmp_path):
    suspect, images = checkpoint(tmp_path, {2: 9.0}), pictures(tmp_path / "images")
    arguments = ("scan", suspect, *options(images), "--defenses", DETECTORS, "--out", tmp_path / "page", "--json")
    ended, out, _ = call(*arguments)
    assert ended == 3
    page = (tmp_path / "page" / "index.html").read_text()
    assert "SUSPICIOUS: class 2 (class2) by by_bias, by_bias_too (of 2 methods)" in page
    assert page.count("data:image/png;base64,") == 1 + 2  # the figure, and a trigger of each method
    told = json.loads(out)
    assert (told["suspicious"], told["targets"]) == (True, [2])
    assert [method["method"] for method in told["methods"]] == DETECTORS.split(",")
    assert len(told["methods"][0]["values"]) == 3


def test_every_plugin_that_declares_it_is_asked_and_no_other(call, tmp_path):
    images = pictures(tmp_path / "images", classes=2)
    net = checkpoint(tmp_path, classes=2)
    ended, out, _ = call("scan", net, *options(images), "--defenses", "*by_bias*,silent")
    assert ended == 1  # nobody gave an answer
    assert "by_bias: declined: two classes are too few" in out
    assert "silent: failed: it said of no class how suspicious it is" in out
    assert "no verdict" in out
    ended, _, err = call("scan", net, *options(images), "--defenses", "longer")
    assert ended == 2
    assert re.search("--defenses longer: names no target classes; there are bna, by_bias, by_bias_too, nc, .*tac", err)


def test_a_repaired_network_has_the_checkpoints_layout_and_says_where_it_comes_from(call, tmp_path):
    suspect, out = checkpoint(tmp_path, {2: 9.0}), tmp_path / "new" / "repaired.safetensors"
    images = pictures(tmp_path / "images")
    arguments = ("repair", suspect, *options(images), "--defense", "by_bias[over=6]", "--out", out)
    ended, printed, _ = call(*arguments)
    assert ended == 0
    assert "by_bias[over=6] names class 2" in printed
    assert re.search(r"ACC .*% before, .*% after, on 6 images that .* was not given; it was given 18", printed)
    before, after = read(suspect), read(out)
    assert set(after.tensors) == set(before.tensors)
    changed = [name for name, value in before.tensors.items() if not torch.equal(value, after.tensors[name])]
    assert changed == ["fc.bias"]
    assert float(after.tensors["fc.bias"][2]) == 0
    with safe_open(out, "pt") as file:
        made = json.loads(file.metadata()["defensebench"])
    assert made["targets"] == [2]
    assert made["parameters"] == {"over": 6}
    assert made["repaired"]["model"] == "small"
    content = out.read_bytes()
    ended, _, err = call(*arguments)
    assert (ended, out.read_bytes()) == (2, content)
    assert "is there already, and is not replaced" in err


@pytest.mark.parametrize(
    ("defense", "said"),
    [
        ("strip", "guards a network or compares with it, and changes none; expected a repair"),
        ("fire", "expected a repair"),
        ("by_bias,longer", "stands for 2 defenses, expected one"),
        ("by_bais", "did you mean 'by_bias'"),
        ("longer", "has other tensors than the checkpoint: 2 new, 6.weight, 6.bias; it cannot be written"),
        ("hooked", "changes more than the weights that the checkpoint holds"),
    ],
)
def test_a_defense_whose_work_a_checkpoint_cannot_hold_is_refused(defense, said, call, tmp_path):
    images, out = pictures(tmp_path / "images"), tmp_path / "repaired.safetensors"
    ended, _, err = call("repair", checkpoint(tmp_path), *options(images), "--defense", defense, "--out", out)
    assert ended == 2
    assert said in err.splitlines()[-1]
    assert not out.exists()


def _wrong(folder: Path) -> dict[str, tuple[list[str | Path], str]]:
    """Arguments of a scan with something wrong, by what it is, each with a part of what must be said."""
    good, images = checkpoint(folder), pictures(folder / "images")
    mixed, one, empty = pictures(folder / "mixed"), pictures(folder / "one", classes=1), folder / "empty"
    Image.new("RGB", (9, 9)).save(mixed / "class0" / "larger.png")
    broken = pictures(folder / "broken")
    (broken / "class1" / "0.png").write_bytes(b"no picture")
    empty.mkdir()
    unfit = unusable(folder / "files")  # tests/checkpoint/test_read.py has all of them
    other = saved(folder, Small(3, 3).fc.state_dict(), "other.pt")
    flat = options(images)
    return {
        "another architecture": ([other, *flat], "does not fit small: "),
        "0 images": ([good, *options(empty)], "holds 0 pictures"),
        "one class": ([good, *options(one)], "has pictures of one class, class0"),
        "several sizes": ([good, *options(mixed)], "pictures of several sizes, 8x8 "),
        "no picture": ([good, *options(broken)], "0.png: cannot be read as a picture"),
        "number of classes": (
            [good, *options(pictures(folder / "five", classes=5))],
            "has 5 folders and the network 3",
        ),
        "stated classes": ([good, *flat, "--classes", "5"], "has 3 classes, expected 5"),
        "no directory": ([good, *options(folder / "nowhere")], "is not there, expected a directory"),
        "no model": ([good, "--images", images], "--model: expected it"),
        "unknown model": ([good, *options(images, "smal")], "did you mean 'small'"),
        "size": ([good, *flat, "--size", "8by8"], "--size 8by8: expected pixels"),
        "resize": ([good, *flat, "--size", "8", "--resize", "4"], "--resize 4: expected at least 8"),
        "mean": ([good, *flat[:-1], "a,b"], "--mean a,b: expected numbers such as"),
        **{what: ([unfit[what][0], *flat], unfit[what][1]) for what in ("code", "truncated", "directory")},
    }


def test_bad_input_is_one_line_and_exit_status_2_and_nothing_is_written(call, tmp_path):
    (tmp_path / "files").mkdir()
    wrong = _wrong(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for what, (arguments, said) in wrong.items():
        ended, out, err = call("scan", *arguments, "--out", tmp_path / "page", "--defenses", DETECTORS)
        assert (ended, out) == (2, ""), what
        assert said in err, what
        assert err.count("\n") == 1, what
    assert sorted(tmp_path.rglob("*")) == before


def test_pictures_with_transparency_and_of_several_sizes_are_read_when_a_size_is_stated(call, tmp_path):
    images = pictures(tmp_path / "images", mode="RGBA")
    Image.new("L", (20, 12), 200).save(images / "class0" / "grey.png")
    arguments = ("scan", checkpoint(tmp_path), *options(images), "--size", "8", "--defenses", "by_bias")
    ended, out, _ = call(*arguments)
    assert ended == 0
    assert "25 images" in out
    assert "input 3x8x8 rgb" in out


def test_a_flat_directory_is_scanned_without_labels_and_not_repaired(call, tmp_path):
    images = pictures(tmp_path / "images")
    for number, file in enumerate(images.glob("*/*")):
        file.rename(images / f"{number}.png")
    for folder in images.glob("class*"):
        folder.rmdir()
    net = checkpoint(tmp_path)
    ended, out, err = call("scan", net, *options(images), "--defenses", "by_bias")
    assert (ended, "no labels" in out) == (0, True)
    assert "the network's own answers serve as labels" in err
    out_file = tmp_path / "repaired.safetensors"
    ended, _, err = call("repair", net, *options(images), "--defense", "by_bias", "--out", out_file)
    assert ended == 2
    assert "a repair needs labels" in err
