"""Picture files become square images."""

import numpy as np
import pytest
import torch
from PIL import Image

from bench.datasets import _pictures


@pytest.mark.parametrize(("fit", "box"), [("stretch", (0, 40)), ("crop", (5, 35))])
def test_a_picture_becomes_a_square_as_torch_would_make_it(tmp_path, fit, box):
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((40, 30), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "p.png")
    cut = torch.from_numpy(np.asarray(picture).transpose(2, 0, 1).copy())[None, :, :, box[0] : box[1]].float()
    expected = torch.nn.functional.interpolate(cut, (10, 10), mode="bilinear", antialias=True)[0]
    found = torch.from_numpy(_pictures.square(tmp_path / "p.png", 10, fit).copy()).float()
    inner = slice(1, -1) if fit == "crop" else slice(None)  # at its edge the cut one sees a little of what is beyond
    torch.testing.assert_close(found[:, :, inner], expected[:, :, inner], atol=1.01, rtol=0)
