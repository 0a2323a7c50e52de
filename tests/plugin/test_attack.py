"""``Attack.apply`` checks what a trigger returns."""

from typing import ClassVar

import pytest
import torch

from bench.plugin import Attack


class Odd(Attack):
    name: ClassVar[str] = "odd"
    how: str = "fine"

    def trigger(self, images, context):
        if self.how == "in place":
            return images.fill_(0)
        answers = {"fine": images, "bright": images * 3, "cut": images[:, :, 1:], "nan": images * float("nan")}
        return answers[self.how]


def test_a_proper_trigger_passes(images, attack_context):
    assert torch.equal(Odd().apply(images.floats, attack_context), images.floats)


@pytest.mark.parametrize(
    ("how", "complaint"),
    [("bright", "odd: trigger left"), ("cut", r"odd: trigger gave \(60, 3, 15, 16\)"), ("nan", "NaN or infinite")],
)
def test_a_trigger_that_returns_no_images_is_named(how, complaint, images, attack_context):
    with pytest.raises(ValueError, match=complaint):
        Odd(how=how).apply(images.floats, attack_context)


def test_the_images_stay_as_they_are(images, attack_context):
    given = images.floats
    Odd(how="in place").apply(given, attack_context)
    assert torch.equal(given, images.floats)
