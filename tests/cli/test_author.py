"""``bench new`` writes a plugin that runs as it is, never over what is there; ``bench check`` says what it finds."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.plan.registry import KINDS
from bench.testing import kit

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "defensebench-clip"
FAULTY = '''"""A guard that judges inputs by each other."""

from typing import ClassVar
from bench import Prediction, Runtime


class Relative(Runtime):
    name: ClassVar[str] = "relative"
    source: ClassVar[str] = "a test's own"

    def guard(self, model, known, context):
        def answer(images):
            logits = model(images)
            return Prediction(logits, logits.amax(1) - logits.amax(1).mean())

        return answer
'''


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Runs ``bench`` in an empty folder; gives its status and the lines that it prints on both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out.splitlines(), err.splitlines()

    return run


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("defense", "my defense"),
        ("defense", "tac"),
        ("attack", "none"),
        ("model", "3d"),
        ("dataset", "My"),
        ("defense", "class"),
        ("defense", "all"),
        ("defense", "../up"),
        ("defense", "numpy"),
        ("attack", "random"),
        ("defence", "mine"),
    ],
)
def test_a_name_that_no_plugin_can_have_gets_one_line_and_nothing_is_written(kind, name, told, tmp_path):
    status, out, err = told("new", kind, name)
    assert (status, out, len(err)) == (2, [], 1)
    assert (name if kind in KINDS else kind) in err[0]
    assert "expected" in err[0]
    assert files(tmp_path) == {}


@pytest.mark.parametrize("package", [False, True], ids=["file", "package"])
def test_nothing_is_written_over(package, told, tmp_path):
    arguments = ["new", "defense", "begun_here", *["--package"] * package]
    assert told(*arguments)[0] == 0
    before = files(tmp_path)
    last = sorted(before)[-1]
    (tmp_path / last).write_text("my own work")
    for path in sorted(before)[:-1]:
        (tmp_path / path).unlink()
    status, _, err = told(*arguments)
    assert (status, len(err)) == (2, 1)
    assert last in err[0]
    assert files(tmp_path) == {last: "my own work"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_begun_is_a_plugin_that_says_what_it_must_with_its_test(kind, told, tmp_path, monkeypatch):
    monkeypatch.setattr(kit, "FAMILIES", ("declared", "bounds"))
    assert told("new", kind, f"first_{kind}", "--out", "here")[0] == 0
    written = files(tmp_path)
    assert set(written) == {f"here/first_{kind}.py", f"here/test_first_{kind}.py"}
    assert "$" not in "".join(written.values())
    assert f"check_plugin(First{kind.capitalize()})" in written[f"here/test_first_{kind}.py"]
    status, out, err = told("check", f"here/first_{kind}.py")
    assert status == 0, out
    assert err == []
    assert len(out) == len(kit.properties_of(kind)) + 3  # the heading, the sum and an empty line


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_begun_has_all_properties(kind, told):
    assert told("new", kind, f"whole_{kind}")[0] == 0
    status, out, _ = told("check", f"whole_{kind}.py")
    assert status == 0, out
    assert len(out) == len(kit.properties_of(kind)) + 3


def test_a_package_announces_its_plugin_by_an_entry_point(told, tmp_path):
    assert told("new", "model", "first_try", "--package")[0] == 0
    project = tomllib.loads((tmp_path / "defensebench-first-try" / "pyproject.toml").read_text())
    [(group, points)] = project["project"]["entry-points"].items()
    assert (group, points) == ("bench.models", {"first_try": "defensebench_first_try.first_try:FirstTry"})
    assert (tmp_path / "defensebench-first-try/src/defensebench_first_try/first_try.py").exists()


def test_a_fault_is_named_with_what_was_found_and_expected_and_the_status_is_1(told, plugin_file, monkeypatch):
    [relative] = [one for one in kit.properties_of("defense") if one.name == "batch-sizes"]
    declared = kit.properties_of("defense", runs=False)
    monkeypatch.setattr(kit, "properties_of", lambda kind: [*declared, relative])
    status, out, _ = told("check", str(plugin_file("relative", FAULTY)))
    failed = [line for line in out if line.startswith("FAIL")]
    assert status == 1
    assert len(failed) == 1
    assert re.search(r"batch-sizes +found other score for \d+ of 24 inputs .*; expected the same prediction", failed[0])
    assert re.search(r"properties: .*1 failed", out[-2])


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (["fst2"], "did you mean 'fst'"),
        (["strip[overlays=1]"], "overlays=1: expected"),
        (["no_such_file.py"], "no such file"),
        ([], "expected one or more files or names"),
        (["defense:badnets"], "unknown plugin 'badnets'"),
    ],
)
def test_a_wrong_request_gets_one_line(wanted, line, told):
    status, out, err = told("check", *wanted)
    assert (status, out, len(err)) == (2, [], 1)
    assert line in err[0]


def test_a_file_without_plugins_or_with_an_error_gets_one_line(told, plugin_file):
    for text, line in (("x = 1\n", "expected a class of kind"), ("import no_such_module\n", "no_such_module")):
        status, _, err = told("check", str(plugin_file("empty", text)))
        assert (status, len(err)) == (2, 1)
        assert line in err[0]


def test_the_example_package_is_what_new_writes_but_for_the_method(told, tmp_path):
    assert told("new", "defense", "clip", "--package")[0] == 0
    begun, kept = files(tmp_path / "defensebench-clip"), files(EXAMPLE)
    method = "src/defensebench_clip/clip.py"
    assert {name for name in kept if "__pycache__" not in name} == set(begun)
    assert {name for name in begun if begun[name] != kept[name]} == {method}


def test_the_example_package_runs_when_it_is_installed(tmp_path, monkeypatch):
    wheel_builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling comes with the extra 'dev'")
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    [wheel] = wheel_builder.WheelBuilder(str(source)).build(directory=str(tmp_path / "wheel"), versions=["standard"])
    shutil.unpack_archive(wheel, tmp_path / "installed", "zip")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    results = bench.run(
        defenses="none,clip",
        attacks="badnets",
        datasets="digits[train_size=200]",
        models="resnet18[width=4]",
        recipes="quick[epochs=1]",
        store=tmp_path / "store",
        executor="inline",
    )
    assert results.frame.status.tolist() == ["done", "done"]
    assert "bounds" in results.frame.diagnostics.iloc[1]
