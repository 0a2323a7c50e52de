"""The control column."""

from torch import nn

from bench.defenses.none import NoDefense
from bench.plugin.values import Context, Known


def test_no_defense_is_the_victim_itself(context: Context) -> None:
    model = nn.Linear(2, 2)
    assert NoDefense().repair(model, Known(), context) is model
