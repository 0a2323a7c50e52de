"""``stage.json``: what is known of a victim besides its network and its predictions."""

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LARGEST = 1e15  # of any figure: enough for seconds, megabytes and distances


def _figure(low: float = -LARGEST, high: float = LARGEST) -> AfterValidator:
    """Bounds of a number that is NaN where there is nothing to measure."""

    def check(value: float) -> float:
        if not math.isnan(value) and not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, or NaN")
        return value

    return AfterValidator(check)


Count = Annotated[int, Field(ge=0, lt=2**53)]
Figure = Annotated[float, _figure()]
Amount = Annotated[float, _figure(0)]


class Stealth(BaseModel):
    """How well the trigger hides (``bench.cell.stealth``); NaN where no image is triggered."""

    model_config = ConfigDict(extra="forbid", strict=True)

    psnr: Figure
    ssim: Annotated[float, _figure(-1.001, 1.001)]
    l0: Amount
    l2: Amount
    linf: Amount


class VictimFacts(BaseModel):
    """The facts of a victim that its cells' records take over, and where it comes from.

    Seconds and milliseconds as measured; ``n_*``: numbers of images; ``targets``: the target classes; ``log``: what
    the attack said; ``fingerprints``: of each plugin's code, by kind.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    train_seconds: Amount
    ms_per_sample: Amount
    n_train: Count
    n_poisoned: Count
    n_cover: Count
    n_test: Count
    n_triggered: Count
    targets: list[Count]
    stealth: Stealth
    log: str = ""
    fingerprints: dict[str, str] = {}
