"""Whatever somebody asks for, the answer is a plan or one line: no traceback, no request that never ends."""

import io
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import fuzzed
import pytest

import bench.api
from bench.cli.main import main
from bench.cli.options import EVERY
from bench.errors import RequestError, shortened
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request

BENCH = [sys.executable, "-m", "bench"]
NINE = "|".join(map(str, range(9)))
SMALL = ["--datasets", "digits", "--models", "resnet18[width=4]", "--attacks", "badnets", "--defenses", "none"]
PATIENCE = 20.0  # seconds for one request, on a machine that does other things too


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry()


def answer(*words: str) -> tuple[int, str]:
    """Exit status and standard error of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(words)
    return int(ended.value.code or 0), err.getvalue()


def check_line(line: str) -> None:
    """One line that a terminal and a log can take."""
    assert line
    assert len(line) < 5000
    assert "\n" not in line
    assert shortened(line, len(line)) == line


def plan_all(count: int, seed: int, registry: Registry, folder: Path) -> Counter[str]:
    """Plan so many odd requests; how many there were of each answer."""
    draw, answers = random.Random(seed), Counter[str]()
    for number in range(count):
        options, began = fuzzed.options(draw), time.monotonic()
        try:
            made = make_plan(Request.read(options), registry, folder)
            answers["planned"] += 1
            assert made.cells
            assert all(len(cell.key) == 32 for cell in made.cells)
        except RequestError as error:
            answers["refused"] += 1
            check_line(" ".join(str(error).split()))
        except Exception as error:
            raise AssertionError(f"number {number} of seed {seed}: {options!r:.500}") from error
        assert time.monotonic() - began < PATIENCE, f"number {number} of seed {seed}"
    return answers


def plan_studies(count: int, seed: int, folder: Path) -> Counter[int]:
    """``bench plan`` of so many odd study files; how often each exit status came."""
    draw, answers = random.Random(seed), Counter[int]()
    study = folder / "study.toml"
    for number in range(count):
        study.write_text(fuzzed.study(draw, [*EVERY]), encoding="utf-8", errors="surrogatepass")
        began = time.monotonic()
        try:
            status, err = answer("plan", str(study))
        except Exception as error:
            raise AssertionError(f"number {number} of seed {seed}: {study.read_bytes()[:500]!r}") from error
        assert status in (0, 2), f"number {number} of seed {seed}: {err}"
        if status == 2:
            check_line(err.removesuffix("\n"))
        answers[status] += 1
        assert time.monotonic() - began < PATIENCE, f"number {number} of seed {seed}"
    return answers


@pytest.fixture
def quick_registry(monkeypatch, registry, tmp_path):
    """Every command in an empty folder, with a registry that is made once unless it has files."""
    opened = bench.api.open_registry
    monkeypatch.setattr(bench.api, "open_registry", lambda files=(), *more: opened(files, *more) if files else registry)
    monkeypatch.setenv("DEFENSEBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


def test_odd_selections_are_planned_or_refused_in_one_line(registry, tmp_path):
    answers = plan_all(200, 1, registry, tmp_path)
    assert answers["planned"] > 5
    assert answers["refused"] > 100


def test_odd_study_files_are_planned_or_refused_in_one_line(quick_registry, tmp_path):
    assert plan_studies(60, 1, tmp_path)[2] > 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_thousand_odd_selections(registry, tmp_path):
    assert plan_all(50_000, 2, registry, tmp_path).total() == 50_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_odd_study_files(quick_registry, tmp_path):
    assert plan_studies(1_500, 2, tmp_path).total() == 1_500


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        ("badnets[poisoning_rate=1e999]", "poisoning_rate=1e999: expected a finite number"),
        ("badnets[poisoning_rate=nan]", "poisoning_rate="),
        ("wanet[strength=inf]", "strength="),
        (f"badnets[size={'9' * 5000}]", "expected a whole number of at most 9223372036854775807"),
        (f"badnets[size={'9' * 400}/1]", "expected a finite number"),
        (f"{'a' * 300_000}", "expected at most 100000"),
        (f"badnets[{','.join(f'p{axis}={NINE}' for axis in range(9))}]", "387420489 choices"),
        ("1,5" * 30_000, "expected"),
        ("badnets[size=\0]", "expected text without control characters"),
        ("badnets[size=\udc80]", "expected text without control characters"),
    ],
)
def test_an_odd_selection_is_refused_at_once(quick_registry, attack, expected):
    began = time.monotonic()
    status, err = answer("plan", "--datasets", "digits", "--defenses", "none", f"--attacks={attack}")
    assert (status, expected in err) == (2, True), err
    check_line(err.removesuffix("\n"))
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize(
    "text",
    [
        "plugin = [1]",
        'data = "\\u0000"',
        f"seeds = {'[' * 50_000}{']' * 50_000}",
        f"seeds = {'9' * 5000}",
        f"{'.'.join(['seeds'] * 3000)} = 1",
        f"{'x' * 100_000} = 1",
        'seeds = "0-99999999999999999999"',
        "seeds = [1e999]",
        "workers = 1000000000000",
        "timeout = inf",
        f'store = "{"x" * 5000}"',
        'reference = "99999999999999999999999999%"',
        "x" * 2_000_000,
    ],
)
def test_an_odd_study_file_is_refused_in_one_line(quick_registry, tmp_path, text):
    (tmp_path / "study.toml").write_text(text)
    status, err = answer("plan", "study.toml")
    assert status == 2, err
    check_line(err.removesuffix("\n"))


@pytest.mark.parametrize("place", ["x" * 5000, "x/" * 5000, "file/x", "file", "/proc/x", "/sys/x", "/dev/null/x", " "])
@pytest.mark.parametrize("command", [["run", "--store"], ["plan", "--store"], ["report", "--out"]])
def test_a_place_that_cannot_be_is_refused_in_one_line(quick_registry, tmp_path, command, place):
    (tmp_path / "file").write_text("mine")
    status, err = answer(*command[:-1], f"{command[-1]}={place}")
    assert status == 2, err
    assert command[-1] in err
    check_line(err.removesuffix("\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("path", ["/dev/zero", ".", "gone.toml", "x" * 5000, "a\0b"])
def test_a_study_that_is_no_file_of_text_is_refused_in_one_line(quick_registry, path):
    status, err = answer("plan", path)
    assert (status, "study " in err) == (2, True), err
    check_line(err.removesuffix("\n"))


@pytest.mark.parametrize("words", [["list"], ["plan", *SMALL]])
def test_a_reader_that_leaves_ends_a_command_quietly(words, tmp_path):
    """What ``bench list | head -1`` does, only surely: the reader is gone before the first line."""
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run([*BENCH, *words], stdout=write, stderr=subprocess.PIPE, cwd=tmp_path, text=True)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_suspects_are_counted_only_where_a_defense_asks_for_them(registry, tmp_path):
    small = {
        "datasets": "digits[train_size=120]",
        "models": "resnet18[width=4]",
        "attacks": "badnets",
        "reference": 100,
    }
    [cell] = make_plan(Request.read({**small, "defenses": "tac"}), registry, tmp_path).cells
    assert (cell.reference, cell.suspects) == (100, 0)
    with pytest.raises(RequestError, match=r"^--suspects 64: expected at most 20 beside the reference set$"):
        make_plan(Request.read({**small, "defenses": "tac,fire"}), registry, tmp_path)
