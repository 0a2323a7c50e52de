"""``stage.json``: what is known of a victim besides its network and its predictions.

``natural.json``: what is known of a benign network's answers to a victim's triggered images.
"""

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


class NaturalFacts(BaseModel):
    """How a benign network answers a victim's triggered images.

    victim, benign: the keys of both victims. asr: the share of the eligible images that the benign network takes for
    their target; NaN without any. n_test: the number of images. fingerprints, benign_fingerprints: of the code that
    made the two victims, by kind of plugin.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    victim: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    benign: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    asr: Annotated[float, within(0, 1)]
    n_test: Count
    fingerprints: dict[str, str] = {}
    benign_fingerprints: dict[str, str] = {}

    @property
    def codes(self) -> dict[str, str]:
        """All fingerprints by kind, as ``bench.plan.stages.NaturalStage.refs`` names the kinds."""
        return {**self.fingerprints, **{f"benign {kind}": code for kind, code in self.benign_fingerprints.items()}}
