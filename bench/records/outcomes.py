"""What became of every test image in one cell: what intervals and tests are made from, without the predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MASKS = ("right", "of_target", "eligible", "hit", "robust", "right_before", "hit_before", "robust_before")
"""Of each test image: whether the defended network classifies it right (right); whether its label is a target class
(of_target); whether its trigger changes its label (eligible); whether it is classified as its target with the trigger
(hit), or as its label (robust); and the same of the undefended network."""


@dataclass(frozen=True)
class Outcomes:
    """``MASKS`` of the ``size`` test images of a cell, in their order, eight images a byte."""

    size: int
    packed: "dict[str, NDArray[np.uint8]]"

    @classmethod
    def of(cls, masks: "dict[str, NDArray[np.bool_]]") -> "Outcomes":
        """From a mask (N,) for each of ``MASKS``."""
        import numpy as np

        return cls(len(masks[MASKS[0]]), {name: np.packbits(masks[name]) for name in MASKS})

    def __getitem__(self, name: str) -> "NDArray[Any]":
        """One of ``MASKS`` as float32 zeros and ones, (N,)."""
        import numpy as np

        return np.unpackbits(self.packed[name], count=self.size).astype(np.float32)


OutcomesOf = Callable[[str, str], Outcomes | None]
"""From the keys of a cell and of its victim to the cell's outcomes; None where they are not known."""
