"""How a ``Repair`` runs: what it returns is the defended network."""

from bench.cell.reference import Handed
from bench.plugin.defense import Guard
from bench.plugin.repair import Repair
from bench.plugin.values import Prediction


def guard(defense: Repair, handed: Handed) -> Guard:
    repaired = defense.repair(handed.model, handed.known, handed.context).eval()
    return lambda images: Prediction(repaired(images))
