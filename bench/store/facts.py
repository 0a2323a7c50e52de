"""``stage.json``: what is known of a victim besides its network and its predictions.

``natural.json``: what is known of a benign network's answers to a victim's triggered images.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.records.columns import LARGEST, Count, EvaluatedOn, Line, Seed, within

MOST_CLASSES = 100_000
Figure = Annotated[float, within(-LARGEST, LARGEST)]  # unlike a record's: null is not NaN here
Size = Annotated[int, Field(ge=1, le=2**20)]  # of an image
Amount = Annotated[float, within(0, LARGEST)]


class Stealth(BaseModel):
    """How well the trigger hides (``bench.cell.stealth``); NaN where no image is triggered."""

    model_config = ConfigDict(extra="forbid", strict=True)

    psnr: Figure
    ssim: Annotated[float, within(-1, 1)]
    l0: Amount
    l2: Amount
    linf: Amount


class Part(BaseModel):
    """A plugin that took part: its name, its label in the table that it was made for, and all its parameters."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: Line
    label: Line
    version: Line
    parameters: dict[str, Any]


class Images(BaseModel):
    """What a victim's images are, and the mean and standard deviation of each channel that its network expects.

    order: of the channels, where all three are applied before the network's own layers; "" where it normalises itself.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    channels: Size
    height: Size
    width: Size
    classes: Annotated[int, Field(ge=1, le=MOST_CLASSES)]
    mean: list[Figure]
    std: list[Figure]
    order: Literal["", "rgb", "bgr"] = ""


class RecipeUsed(BaseModel):
    """The recipe of a victim's training with all its parameters; none where it was trained elsewhere."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: Line
    parameters: dict[str, Any]


class MadeOf(BaseModel):
    """Which victim this is: data set, architecture, attack, recipe and seed. A person can read it in the file."""

    model_config = ConfigDict(extra="ignore", strict=True)

    title: Line
    dataset: Part
    model: Part
    attack: Part
    recipe: RecipeUsed
    seed: Seed
    profile: Line
    evaluated_on: EvaluatedOn
    images: Images


class VictimFacts(BaseModel):
    """The facts of a victim that its cells' records take over, and where it comes from.

    Seconds and milliseconds as measured; ``n_*``: numbers of images; ``targets``: the target classes; ``log``: what
    the attack said; ``fingerprints``: of each plugin's code, by kind; ``class_names``: by number, none where they are
    not known; ``precision``: that its predictions were computed in, and those of its cells are; ``made_of``: what it is
    made of, and ``training_sha256``: a hash of the images that it was trained on (``bench.cell.made_of``). Both are
    None in victims made before they were recorded.
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
    made_of: MadeOf | None = None
    training_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None


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
