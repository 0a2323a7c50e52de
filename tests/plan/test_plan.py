"""Plans: what a cell is called, and what its key leaves out."""

from pathlib import Path

import pytest

from bench.plan.plan import Plan, make_plan
from bench.plan.registry import Registry
from bench.plan.request import Request


def plan_of(defenses: str) -> Plan:
    request = Request(defenses=defenses, attacks="badnets", datasets="digits", models="resnet18[width=4]", reference=40)
    return make_plan(request, Registry(), Path())


@pytest.mark.parametrize("label", ["tac[solver=cvxpy]", "tac[beta=2]", "tac"])
def test_the_label_of_a_cell_has_the_parameters_that_are_not_defaults(label):
    [cell] = plan_of(label).cells
    assert cell.defense.label == label


def test_a_parameter_that_was_added_later_leaves_keys_as_they_were():
    """While it has its default; any other value makes a cell of its own."""
    usual, spelled, other = plan_of("tac").cells[0], plan_of("tac[solver=nnls]").cells[0], plan_of("tac[solver=cvxpy]")
    assert "solver" not in usual.defense.parameters
    assert usual.key == spelled.key != other.cells[0].key
    again = Registry().create("defense", "tac", other.cells[0].defense.parameters)  # as a worker does
    assert again.solver == "cvxpy"
