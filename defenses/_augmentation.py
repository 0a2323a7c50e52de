"""Varying the reference images as the victim's training varied its images: random crops, and mirror images."""

from typing import Self

from torch import Tensor

from bench.plugin import Context, Defense, ImageSpec, RequestError, augment, later


class Augmenting(Defense):
    """A defense that can crop and mirror the reference images at random, anew in every batch."""

    augment: bool = later(False, description="vary the reference images as training varies its images: crops, flips")
    crop: int | None = later(
        None, ge=0, description="augment: padding of the random crops, in pixels; filled in from the data set"
    )
    flip: bool | None = later(None, description="augment: mirror half of the images; filled in from the data set")

    def resolve(self, spec: ImageSpec) -> Self:
        """With ``augment``, crop and flip as the data set has them, unless they are given."""
        given = {name: getattr(self, name) for name in ("crop", "flip") if getattr(self, name) is not None}
        if self.augment:
            return self.model_copy(update={"crop": spec.crop, "flip": spec.flip} | given)
        for name, value in given.items():
            raise RequestError(f"{self.name}: {name}={value}: expected with augment=true, and only there")
        return self

    def crop_and_flip(self, context: Context) -> tuple[int, bool]:
        """What ``augment`` takes: 0 and False if nothing is to be varied. Logs it if that is the data set's silence."""
        if self.augment and self.crop is None and self.flip is None:
            context.log("the data set's spec has no crop and flip: the reference images are not augmented")
        return (self.crop or 0, bool(self.flip)) if self.augment else (0, False)

    def varied(self, images: Tensor, context: Context) -> Tensor:
        """``images`` (N, C, H, W) in [0, 1], augmented if that is asked for; otherwise no random number is drawn."""
        if not self.augment:
            return images
        return augment(images, context.generator, crop=self.crop or 0, flip=bool(self.flip))
