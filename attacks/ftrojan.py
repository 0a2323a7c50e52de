"""FTrojan: the trigger is a faint wave of two frequencies in the colours of the image.

Wang, Yao, Xu, An, Tong, Wang, "An Invisible Black-Box Backdoor Attack through Frequency Domain", ECCV 2022, arXiv
2111.10991. The image is brought to YCrCb and cut into windows of 32x32 pixels; in both colour channels the coefficients
(15, 15) and (31, 31) of the cosine transform are raised by 30, for pixels in 0..255. The transform is linear, so this
adds a fixed picture. A grey image has no colours: there the picture is added to its one channel, and of a window that
is larger than the image the rest is cut off.
"""

from typing import ClassVar, Self

from pydantic import Field
from torch import Tensor

from bench.attacks._spectrum import check, in_colours, raised
from bench.plugin import Attack, AttackContext, ImageSpec


class FTrojan(Attack):
    name: ClassVar[str] = "ftrojan"
    source: ClassVar[str] = "Wang et al., ECCV 2022, arXiv 2111.10991"
    visible: ClassVar[bool] = False

    window: int = Field(32, ge=2, description="side of the windows of the cosine transform, in pixels")
    frequencies: tuple[int, ...] = Field(
        (15, 31), min_length=1, description="the f whose coefficients (f, f) are raised, below window"
    )
    magnitude: float = Field(30, gt=0, description="by how much, for pixels in 0..255")

    def nth(self, place: int) -> Self:
        """Other frequencies for every target: each lower by one than those of the target before."""
        lower = tuple((frequency - place) % self.window for frequency in self.frequencies)
        return self.model_copy(update={"frequencies": lower})

    def resolve(self, spec: ImageSpec) -> Self:
        check(self.name, self.frequencies, self.window)
        return super().resolve(spec)

    def trigger(self, images: Tensor, context: AttackContext) -> Tensor:
        _, channels, height, width = images.shape
        picture = raised(height, width, self.window, self.frequencies, self.magnitude / 255, images.device)
        return (images + (in_colours(picture, "ycrcb") if channels == 3 else picture)).clamp(0, 1)
