"""Guards that note what they were given."""

from typing import ClassVar

from bench import Prediction, Runtime


class Curious(Runtime):
    """Notes the sizes of what it knows, and flags bright images one at a time."""

    name: ClassVar[str] = "curious"
    knowledge: ClassVar[str] = "suspects"

    @property
    def wants_pairs(self):
        return True

    @property
    def learns_from_stream(self):
        return True

    def guard(self, model, known, context):
        context.note("known", [len(known.clean), list(known.suspects.shape), list(known.originals.shape)])
        context.note("context", sorted(vars(context)))

        def guarded(images):
            assert len(images) == 1
            brightness = images.mean((1, 2, 3))
            return Prediction(model(images), score=brightness, flagged=brightness > 0.3)

        return guarded


class CountsTriggers(Runtime):
    """Notes how many suspects were changed in the lower left corner, and how many in the lower right one."""

    name: ClassVar[str] = "countstriggers"
    knowledge: ClassVar[str] = "suspects"

    @property
    def wants_pairs(self):
        return True

    def guard(self, model, known, context):
        change = (known.suspects - known.originals).abs()
        corners = change[..., -3:, :3], change[..., -3:, -3:]
        context.note("triggers", [int((corner.amax((1, 2, 3)) > 0).sum()) for corner in corners])
        return lambda images: Prediction(model(images))
