"""CTRL: a faint wave in the colours of images of the target class, whose labels are right (clean-label).

Li, Pang, Xi, Du, Ji, Yao, Wang, "An Embarrassingly Simple Backdoor Attack on Self-supervised Learning", ICCV 2023,
arXiv 2210.07346. In U and V of YUV the coefficients (15, 15) and (31, 31) of the cosine transform of 32x32 windows are
raised. Positions, channels and magnitude (100, for pixels in 0..255) are those of the authors' code, which attacks
contrastive learning; the use against a classifier, with images of the target class as 5 % of the training set, is that
of BackdoorBench. An attacker may raise the coefficients by more at inference than in training.
"""

from typing import ClassVar, Literal, Self

from pydantic import Field
from torch import Tensor

from bench.attacks._spectrum import check, in_colours, raised
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
        (15, 31), min_length=1, description="the f whose coefficients (f, f) are raised, below window"
    )
    magnitude: float = Field(100, gt=0, description="by how much in poisoned training images, for pixels in 0..255")
    test_magnitude: float | None = Field(None, gt=0, description="by how much at inference; None: the same")

    def unsupported(self, case: Case) -> str | None:
        if case.dataset.spec.channels != 3:
            return "the trigger lies in the colours, and the images are grey"
        return None

    def resolve(self, spec: ImageSpec) -> Self:
        check(self.name, self.frequencies, self.window)
        return super().resolve(spec)

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        return self._raised(images, self.magnitude if self.test_magnitude is None else self.test_magnitude)

    def poison(self, train: LabelledImages, context: AttackContext) -> Poisoned:
        """Poison images whose label is the target's already, at most all of them; the labels stay."""
        chosen = self.draw(train, context)
        return stamp(train, chosen, self._raised(train.at(chosen).floats, self.magnitude), train.labels[chosen])

    def _raised(self, images: Tensor, magnitude: float) -> Tensor:
        height, width = images.shape[-2:]
        picture = raised(height, width, self.window, self.frequencies, magnitude / 255, images.device)
        return (images + in_colours(picture, "yuv")).clamp(0, 1)
