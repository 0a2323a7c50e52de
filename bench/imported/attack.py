"""The attack of a victim made elsewhere, as far as its file says: where its triggers lead, but no trigger."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from bench.plugin.attack import Attack
from bench.plugin.values import AttackContext


class ImportedAttack(Attack):
    """An attack of which only triggered images are known."""

    name: ClassVar[str] = "imported"
    source: ClassVar[str] = "a file"

    content: str = Field("", description="a hash of the victim's files")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        raise LookupError("of a victim made elsewhere only its triggered images are known, not its trigger")
