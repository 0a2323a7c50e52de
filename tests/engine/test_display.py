"""What the user sees while stages run."""

import io
import math
import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scripted import finished

from bench.engine import display
from bench.engine.display import Lines, Screen, Several, Silent, told
from bench.engine.executor import Outcome
from bench.records import Record


def lines(**options) -> tuple[Lines, io.StringIO]:
    """A listener for a pipe, and what it prints."""
    file = io.StringIO()
    return Lines(Console(file=file, width=80), **options), file


def test_the_time_left_is_estimated_from_stored_records(plan):
    screen = Screen(Console(file=sys.stderr))
    screen.begin(plan.cells, 2)
    assert screen.left() == (None, False)
    screen.known([Record.model_validate_json(finished(cell)) for cell in plan.cells])
    assert screen.left() == (8.0, False)  # of each three seconds of defense and one of inference, on two slots


def test_the_figures_of_a_stage_are_told_as_it_ends(plan):
    victim, cell = plan.victims[0], plan.cells[1]
    measured = {"acc_before": 0.982, "asr_before": 0.9994, "ra_before": 0.0, "base_rate": 0.01}
    assert told(Outcome(0, victim, "done", 34.04, measured=measured)) == (
        f"{victim.title}: done, ACC 98.2 ASR 99.9 (34.0 s)"
    )
    measured = {"acc": 0.95, "asr": math.nan, "ra": 0.5, "der": 0.75}
    assert told(Outcome(0, cell, "done", 1.0, measured=measured)).endswith(": done, ACC 95.0 RA 50.0 DER 75.0 (1.0 s)")
    assert told(Outcome(0, cell, "failed", 1.0, "why")) == f"{cell.title}: failed: why (1.0 s)"


def test_a_pipe_is_told_what_runs_while_nothing_ends(plan, monkeypatch):
    listener, file = lines()
    victim, other = plan.victims
    listener.begin([*plan.victims, *plan.cells], 2)
    listener.started(0, victim)
    listener.started(1, other)
    listener.tick([0.0, 0.0])
    assert file.getvalue().count("\n") == 1  # nothing yet
    monkeypatch.setattr(display, "HEARTBEAT", 0.0)
    listener.tick([0.5, 0.0])
    line = file.getvalue().splitlines()[-1]
    assert line.startswith("0/6 stages after ")
    assert f"{victim.title} 50% for " in line
    assert f"{other.title} for " in line
    assert "; left about " in line  # by the progress of the first


def test_the_time_left_is_said_to_be_possibly_more_while_nothing_like_a_stage_has_ended(plan, monkeypatch):
    monkeypatch.setattr(display, "HEARTBEAT", 0.0)
    file = io.StringIO()
    shown = [Lines(Console(file=file, width=200)), Screen(Console(file=file, width=200))]
    for listener in shown:
        listener.begin(plan.cells, 1)
        listener.started(0, plan.cells[0])
        listener.clock.learn(plan.cells[0].victim, 100.0)
        assert _left(listener, file).endswith(" or more")
        for cell in plan.cells:
            listener.clock.learn(cell, 50.0)
        assert not _left(listener, file).endswith(" or more")
        listener.running[0] = plan.cells[0], listener.began - 1000.0  # longer than any of its like
        assert _left(listener, file).endswith(" or more")


def _left(listener: Lines, file: io.StringIO) -> str:
    """What a listener says of the time left."""
    file.truncate(0)
    listener.tick([0.0])
    if isinstance(listener, Screen):
        listener._left = "", 0.0
        listener.console.print(listener._render())
    [line] = [line for line in file.getvalue().replace("\0", "").splitlines() if "left about" in line]
    return line.rstrip()


def test_a_log_has_the_time_of_every_line_and_says_what_begins(plan):
    listener, file = lines(dated=True, verbose=True)
    both = Several([listener, Silent()])
    both.begin(plan.cells, 1)
    both.started(0, plan.cells[0])
    both.note("something")
    both.tick([0.0])
    both.ended(Outcome(0, plan.cells[0], "done", 2.0, log=("found nothing",)))
    assert both.clock is listener.clock
    assert both.clock.expect(plan.cells[0]) == 2.0
    written = file.getvalue().splitlines()
    assert len(written) == 5
    assert all(line[:4].isdigit() and line[10] == "T" for line in written)
    assert written[1].endswith(f"{plan.cells[0].title}: begins in slot 0")


def test_what_has_ended_in_another_process_runs_no_longer(plan):
    listener, _ = lines()
    listener.begin(plan.cells, 2)
    for slot, cell in enumerate(plan.cells[:2]):
        listener.started(slot, cell)
    listener.ended(pickle.loads(pickle.dumps(Outcome(1, plan.cells[1], "done", 1.0))))
    assert [stage.key for stage, _ in listener.running.values()] == [plan.cells[0].key]
    listener.ended(Outcome(0, plan.cells[3], "failed", 0.0, "its victim failed"))  # in a slot with another stage
    assert [stage.key for stage, _ in listener.running.values()] == [plan.cells[0].key]


@given(st.text(max_size=60))
def test_no_line_steers_the_terminal(plan, text):
    listener, file = lines()
    listener.note(f"[red]{text}[/red]\x1b[31m")
    listener.ended(Outcome(0, plan.cells[0], "failed", 1.0, text, log=(text,)))
    written = file.getvalue()
    assert all(line.isprintable() for line in written.split("\n"))
    assert written.count("\n") == 3
    assert "[red]" in written


@pytest.mark.parametrize("title", ["\x1b[2J", "[bold]x[/bold]"])
def test_what_runs_is_shown_without_steering_the_terminal(plan, monkeypatch, title):
    monkeypatch.setattr(type(plan.cells[0]), "title", title)
    file = io.StringIO()
    screen = Screen(Console(file=file, width=80))
    screen.begin(plan.cells, 1)
    screen.started(0, plan.cells[0])
    screen.console.print(screen._render())
    assert all(line.isprintable() for line in file.getvalue().split("\n"))
    assert title.replace("\x1b", "\\x1b") in file.getvalue()
