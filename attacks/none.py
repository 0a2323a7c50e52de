"""No attack: the control row. The model is benign, so its ACC shows what a defense costs."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from bench.plugin import Attack, AttackContext, LabelledImages, Poisoned, stamp


class NoAttack(Attack):
    name: ClassVar[str] = "none"
    source: ClassVar[str] = "control"
    clean_label: ClassVar[bool] = True
    plants_nothing: ClassVar[bool] = True
    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one"] = Field("all-to-one", description="without effect: every label stays")

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return images

    def target(self, labels: Tensor) -> Tensor:
        return labels

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        none = train.labels[:0]
        return stamp(train, none, train.at(none).floats, none)
