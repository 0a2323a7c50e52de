"""What parameters tell a defense beyond its declared knowledge: it is ranked among its like alone."""

from pathlib import Path
from typing import Any

import pytest

from bench.api import collect
from bench.errors import RequestError
from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request
from bench.records.record import Record
from bench.store.store import Store

MINE = """
from bench import Repair
class Mine(Repair):
    name = "mine"
    hint: int | None = None
    poisoned_class: int | None = None
    def repair(self, model, known, context):
        return model
"""
TOLD = """
    @property
    def told(self):
        return {}
"""


def plan_of(defenses: str, *files: Path) -> Plan:
    small: dict[str, Any] = {"attacks": "badnets", "datasets": "digits", "models": "resnet18[width=4]", "reference": 40}
    return make_plan(Request(defenses=defenses, **small), Registry(files), Path())


def given(defenses: str, *files: Path) -> list[str]:
    return [cell.knowledge for cell in plan_of(defenses, *files).cells]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize("pair", ["tac,tac[poisoned_class=0]", "tac[paper],tac[paper,poisoned_class=0]"])
def test_to_be_told_the_class_is_to_be_given_more(pair: str) -> None:
    assert given(pair) == ["40 clean", "40 clean + the class to repair"]


def test_so_it_is_of_any_plugin(mine: Path) -> None:
    named = "40 clean + the class to repair"
    assert given("mine,mine[hint=1],mine[poisoned_class=3]", mine) == ["40 clean", "40 clean", named]


def test_a_plugin_says_itself_what_a_parameter_of_another_name_tells_it(mine: Path) -> None:
    mine.write_text(MINE + TOLD.format('"the hint" if self.hint else ""'))
    assert given("mine,mine[hint=1],mine[poisoned_class=3]", mine) == ["40 clean", "40 clean + the hint", "40 clean"]


@pytest.mark.parametrize("said", ["None", "3", '"two\\nlines"', '"x" * 61'])
def test_what_is_no_short_line_is_refused(mine: Path, said: str) -> None:
    mine.write_text(MINE + TOLD.format(said))
    with pytest.raises(RequestError, match=r"told=.*: expected at most 60 characters"):
        given("mine", mine)


def test_results_of_before_are_grouped_by_what_is_said_now(tmp_path: Path) -> None:
    """A store keeps what was given in the words of the version that made the cell; the table has those of its plan."""
    plan = plan_of("tac[poisoned_class=0]")
    [cell] = plan.cells
    of_before = Record(**{**cell.columns, "knowledge": "40 clean"}, status="done")
    [now] = collect(plan, Store(tmp_path), {cell.key: of_before}).records
    assert now.knowledge == "40 clean + the class to repair"
