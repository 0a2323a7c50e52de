"""What a run says at its end, in its log, and when it is interrupted; and what a plan says before."""

import json
import re
import shlex
import signal

import pytest
import tiny
from stores import OPTIONS, bench, put, train

from bench.cell import timed_steps
from bench.cli.running import _command
from bench.engine import worker
from bench.engine.clock import Clock
from bench.engine.estimate import Estimate, estimate
from bench.engine.options import RunOptions
from bench.plan.plan import make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.store.store import Store

JSON = {"plan": {"cells", "victims", "natural", "datasets", "changed", "estimate"}, "list": {"plugins"}}
JSON |= {"status": {"store", "cells", "victims", "running", "bytes", "verified", "changed", "damaged"}}


def words(folder, *more: str) -> list[str]:
    """A run of one victim against a defense that works and one that fails, in this process, on an odd path."""
    grid = [part for name, value in tiny.GRID.items() for part in (f"--{name}", str(value))]
    chosen = [
        "--attacks",
        "corner",
        "--defenses",
        "none,bad",
        "--executor",
        "inline",
        "--store",
        str(folder / "a store"),
    ]
    return ["run", "--plugin", str(tiny.plugins(folder)), *grid, *chosen, *more]


def test_a_run_ends_with_the_next_command_and_hints_that_work_as_printed(tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("bench.cell.outcomes.outcomes", lambda store, damaged: lambda *keys: asked.append(keys))
    status, out, err = bench(capsys, *words(tmp_path, "--log", str(tmp_path / "run.log"), "--verbose"))
    assert status == 1
    assert "DER" in out
    assert asked  # the marks are by what became of every test image, as a report's are
    *_, failed, last = err.splitlines()
    assert re.fullmatch(
        r"2 cells \(1 done, 1 failed\) in \d+ s, kept in .*a store; .*: bench report --store '.*'", last
    )
    assert re.search(r"victim dots linear corner seed 0: done, ACC \d+\.\d ASR \d+\.\d \(", err)
    assert re.search(r"corner × none seed 0: done, ACC \d+\.\d ASR \d+\.\d RA \d+\.\d DER 50\.0 \(", err)
    _, *shown = shlex.split(re.search(r"\((bench show .*)\)$", failed)[1])
    status, out, err = bench(capsys, *shown)
    assert (status, err) == (0, "")
    assert "corner" in out
    written = (tmp_path / "run.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", line) for line in written)
    assert any("victim dots linear corner seed 0: begins" in line for line in written)


def test_a_quiet_run_says_what_failed_and_no_more(tmp_path, capsys):
    status, out, err = bench(capsys, *words(tmp_path, "--quiet"))
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("corner × bad seed 0: failed: ")
    assert "DER" in out


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--quiet", "--verbose"], "--quiet --verbose: expected one of them"),
        (["--log", "/dev/null/x"], "--log /dev/null/x: cannot be written to: "),
    ],
)
def test_wrong_options_of_what_is_printed_leave_no_store_behind(tmp_path, capsys, more, expected):
    status, _, err = bench(capsys, *words(tmp_path, *more))
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"bench: {expected}")
    assert not (tmp_path / "a store").exists()


def test_an_interrupted_run_says_what_is_kept_and_how_to_go_on(tmp_path, capsys, monkeypatch):
    made = []

    def twice(stage, workshop):
        made.append(stage)
        if len(made) > 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return real(stage, workshop)

    real = worker.make_stage
    monkeypatch.setattr(worker, "make_stage", twice)
    status, out, err = bench(capsys, *words(tmp_path))
    assert (status, out) == (130, "")
    assert re.search(
        r"interrupted: 1 of 3 stages are done and kept in .*a store; .* The same command continues: bench", err
    )
    assert "--store" in err.splitlines()[-1]


@pytest.fixture
def half(tmp_path, monkeypatch) -> Store:
    """A store in which one of the two victims of ``OPTIONS`` and its cells are done."""
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "s")
    options = {name.lstrip("-"): value for name, value in zip(OPTIONS[::2], OPTIONS[1::2], strict=True)}
    plan = make_plan(Request.read(options), Registry(), tmp_path)
    victim = plan.victims[0]
    train(store, victim, seconds=100.0)
    for cell in plan.cells:
        if cell.victim.key == victim.key:
            put(store, cell, defense_seconds=30.0, inference_seconds=0.0, train_seconds=100.0)
    return store


def test_a_plan_says_how_long_a_run_may_take_by_the_records_of_the_store(half, capsys):
    arguments = ["plan", *OPTIONS, "--store", "s", "--workers", "1", "--device", "cpu", "--stale", "keep"]
    status, out, _ = bench(capsys, *arguments)
    assert status == 0
    # a victim of 100 s and two cells of 30 s each
    assert out.splitlines()[-1] == "this may take about 3 min: 3 stages (by 2 records of the store)"
    found = json.loads(bench(capsys, *arguments, "--json")[1])
    said = {"seconds": 160.0, "or_more": False, "stages": 3, "slots": 1, "source": "by 2 records of the store"}
    assert found["estimate"] == said
    assert [cell["state"] for cell in found["cells"]].count("to do") == 2
    assert len(found["victims"]["to_train"]) == 1


@pytest.mark.parametrize("arguments", [["plan", *OPTIONS], ["status"], ["list", "attacks"], ["show", "tac"]])
def test_json_is_one_value_with_the_documented_fields(half, capsys, arguments):
    options = [] if arguments[0] == "list" else ["--store", "s"]
    status, out, err = bench(capsys, *arguments, *options, "--json")
    assert (status, err) == (0, "")
    found = json.loads(out, parse_constant=pytest.fail)  # no NaN
    assert set(found) == JSON.get(arguments[0], {"plugins"})
    assert out.isascii()


def test_a_result_as_json_has_its_columns_and_no_nan(half, capsys):
    key = half.keys("cells")[0]
    found = json.loads(bench(capsys, "show", key[:10], "--store", "s", "--json")[1], parse_constant=pytest.fail)
    assert found["traceback"] is None
    assert (found["record"]["key"], found["record"]["defense_seconds"], found["record"]["asr"]) == (key, 30.0, None)
    assert found["record"]["attack_params"]["size"] == 3


def test_the_usual_store_need_not_be_named_to_show_a_result():
    assert _command("show", "abcd", RunOptions()) == "bench show abcd"
    assert _command("show", "abcd", RunOptions.read({"store": "my; store"})) == "bench show abcd --store 'my; store'"


def test_a_few_steps_are_timed_where_no_record_says_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(timed_steps, "SHORT", 0)
    options = {"models": "resnet18[width=4]", "datasets": "digits", "attacks": "badnets", "defenses": "none,ft"}
    plan = make_plan(Request.read(options), Registry(), tmp_path)
    stages = [*plan.victims, *plan.cells]
    assert Estimate(Clock()).line(stages, 1) is None
    assert estimate(Clock(), plan, stages, tmp_path, ["cuda:0"]).line(stages, 1) is None
    made = estimate(Clock(), plan, stages, tmp_path, ["cpu"])
    assert "a few steps of training resnet18[width=4], timed now" in made.line(stages, 1)
    assert 1 < made.seconds(plan.victims, 1) < 3600
