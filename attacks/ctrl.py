"""CTRL: a faint wave in the colours of images of the target class, which keep their correct labels (clean-label).

Li, Pang, Xi, Du, Ji, Yao, Wang, "An Embarrassingly Simple Backdoor Attack on Self-supervised Learning", ICCV 2023,
arXiv 2210.07346. In the channels U and V of YUV, the coefficients (15, 15) and (31, 31) of the cosine transform of
32x32 windows are raised by 100, for pixels in 0..255. These values are those of the authors' code, which attacks
contrastive learning. Using it against a classifier, with images of the target class that make up 5 % of the training
set, follows BackdoorBench. An attacker may raise the coefficients more at inference than in training.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from bench.attacks._spectrum import check_frequencies, chroma_as_rgb, spectral_picture
from bench.plugin import Attack, AttackContext, Case, ImageSpec, LabelledImages, Poisoned, stamp


class CTRL(Attack):
    name: ClassVar[str] = "ctrl"
    source: ClassVar[str] = "Li et al., ICCV 2023, arXiv 2210.07346"
    clean_label: ClassVar[bool] = True
    visible: ClassVar[bool] = False

    label_map: Literal["all-to-one"] = Field("all-to-one", description="a clean-label attack has one target class")
    poisoning_rate: float = Field(
        0.05, gt=0, lt=1, description="poisoned images of the target class, as a share of the whole training set"
    )
    window: int = Field(32, ge=2, description="side of the windows of the cosine transform, in pixels")
    frequencies: tuple[int, ...] = Field(
        (15, 31), min_length=1, description="frequencies f, below window, whose coefficients (f, f) are raised"
    )
    magnitude: float = Field(100, gt=0, description="amount by which they are raised in training, for pixels in 0..255")
    test_magnitude: float | None = Field(None, gt=0, description="the same amount at inference; None: as in training")

    def unsupported(self, case: Case) -> str | None:
        if case.dataset.spec.channels != 3:
            return "the trigger lies in the colours, and the images are grey"
        return None

    def resolve(self, spec: ImageSpec) -> Self:
        check_frequencies(self.name, self.frequencies, self.window)
        return super().resolve(spec)

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return self._with_wave(images, self.magnitude if self.test_magnitude is None else self.test_magnitude)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """Poison images of the target class, at most all of them; their labels stay."""
        chosen = self.draw(train, context)
        return stamp(train, chosen, self._with_wave(train.at(chosen).floats, self.magnitude), train.labels[chosen])

    def _with_wave(self, images: Tensor, magnitude: float) -> Tensor:
        height, width = images.shape[-2:]
        picture = spectral_picture(height, width, self.window, self.frequencies, magnitude / 255, images.device)
        return (images + chroma_as_rgb(picture, "yuv")).clamp(0, 1)
