"""``stage.json``: what is known of a victim besides its network and its predictions."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.records.columns import LARGEST, Count, Line, within

MOST_CLASSES = 100_000
Figure = Annotated[float, within(-LARGEST, LARGEST)]  # unlike a record's: null is not NaN here
Amount = Annotated[float, within(0, LARGEST)]


class Stealth(BaseModel):
    """How well the trigger hides (``bench.cell.stealth``); NaN where no image is triggered."""

    model_config = ConfigDict(extra="forbid", strict=True)

    psnr: Figure
    ssim: Annotated[float, within(-1, 1)]
    l0: Amount
    l2: Amount
    linf: Amount


class VictimFacts(BaseModel):
    """The facts of a victim that its cells' records take over, and where it comes from.

    Seconds and milliseconds as measured; ``n_*``: numbers of images; ``targets``: the target classes; ``log``: what
    the attack said; ``fingerprints``: of each plugin's code, by kind; ``class_names``: by number, none where they are
    not known; ``precision``: that its predictions were computed in, and those of its cells are.
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
    precision: Literal["float32", "bfloat16"] = "float32"
    class_names: list[Line] = Field([], max_length=MOST_CLASSES)
