"""What the user sees while stages run."""

import sys

from rich.console import Console
from scripted import finished

from bench.engine.display import Screen
from bench.records import Record


def test_the_time_left_is_estimated_from_stored_records(plan):
    screen = Screen(Console(file=sys.stderr))
    screen.begin(plan.cells, 2)
    assert screen.left() is None
    screen.known([Record.model_validate_json(finished(cell)) for cell in plan.cells])
    assert screen.left() == 8.0  # of each three seconds of defense and one of inference, on two slots
