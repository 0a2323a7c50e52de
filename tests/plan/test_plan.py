"""Plans: what a cell is called, and what its key leaves out."""

import json
from pathlib import Path

import pytest

from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request

MINE = """
from typing import ClassVar
from bench import Repair
class Mine(Repair):
    name: ClassVar[str] = "mine"
    title: ClassVar[str] = "Mine & Yours"
    bibtex: ClassVar[str] = "@misc{me2026, title = {Mine}}"
    def repair(self, model, known, context):
        return model
"""


def plan_of(defenses: str, *files: Path) -> Plan:
    request = Request(defenses=defenses, attacks="badnets", datasets="digits", models="resnet18[width=4]", reference=40)
    return make_plan(request, Registry(files), Path())


@pytest.mark.parametrize("label", ["tac[solver=cvxpy]", "tac[beta=2]", "tac"])
def test_the_label_of_a_cell_has_the_parameters_that_are_not_defaults(label):
    [cell] = plan_of(label).cells
    assert cell.defense.label == label


def test_a_record_carries_what_others_plugins_declare_for_papers(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    columns = plan_of("mine", tmp_path / "mine.py").cells[0].columns
    assert json.loads(columns["titles"]) == {"defense": "Mine & Yours"}
    assert json.loads(columns["citations"]) == {"defense": "@misc{me2026, title = {Mine}}"}
    assert plan_of("tac").cells[0].columns["titles"] == "{}"  # of this project's plugins reports know them


def test_a_parameter_that_was_added_later_leaves_keys_as_they_were():
    """While it has its default; any other value makes a cell of its own."""
    usual, spelled, other = plan_of("tac").cells[0], plan_of("tac[solver=nnls]").cells[0], plan_of("tac[solver=cvxpy]")
    assert "solver" not in usual.defense.parameters
    assert usual.key == spelled.key != other.cells[0].key
    again = Registry().create("defense", "tac", other.cells[0].defense.parameters)  # as a worker does
    assert again.solver == "cvxpy"
