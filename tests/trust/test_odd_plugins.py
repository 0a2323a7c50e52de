"""Plugins whose methods raise, or give something else: one line names the plugin, and its neighbours go on."""

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.errors import one_line, shortened

HEAD = """
from typing import Any, ClassVar
import torch
from pydantic import Field
from torch import nn
from bench.plugin import Attack, Dataset, ImageSpec, LabelledImages, Model, Repair, Splits

class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError("no text")
    def __reduce__(self):
        raise TypeError("cannot be pickled")

class Needs(Exception):
    def __init__(self, one, *, other):
        super().__init__(one)

def surrogate():
    raise ValueError("a \\udc80 file\\nof two lines")
def unreadable():
    raise Unreadable
def needs():
    raise Needs("odd", other=lambda: 0)
def leave():
    raise SystemExit(0)
def generator():
    raise GeneratorExit
def long():
    raise ValueError("x" * 1_000_000)
def empty():
    raise KeyError

def images(n, dtype=torch.uint8):
    return LabelledImages(torch.zeros(n, 1, 6, 6, dtype=dtype), torch.arange(n) % 4)
"""
DEFENSE = """
class Mine(Repair):
    name: ClassVar[str] = "mine"
    {field}
    def repair(self, model, known, context):
        {repair}
        return model
    {method}
"""
ATTACK = """
class Mine(Attack):
    name: ClassVar[str] = "mine"
    {field}
    def trigger(self, images, context):
        return images * 0 + 1
    {method}
"""
MODEL = """
class Mine(Model):
    name: ClassVar[str] = "mine"
    def build(self, spec):
        {repair}
        return nn.Sequential(nn.Flatten(), nn.Linear(36, spec.classes))
    {method}
"""
DATASET = """
class Mine(Dataset):
    name: ClassVar[str] = "mine"
    {field}
    @property
    def spec(self):
        {spec}
        return ImageSpec(1, 6, 6, classes=4, mean=(0.5,), std=(0.25,))
    def load(self, folder):
        {repair}
        return Splits(images(60), images(20))
    {method}
"""
RAISING = ["surrogate", "unreadable", "needs", "leave", "generator", "long", "empty"]
TEXTS = {"defense": DEFENSE, "attack": ATTACK, "model": MODEL, "dataset": DATASET}


def write(folder: Path, kind: str, **parts: str) -> Path:
    """A one-file plugin of a kind, with these parts put in."""
    text = TEXTS[kind].format(**{"field": "", "method": "", "repair": "pass", "spec": "pass"} | parts)
    (folder / "mine.py").write_text(HEAD + text)
    return folder / "mine.py"


def answer(folder: Path, kind: str, *words: str) -> tuple[int, str]:
    """Exit status and standard error of a command on the plugin and small built-in neighbours."""
    small = {"dataset": "digits[train_size=100]", "model": "resnet18[width=4]", "attack": "badnets", "defense": "none"}
    given = " ".join(words)
    chosen = {**small, kind: "mine"}.items()
    arguments = [f"--{name}s={value}" for name, value in chosen if f"--{name}s" not in given]
    arguments += ["--recipes=quick[epochs=1]", "--reference=20", "--plugin", str(folder / "mine.py")]
    arguments += ["--store", str(folder / "store"), "--data", str(folder / "data")]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main([*words, *arguments])
    return int(ended.value.code or 0), err.getvalue()


def check_refused(status: int, err: str, kind: str) -> None:
    assert status == 2, err
    assert err.count("\n") == 1
    assert len(err) < 5000
    assert f"{kind} 'mine'" in err
    assert shortened(err, len(err)) == err


METHODS = {
    "resolve": ("attack", "def resolve(self, spec): {}()"),
    "unsupported": ("defense", "def unsupported(self, case): {}()"),
    "wants_pairs": ("defense", "wants_pairs = property(lambda self: {}())"),
    "located": ("dataset", "def located(self, folder): {}()"),
    "training_images": ("dataset", "def training_images(self, folder): {}()"),
    "model's resolve": ("model", "def resolve(self, spec): {}()"),
    "made": ("defense", "def model_post_init(self, context): {}()"),
}


def each_with_the_first_of_the_other(rows: Iterable[str], columns: Iterable[str]) -> list[object]:
    """All pairs; those of the suite hold every row and every column at least once, and the others are slow."""
    (first, *_), (usual, *_) = rows, columns
    pairs = [(row, column) for row in rows for column in columns]
    slow = [() if row == first or column == usual else pytest.mark.slow for row, column in pairs]
    return [pytest.param(*pair, marks=marks) for pair, marks in zip(pairs, slow, strict=True)]


