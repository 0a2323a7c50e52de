"""How an ``Oracle`` runs: it is told the secret, and what it returns is the network to compare with."""

from bench.cell.reference import Handed
from bench.plugin.defense import Guard
from bench.plugin.oracle import Oracle
from bench.plugin.values import Prediction


def guard(defense: Oracle, handed: Handed) -> Guard:
    revealed = defense.reveal(handed.model, handed.known, handed.secret(), handed.context).eval()
    return lambda images: Prediction(revealed(images))
