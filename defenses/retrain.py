"""Retraining: what the same architecture is worth when it never saw a poisoned image.

No defense but an oracle: it trains from scratch, by the victim's recipe, on the whole training set without poison,
which no defender has. Its ACC is what the recipe reaches without poison, its ASR what a trigger does to a network that
it was not planted in.
"""

from typing import ClassVar

from torch import nn

from bench.plugin import Context, Known, Oracle, Secret


class Retrain(Oracle):
    name: ClassVar[str] = "retrain"
    source: ClassVar[str] = "reference column"

    def reveal(self, model: nn.Module, known: Known, secret: Secret, context: Context) -> nn.Module:
        return secret.retrained()