@pytest.mark.parametrize(("method", "raising"), each_with_the_first_of_the_other(METHODS, RAISING))
def test_what_a_method_raises_in_planning_is_one_line_that_names_the_plugin(tmp_path, method, raising):
    kind, text = METHODS[method]
    write(tmp_path, kind, method=text.format(raising))
    check_refused(*answer(tmp_path, kind, "plan"), kind)


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("attack", {"method": "def resolve(self, spec): return None"}),
        (
            "attack",
            {"method": "def resolve(self, spec): return self.model_copy(update={'poisoning_rate': float('inf')})"},
        ),
        ("attack", {"field": "strength: float = float('inf')"}),
        ("attack", {"field": "strength: float = float('nan')"}),
        ("defense", {"field": "what: Any = object()"}),
        ("defense", {"field": "what: Any = Field(default_factory=lambda: 1 / 0)"}),
        ("defense", {"field": "what: str = '\\udc80'"}),
        ("defense", {"field": "what: int = 10 ** 5000"}),
        ("defense", {"method": "def unsupported(self, case): return 3"}),
        ("dataset", {"repair": "return Splits(images(0), images(0))"}),
        ("dataset", {"repair": "return Splits(images(60, torch.float32), images(20))"}),
        ("dataset", {"repair": "return None"}),
        ("dataset", {"repair": "surrogate()"}),
        ("dataset", {"method": "def training_images(self, folder): return None"}),
        ("dataset", {"method": "def training_images(self, folder): return 0"}),
        ("dataset", {"method": "def training_images(self, folder): return 60.0"}),
        ("dataset", {"spec": "return None"}),
        ("dataset", {"spec": "surrogate()"}),
        ("dataset", {"spec": "leave()"}),
        ("dataset", {"spec": "return ImageSpec(1, 6, 6, classes=0, mean=(0.5,), std=(0.25,))"}),
        ("dataset", {"method": "def located(self, folder): return 'here'"}),
    ],
)
def test_what_a_plugin_gives_in_planning_is_checked(tmp_path, kind, parts):
    write(tmp_path, kind, **parts)
    check_refused(*answer(tmp_path, kind, "plan"), kind)


@pytest.mark.parametrize(
    "text",
    ["raise SystemExit(0)", "raise GeneratorExit", "raise ValueError('\\udc80')", "surrogate()", "unreadable()",
     "class Mine(Repair):\n    name = 3\n    def repair(self, *a): pass",
     "class Mine(Repair):\n    name: ClassVar[Any] = 3\n    def repair(self, *a): pass",
     "class Mine(Repair):\n    name: ClassVar[str] = 'a,b'\n    def repair(self, *a): pass",
     "class Mine(Repair):\n    name: ClassVar[str] = 'all'\n    def repair(self, *a): pass",
     "from bench.plugin.base import Plugin\nclass Mine(Plugin):\n    name: ClassVar[str] = 'mine'"],
)  # fmt: skip
def test_a_file_that_is_no_plugin_is_one_line(tmp_path, text):
    (tmp_path / "mine.py").write_text(HEAD + text)
    status, err = answer(tmp_path, "defense", "plan")
    assert (status, err.count("\n")) == (2, 1), err
    assert "mine.py" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("raising", RAISING)
def test_what_prepare_raises_is_one_line_that_names_the_data_set(tmp_path, raising):
    write(tmp_path, "dataset", method=f"def prepare(self, folder): {raising}()")
    check_refused(*answer(tmp_path, "dataset", "run", "--executor=inline"), "dataset")


