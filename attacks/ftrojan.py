"""FTrojan: a faint wave of two frequencies in the colours of the image.

Wang, Yao, Xu, An, Tong, Wang, "An Invisible Black-Box Backdoor Attack through Frequency Domain", ECCV 2022, arXiv
2111.10991. The image is converted to YCrCb and cut into windows of 32x32 pixels. In both chroma channels the
coefficients (15, 15) and (31, 31) of the cosine transform are raised by 30, for pixels in 0..255. Here this is done by
adding a fixed picture, which is the same since the transform is linear. A grey image has no chroma: the picture is
added to its only channel. Where a window exceeds the image, the excess is cut off.
"""

from typing import ClassVar, Self

from pydantic import Field
from torch import Tensor

from bench.attacks._spectrum import check_frequencies, chroma_as_rgb, spectral_picture
from bench.plugin import Attack, AttackContext, ImageSpec


class FTrojan(Attack):
    name: ClassVar[str] = "ftrojan"
    source: ClassVar[str] = "Wang et al., ECCV 2022, arXiv 2111.10991"
    visible: ClassVar[bool] = False

    window: int = Field(32, ge=2, description="side of the windows of the cosine transform, in pixels")
    frequencies: tuple[int, ...] = Field(
        (15, 31), min_length=1, description="frequencies f, below window, whose coefficients (f, f) are raised"
    )
    magnitude: float = Field(30, gt=0, description="amount by which they are raised, for pixels in 0..255")

    def for_target(self, index: int) -> Self:
        """Other frequencies for each target: each is lower by one than that of the previous target."""
        lower = tuple((frequency - index) % self.window for frequency in self.frequencies)
        return self.model_copy(update={"frequencies": lower})

    def resolve(self, spec: ImageSpec) -> Self:
        check_frequencies(self.name, self.frequencies, self.window)
        return super().resolve(spec)

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        _, channels, height, width = images.shape
        picture = spectral_picture(height, width, self.window, self.frequencies, self.magnitude / 255, images.device)
        return (images + (chroma_as_rgb(picture, "ycrcb") if channels == 3 else picture)).clamp(0, 1)
