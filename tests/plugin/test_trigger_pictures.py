"""Pictures of reconstructed triggers in a record: what is shown, and how much of it."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from bench.plugin import note_trigger_picture
from bench.records import notes
from bench.records.note_types import LARGEST_PICTURE, MOST_PICTURES


def shown(context) -> np.ndarray:
    [picture] = context.diagnostics["trigger_pictures"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(picture["png"]))))


def test_a_picture_has_the_image_without_and_with_the_trigger_and_the_change(context):
    image = torch.full((1, 4, 4), 0.4)
    triggered = image.clone()
    triggered[0, 0, 0], triggered[0, 3, 3] = 0.6, 0.3
    note_trigger_picture(context, 3, "patch", image, triggered)
    expected = np.full((4, 12), 102)
    expected[0, 4], expected[3, 7] = 153, 76
    expected[:, 8:] = 128  # no change is grey, and the largest fills the range
    expected[0, 8], expected[3, 11] = 255, 64
    np.testing.assert_allclose(shown(context), np.repeat(expected[..., None], 3, 2), atol=1)


def test_large_images_are_made_small_and_no_more_than_a_few_pictures_are_kept(context):
    image = torch.rand(3, 300, 150, generator=torch.Generator().manual_seed(0))
    note_trigger_picture(context, 0, "patch", image, 1 - image)
    assert shown(context).shape == (64, 96, 3)
    for target in range(1, MOST_PICTURES + 3):
        note_trigger_picture(context, target, "patch", image, 1 - image)
    kept = notes.of_plugin(context.diagnostics, "defense")["trigger_pictures"]
    assert [picture["target"] for picture in kept] == list(range(MOST_PICTURES))
    assert all(len(picture["png"]) < LARGEST_PICTURE for picture in kept)


@pytest.mark.parametrize("shapes", [((4, 4), (4, 4)), ((3, 4, 4), (3, 4, 5)), ((2, 4, 4), (2, 4, 4))])
def test_what_is_no_pair_of_images_is_refused(shapes, context):
    with pytest.raises(ValueError, match="expected \\(C, H, W\\) with C 1 or 3"):
        note_trigger_picture(context, 0, "patch", *map(torch.zeros, shapes))


def test_what_is_no_picture_is_refused_when_the_record_is_made(context):
    context.diagnostics["trigger_pictures"] = [{"target": 0, "kind": "patch", "png": "<script>"}]
    with pytest.raises(ValueError, match="note 'trigger_pictures'"):
        notes.of_plugin(context.diagnostics, "defense")