MINE = "ImageSpec(1, 6, 6, classes=4, mean={mean}, std={std})"
ODD_DATA = {  # what a data set gives, and what is said of it
    "no test image": ("return Splits(images(60), images(0))", "0 test images: expected 1 or more"),
    "no training image": ("return Splits(images(0), images(20))", "0 training images: expected 1 or more"),
    "no splits": ("return images(60), images(20)", "load gave a tuple, expected Splits"),
    "no images": ("return Splits(images(60), None)", "the test split is a NoneType, expected LabelledImages"),
    "floats": ("return Splits(images(60, torch.float32), images(20))", "images must be uint8"),
    "labels of 32 bits": ("return Splits(images(60), LabelledImages(images(4).images, torch.zeros(4).int()))", "int64"),
    "float labels": ("return Splits(images(60), LabelledImages(images(4).images, torch.zeros(4)))", "int64"),
    "negative labels": (
        "return Splits(images(60), LabelledImages(images(4).images, torch.arange(4) - 1))",
        "test labels from -1 to 2: expected 0 to 3",
    ),
    "labels beyond": (
        "return Splits(LabelledImages(images(4).images, torch.arange(4) + 1), images(20))",
        "training labels from 1 to 4: expected 0 to 3",
    ),
    "another size": (
        "return Splits(LabelledImages(images(4).images[:, :, 1:], torch.arange(4)), images(20))",
        "training images (4, 1, 5, 6): expected (N, 1, 6, 6)",
    ),
}
ODD_SPECS = {
    "a mean too few": ("return " + MINE.format(mean="()", std="(0.25,)"), "mean=(): expected 1 numbers"),
    "a mean of one number": ("return " + MINE.format(mean="0.5", std="(0.25,)"), "mean=0.5: expected 1 numbers"),
    "NaN": ("return " + MINE.format(mean="(float('nan'),)", std="(0.25,)"), "mean=(nan,): expected 1 numbers"),
    "no deviation": ("return " + MINE.format(mean="(0.5,)", std="(0.0,)"), "std=(0.0,): expected positive numbers"),
    "names too few": ("pass", "class_names: 1 names: expected 4", "class_names: ClassVar[Any] = ('cat',)"),
    "no names": ("pass", "class_names=3: expected a tuple of texts", "class_names: ClassVar[Any] = 3"),
    "a name of another type": (
        "pass", "class_names=(1, 2, 3, 4): expected a tuple", "class_names: ClassVar[Any] = (1, 2, 3, 4)"
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "counted"), each_with_the_first_of_the_other([*ODD_DATA, *ODD_SPECS], ["in planning", "when a run starts"])
)
def test_images_that_are_not_what_a_data_set_says_are_one_line_before_any_work(tmp_path, odd, counted):
    if odd in ODD_DATA:
        given, expected = ODD_DATA[odd]
        parts = {"repair": given}
    else:
        given, expected, *field = ODD_SPECS[odd]
        parts = {"spec": given, "field": "".join(field)}
    planned = counted == "in planning"
    method = "" if planned else "def training_images(self, folder): return 60"
    write(tmp_path, "dataset", **parts, method=method)
    status, err = answer(tmp_path, "dataset", *(["plan"] if planned else ["run", "--executor=inline"]))
    check_refused(status, err, "dataset")
    assert expected in err


@pytest.mark.parametrize("executor", ["inline", pytest.param("local", marks=pytest.mark.slow)])
def test_what_a_defense_raises_fails_its_cell_alone(tmp_path, executor):
    path = write(tmp_path, "defense", field="how: str", repair="globals()[self.how]()")
    results = bench.run(
        plugin=path, datasets="digits[train_size=100]", models="resnet18[width=4]", attacks="none", reference=20,
        defenses=f"mine[how={'|'.join(RAISING)}],none", recipes="quick[epochs=1]", store=tmp_path / "store",
        executor=executor, workers=1,
    )  # fmt: skip
    states = {record.defense_label: record.status for record in results.records}
    assert states == {**{f"mine[how={how}]": "failed" for how in RAISING}, "none": "done"}
    for record in results.records:
        assert len(record.reason or "") < 5000
        record.to_json().encode()


def test_a_plugin_that_cannot_be_described_is_one_line(tmp_path, capsys):
    path = write(tmp_path, "defense", field="what: int = 10 ** 5000")
    with pytest.raises(SystemExit) as ended:
        main(["show", "mine", "--plugin", str(path)])
    err = capsys.readouterr().err
    assert (ended.value.code, err.count("\n")) == (2, 1)
    assert err.startswith("bench: show mine: describing it failed: ValueError")


def test_a_model_that_cannot_be_built_fails_under_its_name_when_it_is_trained(tmp_path):
    write(tmp_path, "model", repair="surrogate()")
    assert answer(tmp_path, "model", "plan", "--defenses=tac") == (0, "")


def test_any_error_has_a_line():
    class Unreadable(Exception):
        def __str__(self):
            raise RuntimeError

    assert one_line(Unreadable()).startswith("Unreadable: its message cannot be read")
    assert one_line(KeyError()).startswith("KeyError")
    surrogate = one_line(ValueError("a\n\udc80"))
    assert surrogate.startswith("ValueError: a ")
    assert surrogate.encode()
    assert len(one_line(ValueError("x" * 20_000_000))) < 5000
